#ifndef BASE_BACKOFF_H
#define BASE_BACKOFF_H

#include <stdint.h>

/*
 * Exponential delay with a cap and jitter. Pure: the random number is an argument, so
 * that a test can choose it.
 */
struct backoff {
	int64_t first_ms;   /* delay of step 0 */
	double multiplier;  /* >= 1 */
	int64_t max_ms;     /* cap, before jitter */
	int jitter_percent; /* 0-100: the delay is spread evenly over +- this share */
};

/* The delay of step `step` (0, 1, …); `random` is any 32 random bits. Never negative. */
int64_t backoff_ms(const struct backoff *b, int step, uint32_t random);

/* 32 random bits; good enough to spread delays, not for secrets. */
uint32_t backoff_random(void);

#endif
