#ifndef BASE_STREAM_H
#define BASE_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/tls.h"

/*
 * A byte stream over TCP, plain or inside TLS, that never blocks once it is connected.
 *
 * Calling order: connect, any number of read and write, close. A stream asked for TLS is
 * TLS or nothing: there is no fall-back to plain. The caller ignores SIGPIPE
 * (base/stop.h).
 */
struct stream {
	int fd;          /* -1: closed */
	struct tls *tls; /* NULL: plain */
};

struct stream_target {
	const char *host;
	int port;
	const struct tls_options *tls; /* NULL: plain */
};

/* How long a blocking step may take, and what ends it early. */
struct stream_wait {
	int64_t deadline_ms;
	int stop_fd; /* readable: give up with ERROR_STOPPED; -1: none */
};

/* Makes *s a closed stream. */
void stream_init(struct stream *s);

/*
 * Tries every address of the host, then does the TLS handshake, all before the deadline,
 * name resolution included. -1: LOST, TIMEOUT, STOPPED; or REFUSED
 * when certificates do not check or the server does not speak TLS.
 */
int stream_connect(struct stream *s, const struct stream_target *target,
		   const struct stream_wait *wait, struct error *err);

/*
 * TLS over a stream that was connected plain, for protocols that ask for it first. `host`
 * is the name to expect. -1 as above; the stream is to be closed then.
 */
int stream_start_tls(struct stream *s, const struct tls_options *tls, const char *host,
		     const struct stream_wait *wait, struct error *err);

/* Bytes read or written, 0 when that would block now, -1 when the connection is gone. */
ssize_t stream_read(struct stream *s, void *data, size_t size, struct error *err);
ssize_t stream_write(struct stream *s, const void *data, size_t size, struct error *err);

/* Until one of `events` (POLLIN, POLLOUT) shows: 0, or -1 with TIMEOUT or STOPPED. */
int stream_poll(const struct stream *s, short events, const struct stream_wait *wait,
		struct error *err);

/* Legal in any state. */
void stream_close(struct stream *s);

#endif
