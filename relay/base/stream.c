#include "stream.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/resolve.h"

void stream_init(struct stream *s)
{
	*s = (struct stream){.fd = -1};
}

static int lost(struct error *err, const char *what, int code)
{
	char text[128];

	return error_set(err, ERROR_LOST, "%s: %s", what,
			 strerror_r(code, text, sizeof(text)));
}

int stream_poll(const struct stream *s, short events, const struct stream_wait *wait,
		struct error *err)
{
	struct pollfd p[2] = {
		{.fd = s->fd, .events = events},
		{.fd = wait->stop_fd, .events = POLLIN}, /* poll(2) skips -1 */
	};

	for (;;) {
		int64_t now = clock_ms();
		int ready = poll(p, 2, clock_wait_ms(wait->deadline_ms, now));

		if (ready > 0 && p[1].revents)
			return error_set(err, ERROR_STOPPED, "asked to stop");
		if (ready > 0)
			return 0;
		if (ready < 0 && errno != EINTR)
			return lost(err, "poll", errno);
		if (clock_ms() >= wait->deadline_ms)
			return error_set(err, ERROR_TIMEOUT, "no answer in time");
	}
}

/*
 * Heartbeats find a dead peer in seconds. The kernel's own means are the second line, for
 * a broker asked not to send any. TCP_USER_TIMEOUT is minutes on purpose: it counts while
 * a broker under a memory or disk alarm leaves our bytes unread, too, and breaking the
 * connection then would only put the messages on it in doubt.
 */
static void set_options(int fd)
{
	static const struct {
		int level, name, value;
	} options[] = {
		{IPPROTO_TCP, TCP_NODELAY, 1},
		{SOL_SOCKET, SO_KEEPALIVE, 1},
		{IPPROTO_TCP, TCP_KEEPIDLE, 30},
		{IPPROTO_TCP, TCP_KEEPINTVL, 10},
		{IPPROTO_TCP, TCP_KEEPCNT, 6},
		{IPPROTO_TCP, TCP_USER_TIMEOUT, 10 * 60 * 1000},
	};

	/* None of them is needed for correctness: an odd kernel may refuse some. */
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		setsockopt(fd, options[i].level, options[i].name, &options[i].value,
			   sizeof(options[i].value));
}

/* The result of a connect(2) in progress. */
static int finish_connect(const struct stream *s, const struct stream_wait *wait,
			  struct error *err)
{
	int code = 0;
	socklen_t size = sizeof(code);

	if (stream_poll(s, POLLOUT, wait, err) < 0)
		return -1;
	if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &code, &size) < 0)
		code = errno;
	return code ? lost(err, "connect", code) : 0;
}

static int connect_address(struct stream *s, const struct addrinfo *a,
			   const struct stream_wait *wait, struct error *err)
{
	s->fd = socket(a->ai_family, a->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC,
		       a->ai_protocol);
	if (s->fd < 0)
		return lost(err, "socket", errno);
	set_options(s->fd);
	if (connect(s->fd, a->ai_addr, a->ai_addrlen) == 0)
		return 0;
	if (errno != EINPROGRESS)
		lost(err, "connect", errno);
	else if (finish_connect(s, wait, err) == 0)
		return 0;
	stream_close(s);
	return -1;
}

/* Each address gets its share of the time that is left: one that swallows packets does
   not keep us from the next. */
static int connect_any(struct stream *s, const struct addrinfo *list,
		       const struct stream_wait *wait, struct error *err)
{
	int left = 0;

	for (const struct addrinfo *a = list; a; a = a->ai_next)
		left++;
	for (const struct addrinfo *a = list; a; a = a->ai_next, left--) {
		int64_t now = clock_ms();
		struct stream_wait share = *wait;

		share.deadline_ms = now + (wait->deadline_ms - now) / left;
		if (connect_address(s, a, &share, err) == 0)
			return 0;
		if (err->kind == ERROR_STOPPED)
			return -1;
	}
	return -1;
}

static int resolve_and_connect(struct stream *s, const struct stream_target *target,
			       const struct stream_wait *wait, struct error *err)
{
	struct addrinfo *list;
	int code;

	if (resolve(target->host, target->port, wait, &list, err) < 0)
		return -1;
	code = connect_any(s, list, wait, err);
	freeaddrinfo(list);
	return code;
}

int stream_start_tls(struct stream *s, const struct tls_options *tls, const char *host,
		     const struct stream_wait *wait, struct error *err)
{
	s->tls = tls_new(tls, host, s->fd, err);
	if (!s->tls)
		return -1;
	for (;;) {
		short events = 0;
		int done = tls_handshake(s->tls, &events, err);

		if (done != 0)
			return done > 0 ? 0 : -1;
		if (stream_poll(s, events, wait, err) < 0)
			return error_wrap(err, "TLS handshake");
	}
}

int stream_connect(struct stream *s, const struct stream_target *target,
		   const struct stream_wait *wait, struct error *err)
{
	struct stream new;

	stream_init(&new);
	if (resolve_and_connect(&new, target, wait, err) < 0)
		return -1;
	if (target->tls &&
	    stream_start_tls(&new, target->tls, target->host, wait, err) < 0) {
		stream_close(&new);
		return -1;
	}
	*s = new;
	return 0;
}

ssize_t stream_read(struct stream *s, void *data, size_t size, struct error *err)
{
	ssize_t got;

	if (s->tls)
		return tls_read(s->tls, data, size, err);
	do {
		got = recv(s->fd, data, size, 0);
	} while (got < 0 && errno == EINTR);
	if (got > 0)
		return got;
	if (got == 0)
		return error_set(err, ERROR_LOST, "the server closed the connection");
	return errno == EAGAIN ? 0 : lost(err, "receive", errno);
}

ssize_t stream_write(struct stream *s, const void *data, size_t size, struct error *err)
{
	ssize_t sent;

	if (s->tls)
		return tls_write(s->tls, data, size, err);
	do {
		sent = send(s->fd, data, size, MSG_NOSIGNAL);
	} while (sent < 0 && errno == EINTR);
	if (sent >= 0)
		return sent;
	return errno == EAGAIN ? 0 : lost(err, "send", errno);
}

void stream_close(struct stream *s)
{
	if (s->tls)
		tls_shutdown(s->tls);
	tls_free(s->tls);
	if (s->fd >= 0)
		close(s->fd);
	stream_init(s);
}
