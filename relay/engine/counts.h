#ifndef ENGINE_COUNTS_H
#define ENGINE_COUNTS_H

#include <stdint.h>

/* What this process has done so far; logged when it stops. Monotonic. */
struct counts {
	uint64_t claimed;     /* rows */
	uint64_t published;   /* publishes, including repeated ones */
	uint64_t sent;        /* rows settled as sent */
	uint64_t retried;     /* rows settled for another attempt */
	uint64_t failed;      /* rows settled as failed */
	uint64_t interrupted; /* publishes without a verdict when a connection or channel
				 ended: each may lead to one duplicate */
	uint64_t claims_adopted;
	uint64_t claims_lost; /* gone when we came to settle */
	uint64_t parked;      /* destinations, each time; see engine/parking.h */
	uint64_t connects;    /* sessions opened, of both sides */
};

#endif
