/*
 * A poller with row locks: each batch is locked, published, confirmed and marked in one
 * transaction. Several of them share a table thanks to SKIP LOCKED, and one that dies
 * leaves its rows free; but its transaction is open for as long as the broker takes, which
 * holds the vacuum horizon and a connection.
 *
 *	DATABASE_URL=… AMQP_URL=… poller_locked
 *
 * ends when nothing is due.
 */
#include "bench/poller.h"

#define CLAIM                                                                    \
	"SELECT id, message_id, exchange, routing_key, payload FROM message_log" \
	" WHERE status = 'sending' AND next_retry <= now()"                      \
	" ORDER BY next_retry, id LIMIT " POLLER_BATCH " FOR UPDATE SKIP LOCKED"
#define SETTLE \
	"UPDATE message_log SET status = 'sent', updated_at = now() WHERE id = ANY ($1)"

int main(void)
{
	return poller_drain(CLAIM, SETTLE, true);
}
