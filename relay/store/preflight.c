#include "preflight.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "store/migrate.h"

#define TIMEOUT_MS 10000

/* The oldest server whose SQL we rely on: gen_random_uuid() in core. */
#define SERVER_VERSION_MIN 130000

static void say(const struct preflight *p, const char *check, bool is_ok,
		const char *format, ...) __attribute__((format(printf, 4, 5)));

static void say(const struct preflight *p, const char *check, bool is_ok,
		const char *format, ...)
{
	char detail[600];
	va_list args;

	va_start(args, format);
	vsnprintf(detail, sizeof(detail), format, args);
	va_end(args);
	p->report(p->context, check, is_ok, detail);
}

/* One statement; NULL (and a reported failure) when the server will not answer it. After one
   that got no answer in time nothing more is asked: what comes late would pass for the answer
   to the next question. */
static const struct pg_result *ask(const struct preflight *p, struct pg *pg,
				   const char *check, const char *sql,
				   const struct pg_params *params)
{
	struct error err;
	int index;

	if (!pg_is_open(pg))
		return NULL;
	pg_begin(pg);
	index = pg_add(pg, sql, params);
	pg_sync(pg);
	if (pg_run(pg, TIMEOUT_MS, &err) == 0)
		return pg_result(pg, index);
	say(p, check, false, "%s", err.text);
	if (err.kind == ERROR_TIMEOUT || err.kind == ERROR_LOST)
		pg_close(pg);
	return NULL;
}

/* Rows of one text column, joined with ", "; their number. */
static int join(const struct pg_result *r, struct buffer *out)
{
	for (int i = 0; i < pg_rows(r); i++) {
		struct slice s = pg_slice(r, i, 0);

		buffer_printf(out, "%s%.*s", i ? ", " : "", (int)s.size, s.data);
	}
	return pg_rows(r);
}

/* A check that lists what is missing. */
static bool check_missing(const struct preflight *p, struct pg *pg, const char *check,
			  const char *sql, const char *advice)
{
	struct pg_params params = {0};
	struct buffer missing = {0};
	const struct pg_result *r;
	int count = -1;

	pg_params_text(&params, p->schema);
	r = ask(p, pg, check, sql, &params);
	if (r) {
		count = join(r, &missing);
		if (count)
			say(p, check, false, "missing: %s (%s)", buffer_text(&missing),
			    advice);
		else
			say(p, check, true, "all there");
	}
	pg_params_release(&params);
	buffer_release(&missing);
	return count == 0;
}

#define TABLES                                                              \
	"SELECT t FROM unnest(ARRAY['message_log', 'message_log_claim',"    \
	" 'message_log_attempt', 'message_log_migration']) AS t"            \
	" WHERE NOT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n"     \
	" ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = t" \
	" AND c.relkind IN ('r', 'p'))"

#define COLUMNS                                                                          \
	"SELECT w.tab || '.' || w.col || ' ' || w.type FROM (VALUES"                     \
	" ('message_log', 'id', 'bigint'), ('message_log', 'message_id', 'text'),"       \
	" ('message_log', 'exchange', 'text'), ('message_log', 'routing_key', 'text'),"  \
	" ('message_log', 'payload', 'bytea'), ('message_log', 'content_type', 'text')," \
	" ('message_log', 'headers', 'jsonb'), ('message_log', 'properties', 'jsonb'),"  \
	" ('message_log', 'status', 'text'), ('message_log', 'try_count', 'integer'),"   \
	" ('message_log', 'next_retry', 'timestamp with time zone'),"                    \
	" ('message_log', 'last_error', 'text'),"                                        \
	" ('message_log', 'created_at', 'timestamp with time zone'),"                    \
	" ('message_log', 'updated_at', 'timestamp with time zone'),"                    \
	" ('message_log_claim', 'claim_id', 'bigint'),"                                  \
	" ('message_log_claim', 'relay_id', 'integer'),"                                 \
	" ('message_log_claim', 'relay_name', 'text'),"                                  \
	" ('message_log_claim', 'turn', 'bigint'),"                                      \
	" ('message_log_claim', 'message_ids', 'bigint[]'),"                             \
	" ('message_log_claim', 'greatest_id', 'bigint'),"                               \
	" ('message_log_claim', 'lease_until', 'timestamp with time zone'),"             \
	" ('message_log_claim', 'has_session_lock', 'boolean'),"                         \
	" ('message_log_claim', 'is_adopted', 'boolean'),"                               \
	" ('message_log_claim', 'publishing_id', 'bigint'),"                             \
	" ('message_log_attempt', 'log_id', 'bigint'),"                                  \
	" ('message_log_attempt', 'attempt_id', 'bigint'),"                              \
	" ('message_log_attempt', 'at', 'timestamp with time zone'),"                    \
	" ('message_log_attempt', 'relay_name', 'text'),"                                \
	" ('message_log_attempt', 'verdict', 'text'),"                                   \
	" ('message_log_attempt', 'is_charged', 'boolean'),"                             \
	" ('message_log_attempt', 'try_count', 'integer'),"                              \
	" ('message_log_attempt', 'reason', 'text'),"                                    \
	" ('message_log_attempt', 'latency_ms', 'bigint')"                               \
	") AS w (tab, col, type) WHERE NOT EXISTS (SELECT FROM pg_attribute a"           \
	" JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n"                     \
	" ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = w.tab"          \
	" AND a.attname = w.col AND NOT a.attisdropped"                                  \
	" AND format_type(a.atttypid, NULL) = w.type)"

/* By shape, not by name: somebody may have rebuilt one. */
#define INDEXES                                                                    \
	"SELECT w.what FROM (VALUES"                                               \
	" ('a primary key on message_log (id)', '{id}'::name[], NULL),"            \
	" ('a unique index on message_log (message_id)', '{message_id}', NULL),"   \
	" ('an index on message_log (next_retry, id) WHERE status = ''sending'''," \
	" '{next_retry,id}', 'sending')) AS w (what, cols, part)"                  \
	" WHERE NOT EXISTS (SELECT FROM pg_index i JOIN pg_class c ON c.oid = "    \
	"i.indrelid"                                                               \
	" JOIN pg_namespace n ON n.oid = c.relnamespace"                           \
	" WHERE n.nspname = $1 AND c.relname = 'message_log' AND i.indisvalid"     \
	" AND (i.indisunique OR w.part IS NOT NULL)"                               \
	" AND (i.indpred IS NULL) = (w.part IS NULL)"                              \
	" AND coalesce(pg_get_expr(i.indpred, i.indrelid), '')"                    \
	" LIKE '%' || coalesce(w.part, '') || '%'"                                 \
	" AND w.cols = (SELECT array_agg(a.attname ORDER BY k.n)"                  \
	" FROM unnest(i.indkey) WITH ORDINALITY AS k (attnum, n)"                  \
	" JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum))"

#define RIGHTS                                                                    \
	"SELECT r FROM (SELECT 'USAGE on schema ' || $1 AS r,"                    \
	" has_schema_privilege($1, 'USAGE') AS ok"                                \
	" UNION ALL SELECT 'SELECT on message_log',"                              \
	" has_table_privilege(format('%I.message_log', $1), 'SELECT')"            \
	" UNION ALL SELECT 'UPDATE (' || col || ') on message_log',"              \
	" has_column_privilege(format('%I.message_log', $1), col, 'UPDATE')"      \
	" FROM unnest(ARRAY['status', 'try_count', 'next_retry', 'last_error',"   \
	" 'updated_at']) AS col"                                                  \
	" UNION ALL SELECT priv || ' on message_log_claim',"                      \
	" has_table_privilege(format('%I.message_log_claim', $1), priv)"          \
	" FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS priv"     \
	" UNION ALL SELECT priv || ' on message_log_attempt',"                    \
	" has_table_privilege(format('%I.message_log_attempt', $1), priv)"        \
	" FROM unnest(ARRAY['SELECT', 'INSERT']) AS priv"                         \
	" UNION ALL SELECT 'SELECT on message_log_migration',"                    \
	" has_table_privilege(format('%I.message_log_migration', $1), 'SELECT')"  \
	" UNION ALL SELECT 'USAGE on sequence message_log_relay_id',"             \
	" has_sequence_privilege(format('%I.message_log_relay_id', $1), 'USAGE')" \
	") AS rights WHERE NOT ok"

#define RIGHT_TO_DELETE                                             \
	"SELECT 'DELETE on ' || t FROM unnest(ARRAY['message_log'," \
	" 'message_log_attempt']) AS t WHERE NOT"                   \
	" has_table_privilege(format('%I.%I', $1, t), 'DELETE')"

#define DOORBELL                                                                \
	"SELECT 'trigger message_log_doorbell' WHERE NOT EXISTS (SELECT FROM "  \
	"pg_trigger t"                                                          \
	" JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = " \
	"c.relnamespace"                                                        \
	" WHERE n.nspname = $1 AND c.relname = 'message_log'"                   \
	" AND t.tgname = 'message_log_doorbell' AND t.tgenabled <> 'D')"

static void check_server(const struct preflight *p, struct pg *pg)
{
	int version = pg_server_version(pg);
	const struct pg_result *r;

	say(p, "database version", version >= SERVER_VERSION_MIN, "PostgreSQL %d.%d%s",
	    version / 10000, version % 10000,
	    version >= SERVER_VERSION_MIN ? "" : ": 13 or later is needed");
	r = ask(p, pg, "database writable",
		"SELECT pg_is_in_recovery(), current_setting('transaction_read_only') = "
		"'on'",
		NULL);
	if (!r)
		return;
	if (pg_bool(r, 0, 0))
		say(p, "database writable", false, "the server is a standby");
	else if (pg_bool(r, 0, 1))
		say(p, "database writable", false,
		    "transactions are read-only (default_transaction_read_only)");
	else
		say(p, "database writable", true, "yes");
}

static bool check_version(const struct preflight *p, struct pg *pg)
{
	char *quoted = pg_quote_identifier(p->schema);
	char *sql = xasprintf(
		"SELECT coalesce(max(version), 0) FROM %s.message_log_migration", quoted);
	const struct pg_result *r = ask(p, pg, "schema version", sql, NULL);
	int found = r ? (int)pg_int(r, 0, 0) : -1;

	if (found >= migrate_newest())
		say(p, "schema version", true, "%d", found);
	else if (r)
		say(p, "schema version", false, "%d, this program needs %d: run migrate",
		    found, migrate_newest());
	free(sql);
	free(quoted);
	return found >= migrate_newest();
}

/* Only a hint for the reader: nothing in the relay depends on this machine's wall
   clock. */
static void check_clock(const struct preflight *p, struct pg *pg)
{
	struct timespec now;
	const struct pg_result *r =
		ask(p, pg, "clocks",
		    "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint",
		    NULL);
	int64_t skew_ms;

	if (!r)
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	skew_ms = pg_int(r, 0, 0) - ((int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000);
	say(p, "clocks", true, "the database is %lld ms %s this machine%s",
	    (long long)(skew_ms < 0 ? -skew_ms : skew_ms),
	    skew_ms < 0 ? "behind" : "ahead of",
	    skew_ms > 5000 || skew_ms < -5000
		    ? " (harmless: the database's clock decides)"
		    : "");
}

static void find_exchanges(const struct preflight *p, struct pg *pg,
			   struct buffer *exchanges)
{
	char *quoted = pg_quote_identifier(p->schema);
	char *sql = xasprintf(
		"SELECT DISTINCT exchange FROM (SELECT exchange FROM "
		"%s.message_log WHERE status = 'sending' ORDER BY next_retry, id "
		"LIMIT 1000) AS s ORDER BY 1",
		quoted);
	const struct pg_result *r = ask(p, pg, "unsent rows", sql, NULL);

	for (int i = 0; r && i < pg_rows(r); i++) {
		struct slice s = pg_slice(r, i, 0);

		buffer_append(exchanges, s.data, s.size);
		buffer_append(exchanges, "", 1);
	}
	free(sql);
	free(quoted);
}

static void check_schema(const struct preflight *p, struct pg *pg,
			 struct buffer *exchanges)
{
	if (!check_missing(p, pg, "tables", TABLES, "run `outbox-relay migrate`"))
		return;
	if (!check_missing(p, pg, "columns", COLUMNS, "the schema was changed"))
		return;
	check_missing(p, pg, "indexes", INDEXES, "without it every poll reads the table");
	if (!check_missing(p, pg, "rights", RIGHTS, "see schema/roles.sql"))
		return;
	if (p->deletes_sent)
		check_missing(p, pg, "right to delete", RIGHT_TO_DELETE,
			      "for relay.on_sent: delete, and for retention.sent");
	if (p->wants_bell)
		check_missing(p, pg, "doorbell", DOORBELL,
			      "without it rows wait for the next poll; or set "
			      "relay.wake: poll");
	if (check_version(p, pg))
		find_exchanges(p, pg, exchanges);
}

int preflight_database(const struct preflight *p, struct buffer *exchanges)
{
	struct pg *pg =
		pg_new(&(struct pg_settings){.url = p->url,
					     .password = p->password,
					     .tls = p->tls,
					     .application_name = "outbox-relay check",
					     .any_server = true});
	struct error err;
	int rc = pg_open(pg, p->connect_timeout_ms, -1, &err);

	if (rc < 0) {
		say(p, "database", false, "%s", err.text);
	} else {
		say(p, "database", true, "%s", pg_peer(pg));
		check_server(p, pg);
		check_schema(p, pg, exchanges);
		check_clock(p, pg);
	}
	pg_free(pg);
	return rc;
}
