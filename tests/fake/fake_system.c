#include "fake_system.h"

#include <stdlib.h>

#include "fake/fake_clock.h"

int fake_naps;
int fake_longest_nap_ms;

/* What happens during a nap is there for the look that follows. */
static bool came_in_nap;

static void nap(int timeout_ms)
{
	int64_t before = fake_clock_happened();

	fake_naps++;
	if (timeout_ms > fake_longest_nap_ms)
		fake_longest_nap_ms = timeout_ms;
	fake_clock_wait(timeout_ms);
	came_in_nap = fake_clock_happened() != before;
}

int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
	int ready = __real_poll(fds, count, 0);

	/* Not the loop: somebody looks at one descriptor, without waiting. */
	if (count == 1 && timeout_ms == 0)
		return ready;
	if (count == 1) {
		nap(ready ? 0 : timeout_ms);
	} else {
		fake_clock_wait(ready || came_in_nap ? 0 : timeout_ms);
		came_in_nap = false;
	}
	return __real_poll(fds, count, 0);
}

uint32_t __wrap_backoff_random(void)
{
	return (uint32_t)random() << 1;
}
