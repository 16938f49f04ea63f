#ifndef ENGINE_BATCH_SIZE_H
#define ENGINE_BATCH_SIZE_H

#include <stdint.h>

/*
 * How many rows a claim takes, found from how fast the broker confirms: as many as it
 * confirms while they are in hand for a second. Larger claims save the database transactions; rows in hand are what may
 * be published twice after a crash, what an adopter sends one at a time, and what other relays
 * must leave alone. A broker that confirms thirty a second shall not have three thousand of them.
 *
 * It bounds what is in flight, too, since only what is in hand can be. It begins small and
 * doubles with each full batch that comes back soon.
 */
struct batch_size {
	int rows; /* for the next claim */
	int most;
};

void batch_size_init(struct batch_size *s, int most);

/* A batch of so many rows had all its receipts so long after it was claimed. */
void batch_size_learn(struct batch_size *s, int rows, int64_t took_ms);

#endif
