#ifndef STORE_FIGURES_H
#define STORE_FIGURES_H

#include "store/operate.h"
#include "store/overview.h"

/*
 * What is worth watching of the database, beside what the relay counts itself: how many rows there
 * are in which state, for how long the first has been due, who is at work, and what VACUUM has to
 * do with it. Bounded as overview_read() is, however big the table.
 */
struct figures {
	struct overview_count due, scheduled, failed, sent;
	int64_t oldest_due_ms; /* for how long; 0: none is due */
	int64_t table_bytes, index_bytes;
	int relays_connected;
	int claims, dead_claims;
	int64_t dead_rows, dead_claim_rows; /* that VACUUM has not removed */
	/* Transactions since the oldest snapshot that VACUUM must respect was taken. Sessions of
	   other roles count only where this one may see them (pg_read_all_stats). */
	int64_t oldest_xmin_age;
};

/* Two round trips. After -1 the session is closed. */
int figures_read(struct operate *o, struct figures *out, struct error *err);

#endif
