#ifndef TESTS_FAKE_RESOLVER_H
#define TESTS_FAKE_RESOLVER_H

/*
 * Name servers for tests, in place of getaddrinfo(3) (the test is linked with
 * --wrap=getaddrinfo; addresses in digits still go to libc):
 *
 *   "one"   10.0.0.1
 *   "two"   10.0.0.2 and fd00::2
 *   "slow"  10.0.0.3, but not before fake_resolver_release()
 *   others  there is no such name
 */
void fake_resolver_hold(void); /* from now on "slow" waits */
void fake_resolver_release(void);

/* Questions for names that wait. */
int fake_resolver_waiting(void);

/* Questions for names so far. */
int fake_resolver_asked(void);

#endif
