#include "pg_private.h"

#include <assert.h>
#include <poll.h>
#include <string.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "store/pg_hosts.h"
#include "store/pg_tls.h"

/* The words that libpq gets: later ones override earlier ones, and the url stands between
   our defaults and what must not be overridden. */
static PGconn *start_with(const struct pg *pg, const struct pg_hosts *hosts,
			  const struct pg_tls *tls)
{
	const char *words[][2] = {
		{"target_session_attrs", pg->any_server ? "any" : "read-write"},
		{"keepalives_idle", "10"},
		{"keepalives_interval", "5"},
		{"keepalives_count", "3"},
		{"tcp_user_timeout", "30000"},
		{"dbname", pg->url},
		{"host", hosts->host},
		{"hostaddr", hosts->hostaddr},
		{"port", hosts->port},
		{"password", pg->password},
		{"sslmode", tls->sslmode},
		{"sslrootcert", tls->sslrootcert},
		{"sslcert", tls->sslcert},
		{"sslkey", tls->sslkey},
		{"gssencmode", tls->gssencmode},
		{"client_encoding", "UTF8"},
		{"application_name", pg->application_name},
	};
	enum { COUNT = sizeof(words) / sizeof(words[0]) };
	const char *keywords[COUNT + 1] = {0};
	const char *values[COUNT + 1] = {0};
	int n = 0;

	for (int i = 0; i < COUNT; i++) {
		if (!words[i][1])
			continue;
		keywords[n] = words[i][0];
		values[n++] = words[i][1];
	}
	return PQconnectStartParams(keywords, values, 1);
}

static int start_connecting(struct pg *pg, const struct stream_wait *wait,
			    struct error *err)
{
	struct pg_hosts hosts;
	struct pg_tls tls;

	if (pg_hosts_rotate(&hosts, pg->url, pg->rotation, err) < 0)
		return -1;
	if (pg_tls_choose(&tls, pg->url, pg->tls, err) < 0 ||
	    pg_hosts_resolve(&hosts, pg->url, wait, err) < 0) {
		pg_hosts_release(&hosts);
		return -1;
	}
	pg->connection = start_with(pg, &hosts, &tls);
	pg_hosts_release(&hosts);
	if (!pg->connection)
		return error_set(err, ERROR_LOST, "out of memory");
	return 0;
}

static int finish_connecting(struct pg *pg, int64_t deadline_ms, int stop_fd,
			     struct error *err)
{
	PostgresPollingStatusType want = PGRES_POLLING_WRITING;

	if (PQstatus(pg->connection) == CONNECTION_BAD)
		return pg_error_open(pg, err);
	while (want != PGRES_POLLING_OK) {
		short events = want == PGRES_POLLING_READING ? POLLIN : POLLOUT;

		if (pg_wait(pg, events, deadline_ms, stop_fd, err) < 0) {
			if (err->kind == ERROR_TIMEOUT)
				pg->rotation++;
			return -1;
		}
		want = PQconnectPoll(pg->connection);
		if (want == PGRES_POLLING_FAILED)
			return pg_error_open(pg, err);
	}
	return 0;
}

/* libpq knows no more than that it did not verify; somebody has to know why. */
static void explain_certificate(const struct pg *pg, const struct stream_wait *wait,
				struct error *err)
{
	struct error reason;

	if (strstr(PQerrorMessage(pg->connection), "certificate verify failed") &&
	    pg_tls_probe(pg->connection, wait, &reason) < 0)
		error_set(err, ERROR_REFUSED, "%s:%s: %s", PQhost(pg->connection),
			  PQport(pg->connection), reason.text);
}

static void name_peer(struct pg *pg)
{
	const char *host = PQhost(pg->connection);
	const char *tls = PQsslAttribute(pg->connection, "protocol");

	pg->peer = xasprintf("%s:%s/%s as %s%s%s", host ? host : "",
			     PQport(pg->connection), PQdb(pg->connection),
			     PQuser(pg->connection), tls ? " over " : "", tls ? tls : "");
}

static void ignore_notice(void *context, const PGresult *result)
{
	(void)context;
	(void)result;
}

int pg_open(struct pg *pg, int timeout_ms, int stop_fd, struct error *err)
{
	const struct stream_wait wait = {.deadline_ms = clock_ms() + timeout_ms,
					 .stop_fd = stop_fd};

	assert(!pg->connection);
	pg->sqlstate[0] = '\0';
	if (start_connecting(pg, &wait, err) < 0)
		return -1;
	if (finish_connecting(pg, wait.deadline_ms, stop_fd, err) < 0) {
		explain_certificate(pg, &wait, err);
		pg_close(pg);
		return -1;
	}
	PQsetNoticeReceiver(pg->connection, ignore_notice, NULL);
	if (PQsetnonblocking(pg->connection, 1) < 0 ||
	    !PQenterPipelineMode(pg->connection)) {
		pg_error_connection(pg, err);
		pg_close(pg);
		return -1;
	}
	name_peer(pg);
	return 0;
}

int pg_check_url(const char *url, const struct tls_options *tls, const char **warning,
		 struct error *err)
{
	struct pg_hosts hosts;
	struct pg_tls choice;

	if (pg_hosts_rotate(&hosts, url, 0, err) < 0)
		return -1;
	pg_hosts_release(&hosts);
	if (pg_tls_choose(&choice, url, tls, err) < 0)
		return -1;
	*warning = choice.warning;
	return 0;
}
