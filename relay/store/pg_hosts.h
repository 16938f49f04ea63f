#ifndef STORE_PG_HOSTS_H
#define STORE_PG_HOSTS_H

#include "base/error.h"
#include "base/stream.h"

/*
 * libpq tries several hosts in order, but its non-blocking connect ignores
 * connect_timeout (libpq 15, "Asynchronous connecting"): a first host that answers
 * nothing would use up every deadline of ours and the second would never be tried. So the
 * lists are rotated: the attempt after a timeout begins with the next host.
 */
struct pg_hosts {
	char *host; /* comma lists as libpq takes them; NULL: leave alone */
	char *hostaddr;
	char *port;
};

/* Reads the lists from `url` (may be NULL) and the PG* variables. -1: url is
   malformed. */
int pg_hosts_rotate(struct pg_hosts *out, const char *url, int by, struct error *err);
/*
 * libpq resolves names without a deadline, and nothing else happens meanwhile. Here it is
 * done within the deadline, and libpq gets addresses: hosts with several stand in the
 * lists as often, those that have none now are left out. Hosts of a service that `url`
 * names stay libpq's business. -1: none can be resolved (LOST), TIMEOUT, STOPPED.
 */
int pg_hosts_resolve(struct pg_hosts *h, const char *url, const struct stream_wait *wait,
		     struct error *err);

void pg_hosts_release(struct pg_hosts *h);

#endif
