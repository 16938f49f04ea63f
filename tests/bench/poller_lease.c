/*
 * A poller with lease columns: each batch is claimed by an UPDATE that says whose it is and
 * until when, and marked by another after its confirms. No transaction is open while the broker
 * works, and a lease that has run out is anybody's; but every row is written twice.
 *
 *	DATABASE_URL=… AMQP_URL=… poller_lease
 *
 * works on message_log_lease, which is message_log with the columns locked_by and locked_until
 * (in no index, so that the claim can stay on its page), and ends when nothing is due.
 */
#include "bench/poller.h"

/* MATERIALIZED, or a nested loop may claim more rows than the limit says. */
#define CLAIM                                                                     \
	"WITH due AS MATERIALIZED (SELECT id FROM message_log_lease"              \
	" WHERE status = 'sending' AND next_retry <= now()"                       \
	" AND (locked_until IS NULL OR locked_until < now())"                     \
	" ORDER BY next_retry, id LIMIT " POLLER_BATCH " FOR UPDATE SKIP LOCKED)" \
	" UPDATE message_log_lease m SET locked_by = pg_backend_pid(),"           \
	" locked_until = now() + interval '30 s' FROM due WHERE m.id = due.id"    \
	" RETURNING m.id, m.message_id, m.exchange, m.routing_key, m.payload"
#define SETTLE                                                                                 \
	"UPDATE message_log_lease SET status = 'sent', locked_by = NULL, locked_until = NULL," \
	" updated_at = now() WHERE id = ANY ($1) AND locked_by = pg_backend_pid()"

int main(void)
{
	return poller_drain(CLAIM, SETTLE, false);
}
