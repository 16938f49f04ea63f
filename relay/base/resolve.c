#include "resolve.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/clock.h"

/* Questions that may be open at a time; more would only wait for the same name servers. */
#define LOOKUPS_MAX 4

#define STACK_SIZE (1024 * 1024)

struct lookup {
	char *host;
	char port[16];
	int done_fd;
	/* below `lock` */
	bool is_done, is_abandoned;
	int code; /* of getaddrinfo() */
	struct addrinfo *list;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int open_lookups;

static void lookup_free(struct lookup *l)
{
	if (l->list)
		freeaddrinfo(l->list);
	if (l->done_fd >= 0)
		close(l->done_fd);
	free(l->host);
	free(l);
}

static int look_up(const char *host, const char *port, int flags, struct addrinfo **list)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
				       .ai_flags = AI_NUMERICSERV | flags};

	*list = NULL;
	return getaddrinfo(host, port, &hints, list);
}

/* The thread. Whoever comes second of it and resolve() frees the lookup. */
static void *ask(void *argument)
{
	struct lookup *l = argument;
	struct addrinfo *list;
	int code = look_up(l->host, l->port, 0, &list);
	bool is_abandoned;

	pthread_mutex_lock(&lock);
	open_lookups--;
	l->code = code;
	l->list = list;
	l->is_done = true;
	is_abandoned = l->is_abandoned;
	if (!is_abandoned)
		eventfd_write(l->done_fd, 1);
	pthread_mutex_unlock(&lock);
	if (is_abandoned)
		lookup_free(l);
	return NULL;
}

/* With all signals blocked: they are for the thread that runs the relay. */
static bool start_thread(struct lookup *l)
{
	pthread_attr_t attributes;
	pthread_t thread;
	sigset_t all, before;
	bool is_started;

	sigfillset(&all);
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attributes, STACK_SIZE);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	is_started = pthread_create(&thread, &attributes, ask, l) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
	return is_started;
}

static struct lookup *start(const char *host, const char *port)
{
	struct lookup *l = xcalloc(1, sizeof(*l));
	bool has_room;

	l->host = xstrdup(host);
	snprintf(l->port, sizeof(l->port), "%s", port);
	l->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	pthread_mutex_lock(&lock);
	has_room = open_lookups < LOOKUPS_MAX;
	open_lookups += has_room;
	pthread_mutex_unlock(&lock);
	if (has_room && l->done_fd >= 0 && start_thread(l))
		return l;
	if (has_room) {
		pthread_mutex_lock(&lock);
		open_lookups--;
		pthread_mutex_unlock(&lock);
	}
	lookup_free(l);
	return NULL;
}

static int await(const struct lookup *l, const struct stream_wait *wait,
		 struct error *err)
{
	struct pollfd p[2] = {
		{.fd = l->done_fd, .events = POLLIN},
		{.fd = wait->stop_fd, .events = POLLIN},
	};

	for (;;) {
		int ready = poll(p, 2, clock_wait_ms(wait->deadline_ms, clock_ms()));

		if (ready > 0 && p[1].revents)
			return error_set(err, ERROR_STOPPED, "asked to stop");
		if (ready > 0)
			return 0;
		if (clock_ms() >= wait->deadline_ms)
			return error_set(err, ERROR_TIMEOUT,
					 "cannot resolve: the name servers do not "
					 "answer");
	}
}

static int not_found(int code, struct error *err)
{
	return error_set(err, ERROR_LOST, "cannot resolve: %s", gai_strerror(code));
}

/* Takes the answer if it is there; otherwise the thread is left to itself. */
static int finish(struct lookup *l, struct addrinfo **out, struct error *err)
{
	int code;
	bool is_done;

	pthread_mutex_lock(&lock);
	is_done = l->is_done;
	l->is_abandoned = true;
	pthread_mutex_unlock(&lock);
	if (!is_done)
		return -1;
	code = l->code;
	if (code == 0) {
		*out = l->list;
		l->list = NULL;
	}
	lookup_free(l);
	return code == 0 ? 0 : not_found(code, err);
}

int resolve(const char *host, int port, const struct stream_wait *wait,
	    struct addrinfo **out, struct error *err)
{
	struct addrinfo *list;
	struct lookup *l;
	char text[16];

	snprintf(text, sizeof(text), "%d", port);
	if (look_up(host, text, AI_NUMERICHOST, &list) == 0) {
		*out = list;
		return 0;
	}
	l = start(host, text);
	if (!l)
		return error_set(err, ERROR_TIMEOUT,
				 "cannot resolve: earlier questions are still open");
	if (await(l, wait, err) == 0)
		return finish(l, out, err);
	/* Should the answer come at this very moment, nobody wants it any more. */
	if (finish(l, &list, &(struct error){.kind = ERROR_NONE}) == 0)
		freeaddrinfo(list);
	return -1;
}
