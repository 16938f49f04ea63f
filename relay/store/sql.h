#ifndef STORE_SQL_H
#define STORE_SQL_H

#include "store/batch.h"

/*
 * Every statement the relay ever sends, apart from the migrations. Names are unqualified:
 * the session's search_path is the configured schema alone. The database's clock decides
 * what is due and whose lease has run out: statement_timestamp() where an index shall be
 * used, since the planner treats it as a constant; clock_timestamp() where a lease
 * begins.
 *
 * The sessions switch off every plan that reads a whole table (see SQL_SETTINGS): the
 * tables are usually almost empty and suddenly hold a million rows, and statistics lag
 * behind both. For the same reason a relay's session plans each statement once: left to itself the
 * server chooses between a kept plan and a new one for each execution by estimated costs, and for
 * claims it chose the latter, a tenth of what the session took of the processor at 500 messages a
 * second (PostgreSQL 15).
 */

/* Session settings; $1 is true to make them last for the transaction only (poolers). Of a
   database that knows no encoding bytes are taken as they are: asked for UTF-8, it would
   refuse a whole claim for one row that is none. */
#define SQL_SETTINGS                                                                \
	"SELECT set_config(name, value, $1) FROM (VALUES"                           \
	" ('search_path', $2), ('statement_timeout', $3), ('lock_timeout', $4),"    \
	" ('idle_in_transaction_session_timeout', $5),"                             \
	" ('enable_seqscan', 'off'), ('enable_bitmapscan', 'off'),"                 \
	" ('enable_hashjoin', 'off'), ('enable_mergejoin', 'off'), ('jit', 'off')," \
	" ('plan_cache_mode', $6),"                                                 \
	" ('tcp_keepalives_idle', '10'), ('tcp_keepalives_interval', '5'),"         \
	" ('tcp_keepalives_count', '3'), ('tcp_user_timeout', '30000'),"            \
	" ('client_min_messages', 'warning'),"                                      \
	" ('client_encoding', CASE current_setting('server_encoding')"              \
	"  WHEN 'SQL_ASCII' THEN 'SQL_ASCII' ELSE 'UTF8' END)"                      \
	") AS settings (name, value)"

/*
 * Behind "status", where rows are known by their ids. Spelt "= 'sending'" it would fit the index of
 * the due rows, and a plan that was made when the table looked empty would read all of that for
 * each batch (PostgreSQL 15: 19,360 rows to settle 256).
 */
#define SQL_STILL_SENDING "NOT IN ('sent', 'failed')"

/* Kept out of SQL_SETTINGS: inside a transaction it would come too late. */
#define SQL_ISOLATION \
	"SELECT set_config('default_transaction_isolation', 'read committed', false)"

#define SQL_BEGIN  "BEGIN ISOLATION LEVEL READ COMMITTED"
#define SQL_COMMIT "COMMIT"

/* --- opening a session --- */

#define SQL_VERSION "SELECT coalesce(max(version), 0) FROM message_log_migration"

/* A fresh relay_id, and the first half of all advisory lock keys but the bell's: the table's oid
 * in int4. */
#define SQL_REGISTER                                       \
	"SELECT nextval('message_log_relay_id')::integer," \
	" ('message_log'::regclass::oid::bigint - 2147483648)::integer"

/* $1 lock key, $2 relay_id; held until the session ends. The other one is shared by all relays: who
   could have it alone is alone. */
#define SQL_LOCK_SELF "SELECT pg_advisory_lock($1, $2), pg_advisory_lock_shared($1, -3)"

/*
 * After a reconnect. A claim of ours that we know nothing of was committed without us
 * seeing the answer: none of its rows was published, so they are free. An adopted one
 * stays for the next adopter, since it may name a row that killed its first owner. $1
 * former relay_ids, $2 ids of the claims we know.
 */
#define SQL_DROP_UNKNOWN                                          \
	"DELETE FROM message_log_claim WHERE relay_id = ANY ($1)" \
	" AND NOT claim_id = ANY ($2) AND NOT is_adopted"

/* $1 and $2 as above, $3 new relay_id, $4 lease in ms, $5 has_session_lock. */
#define SQL_RETAKE                                                           \
	"UPDATE message_log_claim SET relay_id = $3, has_session_lock = $5," \
	" lease_until = clock_timestamp() + $4 * interval '1 millisecond'"   \
	" WHERE relay_id = ANY ($1) AND claim_id = ANY ($2) RETURNING claim_id"

/* --- a turn: settle, renew, adopt, claim, fetch --- */

/*
 * $1 lock key. Second half of the key: -1 is the claim lock, -2 retention's (operate_sql.h), -3 that of
 * SQL_LOCK_SELF, else a relay_id.
 *
 * ASYNC, where a turn writes nothing but a claim: that need not be on the disk before its rows are
 * published (PostgreSQL 15, "Asynchronous Commit"). Everybody sees it as soon as it is committed, and
 * a crash of the server that forgets it frees rows without a verdict; for those with one see
 * SQL_CLAIM_ANEW, which needs a session that ends with the server. Another relay could be back first
 * and claim them, so beside one it waits all the same. (500 messages a second: p50 2.05 instead of
 * 2.74 ms from the commit to the consumer, and the application's own commits wait less for the disk.)
 */
#define SQL_CLAIM_LOCK "SELECT pg_advisory_xact_lock($1, -1)"
#define SQL_CLAIM_LOCK_ASYNC                                           \
	SQL_CLAIM_LOCK ", CASE WHEN pg_try_advisory_xact_lock($1, -3)" \
		       " THEN set_config('synchronous_commit', 'off', true) END"

/*
 * Settling is one statement, so that rows change only together with the claim that covers
 * them. `mine` takes the claim's row lock: an adopter skips it meanwhile, and when it is
 * not ours any more (or not there) nothing is changed. settle.c puts it together: CLOSE or
 * KEEP the claim, MARK or DELETE what was sent, and if there are rows to tell of (refused ones, or
 * sent ones with a history), what happened to them.
 *
 * SENT is what nearly all batches come to: everything was sent, and there is nothing to tell. One
 * statement takes any number of them; one for each took the server 0.24 ms even for a single row
 * (PostgreSQL 15).
 *
 * SENT: $1 claim_ids, $2 relay_id, $3 ids sent, $4 the claim of each; it returns the claims that
 * were ours.
 * $1 claim_id, $2 relay_id, $3 ids sent; KEEP: $4 the row named next, or NULL;
 * rows to tell of, from the next number on: ids, fates, charges, delays in ms, reasons, the
 * attempts before, verdicts, latencies in ms.
 */
#define SQL_SETTLE_SENT                               \
	"WITH mine AS (DELETE FROM message_log_claim" \
	" WHERE claim_id = ANY ($1) AND relay_id = $2 RETURNING claim_id)"
#define SQL_SETTLE_SENT_IDS                                         \
	"ARRAY(SELECT t.id FROM unnest($3::bigint[], $4::bigint[])" \
	" AS t (id, claim_id) WHERE t.claim_id IN (SELECT claim_id FROM mine))"
#define SQL_SETTLE_CLOSE                              \
	"WITH mine AS (DELETE FROM message_log_claim" \
	" WHERE claim_id = $1 AND relay_id = $2 RETURNING relay_name)"
#define SQL_SETTLE_KEEP                                                 \
	"WITH mine AS (UPDATE message_log_claim SET publishing_id = $4" \
	" WHERE claim_id = $1 AND relay_id = $2 RETURNING relay_name)"
/*
 * After a settlement ran into somebody's row lock: CAREFUL is KEEP that goes round locked
 * rows. $5 all ids to settle. It returns those that are still to be settled.
 */
#define SQL_SETTLE_FREE                                                          \
	", free AS MATERIALIZED (SELECT id FROM message_log WHERE id = ANY ($5)" \
	" AND EXISTS (SELECT FROM mine) ORDER BY id FOR UPDATE SKIP LOCKED)"

/* %1$s: SENT's ids, or $3. %2$s: nothing, or CAREFUL's further condition. %3$s: RETURNING, where
   rows to tell of follow; a row that is deleted is read once more for it. */
#define SQL_SETTLE_MARK                                                         \
	", sent AS (UPDATE message_log SET status = 'sent', updated_at = now()" \
	" WHERE id = ANY (%1$s) AND status " SQL_STILL_SENDING                  \
	" AND EXISTS (SELECT FROM mine)%2$s%3$s)"
#define SQL_SETTLE_DELETE                                      \
	", sent AS (DELETE FROM message_log"                   \
	" WHERE id = ANY (%1$s) AND status " SQL_STILL_SENDING \
	" AND EXISTS (SELECT FROM mine)%2$s%3$s)"
#define SQL_SETTLE_RETURNING " RETURNING id"
/*
 * The rows that did not simply go: those decided otherwise than sent, and those sent that have a
 * history. %1$d … %8$d are the parameter numbers.
 */
#define SQL_SETTLE_TOLD                                                                \
	", told AS MATERIALIZED (SELECT * FROM unnest($%1$d::bigint[], $%2$d::text[]," \
	" $%3$d::bigint[], $%4$d::bigint[], $%5$d::text[], $%6$d::bigint[],"           \
	" $%7$d::text[], $%8$d::bigint[])"                                             \
	" AS t (id, fate, charge, delay_ms, reason, try_count, verdict, latency_ms))"
/*
 * %1$s as above. A claim that is kept is ours again after an answer was lost: try_count, as it was
 * when the row was fetched, keeps the second settlement from charging it twice.
 */
#define SQL_SETTLE_REFUSED                                                        \
	", refused AS (UPDATE message_log m SET status = r.fate,"                 \
	" try_count = m.try_count + r.charge::integer,"                           \
	" next_retry = CASE WHEN r.fate = 'sending'"                              \
	" THEN clock_timestamp() + r.delay_ms * interval '1 millisecond'"         \
	" ELSE m.next_retry END,"                                                 \
	" last_error = r.reason, updated_at = now()"                              \
	" FROM told AS r"                                                         \
	" WHERE m.id = r.id AND r.fate <> 'sent' AND m.status " SQL_STILL_SENDING \
	" AND m.try_count = r.try_count"                                          \
	" AND EXISTS (SELECT FROM mine)%1$s RETURNING m.id)"
/*
 * Only with a row that changed, so a settlement that is repeated tells nothing twice. A row that is
 * put off for ever fills no disk: its first attempts are kept, and last_error tells the latest.
 * With DELETE a row's history goes with it; nothing refers to it by a foreign key, whose trigger
 * would cost every row that is deleted. %1$s: or what was sent, when that is kept.
 */
#define SQL_SETTLE_HISTORY                                                                \
	", history AS (INSERT INTO message_log_attempt (log_id, relay_name, verdict,"     \
	" is_charged, try_count, reason, latency_ms)"                                     \
	" SELECT t.id, mine.relay_name, t.verdict, t.charge > 0, t.try_count + t.charge," \
	" nullif(t.reason, ''), nullif(t.latency_ms, -1) FROM told AS t CROSS JOIN mine"  \
	" WHERE (t.id IN (SELECT id FROM refused)%1$s)"                                   \
	" AND (SELECT count(*) FROM message_log_attempt AS a WHERE a.log_id = t.id)"      \
	" < " SQL_ATTEMPTS_KEPT ")"
#define SQL_SETTLE_HISTORY_OF_SENT " OR t.id IN (SELECT id FROM sent)"
#define SQL_SETTLE_FORGET                                                    \
	", forgotten AS (DELETE FROM message_log_attempt WHERE log_id = ANY" \
	" (ARRAY(SELECT id FROM told WHERE fate = 'sent' AND id IN (SELECT id FROM sent))))"
#define SQL_ATTEMPTS_KEPT "100"
/* One row, or one for each row of the table that is still to be settled. */
#define SQL_SETTLE_ANSWER_SENT " SELECT claim_id FROM mine"
#define SQL_SETTLE_ANSWER      " SELECT (SELECT count(*) FROM mine), NULL::bigint"
#define SQL_SETTLE_ANSWER_CAREFUL                                           \
	" SELECT (SELECT count(*) FROM mine), held.id FROM (SELECT) AS one" \
	" LEFT JOIN (SELECT id FROM message_log WHERE id = ANY ($5)"        \
	" AND status " SQL_STILL_SENDING                                    \
	" AND id NOT IN (SELECT id FROM free)) AS held ON true"

/* $1 relay_id, $2 lease in ms. */
#define SQL_RENEW                                                          \
	"UPDATE message_log_claim SET"                                     \
	" lease_until = clock_timestamp() + $2 * interval '1 millisecond'" \
	" WHERE relay_id = $1 RETURNING claim_id"

/*
 * The lock that a session held is free when it has ended. But a lost session is not a lost relay: one
 * that lives is back in a moment and knows the fate of its rows, which nobody shall publish again
 * meanwhile (C3). So who finds such a claim shortens its lease to that moment, and a claim is adopted
 * when its lease is over. One that names a row is left its whole lease, and longer while $3 is false:
 * who adopts it charges the row for a death. $1 relay_id, $2 lock key. The try-lock ends with the
 * transaction.
 */
#define SQL_ABSENCE_ENDS "clock_timestamp() + interval '1 second'"
#define SQL_LEASE_IS_OVER                                   \
	"(relay_id <> $1 AND (publishing_id IS NULL OR $3)" \
	" AND lease_until < clock_timestamp())"
#define SQL_HAS_NO_SESSION                                                   \
	"(relay_id <> $1 AND has_session_lock AND publishing_id IS NULL AND" \
	" pg_try_advisory_xact_lock_shared($2, relay_id))"

/* Under the claim lock. $4 name, $5 turn, $6 lease in ms, $7 has_session_lock. */
#define SQL_ADOPT                                                                       \
	"WITH dead AS MATERIALIZED (SELECT claim_id FROM message_log_claim"             \
	" WHERE " SQL_LEASE_IS_OVER                                                     \
	" ORDER BY claim_id LIMIT 1 FOR UPDATE SKIP LOCKED),"                           \
	" without_session AS MATERIALIZED (SELECT claim_id FROM message_log_claim"      \
	" WHERE lease_until > " SQL_ABSENCE_ENDS " AND " SQL_HAS_NO_SESSION             \
	" FOR UPDATE SKIP LOCKED),"                                                     \
	" shortened AS (UPDATE message_log_claim c SET lease_until = " SQL_ABSENCE_ENDS \
	" FROM without_session w WHERE c.claim_id = w.claim_id)"                        \
	" UPDATE message_log_claim c SET relay_id = $1, relay_name = $4, turn = $5,"    \
	" lease_until = clock_timestamp() + $6 * interval '1 millisecond',"             \
	" has_session_lock = $7, is_adopted = true"                                     \
	" FROM dead WHERE c.claim_id = dead.claim_id"                                   \
	" RETURNING c.claim_id, c.publishing_id"

/*
 * The rows of destinations that are left alone (engine/parking.h). $N exchanges, $M routing keys
 * or NULL for any. A relay that leaves none alone uses the statements without it.
 */
#define SQL_AROUND(N, M)                                                    \
	" AND NOT EXISTS (SELECT FROM unnest(" N "::text[], " M "::text[])" \
	" AS parked (exchange, routing_key)"                                \
	" WHERE parked.exchange = message_log.exchange"                     \
	" AND coalesce(parked.routing_key = message_log.routing_key, true))"

#define SQL_TOOK_US \
	"(1000000 * extract(epoch FROM clock_timestamp() - statement_timestamp()))::bigint"

/*
 * Under the claim lock, so that every statement sees the claims before it. Only rows from
 * the low-water mark ($8, $9) on are read: index entries before it are dead, or of rows that are
 * left alone, and while somebody pins the vacuum horizon they pile up where every poll would walk
 * them. The same for claims ($10), whose ids grow in commit order.
 *
 * $1 relay_id, $2 name, $3 turn, $4 lease in ms, $5 has_session_lock, $6 rows, $7 bytes,
 * $8 next_retry, $9 id, $10 claim_id, $11 the largest body that is fetched at all;
 * AROUND: nothing, or SQL_AROUND
 *
 * octet_length() of a bytea reads no TOAST. At least one row is taken, so that a row
 * larger than $7 travels alone. More than SQL_FEW_ROWS are taken up to a quarter of $7 only: of large
 * rows a claim shall have enough to be worth its commit, and small ones take no more memory for it.
 * (32 rows of 16 KiB a claim: the relay carried 0.41 times what the bare publisher did, mostly waiting
 * for commits; 128: 0.66 times.) One row is returned always: claim_id is NULL when nothing is due,
 * then how many were claimed and how many found, the last one claimed, the next low-water mark of
 * claims, the moment of which it tells, and how long it took, in microseconds.
 */
#define SQL_FEW_ROWS "128"

/*
 * A row is in no claim from a low-water mark on ("$N)" follows each) when its id is greater than all of
 * theirs, as what is due next mostly has, or is not one of them, which takes a hash of all. (With 5,000
 * rows in hand a claim of 1,000 took the server 3.5 us for each by the hash alone, 2.1 so; PostgreSQL
 * 15.) A claim of an older relay does not tell its greatest id.
 */
#define SQL_GREATEST_CLAIMED                                      \
	"(SELECT max(coalesce(greatest_id, 9223372036854775807))" \
	" FROM message_log_claim WHERE claim_id >= "
#define SQL_ALL_CLAIMED \
	"(SELECT unnest(message_ids) FROM message_log_claim WHERE claim_id >= "

#define SQL_CLAIM_(AROUND)                                                             \
	"WITH due AS MATERIALIZED (SELECT id, next_retry, row_number() OVER w AS n,"   \
	" sum(size) OVER w AS total"                                                   \
	" FROM (SELECT id, next_retry,"                                                \
	" CASE WHEN octet_length(payload) > $11 THEN 0 ELSE octet_length(payload) END" \
	" + coalesce(pg_column_size(headers), 0)"                                      \
	" + coalesce(pg_column_size(properties), 0) AS size"                           \
	" FROM message_log WHERE status = 'sending' AND next_retry <= "                \
	"statement_timestamp()"                                                        \
	" AND (next_retry, id) >= ($8, $9)"                                            \
	" AND (id > " SQL_GREATEST_CLAIMED "$10)"                                      \
	" OR id NOT IN " SQL_ALL_CLAIMED "$10))" AROUND                                \
	" ORDER BY next_retry, id LIMIT $6) AS first"                                  \
	" WINDOW w AS (ORDER BY next_retry, id ROWS UNBOUNDED PRECEDING)),"            \
	" claim AS (INSERT INTO message_log_claim"                                     \
	" (relay_id, relay_name, turn, message_ids, greatest_id, lease_until,"         \
	" has_session_lock)"                                                           \
	" SELECT $1, $2, $3, array_agg(id), max(id),"                                  \
	" clock_timestamp() + $4 * interval '1 millisecond', $5"                       \
	" FROM due WHERE total <= $7 / 4 OR total <= $7 AND n <= " SQL_FEW_ROWS        \
	" OR n = 1 HAVING count(*) > 0"                                                \
	" RETURNING claim_id, cardinality(message_ids) AS claimed)"                    \
	" SELECT claim_id, claimed, (SELECT count(*) FROM due),"                       \
	" last.next_retry, last.id,"                                                   \
	" (SELECT min(claim_id) FROM message_log_claim WHERE claim_id >= $10),"        \
	" statement_timestamp(), " SQL_TOOK_US                                         \
	" FROM (SELECT) AS one LEFT JOIN claim ON true"                                \
	" LEFT JOIN due AS last ON last.n = claimed"
#define SQL_CLAIM        SQL_CLAIM_("")
#define SQL_CLAIM_AROUND SQL_CLAIM_(SQL_AROUND("$12", "$13"))

/*
 * One row of a parked destination. Looking for it may walk a long backlog, so it is done before
 * the claim lock is taken; a setting of the transaction carries its id over to the claim. $1
 * exchange, $2 routing key or NULL for any; rows with fewer than $3 charged attempts first, so that
 * a probe does not cost a row its last one without need.
 */
#define SQL_PROBE_DUE_(ATTEMPTS, ORDER)                                          \
	"(SELECT id FROM message_log WHERE status = 'sending'"                   \
	" AND next_retry <= statement_timestamp()"                               \
	" AND exchange = $1 AND ($2::text IS NULL OR routing_key = $2)" ATTEMPTS \
	" AND id NOT IN (SELECT unnest(message_ids) FROM message_log_claim)"     \
	" ORDER BY next_retry " ORDER ", id " ORDER " LIMIT 1)"
#define SQL_PROBE_(ORDER)                                                  \
	"SELECT set_config('message_log.probe', coalesce(" SQL_PROBE_DUE_( \
		" AND try_count < $3",                                     \
		ORDER) ", " SQL_PROBE_DUE_("", ORDER) ")::text, true)"
#define SQL_PROBE_OLDEST SQL_PROBE_("ASC")
#define SQL_PROBE_NEWEST SQL_PROBE_("DESC")

/*
 * After a reconnect, under the claim lock: the server forgot a claim in a crash, or it was adopted
 * and given back. Rows that have their fate with us are claimed for it to be settled, so that nobody
 * publishes them again. What a settlement changed whose answer was lost is not due any more. $1 to $5
 * as for SQL_CLAIM, $6 ids.
 */
#define SQL_CLAIM_ANEW                                                            \
	"INSERT INTO message_log_claim"                                           \
	" (relay_id, relay_name, turn, message_ids, greatest_id, lease_until,"    \
	" has_session_lock)"                                                      \
	" SELECT $1, $2, $3, array_agg(id), max(id),"                             \
	" clock_timestamp() + $4 * interval '1 millisecond', $5 FROM message_log" \
	" WHERE id = ANY ($6) AND status " SQL_STILL_SENDING                      \
	" AND next_retry <= statement_timestamp()"                                \
	" AND id NOT IN (SELECT unnest(message_ids) FROM message_log_claim)"      \
	" HAVING count(*) > 0 RETURNING claim_id"

/* Under the claim lock. $1 to $5 as for SQL_CLAIM. */
#define SQL_CLAIM_PROBE                                                             \
	"INSERT INTO message_log_claim"                                             \
	" (relay_id, relay_name, turn, message_ids, greatest_id, lease_until,"      \
	" has_session_lock)"                                                        \
	" SELECT $1, $2, $3, ARRAY[id], id,"                                        \
	" clock_timestamp() + $4 * interval '1 millisecond', $5 FROM message_log"   \
	" WHERE id = nullif(current_setting('message_log.probe'), '')::bigint"      \
	" AND status " SQL_STILL_SENDING " AND next_retry <= statement_timestamp()" \
	" AND id NOT IN (SELECT unnest(message_ids) FROM message_log_claim)"        \
	" RETURNING claim_id"

/*
 * After the commit of the claim, never under its lock: a server that streams bodies to a
 * slow client would hold the lock, and every other relay, for as long. Rows that are not
 * `sending` any more (the application marked them itself) are left out, as are, in an
 * adopted claim, rows that its former owner already scheduled anew.
 *
 * The ids are one array for the index: a join would begin a scan of the index for each of them
 * (PostgreSQL 15: 4.6 us a row of 256 bytes, 3.5 so). Rows come in the order of their ids. What few
 * rows have is NULL for the others: the size of a payload that is too large to be fetched, the
 * attempts charged before, and what is known of them.
 *
 * $1 relay_id, $2 turn, $3 claim_id low-water mark, $4 the largest body to fetch
 */
#define SQL_FETCH                                                               \
	"SELECT id, message_id, exchange, routing_key,"                         \
	" CASE WHEN octet_length(payload) <= $4 THEN payload END,"              \
	" CASE WHEN octet_length(payload) > $4 THEN octet_length(payload) END," \
	" content_type, headers::text, properties::text, nullif(try_count, 0)," \
	" CASE WHEN last_error LIKE '" BATCH_REFUSED "%' THEN 2"                \
	" WHEN last_error IS NOT NULL THEN 1 END, next_retry"                   \
	" FROM message_log WHERE id = ANY (ARRAY("                              \
	"SELECT unnest(message_ids) FROM message_log_claim"                     \
	" WHERE relay_id = $1 AND turn = $2 AND claim_id >= $3))"               \
	" AND status " SQL_STILL_SENDING " AND next_retry <= statement_timestamp()"
enum sql_fetch {
	SQL_FETCH_ID,
	SQL_FETCH_MESSAGE_ID,
	SQL_FETCH_EXCHANGE,
	SQL_FETCH_ROUTING_KEY,
	SQL_FETCH_PAYLOAD,
	SQL_FETCH_UNFETCHED_SIZE,
	SQL_FETCH_CONTENT_TYPE,
	SQL_FETCH_HEADERS,
	SQL_FETCH_PROPERTIES,
	SQL_FETCH_TRY_COUNT,
	SQL_FETCH_HISTORY,
	SQL_FETCH_NEXT_RETRY,
};
/* In SQL_FETCH_HISTORY. */
enum { SQL_HISTORY_NONE = 0, SQL_HISTORY_TRIED = 1, SQL_HISTORY_ALONE = 2 };

/* --- going to sleep --- */

/*
 * The bell; see schema/0003_doorbell.sql, and 0013_doorbell_key.sql for its key. 1: ours, writers will
 * ring. 0: writers are under way and will not. 2: another relay sleeps on it, so writers ring, and we
 * hear it too.
 */
#define SQL_BELL_KEY "1650814060, 'message_log'::regclass::integer"
#define SQL_BELL_TAKE                                                    \
	"SELECT CASE WHEN pg_try_advisory_lock(" SQL_BELL_KEY ") THEN 1" \
	" WHEN pg_try_advisory_xact_lock_shared(" SQL_BELL_KEY ") THEN 0 ELSE 2 END"
#define SQL_BELL_RELEASE "SELECT pg_advisory_unlock(" SQL_BELL_KEY ")"

/*
 * One statement a poll: in how many milliseconds (an hour at most) the first unclaimed
 * row is due, NULL when there is none; in how many SQL_ADOPT has something to do, be it to shorten a
 * lease, NULL when it has nothing; the moment of which it tells; what is left of the lease of another
 * relay's claim that names a row, NULL when there is none; the first row's next_retry and id; and how
 * long it took, in microseconds. Read from low-water marks, as the claim is. $1 to $3 as for SQL_ADOPT,
 * $4 next_retry, $5 id, $6 claim_id; AROUND as for SQL_CLAIM_.
 */
#define SQL_PEEK_(AROUND)                                                                 \
	"SELECT ceil(1000 * greatest(0, least(3600, extract(epoch FROM first.next_retry)" \
	" - extract(epoch FROM statement_timestamp()))))::bigint,"                        \
	" (SELECT min(CASE WHEN lease_until > " SQL_ABSENCE_ENDS " THEN 0"                \
	" ELSE ceil(1000 * greatest(0, extract(epoch FROM lease_until"                    \
	" - clock_timestamp()))) END)::bigint FROM message_log_claim"                     \
	" WHERE claim_id >= $6 AND (" SQL_LEASE_IS_OVER " OR " SQL_HAS_NO_SESSION ")),"   \
	" statement_timestamp(),"                                                         \
	" (SELECT ceil(1000 * greatest(0, extract(epoch FROM lease_until"                 \
	" - clock_timestamp())))::bigint FROM message_log_claim"                          \
	" WHERE claim_id >= $6 AND relay_id <> $1 AND publishing_id IS NOT NULL"          \
	" ORDER BY lease_until LIMIT 1),"                                                 \
	" first.next_retry, first.id, " SQL_TOOK_US " FROM (SELECT) AS one LEFT JOIN"     \
	" (SELECT next_retry, id FROM message_log WHERE status = 'sending'"               \
	" AND (next_retry, id) >= ($4, $5)"                                               \
	" AND (id > " SQL_GREATEST_CLAIMED "$6)"                                          \
	" OR id NOT IN " SQL_ALL_CLAIMED "$6))" AROUND                                    \
	" ORDER BY next_retry, id LIMIT 1) AS first ON true"
#define SQL_PEEK        SQL_PEEK_("")
#define SQL_PEEK_AROUND SQL_PEEK_(SQL_AROUND("$7", "$8"))

/*
 * The first row that nobody claimed before the low-water mark, or of a piece of what is there (see
 * look_back.h): its next_retry and id, NULL when there is none, and how long it took, in microseconds.
 * TIMES goes from a place to a moment, IDS through rows of one next_retry. A comparison of rows would
 * do for both, but where it ends within one next_retry the scan reads on to the next (PostgreSQL 15: of
 * 300,000 rows all entries for each piece). IDS says twice that rows are not older: where statistics
 * say that all have that next_retry, the primary key would look as good as the index of the due rows.
 *
 * $1 next_retry, $2 id, from there; TIMES: $3 before that next_retry; IDS: $3 before that id;
 * $4 claim_id; AROUND as for SQL_CLAIM_.
 */
#define SQL_LOOK_BACK_(PLACES, AROUND)                                             \
	"SELECT first.next_retry, first.id, " SQL_TOOK_US " FROM (SELECT) AS one"  \
	" LEFT JOIN (SELECT next_retry, id FROM message_log"                       \
	" WHERE status = 'sending' AND next_retry <= statement_timestamp()" PLACES \
	" AND (id > " SQL_GREATEST_CLAIMED "$4)"                                   \
	" OR id NOT IN " SQL_ALL_CLAIMED "$4))" AROUND                             \
	" ORDER BY next_retry, id LIMIT 1) AS first ON true"
#define SQL_TIMES                  " AND (next_retry, id) >= ($1, $2) AND next_retry < $3"
#define SQL_IDS                    " AND next_retry >= $1 AND next_retry = $1 AND id >= $2 AND id < $3"
#define SQL_LOOK_BACK_TIMES        SQL_LOOK_BACK_(SQL_TIMES, "")
#define SQL_LOOK_BACK_TIMES_AROUND SQL_LOOK_BACK_(SQL_TIMES, SQL_AROUND("$5", "$6"))
#define SQL_LOOK_BACK_IDS          SQL_LOOK_BACK_(SQL_IDS, "")
#define SQL_LOOK_BACK_IDS_AROUND   SQL_LOOK_BACK_(SQL_IDS, SQL_AROUND("$5", "$6"))

#endif
