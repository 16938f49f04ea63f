#ifndef STORE_RETENTION_H
#define STORE_RETENTION_H

#include <stdbool.h>
#include <stdint.h>

#include "store/operate.h"

/*
 * Deleting rows that were sent long ago, with their history; never a failed one. It walks the
 * primary key from its low end, since ids grow with time: no index is needed that would cost every
 * message. A step reads RETENTION_WALK rows at most and deletes RETENTION_ROWS of them, or 16 MiB of
 * bodies, in one short transaction; rows that somebody has locked are passed over. Of several relays
 * one does it at a time.
 *
 *   walk = {0};
 *   while (!walk.is_done) retention_step(o, keep_ms, &walk, &err);
 *
 * A pass is over where RETENTION_WALK rows in a row are to be kept: what comes behind is younger,
 * but for rows that were sent out of turn. Those are found by a later pass. The next one may begin
 * at `from_id`, so that it need not walk over the dead entries that this one leaves; now and then
 * it should begin at 0.
 */

#define RETENTION_ROWS 1000
#define RETENTION_WALK 10000

struct retention_walk {
	int64_t from_id;  /* all before it was looked at */
	uint64_t deleted; /* so far */
	bool is_done;     /* this pass */
};

/* keep_ms: since they were sent. -1: the session is closed, and the walk as it was. */
int retention_step(struct operate *o, int64_t keep_ms, struct retention_walk *walk,
		   struct error *err);

#endif
