#ifndef STORE_SETTLE_H
#define STORE_SETTLE_H

#include <stdbool.h>
#include <stdint.h>

#include "store/batch.h"
#include "store/pg.h"

/*
 * The settlement of one batch as a statement and its parameters: the DECIDED rows, those
 * that were sent and those that were not, bound to the claim. See SQL_SETTLE_CLOSE in
 * sql.h.
 */

enum settle_form {
	SETTLE_CLOSE,   /* the claim goes with it */
	SETTLE_KEEP,    /* the claim stays, and names publishing_id (0: none) */
	SETTLE_CAREFUL, /* KEEP, going round rows that somebody else has locked */
	SETTLE_FORMS,
};

/* The caller frees it. */
char *settle_text(enum settle_form form, bool deletes_sent, bool tells);

/* Fills `p`. Returns whether there are rows to tell of (refused ones, or sent ones with a history),
   which decides about the text that fits. */
bool settle_params(struct pg_params *p, const struct batch *b, int32_t relay_id,
		   enum settle_form form, int64_t publishing_id);

#endif
