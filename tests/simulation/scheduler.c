#include "scheduler.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/backoff.h"
#include "base/buffer.h"
#include "base/stop.h"

#define STACK_BYTES (256 * 1024)

/* Turns of a relay at one moment. */
#define SPINS_MAX 300

struct task {
	ucontext_t context;
	char *stack;
	void (*run)(void *context);
	void *argument;
	int64_t due_ms;
	bool has_ended, is_dead, is_stopped, wants_reload, has_signal;
	bool ignores_pokes, is_poked;
	int ends_in;
	int64_t slow_ms, slow_until_ms;
	int64_t polled_ms;
	int spins;
};

struct task *task_current;
uint64_t sim_step;
int64_t task_slow_one_in;

static ucontext_t outside;
static uint64_t first_seed, state;
static int64_t now_ms = 1000000;

/* --- randomness --- */

void sim_seed(uint64_t seed)
{
	first_seed = seed;
	state = seed * 0x9e3779b97f4a7c15U + 1;
	now_ms = 1000000;
	sim_step = 0;
}

/* splitmix64 */
static uint64_t next_random(void)
{
	uint64_t z = state += 0x9e3779b97f4a7c15U;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9U;
	z = (z ^ z >> 27) * 0x94d049bb133111ebU;
	return z ^ z >> 31;
}

int64_t sim_random(int64_t n)
{
	return (int64_t)(next_random() % (uint64_t)n);
}

bool sim_chance(int64_t n)
{
	return n && sim_random(n) == 0;
}

uint32_t __wrap_backoff_random(void);

uint32_t __wrap_backoff_random(void)
{
	return (uint32_t)next_random();
}

void sim_fail(const char *format, ...)
{
	va_list arguments;

	printf("seed %llu, step %llu, %lld ms: ", (unsigned long long)first_seed,
	       (unsigned long long)sim_step, (long long)now_ms);
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	printf("\nAgain: make simulate SEED=%llu\n", (unsigned long long)first_seed);
	fflush(stdout);
	abort();
}

/* --- time --- */

void sim_advance(int64_t to_ms)
{
	now_ms = to_ms;
}

int64_t clock_ms(void)
{
	return now_ms;
}

void clock_print(char *out, size_t size)
{
	snprintf(out, size, "%lld", (long long)now_ms);
}

/* --- tasks --- */

static void begin(void)
{
	struct task *t = task_current;

	t->run(t->argument);
	t->has_ended = true;
	t->due_ms = CLOCK_NEVER;
	swapcontext(&t->context, &outside);
}

struct task *task_new(void (*run)(void *context), void *context)
{
	struct task *t = xcalloc(1, sizeof(*t));

	t->run = run;
	t->argument = context;
	t->stack = xmalloc(STACK_BYTES);
	t->due_ms = now_ms;
	getcontext(&t->context);
	t->context.uc_stack.ss_sp = t->stack;
	t->context.uc_stack.ss_size = STACK_BYTES;
	makecontext(&t->context, begin, 0);
	return t;
}

void task_free(struct task *t)
{
	if (!t)
		return;
	free(t->stack);
	free(t);
}

void task_resume(struct task *t)
{
	task_current = t;
	swapcontext(&outside, &t->context);
	task_current = NULL;
}

bool task_has_ended(const struct task *t)
{
	return t->has_ended;
}

int64_t task_due_ms(const struct task *t)
{
	return t->due_ms;
}

void task_poke(struct task *t)
{
	t->is_poked = true;
	if (!t->ignores_pokes && !t->has_ended && !t->is_dead)
		t->due_ms = clock_min(t->due_ms, now_ms);
}

static void give_way(int64_t until_ms)
{
	struct task *t = task_current;

	t->due_ms = until_ms;
	swapcontext(&t->context, &outside);
}

void task_wait(int64_t until_ms)
{
	give_way(until_ms);
}

bool task_block(int64_t ms, bool heeds_signals)
{
	struct task *t = task_current;
	int64_t until_ms = now_ms + ms;

	while (now_ms < until_ms && !(heeds_signals && t->has_signal))
		give_way(until_ms);
	return heeds_signals && t->has_signal;
}

static void be_slow(struct task *t)
{
	int64_t ms = sim_chance(50) ? sim_random(90000) : sim_random(4);

	t->slow_ms += ms;
	t->slow_until_ms = now_ms + ms;
	t->ignores_pokes = true;
	give_way(now_ms + ms);
	t->ignores_pokes = false;
}

void task_seam(void)
{
	struct task *t = task_current;

	if (!t)
		return; /* the process is gone; this is what the kernel does */
	if (t->ends_in && --t->ends_in == 0) {
		task_end(t);
		give_way(CLOCK_NEVER);
	}
	if (sim_chance(task_slow_one_in))
		be_slow(t);
}

void task_end_in(struct task *t, int calls)
{
	t->ends_in = calls;
}

void task_end(struct task *t)
{
	t->is_dead = true;
	t->due_ms = CLOCK_NEVER;
}

bool task_is_dead(const struct task *t)
{
	return t->is_dead;
}

void task_stop(struct task *t)
{
	t->is_stopped = t->has_signal = true;
	task_poke(t);
}

void task_reload(struct task *t)
{
	t->wants_reload = t->has_signal = true;
	task_poke(t);
}

int64_t task_slow_ms(const struct task *t)
{
	return t->slow_ms;
}

int64_t task_slow_until_ms(const struct task *t)
{
	return t->slow_until_ms;
}

/* --- what a relay asks of the system --- */

int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout_ms);

int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
	struct task *t = task_current;

	/* The log, which is left out. No step: the lock of its lines, a process's own, is here that
	   of all relays, and one that ended or slept with it would stop the others. */
	if (fds->fd == STDERR_FILENO)
		return 0;
	sim_check(timeout_ms >= 0, "waits for ever");
	t->spins = t->polled_ms == now_ms ? t->spins + 1 : 0;
	t->polled_ms = now_ms;
	sim_check(t->spins < SPINS_MAX, "the loop spins");
	task_seam();
	if (!t->has_signal && (count == 1 || !t->is_poked))
		give_way(now_ms + timeout_ms);
	if (count > 1) /* not a nap, which leaves what came for the next look */
		t->is_poked = false;
	return 0;
}

bool stop_requested(void)
{
	return task_current->is_stopped;
}

bool stop_reload_requested(void)
{
	bool wants = task_current->wants_reload;

	task_current->wants_reload = false;
	return wants;
}

int stop_fd(void)
{
	return 1000; /* nobody reads it */
}

void stop_drain(void)
{
	task_current->has_signal = false;
}
