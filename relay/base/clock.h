#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

/*
 * Time as the relay uses it: milliseconds of the monotonic clock for every deadline, wall
 * time only to print. What is due and whose lease has run out is decided by the
 * database's clock alone (store/), so a wrong wall clock on this machine changes nothing.
 */

/* A deadline that never comes. */
#define CLOCK_NEVER INT64_MAX

int64_t clock_ms(void);

/* The later of two deadlines. */
static inline int64_t clock_max(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

/* The earlier of two deadlines. */
static inline int64_t clock_min(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/*
 * Milliseconds from `now_ms` to `deadline_ms` as poll(2) wants them: 0 when it has
 * passed, at most an hour, rounded to nothing. CLOCK_NEVER gives that hour, so no wait is
 * unbounded.
 */
static inline int clock_wait_ms(int64_t deadline_ms, int64_t now_ms)
{
	if (deadline_ms <= now_ms)
		return 0;
	return (int)clock_min(deadline_ms - now_ms, 60 * 60 * 1000);
}

/* Wall time as RFC 3339 in UTC with milliseconds: "2026-01-31T23:59:59.123Z". */
void clock_print(char *out, size_t size);

/* Wall time in milliseconds since 1970, and the same print of such a one. */
int64_t clock_wall_ms(void);
void clock_print_at(int64_t wall_ms, char *out, size_t size);

#endif
