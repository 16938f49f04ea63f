#include "clock.h"

#include <stdio.h>
#include <time.h>

#define WAIT_MAX_MS (60 * 60 * 1000)

int64_t clock_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t clock_min(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

int clock_wait_ms(int64_t deadline_ms, int64_t now_ms)
{
	if (deadline_ms <= now_ms)
		return 0;
	if (deadline_ms - now_ms > WAIT_MAX_MS)
		return WAIT_MAX_MS;
	return (int)(deadline_ms - now_ms);
}

void clock_print(char *out, size_t size)
{
	struct timespec t;
	struct tm utc;
	char seconds[32];

	clock_gettime(CLOCK_REALTIME, &t);
	gmtime_r(&t.tv_sec, &utc);
	strftime(seconds, sizeof(seconds), "%Y-%m-%dT%H:%M:%S", &utc);
	snprintf(out, size, "%s.%03ldZ", seconds, t.tv_nsec / 1000000);
}
