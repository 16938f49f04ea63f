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

#include <stdlib.h>

#define CLAIM                                                                    \
	"SELECT id, message_id, exchange, routing_key, payload FROM message_log" \
	" WHERE status = 'sending' AND next_retry <= now()"                      \
	" ORDER BY next_retry, id LIMIT " POLLER_BATCH " FOR UPDATE SKIP LOCKED"
#define SETTLE \
	"UPDATE message_log SET status = 'sent', updated_at = now() WHERE id = ANY ($1)"

static int turn(PGconn *db, struct publisher *p)
{
	PGresult *rows;
	int count;

	poller_run(db, "BEGIN");
	rows = poller_execute(db, "claim", 0, NULL);
	count = PQntuples(rows);
	if (count > 0) {
		char *ids = poller_publish(p, rows);

		PQclear(poller_execute(db, "settle", 1, (const char *const[]){ids}));
		free(ids);
	}
	PQclear(rows);
	poller_run(db, "COMMIT");
	return count;
}

int main(void)
{
	const char *url = getenv("AMQP_URL");
	struct publisher *p = publisher_open(url ? url : "");
	PGconn *db = poller_connect();

	poller_prepare(db, "claim", CLAIM);
	poller_prepare(db, "settle", SETTLE);
	while (turn(db, p) > 0)
		;
	PQfinish(db);
	publisher_close(p);
	return 0;
}
