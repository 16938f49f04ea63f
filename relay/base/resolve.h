#ifndef BASE_RESOLVE_H
#define BASE_RESOLVE_H

#include <netdb.h>

#include "base/error.h"
#include "base/stream.h"

/*
 * Host names to addresses, with a deadline. getaddrinfo(3) has none: name servers that do
 * not answer cost it half a minute and more, in which nothing else would be served, and
 * no signal heard. So a thread asks, and whoever waits may go on without it; the answer
 * that comes late is thrown away.
 *
 * *out is freed by freeaddrinfo(3). -1: LOST when there is no such name, TIMEOUT, STOPPED.
 * An address in digits needs no thread and is always answered at once.
 */
int resolve(const char *host, int port, const struct stream_wait *wait,
	    struct addrinfo **out, struct error *err);

#endif
