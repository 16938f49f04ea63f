#ifndef STORE_OVERVIEW_H
#define STORE_OVERVIEW_H

#include <stdbool.h>
#include <stdint.h>

#include "store/operate.h"

/*
 * What `outbox-relay status` tells of the database. Bounded, however big the table is: rows are
 * counted up to 10,000 a state and estimated beyond, and rates come from some 20,000 rows.
 */

struct overview_count {
	int64_t rows;
	bool is_estimate; /* by the server's statistics, at least what was counted */
	bool is_unknown;  /* more than `rows`; the server has no statistics */
};

struct overview_flow {
	int64_t rows;
	int64_t over_ms; /* the time in which they came, or were sent */
};

struct overview_relay {
	int64_t relay_id;
	char name[64]; /* as it is in the database: escape it */
	char host[64];
	bool is_connected;
	int64_t pid;
	int64_t connected_ms; /* -1: unknown */
	int64_t claims, rows; /* in hand */
};

struct overview_claim {
	int64_t claim_id, relay_id;
	char relay_name[64];
	int64_t rows;
	int64_t lease_ms; /* left; negative: it ran out */
	bool is_adopted, is_dead;
	int64_t publishing_id; /* 0: none */
};

struct overview {
	char at[32]; /* the database's clock, in UTC */
	struct overview_count due, scheduled, failed, sent;
	int64_t oldest_due_ms;  /* for how long the first has been due; -1: none */
	int64_t next_due_ms;    /* until the first scheduled row; -1: none */
	int64_t last_failed_ms; /* since the newest failed row failed; -1: none */
	int64_t table_bytes, index_bytes;
	struct overview_flow came, sent_lately;
	struct overview_relay *relays;
	int relay_count;
	struct overview_claim *claims;
	int claim_count;
};

/* All in one round trip; overview_release() afterwards, also after -1. */
int overview_read(struct operate *o, struct overview *out, struct error *err);
void overview_release(struct overview *v);

/* Rows a second. */
double overview_rate(const struct overview_flow *f);

/* What overview_read() makes of its counts. Pure; see overview.c. */
struct overview_tally {
	int64_t due, scheduled, failed, all;    /* counted, at most OVERVIEW_EXACT + 1 */
	int64_t table, due_index, failed_index; /* estimated; -1: unknown */
};
#define OVERVIEW_EXACT 10000
void overview_tally(struct overview *out, const struct overview_tally *t);

#endif
