#ifndef SIMULATION_SCHEDULER_H
#define SIMULATION_SCHEDULER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"

/*
 * One processor, one clock, one source of randomness, all in the simulation's hand: the same seed
 * gives the same run. Relays are coroutines that run the real relay_run(); where it would wait in
 * poll(2) or in a call that blocks, and now and then at any call through a seam, it gives the
 * processor away. Time stands still but for sim_advance().
 *
 * Stands for base/clock.c, base/stop.c, poll(2) and backoff_random().
 */

/* --- randomness --- */

void sim_seed(uint64_t seed);

/* 0 … n - 1 */
int64_t sim_random(int64_t n);

/* Once in n; n of 0: never. */
bool sim_chance(int64_t n);

/* --- time --- */

void sim_advance(int64_t to_ms);

/* --- failing --- */

extern uint64_t sim_step; /* so far */

/* Tells the seed and the step, and ends the process. */
void sim_fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

#define sim_check(condition, ...)              \
	do {                                   \
		if (!(condition))              \
			sim_fail(__VA_ARGS__); \
	} while (0)

/* --- tasks --- */

struct task;

/* The task that runs, or NULL. */
extern struct task *task_current;

struct task *task_new(void (*run)(void *context), void *context);

/* What stands on its stack is gone; NULL is legal. */
void task_free(struct task *t);

/* Until it waits, or has ended. */
void task_resume(struct task *t);
bool task_has_ended(const struct task *t);

/* When it wants to be resumed. */
int64_t task_due_ms(const struct task *t);

/* What it waits for is there. */
void task_poke(struct task *t);

/* Called by the task: until that moment, or a poke. */
void task_wait(int64_t until_ms);

/* Whatever happens: true when a signal came (before or meanwhile) and `heeds_signals`. */
bool task_block(int64_t ms, bool heeds_signals);

/* A call through a seam: the process may be slow here, or end (see task_end_in()). */
void task_seam(void);

/* It stops for good at its n-th call from now on; task_is_dead() then. 0: not. */
void task_end_in(struct task *t, int calls);
void task_end(struct task *t);
bool task_is_dead(const struct task *t);

/* SIGTERM, as its base/stop.h shows it. */
void task_stop(struct task *t);

/* SIGHUP. */
void task_reload(struct task *t);

/* How long it was slower than it should be, all in all, and until when the last time. */
int64_t task_slow_ms(const struct task *t);
int64_t task_slow_until_ms(const struct task *t);

/* How often a seam makes it slow: once in n calls; 0: never. */
extern int64_t task_slow_one_in;

#endif
