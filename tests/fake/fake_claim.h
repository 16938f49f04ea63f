#ifndef FAKE_CLAIM_H
#define FAKE_CLAIM_H

#include "base/clock.h"

/* What both databases without a server, fake_store.c and that of the simulation, know of claims. */

/* That long a claim is left when its owner's session has ended: SQL_ABSENCE_ENDS. */
#define FAKE_ABSENCE_MS 1000

/* Of a claim with that lease, whose owner is dead or away: in how many ms SQL_ADOPT has something to
   do, be it to shorten the lease. */
static inline int64_t fake_claim_dead_in_ms(int64_t lease_until_ms)
{
	int64_t left_ms = lease_until_ms - clock_ms();

	return left_ms < 0 || left_ms > FAKE_ABSENCE_MS ? 0 : left_ms;
}

#endif
