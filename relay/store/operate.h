#ifndef STORE_OPERATE_H
#define STORE_OPERATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/tls.h"
#include "store/pg.h"

/*
 * An operator's session with the database: what the commands status, list, show, requeue, purge,
 * replay and doctor stand on (store/overview.h, rows.h, change.h, doctor.h). All their SQL is in
 * operate_sql.h.
 *
 *   o = operate_open(&settings, &err);
 *   operate_begin(o);
 *   operate_params(o)…; index = operate_add(o, sql);   parameters are cleared by add
 *   if (operate_run(o, &err) == 0) …operate_result(o, index)…
 *   operate_close(o);
 *
 * Begin to run is one transaction and one round trip. It brings its settings along, so it works
 * behind any pooler; its search_path is the configured schema alone, and plans that read whole
 * tables are off, as for the relay. Everything blocks, by settings at most: connect_timeout_ms,
 * then statement_timeout_ms a statement and lock_timeout_ms a lock.
 */

struct operate_settings {
	const char *url;
	const char *password;
	const struct tls_options *tls; /* see pg_tls.h */
	const char *schema;
	const char *command; /* for application_name */
	bool writes;         /* a standby will not do */
	int connect_timeout_ms;
	int statement_timeout_ms;
	int lock_timeout_ms;
	const int *stop_fd; /* readable: give up with ERROR_STOPPED. NULL: none */
};

struct operate;

/* NULL and err when the database cannot be reached. */
struct operate *operate_open(const struct operate_settings *settings, struct error *err);
void operate_close(struct operate *o); /* NULL is legal */

void operate_begin(struct operate *o);
struct pg_params *operate_params(struct operate *o);

/* `sql` must stay where it is until operate_run() has returned. */
int operate_add(struct operate *o, const char *sql);

/* The error of a missing table says what to do. After -1 the session is closed: only
   operate_close() is legal. */
int operate_run(struct operate *o, struct error *err);

/* Borrowed until the next operate_begin(). */
const struct pg_result *operate_result(const struct operate *o, int index);

/* "host:port/database as user" */
const char *operate_peer(const struct operate *o);

#endif
