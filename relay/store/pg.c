#include "pg_private.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/clock.h"

struct pg *pg_new(const struct pg_settings *settings)
{
	struct pg *pg = xcalloc(1, sizeof(*pg));

	pg->url = settings->url ? xstrdup(settings->url) : NULL;
	pg->password = settings->password ? xstrdup(settings->password) : NULL;
	pg->application_name = xstrdup(settings->application_name);
	pg->tls = settings->tls;
	pg->keeps_plans = settings->keeps_plans;
	pg->any_server = settings->any_server;
	pg->deadline_ms = CLOCK_NEVER;
	return pg;
}

void pg_free(struct pg *pg)
{
	if (!pg)
		return;
	pg_close(pg);
	free(pg->url);
	if (pg->password)
		explicit_bzero(pg->password, strlen(pg->password));
	free(pg->password);
	free(pg->application_name);
	free(pg);
}

void pg_close(struct pg *pg)
{
	pg_drop_results(pg);
	PQfinish(pg->connection);
	pg->connection = NULL;
	pg->plan_count = 0;
	pg->was_notified = false;
	free(pg->peer);
	pg->peer = NULL;
}

bool pg_is_open(const struct pg *pg)
{
	return pg->connection != NULL;
}

int pg_fd(const struct pg *pg)
{
	return pg->connection ? PQsocket(pg->connection) : -1;
}

short pg_events(const struct pg *pg)
{
	if (!pg->connection)
		return 0;
	/* PQflush() says 1 while output waits; it was called by the last pump. */
	return pg->syncs_left && PQflush(pg->connection) == 1 ? POLLIN | POLLOUT : POLLIN;
}

const char *pg_peer(const struct pg *pg)
{
	return pg->peer ? pg->peer : "";
}

int pg_server_version(const struct pg *pg)
{
	return pg->connection ? PQserverVersion(pg->connection) : 0;
}

int pg_library_version(void)
{
	return PQlibVersion();
}

const char *pg_sqlstate(const struct pg *pg)
{
	return pg->sqlstate;
}

int pg_wait(struct pg *pg, short events, int64_t deadline_ms, int stop_fd,
	    struct error *err)
{
	struct pollfd p[2] = {
		{.fd = PQsocket(pg->connection), .events = events},
		{.fd = stop_fd, .events = POLLIN},
	};

	for (;;) {
		int left = clock_wait_ms(deadline_ms, clock_ms());
		int n = poll(p, 2, left);

		if (n > 0 && p[1].revents)
			return error_set(err, ERROR_STOPPED, "asked to stop");
		if (n > 0)
			return 0;
		if (left == 0)
			return error_set(err, ERROR_TIMEOUT, "no answer in time");
	}
}

char *pg_quote_identifier(const char *name)
{
	struct buffer b = {0};
	char *quoted;

	buffer_put_u8(&b, '"');
	for (const char *c = name; *c; c++) {
		if (*c == '"')
			buffer_put_u8(&b, '"');
		buffer_put_u8(&b, (uint8_t)*c);
	}
	buffer_put_u8(&b, '"');
	quoted = xstrdup(buffer_text(&b));
	buffer_release(&b);
	return quoted;
}
