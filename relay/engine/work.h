#ifndef ENGINE_WORK_H
#define ENGINE_WORK_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/parking.h"
#include "store/store.h"

/*
 * The batches in hand, oldest first: what was claimed and is not settled yet. Both halves
 * of the relay work on it: the sender publishes rows and decides their fates, the turns
 * settle them and bring new batches. It owns the batches. All zero is empty.
 */

/* One turn can settle them all. */
#define WORK_BATCHES_MAX STORE_SETTLE_MAX

struct work {
	struct batch *batches[WORK_BATCHES_MAX];
	int count;
	struct parking parking; /* destinations whose rows are left alone */
};

void work_release(struct work *w);

/* There must be room. */
void work_add(struct work *w, struct batch *b);

/* Removes and frees it. */
void work_remove(struct work *w, struct batch *b);

/* Batches that still have rows to publish or to hear of. */
int work_open_batches(const struct work *w);

/* Rows in flight, over all batches. */
int work_in_flight(const struct work *w);

/* Is there a row without a fate that must be published with nothing else in flight? */
bool work_has_alone(const struct work *w);

/* Does a claim in hand name the row that is published alone? */
bool work_has_name(const struct work *w);

/* Is there a row to publish that need not go alone? */
bool work_has_others(const struct work *w);

/* The next row to publish that must go alone: NULL when there is none, or anything is in flight. */
struct row *work_next_alone(struct work *w, struct batch **batch);

/* The next row to publish that need not, or NULL. */
struct row *work_next_other(struct work *w, struct batch **batch);

/* A tag names a row for as long as this process lives; 0 is never one. */
uint64_t work_tag(const struct batch *b, const struct row *row);

/* NULL when the row is not in hand any more. */
struct row *work_find(struct work *w, uint64_t tag, struct batch **batch);

#endif
