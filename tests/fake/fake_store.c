#include "fake_store.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "fake/fake.h"
#include "fake/fake_batch.h"
#include "fake/fake_claim.h"
#include "fake/fake_clock.h"
#include "store/sql.h"

#define GRACE_MS     5000
#define SESSIONS_MAX 4

struct fake_database fake_database;
static struct fake_database *const db = &fake_database;

struct store {
	struct store_settings settings;
	bool is_open;
	int64_t ended_ms;
	int32_t relay_id;
	int32_t former_id; /* of the last session */
	uint32_t turn_number;
	bool has_bell;

	struct store_turn *turn; /* under way */
	int64_t began_ms;
	int64_t answer_at_ms;
	enum fake_loss loss;
	bool hangs;

	/* The server's answer, on its way. */
	struct store_turn answer;
	int64_t claim_id; /* of `claimed`; 0: nothing */
	int64_t publishing_id;
	int64_t fetched[FAKE_CLAIM_ROWS];
	int fetched_count;
	int64_t renewed[FAKE_CLAIMS_MAX];
	bool times_out; /* on somebody's row lock */
};

static struct store *sessions[SESSIONS_MAX]; /* whose advisory locks are held */

/* --- the table --- */

void fake_database_reset(void)
{
	memset(db, 0, sizeof(*db));
	memset(sessions, 0, sizeof(sessions));
	db->answer_ms = 1;
	db->open_error = ERROR_LOST;
	db->bell = STORE_BELL_TAKEN;
}

struct fake_row *fake_database_row(int64_t id)
{
	for (int i = 0; i < db->row_count; i++) {
		if (db->rows[i].id == id)
			return &db->rows[i];
	}
	ck_abort_msg("no row %lld", (long long)id);
	return NULL;
}

struct fake_claim *fake_database_claim(int64_t claim_id)
{
	for (int i = 0; i < db->claim_count; i++) {
		if (db->claims[i].claim_id == claim_id)
			return &db->claims[i];
	}
	return NULL;
}

int fake_database_count(enum fake_status status)
{
	int count = 0;

	for (int i = 0; i < db->row_count; i++)
		count += db->rows[i].status == status;
	return count;
}

void fake_database_ring(void)
{
	db->is_rung = true;
	fake_clock_at(clock_ms(), NULL, NULL);
}

void fake_database_insert(int64_t first_id, int count, int64_t next_retry_ms)
{
	bool rings = db->bell == STORE_BELL_SHARED;

	for (int i = 0; i < count; i++) {
		fake_assert(db->row_count < FAKE_ROWS_MAX);
		db->rows[db->row_count++] =
			(struct fake_row){.id = first_id + i,
					  .next_retry_ms = next_retry_ms,
					  .body_size = 2};
	}
	for (int i = 0; i < SESSIONS_MAX; i++)
		rings = rings || (sessions[i] && sessions[i]->has_bell);
	if (rings)
		fake_database_ring();
}

static struct fake_claim *add_claim(int32_t relay_id, int64_t lease_until_ms)
{
	struct fake_claim *c = &db->claims[db->claim_count++];

	fake_assert(db->claim_count <= FAKE_CLAIMS_MAX);
	*c = (struct fake_claim){.claim_id = ++db->last_claim_id,
				 .relay_id = relay_id,
				 .lease_until_ms = lease_until_ms};
	return c;
}

struct fake_claim *fake_database_dead_claim(int64_t first_id, int count,
					    int64_t publishing_id)
{
	struct fake_claim *c = add_claim(++db->last_relay_id, 0);

	for (int i = 0; i < count; i++)
		c->ids[c->count++] = first_id + i;
	c->publishing_id = publishing_id;
	return c;
}

static void drop_claim(struct fake_claim *c)
{
	*c = db->claims[--db->claim_count];
}

static bool is_claimed(int64_t id)
{
	for (int i = 0; i < db->claim_count; i++) {
		for (int k = 0; k < db->claims[i].count; k++) {
			if (db->claims[i].ids[k] == id)
				return true;
		}
	}
	return false;
}

static bool is_alive(int32_t relay_id)
{
	if (relay_id == FAKE_OTHER_RELAY)
		return true;
	for (int i = 0; i < SESSIONS_MAX; i++) {
		if (sessions[i] && sessions[i]->relay_id == relay_id)
			return true;
	}
	return false;
}

/* As SQL_ADOPT has them. */
static bool is_over(const struct store *s, const struct fake_claim *c, bool with_named)
{
	return c->relay_id != s->relay_id && (!c->publishing_id || with_named) &&
	       c->lease_until_ms < clock_ms();
}

static bool has_no_session(const struct store *s, const struct fake_claim *c)
{
	return c->relay_id != s->relay_id && !c->publishing_id && !is_alive(c->relay_id);
}

/* --- life --- */

struct store *store_new(const struct store_settings *settings)
{
	struct store *s = xcalloc(1, sizeof(*s));

	s->settings = *settings;
	return s;
}

static void take_back(struct store_turn *t)
{
	for (int i = 0; i < t->settle_count; i++)
		batch_move_all(t->settle[i], ROW_SETTLING, ROW_DECIDED);
	if (t->name)
		batch_move_all(t->name, ROW_SETTLING, ROW_DECIDED);
}

void store_close(struct store *s)
{
	for (int i = 0; i < SESSIONS_MAX; i++) {
		if (sessions[i] == s)
			sessions[i] = NULL;
	}
	if (s->turn)
		take_back(s->turn);
	s->turn = NULL;
	s->is_open = s->has_bell = false;
	s->ended_ms = clock_ms();
}

int64_t store_ended_ms(const struct store *s)
{
	return s->ended_ms;
}

void store_free(struct store *s)
{
	if (s)
		store_close(s);
	free(s);
}

static bool is_known(struct batch *const *batches, int count, int64_t claim_id)
{
	for (int i = 0; i < count; i++) {
		if (batches[i]->claim_id == claim_id)
			return true;
	}
	return false;
}

static void claim_anew(const struct store *s, struct batch *b, enum store_claim *claim)
{
	struct fake_claim anew = {0};

	for (int i = 0; i < b->count; i++) {
		const struct fake_row *row = fake_database_row(b->rows[i].id);

		if (b->rows[i].state == ROW_DECIDED && row->status == FAKE_SENDING &&
		    row->next_retry_ms <= clock_ms() && !is_claimed(row->id))
			anew.ids[anew.count++] = row->id;
	}
	*claim = anew.count ? STORE_CLAIM_ANEW : STORE_CLAIM_LOST;
	if (!anew.count)
		return;
	anew.relay_id = s->relay_id;
	anew.lease_until_ms = clock_ms() + s->settings.lease_ms;
	anew.claim_id = b->claim_id = ++db->last_claim_id;
	fake_assert(db->claim_count < FAKE_CLAIMS_MAX);
	db->claims[db->claim_count++] = anew;
}

static void take_over(struct store *s, struct batch *const *batches, int count,
		      enum store_claim *claims)
{
	for (int i = db->claim_count - 1; i >= 0; i--) {
		struct fake_claim *c = &db->claims[i];

		if (c->relay_id == s->former_id && !c->is_adopted &&
		    !is_known(batches, count, c->claim_id))
			drop_claim(c);
	}
	for (int i = 0; i < count; i++) {
		struct fake_claim *c = fake_database_claim(batches[i]->claim_id);

		claims[i] = STORE_CLAIM_KEPT;
		batches[i]->lease_deadline_ms = clock_ms() + s->settings.lease_ms;
		if (!c || c->relay_id != s->former_id) {
			claim_anew(s, batches[i], &claims[i]);
			continue;
		}
		c->relay_id = s->relay_id;
		c->lease_until_ms = clock_ms() + s->settings.lease_ms;
	}
}

static void begin_session(struct store *s)
{
	int i = 0;

	while (sessions[i])
		i++;
	fake_assert(i < SESSIONS_MAX);
	sessions[i] = s;
	s->relay_id = ++db->last_relay_id;
	s->is_open = true;
}

int store_open(struct store *s, struct batch *const *batches, int count,
	       enum store_claim *claims, int timeout_ms, int stop_fd, struct error *err)
{
	fake_assert_msg(!s->is_open, "store_open() before store_close()");
	db->opens++;
	db->open_timeout_ms = timeout_ms;
	if (fake_clock_block(clock_min(db->open_takes_ms, timeout_ms), stop_fd))
		return error_set(err, ERROR_STOPPED, "stopped");
	if (db->fail_opens) {
		db->fail_opens -= db->fail_opens > 0;
		return error_set(err, db->open_error, "no database there");
	}
	begin_session(s);
	if (db->loses_next_open) {
		db->loses_next_open = false;
		store_close(s);
		return error_set(err, ERROR_LOST, "gone before the take-over");
	}
	take_over(s, batches, count, claims);
	s->former_id = s->relay_id;
	return 0;
}

bool store_is_open(const struct store *s)
{
	return s->is_open;
}

int store_fd(const struct store *s)
{
	(void)s;
	return -1;
}

short store_events(const struct store *s)
{
	return s->is_open ? POLLIN : 0;
}

int64_t store_deadline_ms(const struct store *s)
{
	return s->turn ? s->began_ms + s->settings.statement_timeout_ms + GRACE_MS
		       : CLOCK_NEVER;
}

int64_t store_fetch_less(struct store *s)
{
	fake_assert(!s->turn);
	return s->settings.max_message_bytes >> ++db->fetches_less;
}

bool store_has_bell(const struct store *s)
{
	return s->has_bell;
}

const char *store_peer(const struct store *s)
{
	(void)s;
	return "fake database";
}

/* --- a turn, on the server --- */

/* Must it wait for a lock? Whoever is careful goes round it. */
static bool is_held_up(const struct batch *b)
{
	for (int i = 0; i < b->count; i++) {
		if (!b->is_careful && b->rows[i].state == ROW_DECIDED &&
		    fake_database_row(b->rows[i].id)->is_locked)
			return true;
	}
	return false;
}

static bool must_wait(const struct store_turn *t)
{
	for (int i = 0; i < t->settle_count; i++) {
		if (is_held_up(t->settle[i]))
			return true;
	}
	return t->name && is_held_up(t->name);
}

static void settle_row(const struct row *r)
{
	struct fake_row *row = fake_database_row(r->id);

	if (row->status != FAKE_SENDING)
		return;
	if (r->decision.fate != FATE_SENT && row->try_count != r->try_count)
		return; /* settled before, by a commit whose answer was lost */
	row->try_count += r->decision.charge;
	if (r->decision.fate == FATE_SENT) {
		if (db->may_be_sent && !db->may_be_sent(r->id))
			ck_abort_msg("row %lld is settled as sent without a receipt",
				     (long long)r->id);
		row->status = FAKE_SENT;
		return;
	}
	row->status = r->decision.fate == FATE_FAILED ? FAKE_FAILED : FAKE_SENDING;
	row->next_retry_ms = clock_ms() + r->decision.delay_ms;
	snprintf(row->last_error, sizeof(row->last_error), "%s",
		 r->reason ? r->reason : "");
}

static bool settle(const struct store *s, const struct batch *b, bool keeps,
		   int64_t publishing_id)
{
	struct fake_claim *c = fake_database_claim(b->claim_id);

	if (!c || c->relay_id != s->relay_id)
		return false;
	for (int i = 0; i < b->count; i++) {
		struct fake_row *row = fake_database_row(b->rows[i].id);

		row->was_held = row->is_locked;
		if (b->rows[i].state == ROW_DECIDED && !row->is_locked)
			settle_row(&b->rows[i]);
	}
	if (keeps || b->is_careful)
		c->publishing_id = publishing_id;
	else
		drop_claim(c);
	return true;
}

static void renew(struct store *s)
{
	struct store_turn *a = &s->answer;

	a->renewed = s->renewed;
	for (int i = 0; i < db->claim_count; i++) {
		if (db->claims[i].relay_id != s->relay_id)
			continue;
		db->claims[i].lease_until_ms = clock_ms() + s->settings.lease_ms;
		s->renewed[a->renewed_count++] = db->claims[i].claim_id;
	}
}

static bool is_due(const struct fake_row *row)
{
	return row->status == FAKE_SENDING && row->next_retry_ms <= clock_ms();
}

static void fetch(struct store *s, const struct fake_claim *c)
{
	s->claim_id = c->claim_id;
	s->publishing_id = c->is_adopted ? c->publishing_id : 0;
	s->fetched_count = 0;
	for (int i = 0; i < c->count; i++) {
		if (is_due(fake_database_row(c->ids[i])))
			s->fetched[s->fetched_count++] = c->ids[i];
	}
}

static void adopt(struct store *s, const struct store_turn *t)
{
	struct fake_claim *c = NULL;

	for (int i = 0; i < db->claim_count; i++) {
		struct fake_claim *of = &db->claims[i];

		if (!c && is_over(s, of, t->with_named))
			c = of;
		else if (has_no_session(s, of))
			of->lease_until_ms = clock_min(of->lease_until_ms,
						       clock_ms() + FAKE_ABSENCE_MS);
	}
	if (!c)
		return;
	c->relay_id = s->relay_id;
	c->lease_until_ms = clock_ms() + s->settings.lease_ms;
	c->is_adopted = true;
	fetch(s, c);
}

static const char *exchange_of(const struct fake_row *row)
{
	return row->exchange ? row->exchange : FAKE_EXCHANGE;
}

static const char *routing_key_of(const struct fake_row *row)
{
	return row->routing_key ? row->routing_key : FAKE_ROUTING_KEY;
}

static bool is_for(const struct fake_row *row, const struct destination *d)
{
	return strcmp(exchange_of(row), d->exchange) == 0 &&
	       (!d->routing_key || strcmp(routing_key_of(row), d->routing_key) == 0);
}

static bool is_passed_by(const struct fake_row *row, const struct store_turn *t)
{
	for (int i = 0; i < t->around_count; i++) {
		if (is_for(row, &t->around[i]))
			return true;
	}
	return false;
}

static int in_order(const void *left, const void *right)
{
	const struct fake_row *a = *(const struct fake_row *const *)left;
	const struct fake_row *b = *(const struct fake_row *const *)right;

	if (a->next_retry_ms != b->next_retry_ms)
		return a->next_retry_ms < b->next_retry_ms ? -1 : 1;
	return a->id < b->id ? -1 : a->id > b->id;
}

/* The due rows that nobody claimed, in the order of (next_retry, id). */
static int unclaimed(const struct store_turn *t, const struct fake_row **rows)
{
	int count = 0;

	for (int i = 0; i < db->row_count; i++) {
		const struct fake_row *row = &db->rows[i];

		if (is_due(row) && !is_claimed(row->id) && !is_passed_by(row, t))
			rows[count++] = row;
	}
	qsort(rows, (size_t)count, sizeof(rows[0]), in_order);
	return count;
}

/* How many of the claim's rows are taken; see SQL_CLAIM. */
static int fitting(const struct store *s, const struct fake_claim *c)
{
	int64_t total = 0;

	for (int i = 0; i < c->count; i++) {
		int64_t most = s->settings.batch_bytes /
			       (i < strtol(SQL_FEW_ROWS, NULL, 10) ? 1 : 4);

		total += fake_database_row(c->ids[i])->body_size;
		if (i > 0 && most && total > most)
			return i;
	}
	return c->count;
}

static bool is_better_probe(const struct fake_row *row, const struct fake_row *best,
			    const struct store_turn *t)
{
	bool spare = row->try_count < t->probe_attempts;

	if (!best)
		return true;
	if (spare != (best->try_count < t->probe_attempts))
		return spare;
	if (row->next_retry_ms != best->next_retry_ms)
		return (row->next_retry_ms < best->next_retry_ms) != t->probe_newest;
	return (row->id < best->id) != t->probe_newest;
}

static void claim_probe(struct store *s, const struct store_turn *t)
{
	const struct fake_row *best = NULL;
	struct fake_claim *c;

	for (int i = 0; i < db->row_count; i++) {
		const struct fake_row *row = &db->rows[i];

		if (is_due(row) && !is_claimed(row->id) && is_for(row, t->probe) &&
		    is_better_probe(row, best, t))
			best = row;
	}
	if (!best)
		return;
	c = add_claim(s->relay_id, clock_ms() + s->settings.lease_ms);
	c->ids[c->count++] = best->id;
	fetch(s, c);
}

static void claim(struct store *s, const struct store_turn *t)
{
	const struct fake_row *rows[FAKE_ROWS_MAX];
	int count = unclaimed(t, rows);
	struct fake_claim *c;

	fake_assert(t->claim_limit <= FAKE_CLAIM_ROWS);
	if (!count)
		return;
	c = add_claim(s->relay_id, clock_ms() + s->settings.lease_ms);
	for (int i = 0; i < count && c->count < t->claim_limit; i++)
		c->ids[c->count++] = rows[i]->id;
	s->answer.due = c->count;
	c->count = fitting(s, c);
	fetch(s, c);
}

static int64_t dead_in_ms(const struct store *s, bool with_named)
{
	int64_t first_ms = CLOCK_NEVER;

	for (int i = 0; i < db->claim_count; i++) {
		const struct fake_claim *c = &db->claims[i];

		if (is_over(s, c, with_named) || has_no_session(s, c))
			first_ms = clock_min(first_ms,
					     fake_claim_dead_in_ms(c->lease_until_ms));
	}
	return first_ms == CLOCK_NEVER ? -1 : first_ms;
}

static int64_t named_left_ms(const struct store *s)
{
	int64_t first_ms = -1;

	for (int i = 0; i < db->claim_count; i++) {
		const struct fake_claim *c = &db->claims[i];
		int64_t left_ms = c->lease_until_ms - clock_ms();

		if (c->relay_id == s->relay_id || !c->publishing_id)
			continue;
		left_ms = left_ms < 0 ? 0 : left_ms;
		if (first_ms < 0 || left_ms < first_ms)
			first_ms = left_ms;
	}
	return first_ms;
}

static void peek(struct store *s, const struct store_turn *t)
{
	struct store_turn *a = &s->answer;

	if (t->sleep && !s->has_bell) {
		a->bell = db->bell;
		s->has_bell = a->bell == STORE_BELL_TAKEN;
	} else if (s->has_bell) {
		a->bell = STORE_BELL_TAKEN;
	}
	a->next_due_ms = -1;
	for (int i = 0; i < db->row_count; i++) {
		const struct fake_row *row = &db->rows[i];
		int64_t in_ms = row->next_retry_ms > clock_ms()
					? row->next_retry_ms - clock_ms()
					: 0;

		if (row->status == FAKE_SENDING && !is_claimed(row->id) &&
		    !is_passed_by(row, t) &&
		    (a->next_due_ms < 0 || in_ms < a->next_due_ms))
			a->next_due_ms = in_ms;
	}
	a->dead_in_ms = dead_in_ms(s, t->with_named);
	a->named_left_ms = named_left_ms(s);
}

static void look_back(struct store_turn *a)
{
	a->found_late = db->finds_late_next;
	db->finds_late_next = false;
	if (a->found_late || ++db->pieces < db->look_back_pieces)
		return;
	db->pieces = 0;
	a->has_reached_beginning = true;
}

static void execute(struct store *s, const struct store_turn *t)
{
	struct store_turn *a = &s->answer;

	for (int i = 0; i < t->settle_count; i++)
		a->settled[i] = settle(s, t->settle[i], false, 0);
	if (t->name)
		a->named = settle(s, t->name, true, t->publishing_id);
	if (t->renew)
		renew(s);
	if (t->adopt)
		adopt(s, t);
	if (t->claim_limit)
		claim(s, t);
	if (t->probe)
		claim_probe(s, t);
	if (t->peek)
		peek(s, t);
	if (t->look_back)
		look_back(a);
	a->has_reached_beginning = a->has_reached_beginning || t->full_read;
}

/* --- a turn, here --- */

static void must_make_sense(const struct store *s, const struct store_turn *t)
{
	fake_assert_msg(s->is_open, "a turn without a session");
	fake_assert_msg(!s->turn, "a turn while one is under way");
	fake_assert_msg(t->adopt + !!t->claim_limit + !!t->probe <= 1,
			"more than one claim in a turn");
	fake_assert_msg(!t->sleep || t->peek, "asleep without a look");
	fake_assert_msg(!t->look_back || !t->full_read, "looks back twice");
	fake_assert_msg(!t->look_back || t->peek || t->claim_limit, "only looks back");
	fake_assert_msg(t->settle_count || t->name || t->renew || t->adopt ||
				t->claim_limit || t->probe || t->peek ||
				(t->wake && s->has_bell),
			"a turn that asks for nothing");
	for (int i = 0; i < t->settle_count; i++)
		fake_assert(t->settle[i]->in_state[ROW_IN_FLIGHT] == 0);
}

void store_turn_begin(struct store *s, struct store_turn *t)
{
	must_make_sense(s, t);
	db->last = *t;
	db->turns++;
	s->turn = t;
	s->turn_number++;
	s->began_ms = clock_ms();
	s->answer_at_ms = s->began_ms + db->answer_ms;
	s->loss = db->loses_next_turn;
	s->hangs = db->hangs_next_turn;
	db->loses_next_turn = FAKE_LOSS_NONE;
	db->hangs_next_turn = false;
	s->answer = (struct store_turn){0};
	s->claim_id = 0;
	if ((t->claim_limit && !t->keeps_bell) || t->wake)
		s->has_bell = false;
	s->times_out = must_wait(t);
	if (s->times_out)
		s->answer_at_ms = s->began_ms + s->settings.lock_timeout_ms;
	else if (s->loss != FAKE_LOSS_BEFORE_COMMIT)
		execute(s, t);
	for (int i = 0; i < t->settle_count; i++) {
		batch_move_all(t->settle[i], ROW_DECIDED, ROW_SETTLING);
		t->settle[i]->is_settling = !t->settle[i]->is_careful;
	}
	if (t->name)
		batch_move_all(t->name, ROW_DECIDED, ROW_SETTLING);
	fake_clock_at(s->answer_at_ms, NULL, NULL);
}

bool store_turn_is_busy(const struct store *s)
{
	return s->turn != NULL;
}

static struct batch *make_batch(const struct store *s, bool is_adopted)
{
	struct batch *b = fake_batch_of(s->turn_number, s->fetched, s->fetched_count);

	b->claim_id = s->claim_id;
	b->is_adopted = is_adopted;
	b->publishing_id = s->publishing_id;
	b->lease_deadline_ms = s->began_ms + s->settings.lease_ms;
	for (int i = 0; i < b->count; i++) {
		const struct fake_row *row = fake_database_row(b->rows[i].id);

		b->rows[i].try_count = row->try_count;
		b->rows[i].body_size = row->body_size;
		fake_batch_address(b, i, exchange_of(row), routing_key_of(row));
		if (row->body_size > s->settings.max_message_bytes)
			b->rows[i].message.body = (struct slice){0};
		if (is_adopted ||
		    strncmp(row->last_error, BATCH_REFUSED, strlen(BATCH_REFUSED)) == 0)
			batch_set_alone(b, &b->rows[i]);
	}
	return b;
}

static void take_settled(struct batch *b)
{
	for (int i = 0; b->is_careful && i < b->count; i++) {
		if (b->rows[i].state == ROW_SETTLING &&
		    fake_database_row(b->rows[i].id)->was_held)
			batch_set_state(b, &b->rows[i], ROW_DECIDED);
	}
	batch_move_all(b, ROW_SETTLING, ROW_SETTLED);
}

static void take_answers(struct store *s, struct store_turn *t)
{
	memcpy(t->settled, s->answer.settled, sizeof(t->settled));
	t->named = s->answer.named;
	t->due = s->answer.due;
	t->next_due_ms = s->answer.next_due_ms;
	t->read_us = t->full_read || t->look_back ? db->read_us : 0;
	t->found_late = s->answer.found_late;
	t->has_reached_beginning = s->answer.has_reached_beginning;
	t->dead_in_ms = s->answer.dead_in_ms;
	t->named_left_ms = s->answer.named_left_ms;
	t->bell = s->answer.bell;
	t->renewed = s->answer.renewed;
	t->renewed_count = s->answer.renewed_count;
	for (int i = 0; i < t->settle_count; i++)
		take_settled(t->settle[i]);
	if (t->name) {
		take_settled(t->name);
		t->name->publishing_id = t->publishing_id;
	}
	if (s->claim_id)
		t->claimed = make_batch(s, t->adopt);
}

int store_turn_poll(struct store *s, struct error *err)
{
	fake_assert(s->turn);
	if (s->hangs ? clock_ms() < store_deadline_ms(s) : clock_ms() < s->answer_at_ms)
		return 0;
	if (s->hangs || s->times_out || s->loss != FAKE_LOSS_NONE) {
		take_back(s->turn);
		s->turn = NULL;
		if (s->hangs || s->times_out)
			return error_set(err, ERROR_TIMEOUT, "no answer in time");
		if (s->loss == FAKE_LOSS_OF_MEMORY)
			return error_set(err, ERROR_MEMORY, "out of memory");
		return error_set(err, ERROR_LOST, "server closed the connection");
	}
	take_answers(s, s->turn);
	s->turn = NULL;
	return 1;
}

int store_listen(struct store *s, struct error *err)
{
	bool was_rung = db->is_rung && s->settings.wants_bell;

	fake_assert_msg(s->is_open && !s->turn, "listening at the wrong time");
	if (db->loses_next_listen) {
		db->loses_next_listen = false;
		return error_set(err, ERROR_LOST, "terminating connection");
	}
	db->is_rung = db->is_rung && !was_rung;
	return was_rung;
}
