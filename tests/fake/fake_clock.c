#include "fake_clock.h"

#include <poll.h>
#include <stdio.h>

#include "fake/fake.h"

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
static int64_t waits, happened;
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

	fake_assert(event_count < EVENTS_MAX);
	/* Of those at one moment the first planned happens first. */
	for (; i > 0 && events[i - 1].at_ms <= at_ms; i--)
		events[i] = events[i - 1];
	events[i] = (struct event){at_ms, happen, context};
}

int64_t fake_clock_waits(void)
{
	return waits;
}

int64_t fake_clock_happened(void)
{
	return happened;
}

int64_t clock_ms(void)
{
	return now_ms;
}

/* To that moment, or the next thing planned. */
static void jump(int64_t until_ms)
{
	if (event_count)
		until_ms = clock_min(until_ms, events[event_count - 1].at_ms);
	if (until_ms > now_ms)
		fake_clock_advance(until_ms - now_ms);
	while (event_count && events[event_count - 1].at_ms <= now_ms) {
		struct event e = events[--event_count];

		happened++;
		if (e.happen)
			e.happen(e.context);
	}
}

void fake_clock_wait(int timeout_ms)
{
	int64_t before_ms = now_ms;

	fake_assert_msg(timeout_ms >= 0, "waits for ever");
	waits++;
	jump(now_ms + timeout_ms);
	if (now_ms == before_ms && spins++ == SPINS_MAX)
		ck_abort_msg("the loop spins");
}

bool fake_clock_block(int64_t ms, int stop_fd)
{
	struct pollfd p = {.fd = stop_fd, .events = POLLIN};
	int64_t until_ms = now_ms + ms;

	while (now_ms < until_ms) {
		if (poll(&p, 1, 0) == 1)
			return true;
		jump(until_ms);
	}
	return poll(&p, 1, 0) == 1;
}

void clock_print(char *out, size_t size)
{
	snprintf(out, size, "%lld", (long long)now_ms);
}
