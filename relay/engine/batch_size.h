#ifndef ENGINE_BATCH_SIZE_H
#define ENGINE_BATCH_SIZE_H

#include <stdint.h>

/*
 * How many rows a claim takes, found from how fast the broker confirms: about as many as it confirms
 * in a second. Larger claims save the database transactions; rows in hand are what may be published
 * twice after a crash, what an adopter sends one at a time, and what other relays must leave
 * alone. A broker that confirms thirty a second shall not have three thousand of them.
 *
 * What is measured is the time from a batch's first receipt to its last: how fast they come, not how
 * long they are waited for. Judged by the wait, claims shrink where everything takes long (a busy
 * machine, a broker far away), which makes it no shorter and the relay slow: seen as a backlog of
 * 30 s at a load of 23.
 *
 * It bounds what is in flight, too, since only what is in hand can be. It begins small and
 * doubles with each full batch whose receipts come soon.
 */
struct batch_size {
	int rows; /* for the next claim */
	int most;
};

void batch_size_init(struct batch_size *s, int most);

/* A batch of so many rows had its last receipt so long after its first. */
void batch_size_learn(struct batch_size *s, int rows, int64_t took_ms);

#endif
