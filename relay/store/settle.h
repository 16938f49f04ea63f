#ifndef STORE_SETTLE_H
#define STORE_SETTLE_H

#include <stdbool.h>
#include <stdint.h>

#include "store/batch.h"
#include "store/pg.h"

/*
 * Settlements as statements and their parameters: the DECIDED rows, those that were sent and those
 * that were not, bound to their claim. See SQL_SETTLE_SENT in sql.h.
 */

enum settle_form {
	SETTLE_SENT, /* any number of batches that have nothing to tell: their claims go */
	SETTLE_CLOSE,   /* one batch that has: the claim goes with it */
	SETTLE_KEEP,    /* the claim stays, and names publishing_id (0: none) */
	SETTLE_CAREFUL, /* KEEP, going round rows that somebody else has locked */
	SETTLE_FORMS,
};

/* The caller frees it. NULL where there is no such: SENT never tells, CLOSE always does. */
char *settle_text(enum settle_form form, bool deletes_sent, bool tells);

/* Are there rows to tell of: refused ones, or sent ones with a history? */
bool settle_tells(const struct batch *b);

/* Fill `p`, for SENT and for the other forms, whose text goes by what the batch has to tell. */
void settle_params_sent(struct pg_params *p, struct batch *const *batches, int count,
			int32_t relay_id);
void settle_params(struct pg_params *p, const struct batch *b, int32_t relay_id,
		   enum settle_form form, int64_t publishing_id);

#endif
