#include "fake_system.h"

#include <stdlib.h>

#include "fake/fake_clock.h"

int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
	int ready = __real_poll(fds, count, 0);

	if (count ==
	    1) /* not the loop: somebody looks at one descriptor, without waiting */
		return ready;
	fake_clock_wait(ready ? 0 : timeout_ms);
	return __real_poll(fds, count, 0);
}

uint32_t __wrap_backoff_random(void)
{
	return (uint32_t)random() << 1;
}
