#include "doctor.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/operate_sql.h"

/* So many dead rows make polls slower and the table larger for nothing. */
#define DEAD_ROWS_MAX 500000

static void say(const struct doctor *d, enum doctor_level level, const char *check,
		const char *advice, const char *format, ...)
	__attribute__((format(printf, 5, 6)));

static void say(const struct doctor *d, enum doctor_level level, const char *check,
		const char *advice, const char *format, ...)
{
	char detail[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(detail, sizeof(detail), format, args);
	va_end(args);
	d->report(d->context, level, check, detail, advice);
}

static long long minutes(int64_t ms)
{
	return (long long)(ms / 60000);
}

/* --- rows and relays --- */

static void judge_due(const struct doctor *d, const struct overview *v)
{
	if (v->due.rows == 0)
		say(d, DOCTOR_OK, "due rows", NULL, "none waits");
	else if (v->relay_count == 0 && !d->is_pooled)
		say(d, DOCTOR_BAD, "due rows",
		    "start one: outbox-relay run, or systemctl start outbox-relay",
		    "%lld wait and no relay is connected", (long long)v->due.rows);
	else if (v->oldest_due_ms > d->patience_ms)
		say(d, DOCTOR_BAD, "due rows",
		    "see outbox-relay status for parked destinations, and the relay's log",
		    "the oldest has waited for %lld min", minutes(v->oldest_due_ms));
	else
		say(d, DOCTOR_OK, "due rows", NULL, "%lld on their way",
		    (long long)v->due.rows);
}

static void judge_failed(const struct doctor *d, const struct overview *v)
{
	if (v->failed.rows == 0)
		say(d, DOCTOR_OK, "failed rows", NULL, "none");
	else
		say(d, DOCTOR_NOTE, "failed rows",
		    "outbox-relay list --status failed; mend the cause; outbox-relay "
		    "requeue",
		    "%s%lld", v->failed.is_estimate ? "about " : "",
		    (long long)v->failed.rows);
}

/* Some time is left to those who adopt. */
static void judge_claims(const struct doctor *d, const struct overview *v)
{
	int64_t rows = 0, oldest_ms = 0;

	for (int i = 0; i < v->claim_count; i++) {
		const struct overview_claim *c = &v->claims[i];

		if (!c->is_dead || c->lease_ms > -60000)
			continue;
		rows += c->rows;
		oldest_ms = -c->lease_ms > oldest_ms ? -c->lease_ms : oldest_ms;
	}
	if (rows)
		say(d, DOCTOR_BAD, "dead relays",
		    "any relay on this table takes them over: start one",
		    "%lld rows are in the hands of relays that died %lld min ago",
		    (long long)rows, minutes(oldest_ms));
	else
		say(d, DOCTOR_OK, "dead relays", NULL, "none has left rows behind");
}

void doctor_judge(const struct doctor *d, const struct overview *v)
{
	judge_due(d, v);
	judge_failed(d, v);
	judge_claims(d, v);
}

/* --- what hinders VACUUM --- */

static void judge_autovacuum(const struct doctor *d, const struct pg_result *r)
{
	int64_t dead = pg_int(r, 0, 1);

	if (!pg_bool(r, 0, 0))
		say(d, DOCTOR_BAD, "autovacuum",
		    "ALTER TABLE message_log RESET (autovacuum_enabled), the same for "
		    "message_log_claim, and see autovacuum in postgresql.conf",
		    "it is off: dead rows pile up until every poll is slow");
	else if (dead > DEAD_ROWS_MAX)
		say(d, DOCTOR_NOTE, "autovacuum",
		    "ALTER TABLE message_log SET (autovacuum_vacuum_scale_factor = 0.01, "
		    "autovacuum_vacuum_cost_delay = 0)",
		    "%lld rows of message_log may be dead before it starts",
		    (long long)dead);
	else
		say(d, DOCTOR_OK, "autovacuum", NULL, "starts after %lld dead rows",
		    (long long)dead);
}

static void judge_horizon(const struct doctor *d, const struct pg_result *r,
			  bool sees_all)
{
	for (int i = 0; i < pg_rows(r); i++) {
		struct slice who = pg_slice(r, i, 0);
		struct slice what = pg_slice(r, i, 2);
		char since[48] = "";

		if (!pg_is_null(r, i, 1))
			snprintf(since, sizeof(since), " for %lld min",
				 minutes(-pg_int(r, i, 1)));
		say(d, DOCTOR_BAD, "vacuum horizon",
		    "end it; SELECT pg_terminate_backend(PID) does for a session",
		    "%.*s keeps dead rows alive%s: %.*s", (int)who.size, who.data, since,
		    (int)what.size, what.size ? what.data : "");
	}
	if (pg_rows(r) > 0)
		return;
	if (sees_all)
		say(d, DOCTOR_OK, "vacuum horizon", NULL,
		    "nobody has held it for more than %lld min", minutes(d->patience_ms));
	else
		say(d, DOCTOR_NOTE, "vacuum horizon",
		    "doctor --database, as somebody in pg_read_all_stats, sees all",
		    "held by no session of this role; of others it is told nothing");
}

/* --- what is missing, or could be better --- */

static void judge_index(const struct doctor *d, const struct pg_result *r)
{
	if (pg_bool(r, 0, 0))
		say(d, DOCTOR_OK, "index of failed", NULL, "is there");
	else
		say(d, DOCTOR_NOTE, "index of failed",
		    "CREATE INDEX CONCURRENTLY message_log_failed ON message_log (id) "
		    "WHERE status = 'failed'",
		    "missing: status, list and requeue read the whole table");
}

static void judge_message_ids(const struct doctor *d, const struct pg_result *r)
{
	if (pg_bool(r, 0, 0))
		say(d, DOCTOR_OK, "message ids", NULL, "compared byte by byte");
	else
		say(d, DOCTOR_NOTE, "message ids",
		    "in a quiet hour, since it keeps everybody out while an index is built: "
		    "ALTER TABLE message_log ALTER COLUMN message_id TYPE text COLLATE "
		    "\"C\"; then restart applications that read message_id",
		    "compared by the rules of a language: inserting and marking take "
		    "longer");
}

static void judge_routes(const struct doctor *d, const struct pg_result *r)
{
	for (int i = 0; i < pg_rows(r); i++) {
		struct slice exchange = pg_slice(r, i, 0), key = pg_slice(r, i, 1);

		say(d, DOCTOR_NOTE, "no queue",
		    "bind a queue to it, or mend what sends there; then outbox-relay "
		    "requeue",
		    "exchange %.*s, routing key %.*s: %lld failed, the last %lld min ago",
		    (int)exchange.size, exchange.data, (int)key.size, key.data,
		    (long long)pg_int(r, i, 2), minutes(-pg_int(r, i, 3)));
	}
	if (pg_rows(r) == 0)
		say(d, DOCTOR_OK, "no queue", NULL, "every failed row had one");
}

int doctor_examine(struct operate *o, const struct doctor *d, struct error *err)
{
	struct overview v = {0};
	int autovacuum, horizon, index, message_ids, routes;
	int rc = overview_read(o, &v, err);

	if (rc == 0)
		doctor_judge(d, &v);
	overview_release(&v);
	if (rc < 0)
		return -1;
	operate_begin(o);
	index = operate_add(o, OPERATE_HAS_FAILED_INDEX);
	message_ids = operate_add(o, OPERATE_COMPARES_BYTES);
	routes = operate_add(o, OPERATE_UNROUTED);
	autovacuum = operate_add(o, OPERATE_AUTOVACUUM);
	pg_params_int8(operate_params(o), d->patience_ms);
	horizon = operate_add(o, OPERATE_HORIZON);
	if (operate_run(o, err) < 0)
		return -1;
	judge_routes(d, operate_result(o, routes));
	judge_index(d, operate_result(o, index));
	judge_message_ids(d, operate_result(o, message_ids));
	judge_autovacuum(d, operate_result(o, autovacuum));
	judge_horizon(d, operate_result(o, horizon),
		      pg_bool(operate_result(o, autovacuum), 0, 2));
	return 0;
}
