#include "fake/fake_resolver.h"

#include <netdb.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

int __real_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
		       struct addrinfo **out);
int __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
		       struct addrinfo **out);

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool is_held;
static int waiting, asked;

void fake_resolver_hold(void)
{
	pthread_mutex_lock(&lock);
	is_held = true;
	pthread_mutex_unlock(&lock);
}

void fake_resolver_release(void)
{
	pthread_mutex_lock(&lock);
	is_held = false;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
}

static int read_locked(const int *number)
{
	int value;

	pthread_mutex_lock(&lock);
	value = *number;
	pthread_mutex_unlock(&lock);
	return value;
}

int fake_resolver_waiting(void)
{
	return read_locked(&waiting);
}

int fake_resolver_asked(void)
{
	return read_locked(&asked);
}

static void wait_for_release(void)
{
	pthread_mutex_lock(&lock);
	waiting++;
	while (is_held)
		pthread_cond_wait(&changed, &lock);
	waiting--;
	pthread_mutex_unlock(&lock);
}

/* glibc frees the items of a list one by one, so they may come from several answers. */
static int answer(const char *first, const char *second, const char *port,
		  const struct addrinfo *hints, struct addrinfo **out)
{
	int code = __real_getaddrinfo(first, port, hints, out);

	if (code == 0 && second)
		code = __real_getaddrinfo(second, port, hints, &(*out)->ai_next);
	return code;
}

int __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
		       struct addrinfo **out)
{
	if (hints->ai_flags & AI_NUMERICHOST)
		return __real_getaddrinfo(host, port, hints, out);
	pthread_mutex_lock(&lock);
	asked++;
	pthread_mutex_unlock(&lock);
	if (strcmp(host, "one") == 0)
		return answer("10.0.0.1", NULL, port, hints, out);
	if (strcmp(host, "two") == 0)
		return answer("10.0.0.2", "fd00::2", port, hints, out);
	if (strcmp(host, "slow") != 0)
		return EAI_NONAME;
	wait_for_release();
	return answer("10.0.0.3", NULL, port, hints, out);
}
