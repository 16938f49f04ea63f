#include "pg.h"

#include <assert.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "store/pg_hosts.h"
#include "store/pg_tls.h"

/* More statements than any exchange has. */
#define STATEMENTS_MAX 64

/* More different ones than any caller has. */
#define PLANS_MAX 32

struct pg {
	char *url;
	char *password;
	char *application_name;
	const struct tls_options *tls;
	bool keeps_plans;
	bool any_server;
	int rotation; /* which host to begin with; see pg_hosts.h */

	PGconn *connection;
	char *peer;
	const char *plans[PLANS_MAX]; /* texts; the i-th is prepared as "p<i>" */
	int plan_count;

	int statements; /* sent in this exchange */
	int answered;   /* of them */
	int syncs_left;
	int64_t deadline_ms;
	bool is_broken; /* the connection refused to take a statement: pump says so */
	bool was_notified;
	struct error failure; /* the first statement that failed, if any */
	char sqlstate[6];
	PGresult *results[STATEMENTS_MAX];
};

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

static void drop_results(struct pg *pg)
{
	for (int i = 0; i < STATEMENTS_MAX; i++) {
		PQclear(pg->results[i]);
		pg->results[i] = NULL;
	}
	pg->statements = pg->answered = pg->syncs_left = 0;
	pg->deadline_ms = CLOCK_NEVER;
	pg->is_broken = false;
}

void pg_close(struct pg *pg)
{
	drop_results(pg);
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

/* --- errors --- */

/* What a SQLSTATE asks for; by longest prefix. Everything else is worth another
   session. */
static enum error_kind kind_of(const char *sqlstate)
{
	static const struct {
		const char *prefix;
		enum error_kind kind;
	} kinds[] = {
		{"28", ERROR_REFUSED},    /* invalid authorization, bad password */
		{"3D000", ERROR_REFUSED}, /* no such database */
		{"3F000", ERROR_REFUSED}, /* no such schema */
		{"42", ERROR_REFUSED},    /* no such table or column, no right, syntax */
		{"0A", ERROR_REFUSED},    /* feature not supported */
		{"22", ERROR_REFUSED}, /* data exception: ours never depend on the data */
		{"55P03", ERROR_TIMEOUT}, /* lock_timeout */
		{"57014", ERROR_TIMEOUT}, /* statement_timeout */
		{"23", ERROR_REFUSED},    /* constraint violation */
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strncmp(sqlstate, kinds[i].prefix, strlen(kinds[i].prefix)) == 0)
			return kinds[i].kind;
	}
	return ERROR_LOST;
}

static int connection_error(struct pg *pg, struct error *err)
{
	const char *text = PQerrorMessage(pg->connection);

	return error_set(err, ERROR_LOST, "%s", *text ? text : "connection lost");
}

static void statement_error(struct pg *pg, const PGresult *r, struct error *err)
{
	const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
	const char *text = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);
	const char *detail = PQresultErrorField(r, PG_DIAG_MESSAGE_DETAIL);

	if (!state) {
		error_set(err, ERROR_LOST, "%s", PQresultErrorMessage(r));
		return;
	}
	memcpy(pg->sqlstate, state, sizeof(pg->sqlstate));
	error_set(err, kind_of(state), "%s%s%s (SQLSTATE %s)", text ? text : "error",
		  detail ? ": " : "", detail ? detail : "", state);
}

/* --- connecting --- */

static void ignore_notice(void *context, const PGresult *result)
{
	(void)context;
	(void)result;
}

/*
 * A failed login has no SQLSTATE on the connection (libpq 15), so the text decides
 * whether somebody has to mend something, and how. A server that is starting up or full
 * is merely not there yet.
 */
static const struct {
	const char *said, *advice;
} refusals[] = {
	{"no encryption", "; it wants TLS: sslmode=verify-full, or database.tls"},
	{"server does not support SSL",
	 "; for plain text over a network, say sslmode=disable"},
	{"does not match host name", "; connect by a name that it has, or give both: "
				     "host=NAME hostaddr=ADDRESS"},
	{"alert protocol version", "; at least TLS 1.2 is needed"},
	{"unsupported protocol", "; at least TLS 1.2 is needed"},
	{"valid client certificate", "; see database.tls.cert_file"},
	{"root certificate file", "; or name the CA in database.tls.ca_file"},
	{"host name must be specified", "; add host=NAME to the url"},
	{"password authentication failed", ""},
	{"no password supplied", ""},
	{"does not exist", ""},
	{"no pg_hba.conf entry", ""},
	{"authentication failed", ""},
	{"permission denied", ""},
	{"certificate", ""},
	{"is not permitted to log in", ""},
};

static int open_error(struct pg *pg, struct error *err)
{
	const char *text = PQerrorMessage(pg->connection);

	connection_error(pg, err);
	if (strstr(text, "No such file or directory"))
		return -1;
	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		if (strstr(text, refusals[i].said))
			return error_set(err, ERROR_REFUSED, "%.*s%s",
					 (int)strcspn(text, "\n"), text,
					 refusals[i].advice);
	}
	return -1;
}

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

/* Polls the socket and stop_fd; 0 when the socket is ready. */
static int wait_socket(struct pg *pg, short events, int64_t deadline_ms, int stop_fd,
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

static int finish_connecting(struct pg *pg, int64_t deadline_ms, int stop_fd,
			     struct error *err)
{
	PostgresPollingStatusType want = PGRES_POLLING_WRITING;

	if (PQstatus(pg->connection) == CONNECTION_BAD)
		return open_error(pg, err);
	while (want != PGRES_POLLING_OK) {
		short events = want == PGRES_POLLING_READING ? POLLIN : POLLOUT;

		if (wait_socket(pg, events, deadline_ms, stop_fd, err) < 0) {
			if (err->kind == ERROR_TIMEOUT)
				pg->rotation++;
			return -1;
		}
		want = PQconnectPoll(pg->connection);
		if (want == PGRES_POLLING_FAILED)
			return open_error(pg, err);
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
		connection_error(pg, err);
		pg_close(pg);
		return -1;
	}
	name_peer(pg);
	return 0;
}

/* --- exchanges --- */

void pg_begin(struct pg *pg)
{
	assert(!pg_is_busy(pg));
	drop_results(pg);
	pg->failure.kind = ERROR_NONE;
	pg->sqlstate[0] = '\0';
}

static int find_plan(const struct pg *pg, const char *sql)
{
	for (int i = 0; i < pg->plan_count; i++) {
		if (pg->plans[i] == sql)
			return i;
	}
	return -1;
}

/*
 * The name under which the statement is prepared, preparing it first if need be: that has an
 * answer of its own. (PostgreSQL 15: an empty claim takes 0.32 ms to plan and 0.09 ms to run.)
 * Should preparing fail, the exchange fails and the connection is closed, so a name never
 * stands for nothing.
 */
static const char *plan_name(struct pg *pg, const char *sql, int count, const Oid *types,
			     char *name, size_t size)
{
	int plan = find_plan(pg, sql);

	snprintf(name, size, "p%d", plan < 0 ? pg->plan_count : plan);
	if (plan >= 0)
		return name;
	assert(pg->plan_count < PLANS_MAX);
	pg->plans[pg->plan_count++] = sql;
	if (!PQsendPrepare(pg->connection, name, sql, count, types))
		pg->is_broken = true;
	pg->statements++;
	return name;
}

int pg_add(struct pg *pg, const char *sql, const struct pg_params *params)
{
	Oid types[PG_PARAMS_MAX];
	const char *values[PG_PARAMS_MAX];
	int sizes[PG_PARAMS_MAX];
	int formats[PG_PARAMS_MAX];
	int count = params ? params->count : 0;
	char name[16];
	int sent;

	assert(pg->statements + 1 < STATEMENTS_MAX);
	for (int i = 0; i < count; i++) {
		types[i] = params->items[i].type;
		values[i] = params->items[i].is_null
				    ? NULL
				    : params->bytes.data + params->bytes.start +
					      params->items[i].offset;
		sizes[i] = (int)params->items[i].size;
		formats[i] = 1;
	}
	if (pg->keeps_plans && count)
		sent = PQsendQueryPrepared(pg->connection,
					   plan_name(pg, sql, count, types, name,
						     sizeof(name)),
					   count, values, sizes, formats, 1);
	else
		sent = PQsendQueryParams(pg->connection, sql, count, types, values, sizes,
					 formats, 1);
	if (!sent)
		pg->is_broken = true;
	return pg->statements++;
}

void pg_sync(struct pg *pg)
{
	if (!PQpipelineSync(pg->connection))
		pg->is_broken = true;
	pg->syncs_left++;
}

void pg_start(struct pg *pg, int timeout_ms)
{
	pg->deadline_ms = clock_ms() + timeout_ms;
	if (PQflush(pg->connection) < 0)
		pg->is_broken = true;
}

bool pg_is_busy(const struct pg *pg)
{
	return pg->syncs_left > 0;
}

int64_t pg_deadline_ms(const struct pg *pg)
{
	return pg->deadline_ms;
}

static void take_notifications(struct pg *pg)
{
	PGnotify *n;

	while ((n = PQnotifies(pg->connection))) {
		pg->was_notified = true;
		PQfreemem(n);
	}
}

static void take_result(struct pg *pg, PGresult *r)
{
	ExecStatusType status = PQresultStatus(r);

	if (status == PGRES_PIPELINE_SYNC) {
		pg->syncs_left--;
		PQclear(r);
		return;
	}
	if (status == PGRES_FATAL_ERROR && pg->failure.kind == ERROR_NONE)
		statement_error(pg, r, &pg->failure);
	if (pg->answered < pg->statements)
		pg->results[pg->answered++] = r;
	else
		PQclear(r);
}

static int lost(struct pg *pg, struct error *err)
{
	if (pg->failure.kind != ERROR_NONE)
		*err = pg->failure;
	else
		connection_error(pg, err);
	pg->syncs_left = 0;
	return -1;
}

int pg_pump(struct pg *pg, struct error *err)
{
	if (pg->is_broken || PQflush(pg->connection) < 0 ||
	    !PQconsumeInput(pg->connection))
		return lost(pg, err);
	take_notifications(pg);
	while (pg->syncs_left > 0 && !PQisBusy(pg->connection)) {
		/* In pipeline mode NULL ends a statement, not the exchange. */
		PGresult *r = PQgetResult(pg->connection);

		if (r)
			take_result(pg, r);
		if (PQstatus(pg->connection) == CONNECTION_BAD)
			return lost(pg, err);
	}
	if (pg->syncs_left > 0) {
		if (clock_ms() < pg->deadline_ms)
			return 0;
		pg->syncs_left = 0;
		return error_set(err, ERROR_TIMEOUT, "no answer in time");
	}
	pg->deadline_ms = CLOCK_NEVER;
	if (pg->failure.kind != ERROR_NONE) {
		*err = pg->failure;
		return -1;
	}
	return 1;
}

int pg_run(struct pg *pg, int timeout_ms, struct error *err)
{
	int rc;

	pg_start(pg, timeout_ms);
	while ((rc = pg_pump(pg, err)) == 0) {
		struct pollfd p = {.fd = pg_fd(pg), .events = pg_events(pg)};

		poll(&p, 1, clock_wait_ms(pg->deadline_ms, clock_ms()));
	}
	return rc < 0 ? -1 : 0;
}

int pg_notified(struct pg *pg, struct error *err)
{
	bool was;

	if (!PQconsumeInput(pg->connection))
		return connection_error(pg, err);
	take_notifications(pg);
	was = pg->was_notified;
	pg->was_notified = false;
	return was;
}

/* --- scripts --- */

static int collect_script(struct pg *pg, int64_t deadline_ms, struct error *err)
{
	PGresult *r;

	pg->failure.kind = ERROR_NONE;
	for (;;) {
		int flushed = PQflush(pg->connection);

		if (flushed < 0 || !PQconsumeInput(pg->connection))
			return connection_error(pg, err);
		if (flushed == 0 && !PQisBusy(pg->connection)) {
			r = PQgetResult(pg->connection);
			if (!r)
				break;
			if (PQresultStatus(r) == PGRES_FATAL_ERROR &&
			    pg->failure.kind == ERROR_NONE)
				statement_error(pg, r, &pg->failure);
			PQclear(r);
		} else if (wait_socket(pg, flushed ? POLLIN | POLLOUT : POLLIN,
				       deadline_ms, -1, err) < 0) {
			return -1;
		}
	}
	if (pg->failure.kind == ERROR_NONE)
		return 0;
	*err = pg->failure;
	return -1;
}

int pg_script(struct pg *pg, const char *sql, int timeout_ms, struct error *err)
{
	int rc;

	assert(!pg_is_busy(pg));
	drop_results(pg);
	/* Scripts hold several statements, which only the simple protocol takes. */
	if (!PQexitPipelineMode(pg->connection) || !PQsendQuery(pg->connection, sql))
		return connection_error(pg, err);
	rc = collect_script(pg, clock_ms() + timeout_ms, err);
	if (PQstatus(pg->connection) == CONNECTION_OK)
		PQenterPipelineMode(pg->connection);
	return rc;
}

/* --- results --- */

const struct pg_result *pg_result(const struct pg *pg, int index)
{
	assert(index >= 0 && index < pg->statements);
	return pg->results[index];
}

struct pg_result *pg_result_take(struct pg *pg, int index)
{
	PGresult *r = pg->results[index];

	pg->results[index] = NULL;
	return r;
}

void pg_result_free(struct pg_result *r)
{
	PQclear(r);
}

int pg_rows(const struct pg_result *r)
{
	return PQntuples(r);
}

bool pg_is_null(const struct pg_result *r, int row, int column)
{
	return PQgetisnull(r, row, column);
}

bool pg_bool(const struct pg_result *r, int row, int column)
{
	return *PQgetvalue(r, row, column) != 0;
}

int64_t pg_int(const struct pg_result *r, int row, int column)
{
	const unsigned char *bytes = (const unsigned char *)PQgetvalue(r, row, column);
	int size = PQgetlength(r, row, column);
	uint64_t value = size > 0 && bytes[0] & 0x80 ? UINT64_MAX : 0;

	for (int i = 0; i < size; i++)
		value = value << 8 | bytes[i];
	return (int64_t)value;
}

struct slice pg_slice(const struct pg_result *r, int row, int column)
{
	if (PQgetisnull(r, row, column))
		return (struct slice){0};
	return (struct slice){PQgetvalue(r, row, column),
			      (size_t)PQgetlength(r, row, column)};
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
