#ifndef FAKE_CLOCK_H
#define FAKE_CLOCK_H

#include <stdint.h>

#include "base/clock.h"

/*
 * base/clock.c with time in the test's hand: it stands still until the test moves it, or until
 * somebody waits. Waiting jumps to the deadline, or to the next thing that is due to happen
 * before it. Link it in front of the library and the real clock is not pulled in.
 *
 * A loop that waits over and over without time going on and without anything happening spins:
 * that fails the test.
 */

/* Time is 1000 s, nothing is planned. */
void fake_clock_reset(void);

void fake_clock_advance(int64_t ms);

/* Something happens at that moment: a wait ends there. `happen` may be NULL. */
void fake_clock_at(int64_t at_ms, void (*happen)(void *context), void *context);

/* Waits so far: turns of the loop. */
int64_t fake_clock_waits(void);

#endif
