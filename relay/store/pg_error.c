#include "pg_private.h"

#include <stdio.h>
#include <string.h>

/* What a SQLSTATE that begins so asks for. Everything else is worth another session. */
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
		{"53200", ERROR_MEMORY},  /* out of memory */
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strncmp(sqlstate, kinds[i].prefix, strlen(kinds[i].prefix)) == 0)
			return kinds[i].kind;
	}
	return ERROR_LOST;
}

/* What libpq itself reports has no SQLSTATE. Its words for this (15.18, all of them): "out of
   memory", "… for query result", "cannot allocate memory for input buffer". */
static enum error_kind kind_of_text(const char *text)
{
	return strstr(text, "out of memory") || strstr(text, "cannot allocate memory")
		       ? ERROR_MEMORY
		       : ERROR_LOST;
}

int pg_error_connection(struct pg *pg, struct error *err)
{
	const char *text = PQerrorMessage(pg->connection);

	return error_set(err, kind_of_text(text), "%s", *text ? text : "connection lost");
}

void pg_error_statement(struct pg *pg, const PGresult *r, struct error *err)
{
	const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
	const char *text = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);
	const char *detail = PQresultErrorField(r, PG_DIAG_MESSAGE_DETAIL);

	if (!state) {
		text = PQresultErrorMessage(r);
		error_set(err, kind_of_text(text), "%s", text);
		return;
	}
	snprintf(pg->sqlstate, sizeof(pg->sqlstate), "%s", state);
	error_set(err, kind_of(state), "%s%s%s (SQLSTATE %s)", text ? text : "error",
		  detail ? ": " : "", detail ? detail : "", state);
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

int pg_error_open(struct pg *pg, struct error *err)
{
	const char *text = PQerrorMessage(pg->connection);

	pg_error_connection(pg, err);
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
