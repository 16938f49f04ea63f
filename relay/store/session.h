#ifndef STORE_SESSION_H
#define STORE_SESSION_H

#include <stdbool.h>

#include "store/pg.h"

/*
 * What sessions with the database set for themselves, a relay's and an operator's alike: the
 * parameters of SQL_SETTINGS in sql.h.
 */

/* The schema alone, and pg_temp last: unnamed it would come first. The caller frees it. */
char *session_search_path(const char *schema);

struct session_settings {
	const char *search_path;
	int statement_timeout_ms; /* also for a transaction that idles */
	int lock_timeout_ms;
	bool for_transaction; /* they end with it: behind a pooler */
	bool plans_once;      /* what is executed again and again */
};

/* Clears `p` and fills it. */
void session_params(struct pg_params *p, const struct session_settings *settings);

#endif
