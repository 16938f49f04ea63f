#ifndef STORE_CHANGE_H
#define STORE_CHANGE_H

#include <stdbool.h>
#include <stdint.h>

#include "store/operate.h"
#include "store/rows.h"

/*
 * What an operator may do to rows, in steps: however many there are, each step is one short
 * transaction over at most CHANGE_ROWS of them and 16 MiB of bodies (but one row at least), by
 * ascending id. No table is locked; rows that somebody else has locked are passed over and counted;
 * between two steps the caller may wait, or stop for good, and what was done stays done.
 *
 *   REQUEUE  failed → sending, with no attempt charged and due now. last_error stays: it tells what
 *            happened, and the relay sends rows alone that once broke its channel. Sleeping relays
 *            are woken.
 *   PURGE    deletes `sent` rows, or `failed` ones where the filter names that status.
 *   REPLAY   sends what was sent once more. `sent` never leaves, so a copy is inserted. Its
 *            message_id is the old one with "~label" behind it (the MD5 of the old one where that
 *            would exceed 255 bytes), and its header replay_of has the old one. Were it the same,
 *            consumers that remember what they have seen would drop just what somebody asked to
 *            have processed again; those who want to do that look at replay_of. With the same
 *            label no row is copied twice, so a replay that was interrupted can be repeated. Copies
 *            are not copied again.
 *
 *   change_begin(o, &change, &walk)          up to which id, so that it comes to an end
 *   while (!walk.is_done) change_step(…)     or change_look(): counts, and touches nothing
 */

#define CHANGE_ROWS 1000  /* changed in a step, at most */
#define CHANGE_WALK 10000 /* read in a step, at most, where few pass the filter */

enum change_kind { CHANGE_REQUEUE, CHANGE_PURGE, CHANGE_REPLAY };

struct change {
	enum change_kind kind;
	struct rows_filter filter; /* with a status */
	const int64_t *ids;        /* only these, where there are any */
	int id_count;
	const char *label; /* of a replay: 1 to CHANGE_LABEL_MAX bytes */
};

#define CHANGE_LABEL_MAX 100

struct change_walk {
	int64_t after_id, upto_id;
	int64_t matched; /* rows that passed the filter so far */
	int64_t changed; /* and were changed, deleted or copied */
	bool is_done;
};

/* The rows that names (ids or message_ids) mean. Returns the index of the first that means none,
   `count` when each means one, -1. */
int change_resolve(struct operate *o, char *const *names, int count, int64_t *ids,
		   struct error *err);

int change_begin(struct operate *o, struct change_walk *walk, struct error *err);

/* At most `rows` rows, up to CHANGE_ROWS. */
int change_step(struct operate *o, const struct change *c, int rows,
		struct change_walk *walk, struct error *err);
int change_look(struct operate *o, const struct change *c, struct change_walk *walk,
		struct error *err);

#endif
