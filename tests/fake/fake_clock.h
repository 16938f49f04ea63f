#ifndef FAKE_CLOCK_H
#define FAKE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"

/*
 * base/clock.c with time in the test's hand: it stands still until the test moves it. Link it
 * in front of the library and the real clock is not pulled in.
 *
 * With fake_system.o and `-Wl,--wrap=poll,--wrap=backoff_random` besides, a loop that sleeps
 * in poll(2) moves it, too: waiting jumps to the deadline, or to what was planned to happen
 * before it. A loop that waits over and over without time going on spins; that fails the test.
 */

/* Time is 1000 s, nothing is planned. */
void fake_clock_reset(void);

void fake_clock_advance(int64_t ms);

/* Something happens at that moment: a wait ends there. `happen` may be NULL. */
void fake_clock_at(int64_t at_ms, void (*happen)(void *context), void *context);

/* Until the deadline, or the next thing planned; that happens then. */
void fake_clock_wait(int timeout_ms);

/* A call that blocks for so long; true: `stop_fd` (-1: none) became readable before. */
bool fake_clock_block(int64_t ms, int stop_fd);

/* Waits so far: turns of the loop. */
int64_t fake_clock_waits(void);
int64_t fake_clock_happened(void); /* so many planned things */

#endif
