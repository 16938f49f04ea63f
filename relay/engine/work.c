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

bool work_has_name(const struct work *w)
{
	for (int i = 0; i < w->count; i++) {
		if (w->batches[i]->is_adopted && w->batches[i]->publishing_id)
			return true;
	}
	return false;
}

static int waiting_others(const struct batch *b)
{
	return b->is_settling ? 0 : b->in_state[ROW_WAITING] - b->alone_waiting;
}

bool work_has_others(const struct work *w)
{
	for (int i = 0; i < w->count; i++) {
		if (waiting_others(w->batches[i]))
			return true;
	}
	return false;
}

static struct row *first_alone(struct batch *b)
{
	for (int i = b->first_waiting; i < b->count; i++) {
		if (b->rows[i].state == ROW_WAITING && b->rows[i].is_alone)
			return &b->rows[i];
	}
	return NULL;
}

struct row *work_next_alone(struct work *w, struct batch **batch)
{
	if (work_in_flight(w))
		return NULL;
	for (int i = 0; i < w->count; i++) {
		struct batch *b = w->batches[i];

		if (!b->alone_waiting || b->is_settling)
			continue;
		*batch = b;
		return first_alone(b);
	}
	return NULL;
}

struct row *work_next_other(struct work *w, struct batch **batch)
{
	for (int i = 0; i < w->count; i++) {
		struct batch *b = w->batches[i];

		if (!waiting_others(b))
			continue;
		*batch = b;
		return &b->rows[b->first_other];
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
