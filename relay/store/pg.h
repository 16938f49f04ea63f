#ifndef STORE_PG_H
#define STORE_PG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/message.h"
#include "base/tls.h"

/*
 * One connection to PostgreSQL with a deadline on everything. Only the files pg* include
 * libpq-fe.h (pipeline mode, so libpq 14 or later).
 *
 * Work goes in exchanges: any number of statements, cut into transactions by pg_sync(),
 * are written at once and answered together. Results are binary.
 *
 *   pg_begin(pg);
 *   first = pg_add(pg, "UPDATE …", &params);      an index, for pg_result()
 *   second = pg_add(pg, "SELECT …", NULL);
 *   pg_sync(pg);
 *   pg_start(pg, timeout_ms);                      from here on never blocks:
 *   while ((rc = pg_pump(pg, &err)) == 0)
 *           poll(2) for pg_fd(), pg_events(), until pg_deadline_ms();
 *   …pg_result(pg, first)…                         valid until the next pg_begin()
 *
 * pg_run() is start and pump with the polling done; it blocks up to timeout_ms.
 *
 * Statements between two syncs are one transaction unless they contain BEGIN. When one
 * fails, the rest of its segment is skipped and rolled back, later segments still run,
 * and pg_pump() returns -1 after the whole answer is in. The connection is then best
 * closed: whatever the error was, a fresh session is the known state.
 */

struct pg;
struct pg_result; /* libpq's PGresult */

struct pg_settings {
	const char *url;      /* libpq URI or key=value string, or NULL: PG* variables */
	const char *password; /* overrides the url's, or NULL */
	const struct tls_options *tls; /* see pg_tls.h; or NULL. Valid until pg_free() */
	const char *application_name;
	/* Keep statements prepared for as long as the connection lasts; not behind a pooler
	   that changes servers. Their texts must stay where they are. */
	bool keeps_plans;
	bool any_server; /* accept a read-only server (to tell the user that it is one) */
};

struct pg *pg_new(const struct pg_settings *settings);
void pg_free(struct pg *pg);

/*
 * Connects within timeout_ms; ends early with ERROR_STOPPED when stop_fd (-1: none)
 * becomes readable.
 * With several hosts, each call starts at the host after the one at which the last call
 * ran out of time.
 */
int pg_open(struct pg *pg, int timeout_ms, int stop_fd, struct error *err);
void pg_close(struct pg *pg);
bool pg_is_open(const struct pg *pg);

/* For poll(2): -1 and 0 when closed. */
int pg_fd(const struct pg *pg);
short pg_events(const struct pg *pg);

/* "host:port/database as user over TLSv1.3", for logs; valid until pg_close(). */
const char *pg_peer(const struct pg *pg);

/* As PQserverVersion(): 150004 is 15.4. */
int pg_server_version(const struct pg *pg);

/* --- parameters --- */

#define PG_PARAMS_MAX 16

/* Binary parameters of one statement; reused statement after statement. */
struct pg_params {
	int count;
	struct {
		uint32_t type;
		bool is_null;
		size_t offset, size;
	} items[PG_PARAMS_MAX];
	struct buffer bytes;
};

void pg_params_clear(struct pg_params *p);
void pg_params_release(struct pg_params *p);
void pg_params_bool(struct pg_params *p, bool value);
void pg_params_int4(struct pg_params *p, int32_t value);
void pg_params_int8(struct pg_params *p, int64_t value);
void pg_params_int8_null(struct pg_params *p);
void pg_params_timestamptz(struct pg_params *p, int64_t microseconds_since_2000);
void pg_params_text(struct pg_params *p, const char *value); /* NULL is NULL */

/* Arrays are written element by element: begin, count elements of the same kind, end. */
void pg_params_int8_array(struct pg_params *p, size_t count);
void pg_params_text_array(struct pg_params *p, size_t count);
void pg_params_element_int8(struct pg_params *p, int64_t value);
void pg_params_element_text(struct pg_params *p, const char *value); /* NULL is NULL */
void pg_params_array_end(struct pg_params *p);

/* The timestamps -infinity, before every other. */
#define PG_TIMESTAMP_MIN INT64_MIN

/* --- exchanges --- */

void pg_begin(struct pg *pg);
int pg_add(struct pg *pg, const char *sql, const struct pg_params *params);
/* For a statement whose plan, made while a table was empty, could be a bad one later, or whose text
   does not stay. */
int pg_add_planned_anew(struct pg *pg, const char *sql, const struct pg_params *params);
void pg_sync(struct pg *pg);
void pg_start(struct pg *pg, int timeout_ms);

/* Reads what has come, up to some MiB. 1: all answers are in; 0: not yet; -1: a statement failed or the
   connection is gone. */
int pg_pump(struct pg *pg, struct error *err);
int pg_run(struct pg *pg, int timeout_ms, struct error *err);

/* The same; -1 and ERROR_STOPPED, the exchange unfinished, when stop_fd becomes readable. */
int pg_run_or_stop(struct pg *pg, int timeout_ms, int stop_fd, struct error *err);

/* Is an exchange under way, and until when may it take? CLOCK_NEVER when idle. */
bool pg_is_busy(const struct pg *pg);
int64_t pg_deadline_ms(const struct pg *pg);

/*
 * A script of several statements in one transaction, by the simple protocol; blocks up to
 * timeout_ms. For migrations.
 */
int pg_script(struct pg *pg, const char *sql, int timeout_ms, struct error *err);

/* The SQLSTATE of the statement that failed last, or "". */
const char *pg_sqlstate(const struct pg *pg);

/*
 * Reads what came while no exchange is under way. Returns 1 if a notification was among
 * it, 0 if not, -1 when the connection is gone.
 */
int pg_notified(struct pg *pg, struct error *err);

/* --- results --- */

/* Borrowed until the next pg_begin(). */
const struct pg_result *pg_result(const struct pg *pg, int index);

/* The caller owns it: pg_result_free(). */
struct pg_result *pg_result_take(struct pg *pg, int index);
void pg_result_free(struct pg_result *r);

int pg_rows(const struct pg_result *r);
bool pg_is_null(const struct pg_result *r, int row, int column);
bool pg_bool(const struct pg_result *r, int row, int column);

/* Of int2, int4, int8, timestamptz. */
int64_t pg_int(const struct pg_result *r, int row, int column);

/* Of text, bytea; borrowed from the result. */
struct slice pg_slice(const struct pg_result *r, int row, int column);

/*
 * Can libpq read it, and does it fit the options for TLS? NULL can. -1 and ERROR_CONFIG;
 * the text does not quote it. *warning, for the log: why a connection there would not be
 * protected, or NULL.
 */
int pg_check_url(const char *url, const struct tls_options *tls, const char **warning,
		 struct error *err);

/* An identifier in double quotes; the caller frees it. */
char *pg_quote_identifier(const char *name);

/* libpq's run-time version, as PQlibVersion(). */
int pg_library_version(void);

#endif
