#include "fake_clock.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

#define EVENTS_MAX 16384

/* Turns that a loop may take over what is due at one moment. */
#define SPINS_MAX 100

struct event {
	int64_t at_ms;
	void (*happen)(void *context);
	void *context;
};

static int64_t now_ms = 1000000;
static struct event events[EVENTS_MAX]; /* the latest first */
static int event_count;
static int64_t waits;
static int spins;

void fake_clock_reset(void)
{
	now_ms = 1000000;
	event_count = 0;
	waits = 0;
	spins = 0;
}

void fake_clock_advance(int64_t ms)
{
	now_ms += ms;
	spins = 0;
}

void fake_clock_at(int64_t at_ms, void (*happen)(void *context), void *context)
{
	int i = event_count++;

	ck_assert_int_lt(event_count, EVENTS_MAX);
	/* Of those at one moment the first planned happens first. */
	for (; i > 0 && events[i - 1].at_ms <= at_ms; i--)
		events[i] = events[i - 1];
	events[i] = (struct event){at_ms, happen, context};
}

int64_t fake_clock_waits(void)
{
	return waits;
}

int64_t clock_ms(void)
{
	return now_ms;
}

int64_t clock_min(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* Returns what a poll(2) after it shall wait: nothing, since the wait is over. */
int clock_wait_ms(int64_t deadline_ms, int64_t from_ms)
{
	int64_t until_ms = deadline_ms;

	ck_assert_int_eq(from_ms, now_ms);
	waits++;
	if (event_count && events[event_count - 1].at_ms <= until_ms)
		until_ms = events[event_count - 1].at_ms;
	ck_assert_msg(until_ms != CLOCK_NEVER, "waits for ever");
	if (until_ms > now_ms)
		fake_clock_advance(until_ms - now_ms);
	else
		ck_assert_msg(spins++ < SPINS_MAX, "the loop spins");
	while (event_count && events[event_count - 1].at_ms <= now_ms) {
		struct event e = events[--event_count];

		if (e.happen)
			e.happen(e.context);
	}
	return 0;
}

void clock_print(char *out, size_t size)
{
	snprintf(out, size, "%lld", (long long)now_ms);
}
