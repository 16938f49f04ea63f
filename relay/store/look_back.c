#include "store/look_back.h"

#include <string.h>

/* What a piece may take; more when there would be more pieces than half the bookmarks. */
#define PIECE_US   INT64_C(2000)
#define PIECES_MAX (LOOK_BACK_BOOKMARKS_MAX / 2)

/* So many are a piece, and until it is looked at, no piece with others. */
#define BOOKMARK_ROWS    4096
#define BOOKMARK_COST_US (PIECE_US / 2 + 1)

/* So many of the last pieces before the mark, then so many where it was. */
#define NEAR_PIECES 8
#define FAR_PIECES  4

/* Into so many pieces at most one is divided that took too long. */
#define PARTS_MAX 16

/* What goes back to the beginning is divided by age: 1 s, 4 s, 16 s … 8 years. */
#define FIRST_AGE_US INT64_C(1000000)
#define AGE_FACTOR   4
#define YEAR_2000    0

bool due_place_is_before(struct due_place a, struct due_place b)
{
	return a.next_retry != b.next_retry ? a.next_retry < b.next_retry : a.id < b.id;
}

#define THE_MARK ((struct due_place){INT64_MAX, INT64_MAX})

void look_back_restart(struct look_back *l)
{
	l->until = THE_MARK;
	l->is_near = false;
	l->left = FAR_PIECES;
	l->spent_us = 0;
}

static void begin_at_mark(struct look_back *l)
{
	l->piece_us = l->spent_us / PIECES_MAX;
	if (l->piece_us < PIECE_US)
		l->piece_us = PIECE_US;
	l->is_whole = l->spent_us <= PIECE_US;
	look_back_restart(l);
	if (!l->is_whole)
		return;
	l->bookmarks[0] = (struct bookmark){DUE_BEGINNING, 0};
	l->count = 1;
}

void look_back_init(struct look_back *l)
{
	l->rows = l->last_id = l->spent_us = 0;
	begin_at_mark(l);
}

/* --- bookmarks --- */

/* How many are before that place. */
static int before(const struct look_back *l, struct due_place place)
{
	int count = l->count;

	while (count && !due_place_is_before(l->bookmarks[count - 1].at, place))
		count--;
	return count;
}

/* Every other one goes, but not the beginning. */
static void thin_out(struct look_back *l)
{
	for (int i = 0; i < l->count / 2; i++) {
		l->bookmarks[i].at = l->bookmarks[2 * i].at;
		l->bookmarks[i].cost_us =
			l->bookmarks[2 * i].cost_us + l->bookmarks[2 * i + 1].cost_us;
	}
	l->count /= 2;
}

static void add(struct look_back *l, struct due_place place, int64_t cost_us)
{
	int at = before(l, place);

	if (at < l->count && !due_place_is_before(place, l->bookmarks[at].at))
		return; /* there is one */
	if (l->count == LOOK_BACK_BOOKMARKS_MAX) {
		thin_out(l);
		at = before(l, place);
	}
	memmove(&l->bookmarks[at + 1], &l->bookmarks[at],
		(size_t)(l->count - at) * sizeof(l->bookmarks[0]));
	l->bookmarks[at] = (struct bookmark){place, cost_us};
	l->count++;
}

void look_back_claimed(struct look_back *l, struct due_place mark, int64_t last_id,
		       int64_t rows)
{
	if (l->last_id < last_id)
		l->last_id = last_id;
	l->rows += rows;
	if (l->rows < BOOKMARK_ROWS)
		return;
	l->rows = 0;
	add(l, mark, BOOKMARK_COST_US);
}

/* --- a piece that took too long --- */

/* What was due before the server's first year has no age that means anything. */
static void divide_by_age(struct look_back *l, int64_t until)
{
	int64_t age_us = FIRST_AGE_US;

	for (int i = 1; i < PARTS_MAX && until - age_us > YEAR_2000; i++) {
		add(l, (struct due_place){until - age_us, INT64_MIN}, 0);
		age_us *= AGE_FACTOR;
	}
}

static void divide_time(struct look_back *l, int64_t from, int64_t until, int parts)
{
	for (int i = 1; i < parts; i++) {
		int64_t us = ((until - from) * i + parts - 1) / parts;

		add(l, (struct due_place){from + us, INT64_MIN}, 0);
	}
}

static void divide_ids(struct look_back *l, struct due_place from, int64_t until,
		       int parts)
{
	int64_t first = from.id < 0 ? 0 : from.id;

	for (int i = 1; i < parts && until - first >= parts; i++)
		add(l,
		    (struct due_place){from.next_retry,
				       first + (until - first) / parts * i},
		    0);
}

/* Into pieces of half what they may take, if it is the same everywhere. */
static void divide(struct look_back *l, struct due_place from, struct due_place until,
		   int64_t took_us)
{
	int64_t wanted = took_us / (l->piece_us / 2) + 1;
	int parts = wanted < PARTS_MAX ? (int)wanted : PARTS_MAX;

	if (from.next_retry < YEAR_2000)
		divide_by_age(l, until.next_retry);
	else if (from.next_retry == until.next_retry)
		divide_ids(l, from, until.id, parts);
	else if (from.next_retry + 1 == until.next_retry && until.id == INT64_MIN)
		divide_ids(l, from, l->last_id + 1, parts);
	else
		divide_time(l, from.next_retry, until.next_retry, parts);
}

/* --- pieces --- */

void look_back_piece(const struct look_back *l, struct due_place mark,
		     struct due_place *from, struct due_place *until)
{
	struct due_place end = l->is_near ? l->near_until : l->until;
	int64_t cost_us;
	int first;

	*until = due_place_is_before(end, mark) ? end : mark;
	*from = DUE_BEGINNING;
	first = before(l, *until) - 1;
	if (l->is_whole || first < 0)
		return;
	cost_us = l->bookmarks[first].cost_us;
	while (first > 0 && cost_us + l->bookmarks[first - 1].cost_us <= l->piece_us)
		cost_us += l->bookmarks[--first].cost_us;
	*from = l->bookmarks[first].at;
	if (from->next_retry < until->next_retry && until->id > INT64_MIN)
		*from = (struct due_place){until->next_retry, INT64_MIN};
}

static void learn(struct look_back *l, struct due_place from, struct due_place until,
		  int64_t took_us)
{
	int first, end;

	add(l, from, 0);
	first = before(l, from);
	end = before(l, until);
	if (first >= end)
		return; /* the mark is at the beginning */
	if (took_us <= l->piece_us) {
		memmove(&l->bookmarks[first + 1], &l->bookmarks[end],
			(size_t)(l->count - end) * sizeof(l->bookmarks[0]));
		l->count -= end - first - 1;
		l->bookmarks[first].cost_us = took_us;
		return;
	}
	if (end - first == 1) {
		divide(l, from, until, took_us);
		first = before(l, from);
		end = before(l, until);
	}
	for (int i = first; i < end; i++)
		l->bookmarks[i].cost_us = took_us / (end - first);
}

static void take_turns(struct look_back *l)
{
	l->is_near = !l->is_near;
	l->left = l->is_near ? NEAR_PIECES : FAR_PIECES;
	l->near_until = THE_MARK;
}

bool look_back_took(struct look_back *l, struct due_place from, struct due_place until,
		    bool found, int64_t took_us)
{
	learn(l, from, until, took_us);
	if (found) {
		l->is_whole = l->is_whole && took_us <= l->piece_us;
		return false;
	}
	if (l->is_near)
		l->near_until = from;
	else
		l->spent_us += took_us;
	if (due_place_is_before(from, l->until))
		l->until = from;
	if (!due_place_is_before(DUE_BEGINNING, from)) {
		begin_at_mark(l);
		return true;
	}
	if (--l->left == 0)
		take_turns(l);
	return false;
}
