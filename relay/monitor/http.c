#include "http.h"

#include <arpa/inet.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buffer.h"
#include "monitor/health.h"
#include "monitor/metrics.h"
#include "monitor/metrics_database.h"

/* A status and its metrics: some 10 KiB, and 700 bytes for each parked destination at most. */
#define BODY_MAX (1024 * 1024)

struct http {
	struct MHD_Daemon *daemon;
	struct status_board *board;
	struct upkeep_board *upkeep;
	const struct webhook_counts *alerts;
	char *token;
	char *libraries;
};

/* --- where to listen --- */

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

static bool is_off(const char *listen)
{
	return strcmp(listen, "off") == 0;
}

static int split(const char *listen, char *host, size_t size, uint16_t *port)
{
	const char *colon = strrchr(listen, ':');
	size_t length = colon ? (size_t)(colon - listen) : 0;
	char *end;
	long value;

	if (!colon || length == 0 || length >= size)
		return -1;
	if (listen[0] == '[' && listen[length - 1] == ']')
		snprintf(host, size, "%.*s", (int)length - 2, listen + 1);
	else
		snprintf(host, size, "%.*s", (int)length, listen);
	value = strtol(colon + 1, &end, 10);
	if (colon[1] < '0' || colon[1] > '9' || *end || value < 1 || value > 65535)
		return -1;
	*port = (uint16_t)value;
	return 0;
}

static int parse(const char *listen, union address *a, struct error *err)
{
	char host[64];
	uint16_t port;

	memset(a, 0, sizeof(*a));
	if (split(listen, host, sizeof(host), &port) < 0)
		return error_set(err, ERROR_CONFIG,
				 "must be ADDRESS:PORT, [ADDRESS]:PORT or off");
	if (inet_pton(AF_INET, host, &a->v4.sin_addr) == 1) {
		a->v4.sin_family = AF_INET;
		a->v4.sin_port = htons(port);
		return 0;
	}
	if (listen[0] == '[' && inet_pton(AF_INET6, host, &a->v6.sin6_addr) == 1) {
		a->v6.sin6_family = AF_INET6;
		a->v6.sin6_port = htons(port);
		return 0;
	}
	return error_set(err, ERROR_CONFIG,
			 "must be ADDRESS:PORT with an IP address in figures, or off");
}

int http_check_listen(const char *listen, struct error *err)
{
	union address a;

	return is_off(listen) ? 0 : parse(listen, &a, err);
}

/* --- answers --- */

struct answer {
	unsigned int code;
	const char *type;
	struct buffer body;
};

static void get_livez(struct http *h, const struct status *s, int64_t now_ms,
		      struct answer *a)
{
	(void)h;
	a->code = health_is_live(s, now_ms) ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE;
	a->type = "text/plain; charset=utf-8";
	buffer_printf(&a->body,
		      a->code == MHD_HTTP_OK ? "ok\n" : "the loop does not turn\n");
}

static void get_readyz(struct http *h, const struct status *s, int64_t now_ms,
		       struct answer *a)
{
	bool is_ready;
	char *text = health_ready(s, now_ms, &is_ready);

	(void)h;
	a->code = is_ready ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE;
	a->type = "application/json";
	buffer_printf(&a->body, "%s\n", text ? text : "{}");
	free(text);
}

static void get_metrics(struct http *h, const struct status *s, int64_t now_ms,
			struct answer *a)
{
	struct upkeep_status upkeep;

	a->code = MHD_HTTP_OK;
	a->type = "text/plain; version=0.0.4; charset=utf-8";
	metrics_write(&a->body, s, h->alerts, h->libraries, now_ms);
	upkeep_get(h->upkeep, &upkeep);
	metrics_write_database(&a->body, &upkeep, now_ms);
}

struct page {
	const char *path;
	void (*get)(struct http *h, const struct status *s, int64_t now_ms,
		    struct answer *a);
	bool wants_token;
};

static const struct page pages[] = {
	{"/livez", get_livez, false},
	{"/readyz", get_readyz, false},
	{"/metrics", get_metrics, true},
};

static const struct page *find_page(const char *path)
{
	for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
		if (strcmp(path, pages[i].path) == 0)
			return &pages[i];
	}
	return NULL;
}

/* In a time that tells nothing of where they differ. */
static bool is_token(const char *token, const char *given)
{
	size_t size = strlen(given), token_size = strlen(token);
	unsigned char difference = size != token_size;

	for (size_t i = 0; i < size; i++)
		difference |= (unsigned char)(given[i] ^ token[i % token_size]);
	return difference == 0;
}

static bool is_allowed(const struct http *h, struct MHD_Connection *c)
{
	const char *given = MHD_lookup_connection_value(c, MHD_HEADER_KIND,
							MHD_HTTP_HEADER_AUTHORIZATION);

	if (!h->token)
		return true;
	return given && strncasecmp(given, "Bearer ", 7) == 0 &&
	       is_token(h->token, given + 7);
}

static enum MHD_Result respond(struct MHD_Connection *c, struct answer *a,
			       const char *header, const char *value)
{
	struct MHD_Response *r =
		MHD_create_response_from_buffer(buffer_size(&a->body), a->body.data,
						MHD_RESPMEM_MUST_COPY);
	enum MHD_Result result = MHD_NO;

	if (r) {
		MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, a->type);
		MHD_add_response_header(r, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
		MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
		if (header)
			MHD_add_response_header(r, header, value);
		result = MHD_queue_response(c, a->code, r);
		MHD_destroy_response(r);
	}
	buffer_release(&a->body);
	return result;
}

static enum MHD_Result refuse(struct MHD_Connection *c, unsigned int code,
			      const char *text, const char *header, const char *value)
{
	struct answer a = {.code = code, .type = "text/plain; charset=utf-8"};

	buffer_init(&a.body, BODY_MAX);
	buffer_printf(&a.body, "%s\n", text);
	return respond(c, &a, header, value);
}

static enum MHD_Result answer(void *context, struct MHD_Connection *c, const char *path,
			      const char *method, const char *version, const char *data,
			      size_t *size, void **request)
{
	static char seen;
	struct http *h = context;
	const struct page *page = find_page(path);
	struct status s;
	struct answer a = {0};

	(void)version;
	(void)data;
	/* The first call has the headers only; an answer then would break the connection of
	   a client that still sends. */
	if (!*request) {
		*request = &seen;
		return MHD_YES;
	}
	if (*size) { /* a body is not looked at */
		*size = 0;
		return MHD_YES;
	}
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 &&
	    strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
		return refuse(c, MHD_HTTP_METHOD_NOT_ALLOWED, "GET and HEAD only",
			      MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
	if (!page)
		return refuse(c, MHD_HTTP_NOT_FOUND,
			      "there are /livez, /readyz, /metrics", NULL, NULL);
	if (page->wants_token && !is_allowed(h, c))
		return refuse(c, MHD_HTTP_UNAUTHORIZED, "a bearer token is wanted",
			      MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer");
	status_get(h->board, &s);
	buffer_init(&a.body, BODY_MAX);
	page->get(h, &s, clock_ms(), &a);
	return respond(c, &a, NULL, NULL);
}

/* --- life --- */

/* A socket of our own: why it cannot be had is told by errno, which MHD keeps to itself. */
static int open_socket(const union address *a, const char *listen_on, struct error *err)
{
	int one = 1;
	int fd = socket(a->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	socklen_t size = a->any.sa_family == AF_INET ? sizeof(a->v4) : sizeof(a->v6);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    bind(fd, &a->any, size) < 0 || listen(fd, HTTP_CONNECTIONS_MAX) < 0) {
		error_set(err, ERROR_REFUSED, "http.listen: %s: %m", listen_on);
		if (fd >= 0)
			close(fd);
		return -1;
	}
	return fd;
}

/* Signals are for the relay's thread. */
static struct MHD_Daemon *start_daemon(struct http *h, int fd)
{
	struct MHD_Daemon *daemon;
	sigset_t all, before;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	daemon =
		MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD, 0, NULL, NULL, answer, h,
				 MHD_OPTION_LISTEN_SOCKET, fd,
				 MHD_OPTION_CONNECTION_LIMIT,
				 (unsigned int)HTTP_CONNECTIONS_MAX,
				 MHD_OPTION_CONNECTION_TIMEOUT, (unsigned int)HTTP_IDLE_S,
				 MHD_OPTION_CONNECTION_MEMORY_LIMIT,
				 (size_t)HTTP_REQUEST_BYTES_MAX, MHD_OPTION_END);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return daemon;
}

int http_start(const struct http_settings *settings, struct http **out, struct error *err)
{
	union address a;
	struct http *h;
	int fd;

	if (is_off(settings->listen)) {
		*out = NULL;
		return 0;
	}
	if (parse(settings->listen, &a, err) < 0)
		return error_wrap(err, "http.listen: %s", settings->listen);
	fd = open_socket(&a, settings->listen, err);
	if (fd < 0)
		return -1;
	h = xcalloc(1, sizeof(*h));
	h->board = settings->board;
	h->upkeep = settings->upkeep;
	h->alerts = settings->alerts;
	h->token = settings->token ? xstrdup(settings->token) : NULL;
	h->libraries = xstrdup(settings->libraries);
	h->daemon = start_daemon(h, fd);
	if (h->daemon) {
		*out = h;
		return 0;
	}
	close(fd);
	http_stop(h);
	return error_set(err, ERROR_REFUSED, "http.listen: %s: cannot start a server",
			 settings->listen);
}

void http_stop(struct http *h)
{
	if (!h)
		return;
	if (h->daemon)
		MHD_stop_daemon(h->daemon); /* closes the socket, too */
	free(h->token);
	free(h->libraries);
	free(h);
}

const char *http_library(void)
{
	return MHD_get_version();
}
