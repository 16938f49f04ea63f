#include "batch.h"

#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "store/pg.h"

/* Longer texts of a broker say nothing more. */
#define REASON_MAX 500

void batch_free(struct batch *b)
{
	if (!b)
		return;
	for (int i = 0; i < b->count; i++)
		free(b->rows[i].reason);
	free(b->rows);
	pg_result_free(b->result);
	free(b);
}

void batch_drop_bodies(struct batch *b)
{
	if (b->has_unsent)
		return;
	pg_result_free(b->result);
	b->result = NULL;
}

static bool is_open(enum row_state state)
{
	return state == ROW_WAITING || state == ROW_IN_FLIGHT;
}

static void find_first(struct batch *b)
{
	while (b->first_waiting < b->count &&
	       b->rows[b->first_waiting].state != ROW_WAITING)
		b->first_waiting++;
	while (b->first_other < b->count &&
	       (b->rows[b->first_other].state != ROW_WAITING ||
		b->rows[b->first_other].is_alone))
		b->first_other++;
}

void batch_set_state(struct batch *b, struct row *row, enum row_state state)
{
	int index = (int)(row - b->rows);

	if (state == ROW_WAITING && b->is_lost) {
		state = ROW_SETTLED;
		row->is_counted = true;
	}
	b->in_state[row->state]--;
	b->in_state[state]++;
	if (row->is_alone) {
		b->alone += is_open(state) - is_open(row->state);
		b->alone_waiting += (state == ROW_WAITING) - (row->state == ROW_WAITING);
	}
	row->state = state;
	if (state == ROW_WAITING && index < b->first_waiting)
		b->first_waiting = index;
	if (state == ROW_WAITING && index < b->first_other)
		b->first_other = index;
	find_first(b);
}

void batch_set_alone(struct batch *b, struct row *row)
{
	if (!row->is_alone) {
		b->alone += is_open(row->state);
		b->alone_waiting += row->state == ROW_WAITING;
	}
	row->is_alone = true;
	find_first(b);
}

void batch_move_all(struct batch *b, enum row_state from, enum row_state to)
{
	for (int i = 0; i < b->count; i++) {
		if (b->rows[i].state == from)
			batch_set_state(b, &b->rows[i], to);
	}
}

/* last_error is read in terminals and stored in databases of any encoding: ASCII it
   is. */
static char *printable(const char *text)
{
	size_t size = strnlen(text, REASON_MAX);
	char *copy = xmalloc(size + 1);

	for (size_t i = 0; i < size; i++)
		copy[i] = text[i] >= ' ' && text[i] < 127 ? text[i] : '?';
	copy[size] = '\0';
	return copy;
}

void batch_decide(struct batch *b, struct row *row, struct decision decision,
		  const char *reason)
{
	row->decision = decision;
	b->has_unsent |= decision.fate != FATE_SENT;
	free(row->reason);
	row->reason = reason ? printable(reason) : NULL;
	batch_set_state(b, row, ROW_DECIDED);
}

void batch_let_go(struct batch *b, struct row *row)
{
	row->is_counted = true;
	batch_set_state(b, row, ROW_SETTLED);
}

int batch_open_rows(const struct batch *b)
{
	return b->in_state[ROW_WAITING] + b->in_state[ROW_IN_FLIGHT];
}
