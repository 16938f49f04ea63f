#ifndef STORE_ROWS_H
#define STORE_ROWS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/message.h"
#include "store/operate.h"

/*
 * Looking at rows of message_log: a page of them, or one. Slices and texts are borrowed from the
 * session until its next operate_begin().
 */

/* Which rows; NULL and -1: whichever. */
struct rows_filter {
	const char *status; /* "sending", "sent", "failed" */
	const char *exchange, *routing_key;
	const char *error; /* last_error holds this text, in whichever case */
	int64_t older_ms;  /* changed last (updated_at) longer ago than that */
	int64_t newer_ms;  /* changed last within that time */
};

/* -1: no such status. The condition for SQL, a constant text. */
int rows_status(const char *status, const char **condition);

/* Adds the parameters of OPERATE_MATCH, in order. */
void rows_add_filter(struct operate *o, const struct rows_filter *f);

struct rows_entry {
	int64_t id;
	struct slice message_id, status, exchange, routing_key, content_type, last_error;
	int64_t try_count, body_bytes;
	struct slice created_at, updated_at,
		next_retry; /* RFC 3339 in UTC, or "infinity" */
	int64_t created_ms, updated_ms,
		next_retry_ms; /* from now, negative in the past */
};

/*
 * Up to `limit` rows, the newest (largest id) first; with after_id > 0 those that come behind that
 * row, for paging. Returns their number, or -1; the caller frees *out.
 */
int rows_list(struct operate *o, const struct rows_filter *f, int64_t after_id, int limit,
	      struct rows_entry **out, struct error *err);

enum rows_body { ROWS_BODY_WHOLE, ROWS_BODY_BEGINNING, ROWS_BODY_BASE64 };

/* One attempt at sending it; see schema/0009_attempt.sql. */
struct rows_attempt {
	struct slice at; /* RFC 3339 in UTC */
	int64_t at_ms;   /* from now */
	struct slice relay_name, verdict, reason;
	bool is_charged;
	int64_t latency_ms; /* -1: it was not published */
};

#define ROWS_ATTEMPTS_MAX 100 /* no more are kept */

struct rows_detail {
	struct rows_entry row;
	struct slice headers, properties; /* JSON, or NULL */
	struct slice body;                /* as asked for */
	int64_t claim_id;                 /* of the claim that has it in hand, or 0 */
	struct slice claimed_by;
	/* Oldest first; none of a row that was sent at once, or waits for its first. */
	struct rows_attempt attempts[ROWS_ATTEMPTS_MAX];
	int attempt_count;
};

#define ROWS_BEGINNING_BYTES 4096

/* By id, or else by message_id. Returns 1, 0 when there is no such row, -1. */
int rows_find(struct operate *o, const char *name, enum rows_body body,
	      struct rows_detail *out, struct error *err);

/* A name as the operator gives it is an id when it is one; else 0. */
int64_t rows_id(const char *name);

#endif
