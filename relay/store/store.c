#include "store.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/failpoint.h"
#include "store/migrate.h"
#include "store/pg.h"
#include "store/settle.h"
#include "store/sql.h"

/* The server enforces statement_timeout; this much later we stop believing in it. */
#define GRACE_MS 5000

/* A row is due from the beginning of its transaction on and seen after its end. Rows of
   transactions up to this long are seen at once, others by the next full read. */
#define LATE_COMMIT_US 10000000

/* Attempts to take claims over without an answer; the oldest are forgotten, and their
   claims, if there are any, are adopted like those of a dead relay. */
#define FORMER_IDS_MAX 16

struct store {
	struct store_settings settings;
	struct pg *pg;
	struct pg_params params;
	char *search_path;
	char *settle_sql[SETTLE_FORMS][2]; /* [][has refused rows] */

	int32_t relay_id; /* of this session; 0: none yet */
	/* Ids that our claims may stand under: the last session's, and those of later
	   attempts whose take-over got no answer. */
	int32_t former_ids[FORMER_IDS_MAX];
	int former_count;
	int32_t lock_key;
	uint32_t turn_number; /* never repeats within this process */
	bool has_bell;

	/* Low-water marks; see SQL_CLAIM. */
	int64_t due_from;
	int64_t due_from_id;
	int64_t claims_from;

	struct store_turn *turn; /* under way */
	int64_t turn_began_ms;
	int64_t *renewed;

	/* Where the answers of the turn stand; -1: not asked for. */
	struct {
		int settle[STORE_SETTLE_MAX], name, renew, adopt, claim, probe, fetch,
			bell, peek;
	} at;
};

/* --- life --- */

static char *search_path(const char *schema)
{
	char *quoted = pg_quote_identifier(schema);
	/* pg_temp last: unnamed it would come first. */
	char *path = xasprintf("%s, pg_temp", quoted);

	free(quoted);
	return path;
}

struct store *store_new(const struct store_settings *settings)
{
	struct store *s = xcalloc(1, sizeof(*s));
	char *application_name = xasprintf("outbox-relay %s", settings->relay_name);

	s->settings = *settings;
	s->search_path = search_path(settings->schema);
	for (int form = 0; form < SETTLE_FORMS; form++) {
		for (int refuses = 0; refuses < 2; refuses++)
			s->settle_sql[form][refuses] =
				settle_text((enum settle_form)form,
					    settings->deletes_sent, refuses);
	}
	s->pg = pg_new(
		&(struct pg_settings){.url = settings->url,
				      .keeps_plans = !settings->transaction_pooling,
				      .password = settings->password,
				      .tls = settings->tls,
				      .application_name = application_name});
	free(application_name);
	return s;
}

void store_free(struct store *s)
{
	if (!s)
		return;
	store_close(s);
	pg_free(s->pg);
	pg_params_release(&s->params);
	for (int form = 0; form < SETTLE_FORMS; form++) {
		free(s->settle_sql[form][0]);
		free(s->settle_sql[form][1]);
	}
	free(s->search_path);
	free(s->renewed);
	free(s);
}

/* Whether it was committed or not: settling again is safe, since it is bound to the
 * claim. */
static void take_back(struct store_turn *t)
{
	for (int i = 0; i < t->settle_count; i++)
		batch_move_all(t->settle[i], ROW_SETTLING, ROW_DECIDED);
	if (t->name)
		batch_move_all(t->name, ROW_SETTLING, ROW_DECIDED);
}

void store_close(struct store *s)
{
	pg_close(s->pg);
	if (s->turn)
		take_back(s->turn);
	s->turn = NULL;
	s->has_bell = false;
}

bool store_is_open(const struct store *s)
{
	return pg_is_open(s->pg);
}

int store_fd(const struct store *s)
{
	return pg_fd(s->pg);
}

short store_events(const struct store *s)
{
	return pg_events(s->pg);
}

int64_t store_deadline_ms(const struct store *s)
{
	return pg_deadline_ms(s->pg);
}

const char *store_peer(const struct store *s)
{
	return pg_peer(s->pg);
}

bool store_has_bell(const struct store *s)
{
	return s->has_bell;
}

int32_t store_relay_id(const struct store *s)
{
	return s->relay_id;
}

/* --- statements --- */

static bool has_session(const struct store *s)
{
	return !s->settings.transaction_pooling;
}

static void add_settings(struct store *s)
{
	char statement_ms[16], lock_ms[16], idle_ms[16];
	struct pg_params *p = &s->params;

	snprintf(statement_ms, sizeof(statement_ms), "%d",
		 s->settings.statement_timeout_ms);
	snprintf(lock_ms, sizeof(lock_ms), "%d", s->settings.lock_timeout_ms);
	snprintf(idle_ms, sizeof(idle_ms), "%d", s->settings.statement_timeout_ms);
	pg_params_clear(p);
	pg_params_bool(p, !has_session(s));
	pg_params_text(p, s->search_path);
	pg_params_text(p, statement_ms);
	pg_params_text(p, lock_ms);
	pg_params_text(p, idle_ms);
	pg_add(s->pg, SQL_SETTINGS, p);
}

/* Behind a pooler each transaction brings its settings along. */
static void add_begin(struct store *s)
{
	pg_add(s->pg, SQL_BEGIN, NULL);
	if (!has_session(s))
		add_settings(s);
}

static void add_commit(struct store *s)
{
	pg_add(s->pg, SQL_COMMIT, NULL);
	pg_sync(s->pg);
}

static int add_key_statement(struct store *s, const char *sql)
{
	pg_params_clear(&s->params);
	pg_params_int4(&s->params, s->lock_key);
	return pg_add(s->pg, sql, &s->params);
}

static int answer_timeout_ms(const struct store *s)
{
	return s->settings.statement_timeout_ms + GRACE_MS;
}

/* --- opening --- */

static int check_version(struct store *s, const struct pg_result *r, struct error *err)
{
	int64_t found = pg_int(r, 0, 0);

	if (found >= migrate_newest())
		return 0; /* a newer schema serves older relays, for rolling upgrades */
	return error_set(err, ERROR_REFUSED,
			 "schema %s is at version %lld, this relay needs %d: run "
			 "`outbox-relay migrate`",
			 s->settings.schema, (long long)found, migrate_newest());
}

static int greet(struct store *s, int64_t deadline_ms, struct error *err)
{
	int version, registered;

	pg_begin(s->pg);
	if (has_session(s)) {
		pg_add(s->pg, SQL_ISOLATION, NULL);
		pg_sync(s->pg);
		add_settings(s);
		pg_sync(s->pg);
	}
	add_begin(s);
	version = pg_add(s->pg, SQL_VERSION, NULL);
	registered = pg_add(s->pg, SQL_REGISTER, NULL);
	add_commit(s);
	if (pg_run(s->pg, clock_wait_ms(deadline_ms, clock_ms()), err) < 0) {
		if (strcmp(pg_sqlstate(s->pg), "42P01") == 0)
			return error_wrap(err, "schema %s (run `outbox-relay migrate`)",
					  s->settings.schema);
		return -1;
	}
	if (check_version(s, pg_result(s->pg, version), err) < 0)
		return -1;
	s->relay_id = (int32_t)pg_int(pg_result(s->pg, registered), 0, 0);
	s->lock_key = (int32_t)pg_int(pg_result(s->pg, registered), 0, 1);
	return 0;
}

/* LISTEN takes no parameters. The channel is the one that message_log_ring() notifies. */
static void add_listen(struct store *s)
{
	char *sql = xasprintf("LISTEN message_log_%lld",
			      (long long)s->lock_key + 2147483648LL);

	pg_add(s->pg, sql, NULL);
	free(sql);
}

static bool contains(const struct pg_result *r, int64_t claim_id)
{
	for (int i = 0; i < pg_rows(r); i++) {
		if (pg_int(r, i, 0) == claim_id)
			return true;
	}
	return false;
}

static void remember_id(struct store *s)
{
	if (s->former_count == FORMER_IDS_MAX) {
		s->former_count--;
		memmove(s->former_ids, s->former_ids + 1,
			sizeof(s->former_ids) - sizeof(s->former_ids[0]));
	}
	s->former_ids[s->former_count++] = s->relay_id;
}

static void add_former_ids(struct store *s, struct batch *const *batches, int count)
{
	struct pg_params *p = &s->params;

	pg_params_int8_array(p, (size_t)s->former_count);
	for (int i = 0; i < s->former_count; i++)
		pg_params_element_int8(p, s->former_ids[i]);
	pg_params_array_end(p);
	pg_params_int8_array(p, (size_t)count);
	for (int i = 0; i < count; i++)
		pg_params_element_int8(p, batches[i]->claim_id);
	pg_params_array_end(p);
}

static int take_over(struct store *s, struct batch *const *batches, int count, bool *lost,
		     int64_t deadline_ms, struct error *err)
{
	struct pg_params *p = &s->params;
	int64_t began_ms = clock_ms();
	int retaken;

	pg_begin(s->pg);
	if (has_session(s)) {
		pg_params_clear(p);
		pg_params_int4(p, s->lock_key);
		pg_params_int4(p, s->relay_id);
		pg_add(s->pg, SQL_LOCK_SELF, p);
		if (s->settings.wants_bell)
			add_listen(s);
		pg_sync(s->pg);
	}
	add_begin(s);
	pg_params_clear(p);
	add_former_ids(s, batches, count);
	pg_add(s->pg, SQL_DROP_UNKNOWN, p);
	pg_params_clear(p);
	add_former_ids(s, batches, count);
	pg_params_int4(p, s->relay_id);
	pg_params_int8(p, s->settings.lease_ms);
	pg_params_bool(p, has_session(s));
	retaken = pg_add(s->pg, SQL_RETAKE, p);
	FAILPOINT_AFTER(pg_start(s->pg, 0), take_over_uncommitted);
	add_commit(s);
	FAILPOINT_AFTER(pg_start(s->pg, 0), take_over_sent);
	remember_id(s);
	if (pg_run(s->pg, clock_wait_ms(deadline_ms, clock_ms()), err) < 0)
		return -1;
	s->former_count = 0;
	remember_id(s);
	for (int i = 0; i < count; i++) {
		lost[i] = !contains(pg_result(s->pg, retaken), batches[i]->claim_id);
		batches[i]->lease_deadline_ms = began_ms + s->settings.lease_ms;
	}
	return 0;
}

int store_open(struct store *s, struct batch *const *batches, int count, bool *lost,
	       int timeout_ms, int stop_fd, struct error *err)
{
	int64_t deadline_ms;

	if (timeout_ms > s->settings.connect_timeout_ms)
		timeout_ms = s->settings.connect_timeout_ms;
	deadline_ms = clock_ms() + timeout_ms;
	if (pg_open(s->pg, timeout_ms, stop_fd, err) < 0)
		return -1;
	if (greet(s, deadline_ms, err) < 0 ||
	    take_over(s, batches, count, lost, deadline_ms, err) < 0) {
		store_close(s);
		return -1;
	}
	s->due_from = PG_TIMESTAMP_MIN;
	s->due_from_id = INT64_MIN;
	s->claims_from = INT64_MIN;
	return 0;
}

/* --- a turn --- */

static int add_settle(struct store *s, struct batch *b, enum settle_form form,
		      int64_t publishing_id)
{
	bool refuses;

	if (b->is_careful)
		form = SETTLE_CAREFUL;
	refuses = settle_params(&s->params, b, s->relay_id, form, publishing_id);
	/* What is decided from here on is for the next settlement. */
	batch_move_all(b, ROW_DECIDED, ROW_SETTLING);
	b->is_settling = form == SETTLE_CLOSE;
	return pg_add(s->pg, s->settle_sql[form][refuses], &s->params);
}

static int add_renew(struct store *s)
{
	pg_params_clear(&s->params);
	pg_params_int4(&s->params, s->relay_id);
	pg_params_int8(&s->params, s->settings.lease_ms);
	return pg_add(s->pg, SQL_RENEW, &s->params);
}

static int add_adopt(struct store *s)
{
	struct pg_params *p = &s->params;

	pg_params_clear(p);
	pg_params_int4(p, s->relay_id);
	pg_params_int4(p, s->lock_key);
	pg_params_text(p, s->settings.relay_name);
	pg_params_int8(p, s->turn_number);
	pg_params_int8(p, s->settings.lease_ms);
	pg_params_bool(p, has_session(s));
	return pg_add(s->pg, SQL_ADOPT, p);
}

static void add_owner(struct store *s)
{
	struct pg_params *p = &s->params;

	pg_params_clear(p);
	pg_params_int4(p, s->relay_id);
	pg_params_text(p, s->settings.relay_name);
	pg_params_int8(p, s->turn_number);
	pg_params_int8(p, s->settings.lease_ms);
	pg_params_bool(p, has_session(s));
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

static void add_due_from(struct store *s, const struct store_turn *t)
{
	pg_params_timestamptz(&s->params, t->full_read ? PG_TIMESTAMP_MIN : s->due_from);
	pg_params_int8(&s->params, t->full_read ? INT64_MIN : s->due_from_id);
}

static int add_claim(struct store *s, const struct store_turn *t)
{
	struct pg_params *p = &s->params;

	add_owner(s);
	pg_params_int8(p, t->claim_limit);
	pg_params_int8(p, s->settings.batch_bytes);
	add_due_from(s, t);
	pg_params_int8(p, s->claims_from);
	pg_params_int8(p, s->settings.max_message_bytes);
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
	add_owner(s);
	return pg_add(s->pg, SQL_CLAIM_PROBE, &s->params);
}

static int add_fetch(struct store *s)
{
	struct pg_params *p = &s->params;

	pg_params_clear(p);
	pg_params_int4(p, s->relay_id);
	pg_params_int8(p, s->turn_number);
	pg_params_int8(p, s->claims_from);
	pg_params_int8(p, s->settings.max_message_bytes);
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

/* One commit for all that is written. */
static void add_writes(struct store *s, const struct store_turn *t)
{
	add_begin(s);
	for (int i = 0; i < t->settle_count; i++)
		s->at.settle[i] = add_settle(s, t->settle[i], SETTLE_CLOSE, 0);
	if (t->name)
		s->at.name = add_settle(s, t->name, SETTLE_KEEP, t->publishing_id);
	if (t->renew)
		s->at.renew = add_renew(s);
	if (t->probe)
		add_find_probe(s, t);
	/* After the row updates, which may have to wait for somebody's row lock. */
	if (claims(t))
		add_key_statement(s, SQL_CLAIM_LOCK);
	if (t->adopt)
		s->at.adopt = add_adopt(s);
	if (t->claim_limit)
		s->at.claim = add_claim(s, t);
	if (t->probe)
		s->at.probe = add_claim_probe(s);
	FAILPOINT_AFTER(pg_start(s->pg, 0), uncommitted);
	add_commit(s);
}

static void add_reads(struct store *s, const struct store_turn *t)
{
	if (claims(t)) {
		FAILPOINT_AFTER(pg_start(s->pg, 0), fetch_unsent);
		add_begin(s);
		s->at.fetch = add_fetch(s);
		add_commit(s);
	}
	/* A transaction each: what the peek sees must be younger than the bell. */
	if (t->sleep && !s->has_bell) {
		s->at.bell = add_key_statement(s, SQL_BELL_TAKE);
		pg_sync(s->pg);
	}
	if (t->peek) {
		if (!has_session(s))
			add_begin(s);
		pg_params_clear(&s->params);
		pg_params_int4(&s->params, s->relay_id);
		pg_params_int4(&s->params, s->lock_key);
		add_due_from(s, t);
		add_around(s, t);
		s->at.peek = pg_add(s->pg, t->around_count ? SQL_PEEK_AROUND : SQL_PEEK,
				    &s->params);
		if (!has_session(s))
			pg_add(s->pg, SQL_COMMIT, NULL);
		pg_sync(s->pg);
	}
}

void store_turn_begin(struct store *s, struct store_turn *t)
{
	assert(!s->turn && !!t->adopt + !!t->claim_limit + !!t->probe <= 1);
	assert(!t->sleep || t->peek);
	assert(writes(t) || t->peek || (t->wake && s->has_bell));
	memset(&s->at, -1, sizeof(s->at));
	s->turn = t;
	s->turn_number++;
	s->turn_began_ms = clock_ms();
	pg_begin(s->pg);
	/* From here on writers need not ring: we are awake. */
	if ((t->claim_limit || t->wake) && s->has_bell) {
		add_key_statement(s, SQL_BELL_RELEASE);
		pg_sync(s->pg);
		s->has_bell = false;
	}
	if (writes(t))
		add_writes(s, t);
	add_reads(s, t);
	pg_start(s->pg, answer_timeout_ms(s));
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

/* --- answers --- */

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

/* `now`: the server's time when the turn began, 0 where it is not known. */
static int64_t local_ms(const struct store *s, int64_t now, int64_t timestamp)
{
	return now ? s->turn_began_ms - (now - timestamp) / 1000 : 0;
}

static void take_row(struct row *row, const struct pg_result *r, int i)
{
	*row = (struct row){
		.id = pg_int(r, i, 1),
		.message = {.message_id = pg_slice(r, i, 2),
			    .exchange = pg_slice(r, i, 3),
			    .routing_key = pg_slice(r, i, 4),
			    .body = pg_slice(r, i, 5),
			    .content_type = pg_slice(r, i, 7),
			    .headers = pg_slice(r, i, 8),
			    .properties = pg_slice(r, i, 9)},
		.body_size = pg_int(r, i, 6),
		.try_count = pg_int(r, i, 10),
	};
}

/* The rows come in any order, with their places; those that left `sending` leave gaps. */
static void take_rows(const struct store *s, struct batch *b, const struct pg_result *r,
		      int64_t now)
{
	int places = 0;
	int *row_at;

	for (int i = 0; i < pg_rows(r); i++) {
		int place = (int)pg_int(r, i, 0);

		places = place > places ? place : places;
	}
	row_at = xcalloc((size_t)places + 1, sizeof(*row_at));
	for (int i = 0; i < pg_rows(r); i++)
		row_at[pg_int(r, i, 0)] = i + 1;
	b->rows = xcalloc((size_t)pg_rows(r), sizeof(*b->rows));
	for (int place = 1; place <= places; place++) {
		int i = row_at[place] - 1;

		if (i < 0)
			continue;
		take_row(&b->rows[b->count], r, i);
		b->rows[b->count].due_ms = local_ms(s, now, pg_int(r, i, 12));
		b->in_state[ROW_WAITING]++;
		if (pg_bool(r, i, 11))
			batch_set_alone(b, &b->rows[b->count]);
		b->count++;
	}
	free(row_at);
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

static void take_claim(struct store *s, struct store_turn *t)
{
	const struct pg_result *r = pg_result(s->pg, s->at.claim);

	if (pg_rows(r) == 0)
		return;
	t->due = (int)pg_int(r, 0, 2);
	s->due_from = pg_int(r, 0, 3);
	s->due_from_id = pg_int(r, 0, 4);
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

/* Nothing that the peek saw before this moment was due: it is claimed, or left alone. */
static void raise_due_from(struct store *s, int64_t timestamp)
{
	if (timestamp <= s->due_from)
		return;
	s->due_from = timestamp;
	s->due_from_id = INT64_MIN;
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
	if (t->next_due_ms != 0)
		raise_due_from(s, pg_int(peek, 0, 2) - LATE_COMMIT_US);
	t->has_dead = pg_bool(peek, 0, 1);
}

static void take_answers(struct store *s, struct store_turn *t)
{
	for (int i = 0; i < t->settle_count; i++) {
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
}

int store_turn_poll(struct store *s, struct error *err)
{
	int rc = pg_pump(s->pg, err);

	if (rc > 0)
		take_answers(s, s->turn);
	if (rc < 0)
		take_back(s->turn);
	if (rc != 0)
		s->turn = NULL;
	return rc;
}

int store_listen(struct store *s, struct error *err)
{
	return pg_notified(s->pg, err);
}
