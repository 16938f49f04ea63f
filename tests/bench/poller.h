#ifndef BENCH_POLLER_H
#define BENCH_POLLER_H

#include <libpq-fe.h>

#include "bench/publisher.h"

/*
 * What the two pollers share that we measure ourselves against: each is what a good team
 * writes by hand in an afternoon. Prepared statements, bodies as binary, a batch of
 * POLLER_BATCH rows published in one go, confirms awaited, one UPDATE for all of them. What
 * they leave out is what the relay is for: retries, poison rows, outages, takeovers, headers.
 * Whatever goes wrong ends the process.
 */

#define POLLER_BATCH "500"

/* $DATABASE_URL; further statements by name. */
PGconn *poller_connect(void);
void poller_prepare(PGconn *db, const char *name, const char *sql);
void poller_run(PGconn *db, const char *sql);

/* With text parameters and a binary result, which the caller clears. */
PGresult *poller_execute(PGconn *db, const char *name, int count,
			 const char *const *values);

/*
 * Publishes the rows of a result whose columns are id, message_id, exchange, routing_key and
 * payload, waits until all are confirmed, and returns their ids as an array literal that the
 * caller frees.
 */
char *poller_publish(struct publisher *p, const PGresult *rows);

#endif
