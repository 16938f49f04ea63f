#include "report.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"

#define INTERVAL_MS 1000

static void copy(char *out, size_t size, struct slice s)
{
	snprintf(out, size, "%.*s", (int)s.size, s.data ? s.data : "");
}

void report_settled(struct report *r, const struct row *row)
{
	struct report_kind *k =
		row->decision.fate == FATE_FAILED ? &r->failed : &r->retried;

	if (k->rows++)
		return; /* the first one is the example */
	k->id = row->id;
	k->try_count = row->try_count + row->decision.charge;
	copy(k->message_id, sizeof(k->message_id), row->message.message_id);
	copy(k->exchange, sizeof(k->exchange), row->message.exchange);
	snprintf(k->reason, sizeof(k->reason), "%s", row->reason ? row->reason : "");
}

static void say(struct report_kind *k, enum log_level level, const char *event)
{
	if (!k->rows)
		return;
	LOG_EVENT_(level, event, LOG_INT("rows", k->rows), LOG_INT("id", k->id),
		   LOG_STR("message_id", k->message_id), LOG_STR("exchange", k->exchange),
		   LOG_INT("try_count", k->try_count), LOG_STR("error", k->reason));
	k->rows = 0;
}

int64_t report_due_ms(const struct report *r)
{
	return r->failed.rows || r->retried.rows ? r->said_at_ms + INTERVAL_MS
						 : CLOCK_NEVER;
}

void report_say(struct report *r, int64_t now_ms, int flush)
{
	if (!flush && now_ms < report_due_ms(r))
		return;
	say(&r->failed, LOG_LEVEL_ERROR, "failed");
	say(&r->retried, LOG_LEVEL_WARN, "retry");
	r->said_at_ms = now_ms;
}
