#include "clock.h"

#include <stdio.h>
#include <time.h>

int64_t clock_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t clock_wall_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void clock_print_at(int64_t wall_ms, char *out, size_t size)
{
	time_t whole = (time_t)(wall_ms / 1000);
	struct tm utc;
	char seconds[32];

	gmtime_r(&whole, &utc);
	strftime(seconds, sizeof(seconds), "%Y-%m-%dT%H:%M:%S", &utc);
	snprintf(out, size, "%s.%03dZ", seconds, (int)(wall_ms % 1000));
}

void clock_print(char *out, size_t size)
{
	clock_print_at(clock_wall_ms(), out, size);
}
