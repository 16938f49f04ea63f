#include "report.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"

#define INTERVAL_MS 1000

static void copy(char *out, size_t size, struct slice s)
{
	snprintf(out, size, "%.*s", (int)s.size, s.data ? s.data : "");
}

static void describe(struct report_row *out, const struct row *row)
{
	out->id = row->id;
	out->try_count = row->try_count + row->decision.charge;
	copy(out->message_id, sizeof(out->message_id), row->message.message_id);
	copy(out->exchange, sizeof(out->exchange), row->message.exchange);
	copy(out->routing_key, sizeof(out->routing_key), row->message.routing_key);
	snprintf(out->reason, sizeof(out->reason), "%s", row->reason ? row->reason : "");
}

void report_settled(struct report *r, const struct row *row)
{
	bool has_failed = row->decision.fate == FATE_FAILED;
	struct report_kind *k = has_failed ? &r->failed : &r->retried;

	if (k->rows++ == 0) /* the first one is the example */
		describe(&k->example, row);
	if (has_failed)
		describe(&r->latest[r->latest_count++ % REPORT_LATEST], row);
}

int report_latest(const struct report *r, struct report_row out[REPORT_LATEST])
{
	int count = 0;

	for (uint64_t n = r->latest_count; n > 0 && count < REPORT_LATEST; n--)
		out[count++] = r->latest[(n - 1) % REPORT_LATEST];
	return count;
}

static void say(struct report_kind *k, enum log_level level, const char *event)
{
	const struct report_row *e = &k->example;

	if (!k->rows)
		return;
	LOG_EVENT_(level, event, LOG_INT("rows", k->rows), LOG_INT("id", e->id),
		   LOG_STR("message_id", e->message_id), LOG_STR("exchange", e->exchange),
		   LOG_INT("try_count", e->try_count), LOG_STR("error", e->reason));
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
