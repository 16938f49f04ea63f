#ifndef FAKE_SYSTEM_H
#define FAKE_SYSTEM_H

#include <poll.h>
#include <stdint.h>

/*
 * What a relay under test asks of the system, for `-Wl,--wrap=poll,--wrap=backoff_random`:
 * poll(2) lets the fake clock jump in place of waiting, and jitter comes from random(3), so
 * that a run can be repeated from its seed.
 */

extern int fake_naps; /* waits for one descriptor only, which the test sets to 0 */
extern int fake_longest_nap_ms;

int __real_poll(struct pollfd *fds, nfds_t count, int timeout_ms);
int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout_ms);
uint32_t __wrap_backoff_random(void);

#endif
