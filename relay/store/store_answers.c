#include "store_private.h"

#include <stdlib.h>

#include "base/buffer.h"
#include "store/sql.h"

/* A row is due from the beginning of its transaction on and seen after its end. Rows of
   transactions up to this long are seen at once, others by looking back. */
#define LATE_COMMIT_US 10000000

/* The same while rows come one after the other: each claim and peek walks what was claimed in that
   time, and while somebody pins the vacuum horizon none of it goes away. */
#define LATE_CLAIM_US 500000

static bool is_held(const struct pg_result *r, int64_t id)
{
	for (int i = 0; i < pg_rows(r); i++) {
		if (!pg_is_null(r, i, 1) && pg_int(r, i, 1) == id)
			return true;
	}
	return false;
}

/* False: the claim is not ours, and nothing was changed. */
static bool take_settled(struct store *s, struct batch *b, int index)
{
	const struct pg_result *r = pg_result(s->pg, index);

	for (int i = 0; b->is_careful && i < b->count; i++) {
		if (b->rows[i].state == ROW_SETTLING && is_held(r, b->rows[i].id))
			batch_set_state(b, &b->rows[i], ROW_DECIDED);
	}
	batch_move_all(b, ROW_SETTLING, ROW_SETTLED);
	return pg_int(r, 0, 0) > 0;
}

static bool take_sent(struct store *s, struct batch *b)
{
	const struct pg_result *r = pg_result(s->pg, s->at.sent);
	bool is_ours = false;

	for (int i = 0; i < pg_rows(r); i++)
		is_ours = is_ours || pg_int(r, i, 0) == b->claim_id;
	batch_move_all(b, ROW_SETTLING, ROW_SETTLED);
	return is_ours;
}

/* `now`: the server's time when the turn began, 0 where it is not known. Of -infinity nobody knows
   how long ago it is. */
static int64_t local_ms(const struct store *s, int64_t now, int64_t timestamp)
{
	if (!now || timestamp == PG_TIMESTAMP_MIN)
		return 0;
	return s->turn_began_ms - (now - timestamp) / 1000;
}

static void take_row(struct row *row, const struct pg_result *r, int i)
{
	struct slice body = pg_slice(r, i, SQL_FETCH_PAYLOAD);

	*row = (struct row){
		.message = {.message_id = pg_slice(r, i, SQL_FETCH_MESSAGE_ID),
			    .exchange = pg_slice(r, i, SQL_FETCH_EXCHANGE),
			    .routing_key = pg_slice(r, i, SQL_FETCH_ROUTING_KEY),
			    .body = body,
			    .content_type = pg_slice(r, i, SQL_FETCH_CONTENT_TYPE),
			    .headers = pg_slice(r, i, SQL_FETCH_HEADERS),
			    .properties = pg_slice(r, i, SQL_FETCH_PROPERTIES)},
		.body_size = body.data ? (int64_t)body.size
				       : pg_int(r, i, SQL_FETCH_UNFETCHED_SIZE),
		.try_count = pg_int(r, i, SQL_FETCH_TRY_COUNT),
	};
}

struct place {
	int64_t next_retry, id;
	int row; /* of the result */
};

static int compare(int64_t a, int64_t b)
{
	return (a > b) - (a < b);
}

static int by_due(const void *a, const void *b)
{
	const struct place *one = a, *other = b;
	int order = compare(one->next_retry, other->next_retry);

	return order ? order : compare(one->id, other->id);
}

/* Where the rows of the result belong: in the order in which they are due, as they were claimed.
   They come in that of their ids, which mostly is the same. */
static struct place *find_places(const struct pg_result *r)
{
	size_t count = (size_t)pg_rows(r);
	struct place *places = xmalloc(count * sizeof(*places));
	bool is_in_order = true;

	for (int i = 0; i < pg_rows(r); i++) {
		places[i] = (struct place){pg_int(r, i, SQL_FETCH_NEXT_RETRY),
					   pg_int(r, i, SQL_FETCH_ID), i};
		is_in_order =
			is_in_order && (i == 0 || by_due(&places[i - 1], &places[i]) < 0);
	}
	if (!is_in_order)
		qsort(places, count, sizeof(*places), by_due);
	return places;
}

/* Of rows that left `sending` meanwhile nothing is there. */
static void take_rows(const struct store *s, struct batch *b, const struct pg_result *r,
		      int64_t now)
{
	struct place *places = find_places(r);

	b->rows = xmalloc((size_t)pg_rows(r) * sizeof(*b->rows));
	for (; b->count < pg_rows(r); b->count++) {
		const struct place *place = &places[b->count];
		struct row *row = &b->rows[b->count];
		int64_t history = pg_int(r, place->row, SQL_FETCH_HISTORY);

		take_row(row, r, place->row);
		row->id = place->id;
		row->due_ms = local_ms(s, now, place->next_retry);
		row->has_history = history != SQL_HISTORY_NONE;
		b->in_state[ROW_WAITING]++;
		if (history == SQL_HISTORY_ALONE)
			batch_set_alone(b, row);
	}
	free(places);
}

/*
 * A claim whose rows are all gone by now is still a claim to settle: it becomes a batch
 * without rows.
 */
static struct batch *take_batch(struct store *s, int64_t claim_id, int64_t now)
{
	struct batch *b = xcalloc(1, sizeof(*b));

	b->turn = s->turn_number;
	b->claim_id = claim_id;
	b->lease_deadline_ms = s->turn_began_ms + s->settings.lease_ms;
	b->result = pg_result_take(s->pg, s->at.fetch);
	take_rows(s, b, b->result, now);
	return b;
}

static struct due_place take_place(const struct pg_result *r, int column)
{
	return (struct due_place){pg_int(r, 0, column), pg_int(r, 0, column + 1)};
}

static struct due_place after(struct due_place row)
{
	if (row.id < INT64_MAX)
		row.id++;
	return row;
}

/* All that is due a while before that moment. */
static struct due_place before(int64_t moment, int64_t us)
{
	return (struct due_place){moment - us, INT64_MIN};
}

static void read_all(struct store *s, struct store_turn *t, int64_t took_us)
{
	look_back_restart(&s->look_back);
	t->read_us = took_us;
	t->has_reached_beginning = true;
}

/* The next claim begins where this one ended, and at the latest where this one saw all there was. */
static void take_claim(struct store *s, struct store_turn *t)
{
	const struct pg_result *r = pg_result(s->pg, s->at.claim);
	struct due_place latest = before(pg_int(r, 0, 6), LATE_CLAIM_US);
	bool took_all;

	if (t->full_read)
		read_all(s, t, pg_int(r, 0, 7));
	if (pg_is_null(r, 0, 0))
		return;
	t->due = (int)pg_int(r, 0, 2);
	took_all = t->due < t->claim_limit && t->due == pg_int(r, 0, 1);
	s->due_from = after(take_place(r, 3));
	if (took_all || due_place_is_before(latest, s->due_from))
		s->due_from = latest;
	look_back_claimed(&s->look_back, s->due_from, pg_int(r, 0, 4), pg_int(r, 0, 1));
	s->claims_from = pg_int(r, 0, pg_is_null(r, 0, 5) ? 0 : 5);
	t->claimed = take_batch(s, pg_int(r, 0, 0), pg_int(r, 0, 6));
}

static void take_probe(struct store *s, struct store_turn *t)
{
	const struct pg_result *r = pg_result(s->pg, s->at.probe);

	if (pg_rows(r))
		t->claimed = take_batch(s, pg_int(r, 0, 0), 0);
}

static void take_adopted(struct store *s, struct store_turn *t)
{
	const struct pg_result *r = pg_result(s->pg, s->at.adopt);

	if (pg_rows(r) == 0)
		return;
	t->claimed = take_batch(s, pg_int(r, 0, 0), 0);
	t->claimed->is_adopted = true;
	t->claimed->publishing_id = pg_is_null(r, 0, 1) ? 0 : pg_int(r, 0, 1);
	for (int i = 0; i < t->claimed->count; i++)
		batch_set_alone(t->claimed, &t->claimed->rows[i]);
}

static void take_renewed(struct store *s, struct store_turn *t)
{
	const struct pg_result *r = pg_result(s->pg, s->at.renew);

	t->renewed_count = pg_rows(r);
	s->renewed = xrealloc(s->renewed, (size_t)t->renewed_count * sizeof(*s->renewed));
	for (int i = 0; i < t->renewed_count; i++)
		s->renewed[i] = pg_int(r, i, 0);
	t->renewed = s->renewed;
}

/* Nothing that the peek saw is due: it is claimed, or left alone. */
static void raise_due_from(struct store *s, struct due_place to)
{
	if (due_place_is_before(s->due_from, to))
		s->due_from = to;
}

/* The next claim shall find this row, committed late, without reading from the beginning. */
static void lower_due_from(struct store *s, struct due_place to)
{
	if (due_place_is_before(to, s->due_from))
		s->due_from = to;
}

static void looked_back(struct store *s, struct store_turn *t, bool found,
			int64_t took_us)
{
	t->found_late = found;
	t->read_us = took_us;
	t->has_reached_beginning = look_back_took(&s->look_back, s->look_from,
						  s->look_until, found, took_us);
}

static void take_look_back(struct store *s, struct store_turn *t)
{
	const struct pg_result *r = pg_result(s->pg, s->at.look_back);
	/* What was looked at may go on a little behind the mark. */
	bool found = !pg_is_null(r, 0, 0) &&
		     due_place_is_before(take_place(r, 0), s->look_until);

	looked_back(s, t, found, pg_int(r, 0, 2));
	if (found)
		lower_due_from(s, take_place(r, 0));
}

static void take_sleep(struct store *s, struct store_turn *t)
{
	static const enum store_bell bells[] = {STORE_BELL_WRITERS, STORE_BELL_TAKEN,
						STORE_BELL_SHARED};
	const struct pg_result *peek = pg_result(s->pg, s->at.peek);

	if (s->at.bell >= 0) {
		t->bell = bells[pg_int(pg_result(s->pg, s->at.bell), 0, 0)];
		s->has_bell = t->bell == STORE_BELL_TAKEN;
	} else if (s->has_bell) {
		t->bell = STORE_BELL_TAKEN;
	}
	t->next_due_ms = pg_is_null(peek, 0, 0) ? -1 : pg_int(peek, 0, 0);
	if (t->full_read) {
		read_all(s, t, pg_int(peek, 0, 6));
	} else if (t->look_back && s->at.look_back < 0) {
		bool found = t->next_due_ms == 0 &&
			     due_place_is_before(take_place(peek, 4), s->look_until);

		looked_back(s, t, found, pg_int(peek, 0, 6));
	}
	if (t->next_due_ms == 0)
		lower_due_from(s, take_place(peek, 4));
	else
		raise_due_from(s, before(pg_int(peek, 0, 2), LATE_COMMIT_US));
	t->dead_in_ms = pg_is_null(peek, 0, 1) ? -1 : pg_int(peek, 0, 1);
	t->named_left_ms = pg_is_null(peek, 0, 3) ? -1 : pg_int(peek, 0, 3);
}

void store_answers_take(struct store *s, struct store_turn *t)
{
	for (int i = 0; i < t->settle_count; i++) {
		if (s->at.settle[i] < 0)
			t->settled[i] = take_sent(s, t->settle[i]);
		else
			t->settled[i] = take_settled(s, t->settle[i], s->at.settle[i]);
	}
	if (t->name) {
		t->named = take_settled(s, t->name, s->at.name);
		t->name->publishing_id = t->publishing_id;
	}
	if (t->renew)
		take_renewed(s, t);
	if (t->adopt)
		take_adopted(s, t);
	if (t->claim_limit)
		take_claim(s, t);
	if (t->probe)
		take_probe(s, t);
	if (t->peek)
		take_sleep(s, t);
	if (s->at.look_back >= 0)
		take_look_back(s, t);
}
