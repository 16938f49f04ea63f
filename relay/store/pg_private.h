#ifndef STORE_PG_PRIVATE_H
#define STORE_PG_PRIVATE_H

#include <libpq-fe.h>

#include "store/pg.h"

/*
 * What the files behind pg.h share; nobody else includes it.
 *
 *   pg.c           life
 *   pg_open.c      pg_open(): what libpq is told, and waiting for it
 *   pg_exchange.c  statements out, answers in; scripts
 *   pg_params.c    what goes into statements, and
 *   pg_result.c    what comes out, in binary
 *   pg_error.c     what libpq and the server say, as struct error
 */

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

/* Until the socket is ready for `events`: 0; or TIMEOUT; or STOPPED when stop_fd (-1: none)
   becomes readable. */
int pg_wait(struct pg *pg, short events, int64_t deadline_ms, int stop_fd,
	    struct error *err);

/* Forgets the exchange and its answers. */
void pg_drop_results(struct pg *pg);

/* Why the connection is lost. */
int pg_error_connection(struct pg *pg, struct error *err);

/* Why it could not be opened, and what to do about it. */
int pg_error_open(struct pg *pg, struct error *err);

/* What was wrong with a statement; sets pg_sqlstate(). */
void pg_error_statement(struct pg *pg, const PGresult *r, struct error *err);

#endif
