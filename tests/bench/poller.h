#ifndef BENCH_POLLER_H
#define BENCH_POLLER_H

#include <stdbool.h>

/*
 * What the two pollers share that we measure ourselves against: each is what a good team
 * writes by hand in an afternoon. Prepared statements, bodies as binary, a batch of
 * POLLER_BATCH rows published in one go, confirms awaited, one UPDATE for all of them. What
 * they leave out is what the relay is for: retries, poison rows, outages, takeovers, headers.
 * Whatever goes wrong ends the process.
 */

#define POLLER_BATCH "500"

/*
 * Until nothing is due: claims, publishes, awaits the confirms and settles, with $DATABASE_URL and
 * $AMQP_URL. `claim` returns id, message_id, exchange, routing_key and payload; `settle` takes the
 * ids, as an array. Returns the process's exit status.
 */
int poller_drain(const char *claim, const char *settle, bool in_one_transaction);

#endif
