#include "work.h"

#include <assert.h>
#include <string.h>

/* Tag: the batch's turn above, the row's index below; batch_size stays under 2^16. */
#define INDEX_BITS 16

void work_release(struct work *w)
{
	while (w->count)
		work_remove(w, w->batches[0]);
}

void work_add(struct work *w, struct batch *b)
{
	assert(w->count < WORK_BATCHES_MAX);
	w->batches[w->count++] = b;
}

void work_remove(struct work *w, struct batch *b)
{
	int i = 0;

	while (w->batches[i] != b)
		i++;
	w->count--;
	memmove(&w->batches[i], &w->batches[i + 1],
		(size_t)(w->count - i) * sizeof(w->batches[0]));
	batch_free(b);
}

int work_open_batches(const struct work *w)
{
	int open = 0;

	for (int i = 0; i < w->count; i++)
		open += batch_open_rows(w->batches[i]) > 0;
	return open;
}

int work_in_flight(const struct work *w)
{
	int rows = 0;

	for (int i = 0; i < w->count; i++)
		rows += w->batches[i]->in_state[ROW_IN_FLIGHT];
	return rows;
}

bool work_has_alone(const struct work *w)
{
	for (int i = 0; i < w->count; i++) {
		if (w->batches[i]->alone && !w->batches[i]->is_settling)
			return true;
	}
	return false;
}

static struct row *next_alone(struct work *w, struct batch **batch)
{
	if (work_in_flight(w))
		return NULL;
	for (int i = 0; i < w->count; i++) {
		struct batch *b = w->batches[i];

		if (!b->alone || b->is_settling)
			continue;
		for (int k = b->first_waiting; k < b->count; k++) {
			if (b->rows[k].state == ROW_WAITING && b->rows[k].is_alone) {
				*batch = b;
				return &b->rows[k];
			}
		}
	}
	return NULL;
}

struct row *work_next(struct work *w, struct batch **batch)
{
	if (work_has_alone(w))
		return next_alone(w, batch);
	for (int i = 0; i < w->count; i++) {
		struct batch *b = w->batches[i];

		if (b->first_waiting < b->count && !b->is_settling) {
			*batch = b;
			return &b->rows[b->first_waiting];
		}
	}
	return NULL;
}

uint64_t work_tag(const struct batch *b, const struct row *row)
{
	return (uint64_t)b->turn << INDEX_BITS | (uint64_t)(row - b->rows);
}

struct row *work_find(struct work *w, uint64_t tag, struct batch **batch)
{
	uint64_t turn = tag >> INDEX_BITS;
	int index = (int)(tag & ((1U << INDEX_BITS) - 1));

	for (int i = 0; i < w->count; i++) {
		if (w->batches[i]->turn != turn || index >= w->batches[i]->count)
			continue;
		*batch = w->batches[i];
		return &w->batches[i]->rows[index];
	}
	return NULL;
}
