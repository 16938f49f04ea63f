#include "backoff.h"

#include <sys/random.h>

int64_t backoff_ms(const struct backoff *b, int step, uint32_t random)
{
	double delay = (double)b->first_ms;
	double spread;

	for (int i = 0; i < step && delay < (double)b->max_ms; i++)
		delay *= b->multiplier;
	if (delay > (double)b->max_ms)
		delay = (double)b->max_ms;
	/* random / 2^32 lies in [0, 1): the factor lies in [1 - j, 1 + j). */
	spread = ((double)random / 4294967296.0 * 2.0 - 1.0) * b->jitter_percent / 100.0;
	return (int64_t)(delay * (1.0 + spread));
}

uint32_t backoff_random(void)
{
	uint32_t bits = 0;

	/* Without entropy all delays get the same jitter: worse spread, nothing
	   breaks. */
	if (getrandom(&bits, sizeof(bits), GRND_NONBLOCK) != (ssize_t)sizeof(bits))
		bits = 0x80000000U;
	return bits;
}
