#include "store_private.h"

#include <assert.h>
#include <string.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "store/settle.h"
#include "store/sql.h"

/* The server enforces statement_timeout; this much later we stop believing in it. */
#define GRACE_MS 5000

/* With no memory for so little, it is not the size of what is fetched. */
#define FETCH_LEAST_BYTES 4096

static int add_settle(struct store *s, struct batch *b, enum settle_form form,
		      int64_t publishing_id)
{
	bool tells = settle_tells(b);

	if (b->is_careful)
		form = SETTLE_CAREFUL;
	settle_params(&s->params, b, s->relay_id, form, publishing_id);
	/* What is decided from here on is for the next settlement. */
	batch_move_all(b, ROW_DECIDED, ROW_SETTLING);
	b->is_settling = form == SETTLE_CLOSE;
	/* Its join could be kept as one that walks the whole table, and it is not frequent. */
	if (tells)
		return pg_add_planned_anew(s->pg, s->settle_sql[form][true], &s->params);
	return pg_add(s->pg, s->settle_sql[form][false], &s->params);
}

/* Those that have something to tell one by one, the others together. */
static void add_settlements(struct store *s, const struct store_turn *t)
{
	struct batch *sent[STORE_SETTLE_MAX];
	int count = 0;

	for (int i = 0; i < t->settle_count; i++) {
		struct batch *b = t->settle[i];

		if (b->is_careful || settle_tells(b))
			s->at.settle[i] = add_settle(s, b, SETTLE_CLOSE, 0);
		else
			sent[count++] = b;
	}
	if (!count)
		return;
	settle_params_sent(&s->params, sent, count, s->relay_id);
	s->at.sent = pg_add(s->pg, s->settle_sql[SETTLE_SENT][false], &s->params);
	for (int i = 0; i < count; i++) {
		batch_move_all(sent[i], ROW_DECIDED, ROW_SETTLING);
		sent[i]->is_settling = true;
	}
}

void store_add_claim_lock(struct store *s, bool is_async)
{
	pg_params_clear(&s->params);
	pg_params_int4(&s->params, s->lock_key);
	pg_add(s->pg, is_async ? SQL_CLAIM_LOCK_ASYNC : SQL_CLAIM_LOCK, &s->params);
}

static int add_renew(struct store *s)
{
	pg_params_clear(&s->params);
	pg_params_int4(&s->params, s->relay_id);
	pg_params_int8(&s->params, s->settings.lease_ms);
	return pg_add(s->pg, SQL_RENEW, &s->params);
}

static int add_adopt(struct store *s, bool with_named)
{
	struct pg_params *p = &s->params;

	pg_params_clear(p);
	pg_params_int4(p, s->relay_id);
	pg_params_int4(p, s->lock_key);
	pg_params_bool(p, with_named);
	pg_params_text(p, s->settings.relay_name);
	pg_params_int8(p, s->turn_number);
	pg_params_int8(p, s->settings.lease_ms);
	pg_params_bool(p, store_has_session(s));
	return pg_add(s->pg, SQL_ADOPT, p);
}

void store_add_owner(struct store *s)
{
	struct pg_params *p = &s->params;

	pg_params_clear(p);
	pg_params_int4(p, s->relay_id);
	pg_params_text(p, s->settings.relay_name);
	pg_params_int8(p, s->turn_number);
	pg_params_int8(p, s->settings.lease_ms);
	pg_params_bool(p, store_has_session(s));
}

static void add_around(struct store *s, const struct store_turn *t)
{
	struct pg_params *p = &s->params;

	if (!t->around_count)
		return;
	pg_params_text_array(p, (size_t)t->around_count);
	for (int i = 0; i < t->around_count; i++)
		pg_params_element_text(p, t->around[i].exchange);
	pg_params_array_end(p);
	pg_params_text_array(p, (size_t)t->around_count);
	for (int i = 0; i < t->around_count; i++)
		pg_params_element_text(p, t->around[i].routing_key);
	pg_params_array_end(p);
}

static void add_place(struct store *s, struct due_place place)
{
	pg_params_timestamptz(&s->params, place.next_retry);
	pg_params_int8(&s->params, place.id);
}

static void add_due_from(struct store *s, bool from_beginning)
{
	add_place(s, from_beginning ? DUE_BEGINNING : s->due_from);
}

int64_t store_fetch_less(struct store *s)
{
	if (s->fetch_bytes / 2 >= FETCH_LEAST_BYTES)
		s->fetch_bytes /= 2;
	s->fetch_more_at_ms = clock_ms() + STORE_FETCH_LESS_MS;
	return s->fetch_bytes;
}

static void fetch_more(struct store *s)
{
	if (s->fetch_bytes == s->settings.max_message_bytes ||
	    clock_ms() < s->fetch_more_at_ms)
		return;
	s->fetch_bytes *= 2;
	if (s->fetch_bytes > s->settings.max_message_bytes)
		s->fetch_bytes = s->settings.max_message_bytes;
	s->fetch_more_at_ms = clock_ms() + STORE_FETCH_LESS_MS;
}

static int64_t claim_bytes(const struct store *s)
{
	return s->fetch_bytes < s->settings.batch_bytes ? s->fetch_bytes
							: s->settings.batch_bytes;
}

static int add_claim(struct store *s, const struct store_turn *t)
{
	struct pg_params *p = &s->params;

	store_add_owner(s);
	pg_params_int8(p, t->claim_limit);
	pg_params_int8(p, claim_bytes(s));
	add_due_from(s, t->full_read);
	pg_params_int8(p, s->claims_from);
	pg_params_int8(p, s->fetch_bytes);
	add_around(s, t);
	return pg_add(s->pg, t->around_count ? SQL_CLAIM_AROUND : SQL_CLAIM, p);
}

static void add_find_probe(struct store *s, const struct store_turn *t)
{
	struct pg_params *p = &s->params;

	pg_params_clear(p);
	pg_params_text(p, t->probe->exchange);
	pg_params_text(p, t->probe->routing_key);
	pg_params_int8(p, t->probe_attempts);
	pg_add(s->pg, t->probe_newest ? SQL_PROBE_NEWEST : SQL_PROBE_OLDEST, p);
}

static int add_claim_probe(struct store *s)
{
	store_add_owner(s);
	return pg_add(s->pg, SQL_CLAIM_PROBE, &s->params);
}

static int add_fetch(struct store *s)
{
	struct pg_params *p = &s->params;

	pg_params_clear(p);
	pg_params_int4(p, s->relay_id);
	pg_params_int8(p, s->turn_number);
	pg_params_int8(p, s->claims_from);
	pg_params_int8(p, s->fetch_bytes);
	return pg_add(s->pg, SQL_FETCH, p);
}

static bool writes(const struct store_turn *t)
{
	return t->settle_count || t->name || t->renew || t->adopt || t->claim_limit ||
	       t->probe;
}

static bool claims(const struct store_turn *t)
{
	return t->adopt || t->claim_limit || t->probe;
}

/* Behind a pooler a crash of the server need not end our connection, and nobody would miss the claim. */
static bool need_not_wait(const struct store *s, const struct store_turn *t)
{
	return store_has_session(s) && t->claim_limit &&
	       !(t->settle_count || t->name || t->renew || t->adopt || t->probe);
}

/* One commit for all that is written. */
static void add_writes(struct store *s, const struct store_turn *t)
{
	store_add_begin(s);
	add_settlements(s, t);
	if (t->name)
		s->at.name = add_settle(s, t->name, SETTLE_KEEP, t->publishing_id);
	if (t->renew)
		s->at.renew = add_renew(s);
	if (t->probe)
		add_find_probe(s, t);
	/* After the row updates, which may have to wait for somebody's row lock. */
	if (claims(t))
		store_add_claim_lock(s, need_not_wait(s, t));
	if (t->adopt)
		s->at.adopt = add_adopt(s, t->with_named);
	if (t->claim_limit)
		s->at.claim = add_claim(s, t);
	if (t->probe)
		s->at.probe = add_claim_probe(s);
	FAILPOINT_AFTER(pg_start(s->pg, 0), uncommitted);
	store_add_commit(s);
}

/* Around a statement that is a transaction of its own. */
static void add_begin_alone(struct store *s)
{
	if (!store_has_session(s))
		store_add_begin(s);
}

static void add_end_alone(struct store *s)
{
	if (!store_has_session(s))
		pg_add(s->pg, SQL_COMMIT, NULL);
	pg_sync(s->pg);
}

/* A peek from the beginning is a look back as well. */
static bool peeks_back(const struct store *s, const struct store_turn *t)
{
	return t->peek && t->look_back && s->look_back.is_whole;
}

static void add_peek(struct store *s, const struct store_turn *t)
{
	struct pg_params *p = &s->params;

	add_begin_alone(s);
	pg_params_clear(p);
	pg_params_int4(p, s->relay_id);
	pg_params_int4(p, s->lock_key);
	pg_params_bool(p, t->with_named);
	add_due_from(s, t->full_read || peeks_back(s, t));
	pg_params_int8(p, s->claims_from);
	add_around(s, t);
	s->at.peek = pg_add(s->pg, t->around_count ? SQL_PEEK_AROUND : SQL_PEEK, p);
	add_end_alone(s);
}

static const char *look_back_sql(const struct store_turn *t, bool of_ids)
{
	static const char *const sql[2][2] = {
		{SQL_LOOK_BACK_TIMES, SQL_LOOK_BACK_TIMES_AROUND},
		{SQL_LOOK_BACK_IDS, SQL_LOOK_BACK_IDS_AROUND},
	};

	return sql[of_ids][t->around_count > 0];
}

static void add_look_back(struct store *s, const struct store_turn *t)
{
	struct pg_params *p = &s->params;
	const struct due_place *until = &s->look_until;
	bool of_ids = s->look_from.next_retry == until->next_retry;

	add_begin_alone(s);
	pg_params_clear(p);
	add_place(s, s->look_from);
	if (of_ids)
		pg_params_int8(p, until->id);
	else
		pg_params_timestamptz(p, until->next_retry + (until->id > INT64_MIN));
	pg_params_int8(p, s->claims_from);
	add_around(s, t);
	s->at.look_back = pg_add(s->pg, look_back_sql(t, of_ids), p);
	add_end_alone(s);
}

static void add_reads(struct store *s, const struct store_turn *t)
{
	if (claims(t)) {
		FAILPOINT_AFTER(pg_start(s->pg, 0), fetch_unsent);
		add_begin_alone(s);
		s->at.fetch = add_fetch(s);
		add_end_alone(s);
	}
	/* A transaction each: what the peek sees must be younger than the bell. */
	if (t->sleep && !s->has_bell) {
		s->at.bell = pg_add(s->pg, SQL_BELL_TAKE, NULL);
		pg_sync(s->pg);
	}
	if (t->look_back)
		look_back_piece(&s->look_back, s->due_from, &s->look_from,
				&s->look_until);
	if (t->peek)
		add_peek(s, t);
	if (t->look_back && !peeks_back(s, t))
		add_look_back(s, t);
}

void store_turn_begin(struct store *s, struct store_turn *t)
{
	assert(!s->turn && !!t->adopt + !!t->claim_limit + !!t->probe <= 1);
	assert(!t->sleep || t->peek);
	assert(!t->look_back || (!t->full_read && (t->peek || t->claim_limit)));
	assert(writes(t) || t->peek || (t->wake && s->has_bell));
	memset(&s->at, -1, sizeof(s->at));
	s->turn = t;
	s->turn_number++;
	s->turn_began_ms = clock_ms();
	fetch_more(s);
	pg_begin(s->pg);
	/* From here on writers need not ring: we are awake. */
	if (((t->claim_limit && !t->keeps_bell) || t->wake) && s->has_bell) {
		pg_add(s->pg, SQL_BELL_RELEASE, NULL);
		pg_sync(s->pg);
		s->has_bell = false;
	}
	if (writes(t))
		add_writes(s, t);
	add_reads(s, t);
	pg_start(s->pg, s->settings.statement_timeout_ms + GRACE_MS);
	FAILPOINT_IF(t->settle_count, settle_sent);
	FAILPOINT_IF(t->name, name_sent);
	FAILPOINT_IF(t->renew, renew_sent);
	FAILPOINT_IF(t->adopt, adopt_sent);
	FAILPOINT_IF(t->claim_limit, claim_sent);
	FAILPOINT_IF(t->probe, probe_sent);
	FAILPOINT_IF(t->sleep, bell_sent);
	FAILPOINT_IF(t->wake, wake_sent);
}

bool store_turn_is_busy(const struct store *s)
{
	return s->turn != NULL;
}

/* Whether it was committed or not: settling again is safe, since it is bound to the
 * claim. */
void store_turn_abandon(struct store *s)
{
	struct store_turn *t = s->turn;

	if (!t)
		return;
	for (int i = 0; i < t->settle_count; i++)
		batch_move_all(t->settle[i], ROW_SETTLING, ROW_DECIDED);
	if (t->name)
		batch_move_all(t->name, ROW_SETTLING, ROW_DECIDED);
	s->turn = NULL;
}

int store_turn_poll(struct store *s, struct error *err)
{
	int rc = pg_pump(s->pg, err);

	if (rc > 0) {
		store_answers_take(s, s->turn);
		s->turn = NULL;
	}
	if (rc < 0)
		store_turn_abandon(s);
	return rc;
}
