#ifndef STORE_DOCTOR_H
#define STORE_DOCTOR_H

#include <stdbool.h>
#include <stdint.h>

#include "store/operate.h"
#include "store/overview.h"

/*
 * What `outbox-relay doctor` looks for in the database, on top of store/preflight.h: what hurts
 * now (rows that wait with nobody at work, or failed), and what will hurt (VACUUM hindered or too
 * rare, a missing index). Reads only, and bounded as `status` is.
 */

enum doctor_level {
	DOCTOR_OK,
	DOCTOR_NOTE, /* to know, or to improve some day */
	DOCTOR_BAD,  /* messages wait, or soon will */
};

struct doctor {
	int64_t patience_ms; /* how long transactions may last, and rows be due */
	bool is_pooled; /* behind a pooler a relay that has nothing in hand is not seen */
	/* `advice`: what to do, NULL where all is well. Texts may hold what others wrote:
	   escape them. */
	void (*report)(void *context, enum doctor_level level, const char *check,
		       const char *detail, const char *advice);
	void *context;
};

/* -1: the database cannot be asked. */
int doctor_examine(struct operate *o, const struct doctor *d, struct error *err);

/* The part about rows and relays. Pure. */
void doctor_judge(const struct doctor *d, const struct overview *v);

#endif
