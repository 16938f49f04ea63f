#ifndef STORE_OPERATE_SQL_H
#define STORE_OPERATE_SQL_H

/* It would indent every line behind a macro that stands between strings. */
/* clang-format off */

/*
 * Every statement of the operator's commands. Names are unqualified: search_path is the schema
 * alone. None reads a whole table of any size: what is counted is counted up to a limit, what is
 * walked is walked in steps.
 */

/* A moment in milliseconds from now, negative in the past; an infinite one is a century away. */
#define OPERATE_MS(moment) \
	"round(1000 * least(3155760000, greatest(-3155760000, extract(epoch FROM " moment ")::float8" \
	" - extract(epoch FROM statement_timestamp())::float8)))::bigint"

/* --- status --- */

/* Counted that far; beyond it is estimated. */
#define OPERATE_EXACT "10000"

#define OPERATE_COUNT_(WHERE) \
	"(SELECT count(*) FROM (SELECT FROM message_log WHERE " WHERE " LIMIT " \
	OPERATE_EXACT " + 1) AS few)"

/*
 * Due, scheduled, failed, and all rows, each up to one more than are counted; in how many
 * milliseconds the first due one is (was) due and the first scheduled one will be; the time. The
 * orders are those of the indexes, message_log_due and message_log_failed.
 */
#define OPERATE_COUNTS \
	"SELECT " OPERATE_COUNT_("status = 'sending'" \
	" AND next_retry <= statement_timestamp()" \
	" ORDER BY next_retry, id") ", " \
	OPERATE_COUNT_("status = 'sending' AND next_retry > statement_timestamp()" \
	" ORDER BY next_retry, id") ", " OPERATE_COUNT_("status = 'failed'" \
	" ORDER BY id") ", " OPERATE_COUNT_("true ORDER BY id") ", (SELECT " \
	OPERATE_MS("next_retry") " FROM message_log" \
	" WHERE status = 'sending' ORDER BY next_retry, id LIMIT 1)," \
	" (SELECT " OPERATE_MS("next_retry") " FROM message_log" \
	" WHERE status = 'sending' AND next_retry > statement_timestamp()" \
	" ORDER BY next_retry, id LIMIT 1)," \
	" (SELECT " OPERATE_MS("updated_at") " FROM message_log" \
	" WHERE status = 'failed' ORDER BY id DESC LIMIT 1)," \
	" to_char(statement_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')"

/*
 * Entries by what VACUUM and ANALYZE last saw of table and indexes, scaled to their present size,
 * as the planner does it. What they never looked at: the table -1, an index by what fits its pages
 * when entries are added in order (8 KiB, 90 % full; 28 and 20 bytes an entry). Then the sizes of
 * the table, with what is stored outside of it, and of all its indexes.
 */
#define OPERATE_ESTIMATES \
	"SELECT " OPERATE_ESTIMATE_("message_log", "-1") ", " \
	OPERATE_ESTIMATE_("message_log_due", "260 * pages") ", " \
	OPERATE_ESTIMATE_("message_log_failed", "360 * pages") \
	", pg_table_size('message_log'), pg_indexes_size('message_log')"
#define OPERATE_ESTIMATE_(RELATION, UNSEEN) \
	"coalesce((SELECT CASE WHEN reltuples <= 0 OR relpages = 0 THEN " UNSEEN \
	" ELSE reltuples::float8 / relpages * pages END FROM (SELECT reltuples, relpages," \
	" pg_relation_size(oid) / current_setting('block_size')::integer AS pages" \
	" FROM pg_class WHERE oid = to_regclass('" RELATION "')) AS seen), -1)::bigint"

/* Over which time rates are told, and how many rows are looked at for it. */
#define OPERATE_FLOW_MS   "10000"
#define OPERATE_FLOW_ROWS "10000"

#define OPERATE_WALK_(WHERE) \
	"(SELECT id, status, created_at, updated_at FROM message_log " WHERE \
	" ORDER BY id DESC LIMIT " OPERATE_FLOW_ROWS ")"

/*
 * How many rows came, and how many were sent, within the last seconds, and over how many
 * milliseconds that is: less than OPERATE_FLOW_MS where so many rows were looked at that older
 * ones were left out. Looked at are the newest rows, and those before the first that waits: a relay
 * which works on a backlog has just sent those. Rows that are deleted when they are sent are not
 * seen, nor are retries of old ones.
 */
#define OPERATE_FLOW \
	"WITH newest AS MATERIALIZED " OPERATE_WALK_("") "," \
	" front AS MATERIALIZED " \
	OPERATE_WALK_("WHERE id < (SELECT id FROM message_log WHERE status = 'sending'" \
	" ORDER BY next_retry, id LIMIT 1)") "," \
	" came AS (SELECT count(*) AS rows, min(created_at) AS first FROM newest" \
	"  WHERE created_at > statement_timestamp()" \
	"  - " OPERATE_FLOW_MS " * interval '1 millisecond')," \
	" sent AS (SELECT count(*) AS rows, min(updated_at) AS first" \
	"  FROM (SELECT * FROM newest UNION SELECT * FROM front) AS seen" \
	"  WHERE status = 'sent' AND updated_at > statement_timestamp()" \
	"  - " OPERATE_FLOW_MS " * interval '1 millisecond')" \
	" SELECT rows, CASE WHEN rows < " OPERATE_FLOW_ROWS " THEN " OPERATE_FLOW_MS " ELSE -" \
	OPERATE_MS("first") " END FROM came UNION ALL" \
	" SELECT rows, CASE WHEN rows < " OPERATE_FLOW_ROWS " THEN " OPERATE_FLOW_MS " ELSE -" \
	OPERATE_MS("first") " END FROM sent"

/* Advisory locks with two keys, the first of them ours; see SQL_REGISTER in sql.h. */
#define OPERATE_LOCKS_ \
	"(SELECT objid::bigint AS relay_id, pid FROM pg_locks WHERE locktype = 'advisory'" \
	" AND database = (SELECT oid FROM pg_database WHERE datname = current_database())" \
	" AND classid::bigint = ('message_log'::regclass::oid::bigint + 2147483648)" \
	" % 4294967296 AND objsubid = 2 AND objid::bigint BETWEEN 1 AND 2147483647" \
	" AND mode = 'ExclusiveLock' AND granted)"

/*
 * Relays: by the lock that a session holds on its relay_id, and by claims (behind a pooler there
 * are no such locks). relay_id, name, is it connected, pid, for how long, from where, claims, rows.
 */
#define OPERATE_RELAYS \
	"SELECT coalesce(l.relay_id, c.relay_id)::bigint," \
	" coalesce(c.relay_name, substr(a.application_name, 14), ''), l.pid IS NOT NULL," \
	" coalesce(l.pid, 0), coalesce(-" OPERATE_MS("a.backend_start") ", -1)," \
	" coalesce(host(a.client_addr), 'local'), coalesce(c.claims, 0)," \
	" coalesce(c.rows, 0) FROM " OPERATE_LOCKS_ " AS l" \
	" FULL JOIN (SELECT relay_id::bigint, max(relay_name) AS relay_name," \
	"  count(*) AS claims, sum(cardinality(message_ids))::bigint AS rows" \
	"  FROM message_log_claim GROUP BY relay_id) AS c ON c.relay_id = l.relay_id" \
	" LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid ORDER BY 1 LIMIT 1000"

/* claim_id, relay_id, relay_name, rows, lease left in ms, is_adopted, the row it names or 0, and
   whether its owner is known to be dead. */
#define OPERATE_CLAIMS \
	"SELECT claim_id, relay_id, relay_name, cardinality(message_ids)," \
	" " OPERATE_MS("lease_until") ", is_adopted, coalesce(publishing_id, 0)," \
	" lease_until < statement_timestamp() OR (has_session_lock AND" \
	" NOT relay_id IN (SELECT relay_id FROM " OPERATE_LOCKS_ " AS l))" \
	" FROM message_log_claim ORDER BY claim_id LIMIT 1000"

/* --- list and show --- */

#define OPERATE_TIME_(MOMENT) \
	"coalesce(nullif(to_char(" MOMENT " AT TIME ZONE 'UTC'," \
	" 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'), ''), " MOMENT "::text)"

/*
 * $1 exchange, $2 routing key, $3 text within last_error, NULL: whichever; $4 older and $5 newer
 * than so many ms, -1: whichever. Of the row m.
 */
#define OPERATE_MATCH \
	"($1::text IS NULL OR m.exchange = $1)" \
	" AND ($2::text IS NULL OR m.routing_key = $2)" \
	" AND ($3::text IS NULL OR position(lower($3) IN lower(m.last_error)) > 0)" \
	" AND ($4 < 0 OR m.updated_at <= statement_timestamp()" \
	" - $4 * interval '1 millisecond')" \
	" AND ($5 < 0 OR m.updated_at > statement_timestamp()" \
	" - $5 * interval '1 millisecond')"

#define OPERATE_ROW_ \
	"m.id, m.message_id, m.status, m.exchange, m.routing_key, m.content_type," \
	" m.last_error, m.try_count, octet_length(m.payload)::bigint," \
	" " OPERATE_TIME_("m.created_at") ", " OPERATE_TIME_("m.updated_at") "," \
	" " OPERATE_TIME_("m.next_retry") ", " OPERATE_MS("m.created_at") "," \
	" " OPERATE_MS("m.updated_at") ", " OPERATE_MS("m.next_retry")

/* %1$s: a condition on status; %2$s: the id to sort by. $6 ids below that one, $7 rows. Only the
   rows of the page are read whole. */
#define OPERATE_LIST \
	"WITH page AS MATERIALIZED (SELECT m.id FROM message_log AS m WHERE %1$s" \
	" AND m.id < $6 AND " OPERATE_MATCH " ORDER BY %2$s DESC LIMIT $7)" \
	" SELECT " OPERATE_ROW_ " FROM page JOIN message_log AS m ON m.id = page.id" \
	" ORDER BY m.id DESC"

/* $1 an id, or 0; $2 a message_id. %1$s: the body. */
#define OPERATE_SHOW \
	"SELECT " OPERATE_ROW_ ", m.headers::text, m.properties::text, %1$s," \
	" c.claim_id, c.relay_name FROM message_log AS m" \
	" LEFT JOIN message_log_claim AS c ON m.id = ANY (c.message_ids)" \
	" WHERE m.id = coalesce((SELECT id FROM message_log WHERE id = $1)," \
	" (SELECT id FROM message_log WHERE message_id = $2)) LIMIT 1"
/* Of the same row, oldest first. */
#define OPERATE_ATTEMPTS \
	"SELECT " OPERATE_TIME_("at") ", " OPERATE_MS("at") ", relay_name, verdict, is_charged," \
	" reason, latency_ms FROM message_log_attempt WHERE log_id" \
	" = coalesce((SELECT id FROM message_log WHERE id = $1)," \
	" (SELECT id FROM message_log WHERE message_id = $2)) ORDER BY attempt_id LIMIT 100"

#define OPERATE_BODY_WHOLE     "m.payload"
#define OPERATE_BODY_BEGINNING "substring(m.payload FOR 4096)"
#define OPERATE_BODY_BASE64 \
	"convert_to(translate(encode(m.payload, 'base64'), E'\\n', ''), 'UTF8')"

/* --- requeue, purge, replay --- */

/* $1 an id, or 0; $2 a message_id. */
#define OPERATE_RESOLVE \
	"SELECT coalesce((SELECT id FROM message_log WHERE id = $1)," \
	" (SELECT id FROM message_log WHERE message_id = $2))"

#define OPERATE_LAST_ID "SELECT coalesce(max(id), 0) FROM message_log"

/*
 * A step by ascending id, from behind $6 up to $7: it reads $8 rows of a status at most and takes
 * the first $9 that pass the filter, of those as many as have STEP_BYTES of bodies together, and
 * one at least: copying and deleting bodies is work by the byte. $10 ids, $11 a label, where they
 * are asked for. %1$s the condition on status, %2$s IDS or nothing, %3$s ORIGINALS or nothing,
 * %4$s what is done, ending with a CTE `changed`. Returns the id to go on behind (NULL: that was
 * all), matched and changed.
 *
 * The parameters that a variant has no use for still need a type: the last line names them.
 */
#define OPERATE_WALK \
	"WITH walk AS MATERIALIZED (SELECT m.id, m.exchange, m.routing_key," \
	"  m.last_error, m.updated_at, octet_length(m.payload) AS size" \
	"  FROM message_log AS m WHERE %1$s AND m.id > $6 AND m.id <= $7%2$s%3$s ORDER BY m.id LIMIT $8)," \
	" few AS MATERIALIZED (SELECT m.id, m.size FROM walk AS m WHERE " \
	OPERATE_MATCH "  ORDER BY m.id LIMIT $9)," \
	" hit AS MATERIALIZED (SELECT id FROM (SELECT id, row_number() OVER w AS n," \
	"  sum(size) OVER w AS total FROM few" \
	"  WINDOW w AS (ORDER BY id ROWS UNBOUNDED PRECEDING)) AS sized" \
	"  WHERE total <= " OPERATE_STEP_BYTES " OR n = 1)" \
	"%4$s" \
	" SELECT CASE WHEN (SELECT count(*) FROM hit) = $9 OR" \
	"  (SELECT count(*) FROM hit) < (SELECT count(*) FROM few)" \
	"  THEN (SELECT max(id) FROM hit)" \
	"  WHEN (SELECT count(*) FROM walk) = $8 THEN (SELECT max(id) FROM walk) END," \
	" (SELECT count(*) FROM hit), (SELECT count(*) FROM changed)" \
	" WHERE $10::bigint[] IS NOT NULL AND $11::text IS NOT NULL"
#define OPERATE_STEP_BYTES     "16777216"
#define OPERATE_WALK_IDS       " AND m.id = ANY ($10)"
#define OPERATE_WALK_ORIGINALS " AND NOT coalesce(m.headers ? 'replay_of', false)"

#define OPERATE_LOOK ", changed AS (SELECT WHERE false)"

/* Rows in the hands of others are left to them. %s the condition on status. */
#define OPERATE_LOCK OPERATE_LOCK_("%s")
#define OPERATE_LOCK_(CONDITION) \
	", locked AS MATERIALIZED (SELECT m.id FROM message_log AS m" \
	" WHERE m.id = ANY (ARRAY(SELECT id FROM hit)) AND " CONDITION " ORDER BY m.id" \
	" FOR UPDATE SKIP LOCKED)"

/* It rings for relays that sleep: the doorbell itself hears of new rows only. */
#define OPERATE_REQUEUE \
	", requeued AS (UPDATE message_log AS m SET status = 'sending'," \
	" try_count = 0, next_retry = statement_timestamp()," \
	" updated_at = statement_timestamp()" \
	" WHERE m.id = ANY (ARRAY(SELECT id FROM locked)) AND m.status = 'failed'" \
	" RETURNING m.id)," \
	" bell AS MATERIALIZED (SELECT pg_notify('message_log_'" \
	" || 'message_log'::regclass::oid, '') WHERE EXISTS (SELECT FROM requeued))," \
	" changed AS (SELECT r.id FROM requeued AS r" \
	" WHERE (SELECT count(*) FROM bell) >= 0)"

/* With its history. */
#define OPERATE_PURGE \
	", changed AS (DELETE FROM message_log AS m" \
	" WHERE m.id = ANY (ARRAY(SELECT id FROM locked))" \
	" AND m.status IN ('sent', 'failed') RETURNING m.id)," \
	" forgotten AS (DELETE FROM message_log_attempt" \
	" WHERE log_id = ANY (ARRAY(SELECT id FROM changed)))"

/* Headers of a size that leaves no room for one more stay as they are. */
#define OPERATE_REPLAY \
	", changed AS (INSERT INTO message_log (message_id, exchange, routing_key," \
	" payload, content_type, headers, properties)" \
	" SELECT CASE WHEN octet_length(m.message_id) + octet_length($11) < 255" \
	" THEN m.message_id ELSE md5(m.message_id) END || '~' || $11," \
	" m.exchange, m.routing_key, m.payload, m.content_type," \
	" CASE WHEN octet_length(m.headers::text) > 260000 THEN m.headers" \
	" ELSE coalesce(m.headers, '{}') || jsonb_build_object('replay_of', m.message_id)" \
	" END, m.properties FROM message_log AS m" \
	" WHERE m.id = ANY (ARRAY(SELECT id FROM hit)) AND m.status = 'sent'" \
	" ORDER BY m.id ON CONFLICT (message_id) DO NOTHING RETURNING id)"

/* --- retention --- */

/*
 * A step behind id $1: of the next $2 rows the first $4 that were sent more than $3 ms ago, and
 * STEP_BYTES of bodies. Returns the id to go on behind (NULL: that was all for now), and how many
 * were deleted. Whoever else holds the lock is at it already.
 */
#define OPERATE_RETENTION \
	"WITH walk AS MATERIALIZED (SELECT m.id, m.status, m.updated_at," \
	"  octet_length(m.payload) AS size FROM message_log AS m" \
	"  WHERE m.id > $1 AND (SELECT pg_try_advisory_xact_lock(" OPERATE_LOCK_KEY ", -2))" \
	"  ORDER BY m.id LIMIT $2)," \
	" few AS MATERIALIZED (SELECT id, size FROM walk WHERE status = 'sent'" \
	"  AND updated_at <= statement_timestamp() - $3 * interval '1 millisecond'" \
	"  ORDER BY id LIMIT $4)," \
	" hit AS MATERIALIZED (SELECT id FROM (SELECT id, row_number() OVER w AS n," \
	"  sum(size) OVER w AS total FROM few" \
	"  WINDOW w AS (ORDER BY id ROWS UNBOUNDED PRECEDING)) AS sized" \
	"  WHERE total <= " OPERATE_STEP_BYTES " OR n = 1)" \
	OPERATE_LOCK_("m.status = 'sent'") "," \
	" gone AS (DELETE FROM message_log AS m" \
	"  WHERE m.id = ANY (ARRAY(SELECT id FROM locked)) AND m.status = 'sent' RETURNING m.id)," \
	" forgotten AS (DELETE FROM message_log_attempt" \
	"  WHERE log_id = ANY (ARRAY(SELECT id FROM gone)))" \
	" SELECT CASE WHEN (SELECT count(*) FROM hit) = $4 OR" \
	"  (SELECT count(*) FROM hit) < (SELECT count(*) FROM few)" \
	"  THEN (SELECT max(id) FROM hit)" \
	"  WHEN (SELECT count(*) FROM walk) = $2 AND (SELECT count(*) FROM hit) > 0" \
	"  THEN (SELECT max(id) FROM walk) END, (SELECT count(*) FROM gone)"
#define OPERATE_LOCK_KEY "('message_log'::regclass::oid::bigint - 2147483648)::integer"

/* --- figures --- */

/* Rows of message_log and of message_log_claim that are dead, and the age of the oldest snapshot. */
#define OPERATE_VACUUM \
	"SELECT " OPERATE_DEAD_("message_log") ", " OPERATE_DEAD_("message_log_claim") "," \
	" greatest(0, (SELECT max(greatest(age(backend_xmin), age(backend_xid)))" \
	"  FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid())," \
	" (SELECT max(age(transaction)) FROM pg_prepared_xacts WHERE database = current_database())," \
	" (SELECT max(age(xmin)) FROM pg_replication_slots))::bigint"
#define OPERATE_DEAD_(TABLE) \
	"coalesce(pg_stat_get_dead_tuples('" TABLE "'::regclass), 0)"

/* --- doctor --- */

#define OPERATE_HAS_FAILED_INDEX \
	"SELECT EXISTS (SELECT FROM pg_index WHERE indisvalid" \
	" AND indrelid = 'message_log'::regclass" \
	" AND pg_get_expr(indpred, indrelid) LIKE '%''failed''%')"

/* Does the index of message_id compare bytes, or by the rules of a language: by those of its column,
   or else of the database. pg_database tells whose rules these are from PostgreSQL 15 on. */
#define OPERATE_COMPARES_BYTES \
	"SELECT attcollation IN ('pg_catalog.\"C\"'::regcollation," \
	" 'pg_catalog.\"POSIX\"'::regcollation)" \
	" OR attcollation = 'pg_catalog.\"default\"'::regcollation AND" \
	" (SELECT CASE coalesce(to_jsonb(d) ->> 'datlocprovider', 'c')" \
	"  WHEN 'c' THEN datcollate IN ('C', 'POSIX') WHEN 'b' THEN true ELSE false END" \
	"  FROM pg_database AS d WHERE datname = current_database())" \
	" FROM pg_attribute WHERE attrelid = 'message_log'::regclass" \
	" AND attname = 'message_id'"

/*
 * Is VACUUM run at all on message_log and message_log_claim, how many rows of message_log may die
 * before it is (by the table's own setting, or else the server's), and are we shown what sessions
 * of other roles do.
 */
#define OPERATE_AUTOVACUUM \
	"SELECT current_setting('autovacuum')::boolean AND NOT EXISTS (SELECT FROM pg_class" \
	" WHERE oid IN ('message_log'::regclass, 'message_log_claim'::regclass)" \
	" AND reloptions && ARRAY['autovacuum_enabled=false', 'autovacuum_enabled=off'])," \
	" (SELECT greatest(reltuples, 0) * coalesce((SELECT option_value::float8" \
	"  FROM pg_options_to_table(reloptions)" \
	"  WHERE option_name = 'autovacuum_vacuum_scale_factor')," \
	"  current_setting('autovacuum_vacuum_scale_factor')::float8)" \
	" + current_setting('autovacuum_vacuum_threshold')::float8" \
	" FROM pg_class WHERE oid = 'message_log'::regclass)::bigint," \
	" pg_has_role('pg_read_all_stats', 'USAGE')"

/*
 * Who keeps VACUUM from removing dead rows, for longer than $1 ms: what it is, since when in ms,
 * and more to know it by. The text of a query that may hold a password is not told.
 */
#define OPERATE_HORIZON \
	"SELECT 'session of pid ' || pid, " OPERATE_MS("xact_start") "," \
	" coalesce(usename, '') || ', ' || coalesce(application_name, '') || ', '" \
	" || coalesce(state, '') || ': ' || CASE WHEN query ~* 'passw' THEN '(not shown)'" \
	" ELSE left(query, 200) END FROM pg_stat_activity" \
	" WHERE backend_xmin IS NOT NULL AND datname = current_database()" \
	" AND pid <> pg_backend_pid() AND xact_start" \
	" < statement_timestamp() - $1 * interval '1 millisecond'" \
	" UNION ALL SELECT 'prepared transaction ' || gid, " OPERATE_MS("prepared") "," \
	" owner FROM pg_prepared_xacts WHERE database = current_database()" \
	" AND prepared < statement_timestamp() - $1 * interval '1 millisecond'" \
	" UNION ALL SELECT 'replication slot ' || slot_name, NULL," \
	" CASE WHEN active THEN 'in use' ELSE 'used by nobody' END || ', behind by '" \
	" || age(xmin) || ' transactions' FROM pg_replication_slots" \
	" WHERE xmin IS NOT NULL AND age(xmin) > 100000" \
	" ORDER BY 2 NULLS LAST LIMIT 10"

/* Destinations of failed rows that no queue takes, among the newest 10,000 that failed. */
#define OPERATE_UNROUTED \
	"SELECT exchange, routing_key, count(*), " OPERATE_MS("max(updated_at)") \
	" FROM (SELECT exchange, routing_key, last_error, updated_at FROM message_log" \
	" WHERE status = 'failed' ORDER BY id DESC LIMIT 10000) AS failed" \
	" WHERE last_error LIKE '%NO_ROUTE%' GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2 LIMIT 10"

#endif
