#ifndef ENGINE_COUNTS_H
#define ENGINE_COUNTS_H

#include <stdint.h>

#include "base/histogram.h"
#include "base/message.h"

/*
 * What this process has done so far: logged when it stops, and scraped. Monotonic, also over a
 * reload. counts_init() first; written by the relay's thread only.
 */
struct counts {
	uint64_t claimed;                 /* rows */
	uint64_t published;               /* publishes, including repeated ones */
	uint64_t verdicts[VERDICT_COUNT]; /* by what became of them; NONE: no answer */
	uint64_t sent;                    /* rows settled as sent */
	uint64_t retried;                 /* rows settled for another attempt */
	uint64_t failed;                  /* rows settled as failed */
	uint64_t interrupted; /* publishes without a verdict when a connection or channel
				 ended: each may lead to one duplicate */
	uint64_t claims_adopted;
	uint64_t claims_lost;     /* found to be gone */
	uint64_t parked;          /* destinations, each time; see engine/parking.h */
	uint64_t connects;        /* sessions opened, of both sides */
	uint64_t reloads_refused; /* a new configuration was not valid */
	uint64_t blocked_ms;      /* the broker took no messages, in whole spells */

	struct histogram confirm_ms;  /* from publish to confirm */
	struct histogram delivery_ms; /* first attempts: from due to confirm. A row is due
					 when its transaction begins, unless scheduled */
	struct histogram batch_rows;  /* of a claim */
};

void counts_init(struct counts *c);

#endif
