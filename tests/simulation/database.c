#include "database.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "fake/fake_batch.h"
#include "fake/fake_claim.h"
#include "simulation/scheduler.h"
#include "store/look_back.h"
#include "store/store.h"

#define CLAIMS_MAX   64
#define BACKENDS_MAX 48
#define WRITERS_MAX  16
#define STORES_MAX   8

/* What takes longer than this keeps a relay from its claims. */
#define HAMPERING_MS  1000
#define FORMER_MAX    16
#define GRACE_MS      5000
#define LATE_MS       10000 /* LATE_COMMIT_US */
#define LATE_CLAIM_MS 500   /* LATE_CLAIM_US */
#define FLUSHED_MS    600   /* 3 wal_writer_delay */
#define RETIRED_MS    600000
#define SHARED        "shared"

/* Rows at a time that are never confirmed. */
#define SILENT_MAX 3

struct claim {
	int64_t claim_id;
	int32_t relay_id;
	uint32_t turn;
	int64_t ids[BATCH_MAX];
	int count;
	int64_t publishing_id;
	int64_t lease_until_ms;
	bool has_session_lock, is_adopted, is_probe;
	bool is_shortened; /* its lease, for the absence of its owner */
	bool is_durable;   /* a crash of the server does not forget it */
};

/* A settlement as its parameters. */
struct settlement {
	int64_t claim_id, publishing_id;
	bool keeps, is_careful;
	int count;
	struct {
		int64_t id, seen;
		struct decision decision;
		bool was_refused, is_held;
	} rows[BATCH_MAX];
};

struct request {
	struct settlement settle[STORE_SETTLE_MAX + 1];
	int settle_count; /* with the naming one */
	bool names, renew, adopt, with_named, peek, look_back, sleep, release;
	bool goes_around, probes, probe_newest; /* the shared destination */
	int64_t probe_attempts;
	int claim_limit;
	uint32_t turn;
	struct due_place due_from, look_from, look_until; /* milliseconds do */
	int64_t claims_from;
};

struct answer {
	bool settled[STORE_SETTLE_MAX + 1];
	int64_t claim_id, publishing_id, claims_from;
	struct due_place last_claimed, first_due, first_late;
	int due;
	bool took_all, found_late;
	struct db_row rows[BATCH_MAX];
	int count;
	int64_t renewed[CLAIMS_MAX];
	int renewed_count;
	enum store_bell bell;
	int64_t next_due_ms, peeked_ms, claimed_ms, read_us, dead_in_ms, named_left_ms;
};

enum stage { RELEASE_BELL, WRITE, FETCH, TAKE_BELL, PEEK, ANSWER };

/* The server's end of a session. */
struct backend {
	bool is_used, has_lock, listens, has_bell;
	int32_t relay_id;
	struct store *client; /* NULL: gone */
	int64_t lost_at_ms;   /* its client hears of it */
	bool is_busy;
	enum stage stage, cut_at; /* it ends before that stage */
	int64_t next_ms, write_began_ms;
	struct request request;
	struct answer answer;
};

struct store {
	struct store_settings settings;
	struct task *task;
	struct backend *backend; /* NULL: closed, or lost */
	bool is_open, is_lost, times_out, is_rung, has_bell, is_answered;
	int32_t relay_id;
	int32_t former_ids[FORMER_MAX];
	int former_count;
	uint32_t turn_number;
	struct due_place due_from;
	struct look_back look_back;
	int64_t claims_from;
	struct store_turn *turn;
	int64_t began_ms;
	struct answer answer;
	int64_t hampered_ms; /* the last time that it fared worse than the others */
	int64_t absent_ms;   /* since its last session ended */
	int64_t ended_ms;
};

struct writer {
	bool is_used, holds_bell, rings, rolls_back;
	int64_t end_ms;
	int64_t first_id;
	int count;
};

struct db_row database_rows[ROWS_MAX];
struct database_faults database_faults;
uint64_t database_probes, database_forgotten, database_claims_anew;

static const int64_t lease_ms = 30000; /* the same for all */

static struct claim claims[CLAIMS_MAX];
static int claim_count;
static struct backend backends[BACKENDS_MAX];
static struct writer writers[WRITERS_MAX];
static struct store *stores[STORES_MAX]; /* of relays that live */
static int64_t last_row_id, last_claim_id, down_until_ms;
static int32_t last_relay_id;

/* --- rows and claims --- */

void database_reset(void)
{
	memset(database_rows, 0, sizeof(database_rows));
	memset(backends, 0, sizeof(backends));
	memset(writers, 0, sizeof(writers));
	memset(&database_faults, 0, sizeof(database_faults));
	claim_count = 0;
	last_row_id = last_claim_id = down_until_ms = 0;
	last_relay_id = 0;
}

struct db_row *database_row(int64_t id)
{
	for (int i = 0; i < ROWS_MAX; i++) {
		if (database_rows[i].is_used && database_rows[i].id == id)
			return &database_rows[i];
	}
	return NULL;
}

static struct claim *find_claim(int64_t claim_id)
{
	for (int i = 0; i < claim_count; i++) {
		if (claims[i].claim_id == claim_id)
			return &claims[i];
	}
	return NULL;
}

static void drop_claim(struct claim *c)
{
	*c = claims[--claim_count];
}

/* What is committed after a claim takes it to the disk, too. */
static void flush(void)
{
	for (int i = 0; i < claim_count; i++)
		claims[i].is_durable = true;
}

/* In a crash: the newest ones, whose ids are then given to others. */
static void forget_claims(void)
{
	for (int i = claim_count - 1; i >= 0; i--) {
		int64_t claim_id = claims[i].claim_id;

		if (claims[i].is_durable ||
		    claims[i].lease_until_ms - lease_ms < clock_ms() - FLUSHED_MS)
			continue;
		last_claim_id = clock_min(last_claim_id, claim_id - 1);
		drop_claim(&claims[i]);
		database_forgotten++;
	}
}

/* Claims before the low-water mark are not looked at, as in SQL_CLAIM. */
static bool is_claimed(int64_t id, int64_t from)
{
	for (int i = 0; i < claim_count; i++) {
		for (int k = 0; k < claims[i].count; k++) {
			if (claims[i].ids[k] == id && claims[i].claim_id >= from)
				return true;
		}
	}
	return false;
}

bool database_is_probe(int64_t id)
{
	for (int i = 0; i < claim_count; i++) {
		if (claims[i].is_probe && claims[i].ids[0] == id)
			return true;
	}
	return false;
}

static bool is_visible(const struct db_row *row)
{
	return row->is_used && row->is_committed && row->status == SENDING;
}

static bool is_due(const struct db_row *row)
{
	return is_visible(row) && row->next_retry_ms <= clock_ms();
}

static struct due_place place_of(const struct db_row *row)
{
	return (struct due_place){row->next_retry_ms, row->id};
}

static bool is_before(const struct db_row *row, struct due_place place)
{
	return due_place_is_before(place_of(row), place);
}

/* --- sessions --- */

static bool is_alive(int32_t relay_id)
{
	for (int i = 0; i < BACKENDS_MAX; i++) {
		if (backends[i].is_used && backends[i].has_lock &&
		    backends[i].relay_id == relay_id)
			return true;
	}
	return false;
}

static void hamper(struct store *s)
{
	if (s)
		s->hampered_ms = clock_ms();
}

static void lose_client(struct backend *b)
{
	if (!b->client)
		return;
	if (down_until_ms <= clock_ms())
		hamper(b->client);
	b->client->absent_ms = clock_ms();
	b->client->is_lost = true;
	b->client->backend = NULL;
	task_poke(b->client->task);
	b->client = NULL;
}

static void end_backend(struct backend *b)
{
	lose_client(b);
	memset(b, 0, sizeof(*b));
}

static struct backend *new_backend(void)
{
	for (int i = 0; i < BACKENDS_MAX; i++) {
		if (!backends[i].is_used) {
			backends[i].is_used = true;
			return &backends[i];
		}
	}
	sim_fail("no backend left");
}

static void notify_all(void)
{
	for (int i = 0; i < BACKENDS_MAX; i++) {
		struct store *client = backends[i].client;

		if (!backends[i].is_used || !backends[i].listens || !client)
			continue;
		client->is_rung = true;
		task_poke(client->task);
	}
}

static const struct backend *bell_owner(void)
{
	for (int i = 0; i < BACKENDS_MAX; i++) {
		if (backends[i].is_used && backends[i].has_bell)
			return &backends[i];
	}
	return NULL;
}

static bool is_bell_shared(void)
{
	for (int i = 0; i < WRITERS_MAX; i++) {
		if (writers[i].is_used && writers[i].holds_bell)
			return true;
	}
	return false;
}

/* --- the application --- */

static struct db_row *free_row(void)
{
	for (int i = 0; i < ROWS_MAX; i++) {
		struct db_row *row = &database_rows[i];

		if (!row->is_used)
			return row;
		if (row->status != SENDING && clock_ms() - row->ended_ms > RETIRED_MS &&
		    !is_claimed(row->id, 0))
			return row;
	}
	return NULL;
}

static int count_open(enum nature nature)
{
	int count = 0;

	for (int i = 0; i < ROWS_MAX; i++) {
		const struct db_row *row = &database_rows[i];

		count += row->is_used && row->status == SENDING && row->nature == nature;
	}
	return count;
}

static enum nature some_nature(void)
{
	enum nature nature = (enum nature)sim_random(KILLS);

	if (sim_random(4))
		return HEALTHY;
	if (sim_chance(40))
		return KILLS;
	return nature == SILENT && count_open(SILENT) >= SILENT_MAX ? FICKLE : nature;
}

bool database_insert(int count, int64_t ahead_ms, int64_t end_ms, bool rolls_back,
		     bool healthy)
{
	struct writer *w = writers;

	while (w < writers + WRITERS_MAX && w->is_used)
		w++;
	if (w == writers + WRITERS_MAX || !free_row())
		return false;
	*w = (struct writer){.is_used = true,
			     .end_ms = end_ms,
			     .rolls_back = rolls_back,
			     .first_id = last_row_id + 1,
			     .holds_bell = !bell_owner()};
	w->rings = !w->holds_bell;
	for (struct db_row *row; w->count < count && (row = free_row()); w->count++) {
		*row = (struct db_row){.is_used = true,
				       .id = ++last_row_id,
				       .next_retry_ms = clock_ms() + ahead_ms,
				       .nature = healthy ? HEALTHY : some_nature()};
		row->is_shared = row->nature == HEALTHY && sim_chance(3);
	}
	return true;
}

/* Visible, then the locks go, then the notification comes. */
static void end_writer(struct writer *w)
{
	for (int i = 0; i < w->count; i++) {
		struct db_row *row = database_row(w->first_id + i);

		row->is_committed = true;
		row->is_used = !w->rolls_back;
	}
	w->is_used = false;
	if (!w->rolls_back)
		flush();
	if (w->rings && !w->rolls_back)
		notify_all();
}

/* --- the statements --- */

static bool is_over(const struct claim *c, int32_t relay_id, bool with_named)
{
	return c->relay_id != relay_id && (!c->publishing_id || with_named) &&
	       c->lease_until_ms < clock_ms();
}

static bool has_no_session(const struct claim *c, int32_t relay_id)
{
	return c->relay_id != relay_id && !c->publishing_id && c->has_session_lock &&
	       !is_alive(c->relay_id);
}

static struct claim *find_dead(int32_t relay_id, bool with_named)
{
	struct claim *first = NULL;

	for (int i = 0; i < claim_count; i++) {
		if (is_over(&claims[i], relay_id, with_named) &&
		    (!first || claims[i].claim_id < first->claim_id))
			first = &claims[i];
	}
	return first;
}

static void shorten_leases(int32_t relay_id)
{
	for (int i = 0; i < claim_count; i++) {
		if (!has_no_session(&claims[i], relay_id) ||
		    claims[i].lease_until_ms <= clock_ms() + FAKE_ABSENCE_MS)
			continue;
		claims[i].lease_until_ms = clock_ms() + FAKE_ABSENCE_MS;
		claims[i].is_shortened = true;
	}
}

static void end_row(struct db_row *row, enum db_status status)
{
	row->status = status;
	row->ended_ms = clock_ms();
}

static void settle_row(struct db_row *row, const struct decision *d, int64_t seen,
		       bool was_refused)
{
	if (!row || row->status != SENDING)
		return;
	if (d->fate == FATE_SENT) {
		sim_check(row->acks > 0, "I2: row %lld (%d) is sent without an ack",
			  (long long)row->id, row->nature);
		end_row(row, SENT);
		return;
	}
	if (row->tries != seen)
		return;
	row->tries += d->charge;
	sim_check(row->tries <= row->refusals,
		  "I5: row %lld (%d) is charged %lld times and was refused %lld times",
		  (long long)row->id, row->nature, (long long)row->tries,
		  (long long)row->refusals);
	row->was_refused = was_refused;
	if (d->fate == FATE_RETRY) {
		row->next_retry_ms = clock_ms() + d->delay_ms;
		return;
	}
	sim_check(row->tries == MAX_RETRIES || row->nature == INVALID ||
			  row->nature == LARGE,
		  "I4: row %lld (%d) failed after %lld attempts", (long long)row->id,
		  row->nature, (long long)row->tries);
	end_row(row, FAILED);
}

static bool is_locked(int64_t id)
{
	const struct db_row *row = database_row(id);

	return row && row->locked_until_ms > clock_ms();
}

static bool is_former(const struct store *s, int32_t relay_id)
{
	for (int i = 0; i < s->former_count; i++) {
		if (s->former_ids[i] == relay_id)
			return true;
	}
	return false;
}

/* The relay that comes back for the claims of that session, or NULL. */
static const struct store *owner_of(int32_t relay_id)
{
	for (int i = 0; i < STORES_MAX; i++) {
		if (stores[i] && is_former(stores[i], relay_id))
			return stores[i];
	}
	return NULL;
}

/* An owner that lives, and fared no worse than the others, was to be waited for; one that is dead
   has had its row blamed for that. */
static bool is_blamed_again(const struct claim *c)
{
	const struct store *owner = owner_of(c->relay_id);
	int64_t since_ms = c->lease_until_ms - lease_ms;

	return owner && (owner->hampered_ms >= since_ms ||
			 task_slow_until_ms(owner->task) >= since_ms);
}

/* Its owner has lost nothing but a session, and nothing keeps it from coming back. */
static bool is_back_soon(const struct claim *c)
{
	const struct store *owner = owner_of(c->relay_id);

	return c->is_shortened && owner && owner->absent_ms > down_until_ms &&
	       owner->hampered_ms <= owner->absent_ms &&
	       task_slow_until_ms(owner->task) < owner->absent_ms;
}

/* Perhaps its relay died since it asked for that. */
static void name(struct claim *c, int64_t id)
{
	struct db_row *named = database_row(id);

	c->publishing_id = id;
	if (named && !owner_of(c->relay_id))
		named->refusals++;
}

static bool settle(struct settlement *s, int32_t relay_id)
{
	struct claim *c = find_claim(s->claim_id);

	if (!c || c->relay_id != relay_id)
		return false;
	for (int i = 0; i < s->count; i++) {
		s->rows[i].is_held = s->is_careful && is_locked(s->rows[i].id);
		if (!s->rows[i].is_held)
			settle_row(database_row(s->rows[i].id), &s->rows[i].decision,
				   s->rows[i].seen, s->rows[i].was_refused);
	}
	if (s->keeps || s->is_careful)
		name(c, s->publishing_id);
	else
		drop_claim(c);
	return true;
}

static void renew(struct backend *b)
{
	for (int i = 0; i < claim_count; i++) {
		if (claims[i].relay_id != b->relay_id)
			continue;
		claims[i].lease_until_ms = clock_ms() + lease_ms;
		claims[i].is_shortened = false;
		b->answer.renewed[b->answer.renewed_count++] = claims[i].claim_id;
	}
}

static void adopt(struct backend *b)
{
	struct claim *c = find_dead(b->relay_id, b->request.with_named);
	struct db_row *named;

	shorten_leases(b->relay_id);
	if (!c)
		return;
	/* Its owner may live, and be slow: it is taken for dead. */
	if (!is_back_soon(c))
		database_excuse_all(c->relay_id);
	named = database_row(c->publishing_id);
	if (named && is_blamed_again(c))
		named->refusals++;
	c->relay_id = b->relay_id;
	c->turn = b->request.turn;
	c->lease_until_ms = clock_ms() + lease_ms;
	c->is_shortened = false;
	c->has_session_lock = b->has_lock;
	c->is_adopted = true;
	b->answer.claim_id = c->claim_id;
	b->answer.publishing_id = c->publishing_id;
}

static bool is_left_out(const struct db_row *row, const struct request *r)
{
	return row->is_shared && r->goes_around;
}

static const struct db_row *next_due(const struct request *r, const struct claim *mine)
{
	const struct db_row *first = NULL;

	for (int i = 0; i < ROWS_MAX; i++) {
		const struct db_row *row = &database_rows[i];
		bool is_taken = false;

		if (!is_due(row) || is_claimed(row->id, r->claims_from) ||
		    is_left_out(row, r) || is_before(row, r->due_from))
			continue;
		for (int k = 0; k < mine->count; k++)
			is_taken = is_taken || mine->ids[k] == row->id;
		if (!is_taken && (!first || is_before(row, place_of(first))))
			first = row;
	}
	return first;
}

/* Rows with attempts to spare first, then the oldest or the newest. */
static bool is_better_probe(const struct db_row *row, const struct db_row *than,
			    const struct request *r)
{
	bool spares, than_spares, is_older;

	if (!than)
		return true;
	spares = row->tries < r->probe_attempts;
	than_spares = than->tries < r->probe_attempts;
	is_older = is_before(row, place_of(than));
	return spares != than_spares ? spares : is_older != r->probe_newest;
}

static void claim_probe(struct backend *b)
{
	struct claim mine = {.relay_id = b->relay_id,
			     .turn = b->request.turn,
			     .lease_until_ms = clock_ms() + lease_ms,
			     .has_session_lock = b->has_lock,
			     .is_probe = true,
			     .count = 1};
	const struct db_row *best = NULL;

	for (int i = 0; i < ROWS_MAX; i++) {
		const struct db_row *row = &database_rows[i];

		if (row->is_shared && is_due(row) && !is_claimed(row->id, 0) &&
		    is_better_probe(row, best, &b->request))
			best = row;
	}
	if (!best)
		return;
	mine.ids[0] = best->id;
	mine.claim_id = b->answer.claim_id = ++last_claim_id;
	sim_check(claim_count < CLAIMS_MAX, "I8: %d claims", claim_count);
	claims[claim_count++] = mine;
	database_probes++;
}

static void claim(struct backend *b)
{
	const struct request *r = &b->request;
	struct answer *a = &b->answer;
	struct claim mine = {.relay_id = b->relay_id,
			     .turn = r->turn,
			     .lease_until_ms = clock_ms() + lease_ms,
			     .has_session_lock = b->has_lock};
	const struct db_row *row = next_due(r, &mine);

	if (!row)
		return;
	a->claimed_ms = clock_ms();
	for (; row && mine.count < r->claim_limit; row = next_due(r, &mine))
		mine.ids[mine.count++] = row->id;
	a->due = mine.count;
	if (sim_chance(4)) /* relay.batch_bytes */
		mine.count = 1 + (int)sim_random(mine.count);
	a->took_all = a->due < r->claim_limit && mine.count == a->due;
	a->last_claimed = place_of(database_row(mine.ids[mine.count - 1]));
	mine.claim_id = a->claim_id = a->claims_from = ++last_claim_id;
	for (int i = 0; i < claim_count; i++) {
		if (claims[i].claim_id >= r->claims_from)
			a->claims_from = clock_min(a->claims_from, claims[i].claim_id);
	}
	sim_check(claim_count < CLAIMS_MAX, "I8: %d claims", claim_count);
	claims[claim_count++] = mine;
}

static void fetch(struct backend *b)
{
	const struct claim *c = find_claim(b->answer.claim_id);

	if (!c || c->relay_id != b->relay_id || c->turn != b->request.turn)
		return;
	for (int i = 0; i < c->count; i++) {
		const struct db_row *row = database_row(c->ids[i]);

		if (row && is_due(row))
			b->answer.rows[b->answer.count++] = *row;
	}
}

static void take_bell(struct backend *b)
{
	if (!bell_owner() && !is_bell_shared()) {
		b->has_bell = true;
		b->answer.bell = STORE_BELL_TAKEN;
	} else {
		b->answer.bell = bell_owner() ? STORE_BELL_SHARED : STORE_BELL_WRITERS;
	}
}

static int64_t dead_in_ms(int32_t relay_id, bool with_named)
{
	int64_t first_ms = CLOCK_NEVER;

	for (int i = 0; i < claim_count; i++) {
		const struct claim *c = &claims[i];

		if (is_over(c, relay_id, with_named) || has_no_session(c, relay_id))
			first_ms = clock_min(first_ms,
					     fake_claim_dead_in_ms(c->lease_until_ms));
	}
	return first_ms == CLOCK_NEVER ? -1 : first_ms;
}

static int64_t named_left_ms(int32_t relay_id)
{
	int64_t first_ms = -1;

	for (int i = 0; i < claim_count; i++) {
		const struct claim *c = &claims[i];
		int64_t left_ms = c->lease_until_ms - clock_ms();

		if (c->relay_id == relay_id || !c->publishing_id)
			continue;
		left_ms = left_ms < 0 ? 0 : left_ms;
		if (first_ms < 0 || left_ms < first_ms)
			first_ms = left_ms;
	}
	return first_ms;
}

static void peek(struct backend *b)
{
	const struct request *r = &b->request;
	struct answer *a = &b->answer;
	const struct db_row *first = NULL;

	a->next_due_ms = -1;
	a->peeked_ms = clock_ms();
	for (int i = 0; i < ROWS_MAX; i++) {
		const struct db_row *row = &database_rows[i];
		int64_t in_ms = row->next_retry_ms - clock_ms();

		if (!is_visible(row) || is_claimed(row->id, 0) || is_left_out(row, r) ||
		    is_before(row, r->due_from))
			continue;
		in_ms = in_ms < 0 ? 0 : in_ms;
		if (a->next_due_ms < 0 || in_ms < a->next_due_ms)
			a->next_due_ms = in_ms;
		if (!first || is_before(row, place_of(first)))
			first = row;
	}
	if (first)
		a->first_due = place_of(first);
	a->dead_in_ms = dead_in_ms(b->relay_id, r->with_named);
	a->named_left_ms = named_left_ms(b->relay_id);
}

static void look_back(struct backend *b)
{
	const struct request *r = &b->request;
	struct answer *a = &b->answer;

	for (int i = 0; i < ROWS_MAX; i++) {
		const struct db_row *row = &database_rows[i];

		if (!is_due(row) || is_claimed(row->id, 0) || is_left_out(row, r) ||
		    is_before(row, r->look_from) || !is_before(row, r->look_until) ||
		    (a->found_late && !is_before(row, a->first_late)))
			continue;
		a->found_late = true;
		a->first_late = place_of(row);
	}
}

/* --- a session's work --- */

static bool must_wait(const struct backend *b)
{
	for (int i = 0; i < b->request.settle_count; i++) {
		const struct settlement *s = &b->request.settle[i];

		for (int k = 0; k < s->count; k++) {
			if (!s->is_careful && is_locked(s->rows[k].id))
				return true;
		}
	}
	return false;
}

static bool is_alone(const struct backend *b)
{
	for (int i = 0; i < BACKENDS_MAX; i++) {
		if (backends[i].is_used && backends[i].has_lock && &backends[i] != b)
			return false;
	}
	return true;
}

static bool need_not_wait(const struct backend *b)
{
	const struct request *r = &b->request;

	return b->has_lock && is_alone(b) && r->claim_limit &&
	       !(r->settle_count || r->renew || r->adopt || r->probes);
}

static bool write_all(struct backend *b)
{
	struct request *r = &b->request;

	if (!b->write_began_ms)
		b->write_began_ms = clock_ms();
	if (must_wait(b))
		return false;
	for (int i = 0; i < r->settle_count; i++)
		b->answer.settled[i] = settle(&r->settle[i], b->relay_id);
	if (r->renew)
		renew(b);
	if (r->adopt)
		adopt(b);
	if (r->claim_limit)
		claim(b);
	if (r->probes)
		claim_probe(b);
	if (!need_not_wait(b))
		flush();
	return true;
}

static void give_answer(struct backend *b)
{
	b->is_busy = false;
	if (!b->client)
		return;
	b->client->answer = b->answer;
	b->client->is_answered = true;
	task_poke(b->client->task);
}

static int64_t some_latency_ms(struct store *client)
{
	int64_t ms = sim_random(3);

	if (sim_chance(database_faults.hung_one_in))
		ms = 30000 + sim_random(60000);
	else if (sim_chance(database_faults.slow_one_in))
		ms = sim_random(9000);
	if (ms > HAMPERING_MS)
		hamper(client);
	return ms;
}

static void run_stage(struct backend *b)
{
	const struct request *r = &b->request;
	enum stage stage = b->stage;

	if (stage == b->cut_at) {
		end_backend(b);
		return;
	}
	if (stage == RELEASE_BELL && r->release)
		b->has_bell = false;
	if (stage == WRITE && !write_all(b)) {
		b->next_ms = clock_ms() + 50;
		if (clock_ms() - b->write_began_ms < 5000)
			return;
		if (b->client)
			b->client->times_out = true;
		end_backend(b);
		return;
	}
	if (stage == FETCH && b->answer.claim_id)
		fetch(b);
	if (stage == TAKE_BELL && r->sleep && !b->has_bell)
		take_bell(b);
	else if (stage == TAKE_BELL && b->has_bell)
		b->answer.bell = STORE_BELL_TAKEN;
	if (stage == PEEK && r->peek)
		peek(b);
	if (stage == PEEK && r->look_back)
		look_back(b);
	if (stage == ANSWER)
		give_answer(b);
	b->stage++;
	/* Half a turn takes no time to speak of: its pieces arrive together. */
	b->next_ms = clock_ms() + (sim_chance(3) ? some_latency_ms(b->client) : 0);
}

static int64_t backend_due_ms(const struct backend *b)
{
	if (!b->is_used)
		return CLOCK_NEVER;
	if (b->is_busy)
		return b->client ? clock_min(b->next_ms, b->lost_at_ms) : b->next_ms;
	return b->client ? b->lost_at_ms : b->next_ms;
}

static void run_backend(struct backend *b)
{
	if (b->client && b->lost_at_ms <= clock_ms())
		lose_client(b);
	else if (b->is_busy)
		run_stage(b);
	else
		end_backend(b); /* it has noticed */
}

int64_t database_due_ms(void)
{
	int64_t due_ms = CLOCK_NEVER;

	for (int i = 0; i < BACKENDS_MAX; i++)
		due_ms = clock_min(due_ms, backend_due_ms(&backends[i]));
	for (int i = 0; i < WRITERS_MAX; i++) {
		if (writers[i].is_used)
			due_ms = clock_min(due_ms, writers[i].end_ms);
	}
	return due_ms;
}

/* One thing that is due, any. */
void database_run(void)
{
	int start = (int)sim_random(BACKENDS_MAX + WRITERS_MAX);

	for (int n = 0; n < BACKENDS_MAX + WRITERS_MAX; n++) {
		int i = (start + n) % (BACKENDS_MAX + WRITERS_MAX);

		if (i < BACKENDS_MAX && backend_due_ms(&backends[i]) <= clock_ms()) {
			run_backend(&backends[i]);
			return;
		}
		if (i >= BACKENDS_MAX && writers[i - BACKENDS_MAX].is_used &&
		    writers[i - BACKENDS_MAX].end_ms <= clock_ms()) {
			end_writer(&writers[i - BACKENDS_MAX]);
			return;
		}
	}
}

/* --- faults --- */

void database_restart(int64_t down_ms)
{
	down_until_ms = clock_ms() + 1 + down_ms;
	for (int i = 0; i < BACKENDS_MAX; i++) {
		if (backends[i].is_used)
			end_backend(&backends[i]);
	}
	if (sim_chance(2))
		forget_claims();
	for (int i = 0; i < WRITERS_MAX; i++) {
		writers[i].rolls_back = true;
		writers[i].rings = false;
		if (writers[i].is_used)
			end_writer(&writers[i]);
	}
}

void database_break_one(void)
{
	struct backend *b = &backends[sim_random(BACKENDS_MAX)];

	if (b->is_used)
		end_backend(b);
}

/* --- judging --- */

void database_excuse_all(int32_t relay_id)
{
	for (int i = 0; i < claim_count; i++) {
		if (claims[i].relay_id != relay_id)
			continue;
		for (int k = 0; k < claims[i].count; k++) {
			struct db_row *row = database_row(claims[i].ids[k]);

			if (row)
				row->excuses++;
		}
	}
}

/* What it knew of the rows that it fetched is gone with it. */
static void excuse_held(const struct store *s)
{
	for (int i = 0; i < ROWS_MAX; i++) {
		if (database_rows[i].holder != s)
			continue;
		database_rows[i].excuses++;
		database_rows[i].holder = NULL;
	}
}

/* Whose claim a crash forgot, since they were alone when they made it, and who then are not first. */
static void excuse_absent(const struct store *first)
{
	for (int i = 0; i < ROWS_MAX; i++) {
		struct db_row *row = &database_rows[i];

		if (row->holder && row->holder != first && !row->holder->backend &&
		    !is_claimed(row->id, 0))
			row->excuses++;
	}
}

/* The relay with that session is gone just now: who is named in its claims is blamed for it. */
static void blame_named(int32_t relay_id)
{
	for (int i = 0; i < claim_count; i++) {
		struct db_row *named = database_row(claims[i].publishing_id);

		if (named && claims[i].relay_id == relay_id)
			named->refusals++;
	}
}

static void judge_row(struct db_row *row)
{
	sim_check(row->was == SENDING || row->status == row->was,
		  "I15: row %lld left its last state", (long long)row->id);
	sim_check(row->tries >= 0 && row->tries <= MAX_RETRIES,
		  "I4: row %lld has %lld attempts", (long long)row->id,
		  (long long)row->tries);
	row->was = row->status;
}

void database_judge(void)
{
	for (int i = 0; i < ROWS_MAX; i++) {
		if (database_rows[i].is_used)
			judge_row(&database_rows[i]);
	}
	for (int i = 0; i < claim_count; i++) {
		for (int k = 0; k < claims[i].count; k++) {
			for (int j = 0; j < i; j++) {
				for (int l = 0; l < claims[j].count; l++)
					sim_check(claims[j].ids[l] != claims[i].ids[k],
						  "I7: row %lld is in two claims",
						  (long long)claims[i].ids[k]);
			}
		}
	}
}

int database_open_rows(bool unhealthy)
{
	int count = 0;

	for (int i = 0; i < ROWS_MAX; i++) {
		const struct db_row *row = &database_rows[i];

		count += row->is_used && row->status == SENDING &&
			 !(unhealthy && row->nature == HEALTHY);
	}
	return count;
}

int database_claims(void)
{
	return claim_count;
}

void database_tell(void)
{
	for (int i = 0; i < claim_count; i++) {
		const struct claim *c = &claims[i];

		printf("  claim %lld of relay %d (%s), %s, lease %+lld ms, names %lld:",
		       (long long)c->claim_id, c->relay_id,
		       is_alive(c->relay_id) ? "alive" : "gone",
		       c->is_adopted ? "adopted" : "new",
		       (long long)(c->lease_until_ms - clock_ms()),
		       (long long)c->publishing_id);
		for (int k = 0; k < c->count; k++)
			printf(" %lld", (long long)c->ids[k]);
		printf("\n");
	}
	for (int i = 0; i < ROWS_MAX; i++) {
		const struct db_row *row = &database_rows[i];

		if (row->is_used && row->status == SENDING)
			printf("  row %lld, nature %d, %s, due %+lld ms, %lld attempts, published %lld\n",
			       (long long)row->id, row->nature,
			       row->is_committed ? "committed" : "uncommitted",
			       (long long)(row->next_retry_ms - clock_ms()),
			       (long long)row->tries, (long long)row->published);
	}
}

/* --- store.h: life --- */

struct store *store_new(const struct store_settings *settings)
{
	struct store *s = xcalloc(1, sizeof(*s));

	s->settings = *settings;
	look_back_init(&s->look_back);
	for (int i = 0; i < STORES_MAX; i++) {
		if (!stores[i]) {
			stores[i] = s;
			return s;
		}
	}
	sim_fail("more stores than relays");
}

static void take_back(struct store_turn *t)
{
	for (int i = 0; i < t->settle_count; i++)
		batch_move_all(t->settle[i], ROW_SETTLING, ROW_DECIDED);
	if (t->name)
		batch_move_all(t->name, ROW_SETTLING, ROW_DECIDED);
}

/* The server notices at once or later; what it was sent it may do, or not. */
static void detach(struct store *s)
{
	struct backend *b = s->backend;

	if (!b)
		return;
	s->absent_ms = clock_ms();
	b->client = NULL;
	s->backend = NULL;
	if (b->is_busy)
		b->cut_at = (enum stage)clock_min(b->cut_at,
						  b->stage + sim_random(ANSWER + 1));
	else
		b->next_ms =
			clock_ms() + (sim_chance(10) ? sim_random(60000) : sim_random(3));
}

void store_close(struct store *s)
{
	task_seam();
	detach(s);
	if (s->turn)
		take_back(s->turn);
	s->turn = NULL;
	s->is_open = s->is_lost = s->has_bell = s->is_rung = s->times_out = false;
	s->ended_ms = clock_ms();
}

int64_t store_ended_ms(const struct store *s)
{
	return s->ended_ms;
}

void store_free(struct store *s)
{
	if (s) {
		/* The process is gone, before its time or not. */
		for (int i = 0; i < s->former_count; i++)
			blame_named(s->former_ids[i]);
		excuse_held(s);
		store_close(s);
		for (int i = 0; i < STORES_MAX; i++) {
			if (stores[i] == s)
				stores[i] = NULL;
		}
	}
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

/* For rows that have their fate with the relay; 0: there are none. */
static int64_t claim_anew(const struct store *s, const struct batch *b, int32_t relay_id)
{
	struct claim anew = {.relay_id = relay_id,
			     .has_session_lock = !s->settings.transaction_pooling,
			     .lease_until_ms = clock_ms() + lease_ms,
			     .is_durable = true};

	for (int i = 0; i < b->count; i++) {
		const struct db_row *row = database_row(b->rows[i].id);

		if (b->rows[i].state == ROW_DECIDED && row && is_due(row) &&
		    !is_claimed(row->id, 0))
			anew.ids[anew.count++] = row->id;
	}
	if (!anew.count)
		return 0;
	anew.claim_id = ++last_claim_id;
	sim_check(claim_count < CLAIMS_MAX, "I8: %d claims", claim_count);
	claims[claim_count++] = anew;
	database_claims_anew++;
	return anew.claim_id;
}

static void excuse_without_verdict(const struct batch *b)
{
	for (int i = 0; i < b->count; i++) {
		struct db_row *row = database_row(b->rows[i].id);

		if (row && b->rows[i].state == ROW_IN_FLIGHT)
			row->excuses++;
	}
}

/* `claim_ids`: of the claims made anew. */
static void take_over(struct store *s, struct batch *const *batches, int count,
		      enum store_claim *taken, int64_t *claim_ids, int32_t relay_id)
{
	flush();
	for (int i = claim_count - 1; i >= 0; i--) {
		struct claim *c = &claims[i];

		if (is_former(s, c->relay_id) && !c->is_adopted &&
		    !is_known(batches, count, c->claim_id))
			drop_claim(c);
	}
	for (int i = 0; i < count; i++) {
		struct claim *c = find_claim(batches[i]->claim_id);

		taken[i] = STORE_CLAIM_KEPT;
		if (!c || !is_former(s, c->relay_id)) {
			excuse_without_verdict(batches[i]);
			claim_ids[i] = claim_anew(s, batches[i], relay_id);
			taken[i] = claim_ids[i] ? STORE_CLAIM_ANEW : STORE_CLAIM_LOST;
			continue;
		}
		c->relay_id = relay_id;
		c->has_session_lock = !s->settings.transaction_pooling;
		c->lease_until_ms = clock_ms() + lease_ms;
		c->is_shortened = false;
	}
}

static void remember_id(struct store *s, int32_t relay_id)
{
	if (s->former_count == FORMER_MAX) {
		s->former_count--;
		memmove(s->former_ids, s->former_ids + 1,
			sizeof(s->former_ids) - sizeof(s->former_ids[0]));
	}
	s->former_ids[s->former_count++] = relay_id;
}

/* Registers, takes over, and may be cut off before or after that commit. */
static int begin_session(struct store *s, struct batch *const *batches, int count,
			 enum store_claim *taken, int64_t deadline_ms, struct error *err)
{
	int64_t began_ms = clock_ms();
	int32_t relay_id = ++last_relay_id;
	int64_t claim_ids[STORE_SETTLE_MAX];
	struct backend *b = new_backend();

	b->relay_id = relay_id;
	b->has_lock = !s->settings.transaction_pooling;
	b->listens = s->settings.wants_bell && b->has_lock;
	b->lost_at_ms = b->next_ms = CLOCK_NEVER;
	b->client = s;
	s->backend = b;
	task_block(clock_min(sim_random(10), deadline_ms - began_ms), false);
	if (!s->is_lost && sim_chance(database_faults.lost_one_in))
		end_backend(b);
	if (s->is_lost)
		return error_set(err, ERROR_LOST, "gone before the take-over");
	excuse_absent(s);
	take_over(s, batches, count, taken, claim_ids, relay_id);
	remember_id(s, relay_id);
	task_block(clock_min(some_latency_ms(s), deadline_ms - clock_ms()), false);
	if (!s->is_lost && sim_chance(database_faults.lost_one_in))
		end_backend(b);
	if (s->is_lost)
		return error_set(err, ERROR_LOST, "gone after the take-over");
	s->relay_id = relay_id;
	s->former_count = 0;
	remember_id(s, relay_id);
	for (int i = 0; i < count; i++) {
		if (taken[i] == STORE_CLAIM_ANEW)
			batches[i]->claim_id = claim_ids[i];
		batches[i]->lease_deadline_ms = began_ms + lease_ms;
	}
	return 0;
}

int store_open(struct store *s, struct batch *const *batches, int count,
	       enum store_claim *taken, int timeout_ms, int stop_fd, struct error *err)
{
	int64_t deadline_ms;
	bool is_down;

	sim_check(!s->is_open, "opened twice");
	s->task = task_current;
	task_seam();
	timeout_ms = (int)clock_min(timeout_ms, s->settings.connect_timeout_ms);
	deadline_ms = clock_ms() + timeout_ms;
	is_down = down_until_ms > clock_ms();
	if (!is_down && sim_chance(database_faults.refused_one_in)) {
		is_down = true;
		hamper(s);
	}
	if (task_block(clock_min(is_down && sim_chance(2) ? 5000 : sim_random(20),
				 timeout_ms),
		       stop_fd >= 0))
		return error_set(err, ERROR_STOPPED, "stopped");
	if (is_down)
		return error_set(err, sim_chance(3) ? ERROR_REFUSED : ERROR_LOST,
				 "no database there");
	if (begin_session(s, batches, count, taken, deadline_ms, err) < 0) {
		store_close(s);
		return -1;
	}
	s->is_open = true;
	s->due_from = DUE_BEGINNING;
	s->claims_from = INT64_MIN;
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
	(void)s;
	return 0;
}

int64_t store_deadline_ms(const struct store *s)
{
	return s->turn ? s->began_ms + s->settings.statement_timeout_ms + GRACE_MS
		       : CLOCK_NEVER;
}

int64_t store_fetch_less(struct store *s)
{
	return s->settings.max_message_bytes; /* there is always memory */
}

bool store_has_bell(const struct store *s)
{
	return s->has_bell;
}

const char *store_peer(const struct store *s)
{
	(void)s;
	return "simulated";
}

/* --- store.h: a turn --- */

static void add_settlement(struct request *r, struct batch *b, bool keeps,
			   int64_t publishing_id)
{
	struct settlement *s = &r->settle[r->settle_count++];

	*s = (struct settlement){.claim_id = b->claim_id,
				 .publishing_id = publishing_id,
				 .keeps = keeps,
				 .is_careful = b->is_careful};
	for (int i = 0; i < b->count; i++) {
		const struct row *row = &b->rows[i];

		if (row->state != ROW_DECIDED)
			continue;
		s->rows[s->count].id = row->id;
		s->rows[s->count].seen = row->try_count;
		s->rows[s->count].decision = row->decision;
		s->rows[s->count].was_refused =
			row->reason &&
			strncmp(row->reason, BATCH_REFUSED, strlen(BATCH_REFUSED)) == 0;
		s->count++;
	}
	batch_move_all(b, ROW_DECIDED, ROW_SETTLING);
	b->is_settling = !keeps && !b->is_careful;
}

static bool releases_bell(const struct store_turn *t)
{
	return (t->claim_limit && !t->keeps_bell) || t->wake;
}

static void fill_request(struct store *s, struct request *r, struct store_turn *t)
{
	*r = (struct request){.renew = t->renew,
			      .adopt = t->adopt,
			      .with_named = t->with_named,
			      .peek = t->peek,
			      .sleep = t->sleep,
			      .claim_limit = t->claim_limit,
			      .release = s->has_bell && releases_bell(t),
			      .turn = s->turn_number,
			      .look_back = t->look_back,
			      .due_from = t->full_read ? DUE_BEGINNING : s->due_from,
			      .claims_from = s->claims_from,
			      .goes_around = t->around_count > 0,
			      .probes = t->probe != NULL,
			      .probe_newest = t->probe_newest,
			      .probe_attempts = t->probe_attempts};
	look_back_piece(&s->look_back, s->due_from, &r->look_from, &r->look_until);
	for (int i = 0; i < t->settle_count; i++)
		add_settlement(r, t->settle[i], false, 0);
	r->names = t->name != NULL;
	if (t->name)
		add_settlement(r, t->name, true, t->publishing_id);
}

/* It may break at any piece, for the server and for the client, each in its time. */
static void plan_faults(struct backend *b)
{
	b->lost_at_ms = CLOCK_NEVER;
	b->cut_at = ANSWER + 1;
	if (!sim_chance(database_faults.lost_one_in))
		return;
	b->cut_at = (enum stage)sim_random(ANSWER + 1);
	if (sim_chance(2))
		b->lost_at_ms = clock_ms() + sim_random(20);
}

static bool is_shared(const struct destination *d)
{
	return strcmp(d->exchange, SHARED) == 0;
}

void store_turn_begin(struct store *s, struct store_turn *t)
{
	struct backend *b = s->backend;

	sim_check(s->is_open && !s->turn, "a turn at the wrong time");
	sim_check(t->adopt + !!t->claim_limit + !!t->probe <= 1, "more than one claim");
	for (int i = 0; i < t->around_count; i++)
		sim_check(is_shared(&t->around[i]), "%s is parked",
			  t->around[i].exchange);
	sim_check(!t->probe || is_shared(t->probe), "%s is probed", t->probe->exchange);
	sim_check(t->claim_limit <= BATCH_MAX, "a claim of %d", t->claim_limit);
	s->turn = t;
	s->turn_number++;
	s->began_ms = clock_ms();
	s->is_answered = false;
	if (b) {
		fill_request(s, &b->request, t);
		memset(&b->answer, 0, sizeof(b->answer));
		b->is_busy = true;
		b->stage = RELEASE_BELL;
		b->write_began_ms = 0;
		b->next_ms = clock_ms() + some_latency_ms(s);
		plan_faults(b);
	} else {
		struct request nobody_hears;

		fill_request(s, &nobody_hears, t);
	}
	if (releases_bell(t))
		s->has_bell = false;
	task_seam();
}

bool store_turn_is_busy(const struct store *s)
{
	return s->turn != NULL;
}

static void take_settled(struct batch *b, const struct settlement *s)
{
	for (int i = 0; b->is_careful && i < s->count; i++) {
		for (int k = 0; s->rows[i].is_held && k < b->count; k++) {
			if (b->rows[k].id == s->rows[i].id &&
			    b->rows[k].state == ROW_SETTLING)
				batch_set_state(b, &b->rows[k], ROW_DECIDED);
		}
	}
	batch_move_all(b, ROW_SETTLING, ROW_SETTLED);
}

static struct batch *make_batch(const struct store *s, bool is_adopted)
{
	const struct answer *a = &s->answer;
	int64_t ids[BATCH_MAX];
	char exchange[32];
	struct batch *b;

	for (int i = 0; i < a->count; i++)
		ids[i] = a->rows[i].id;
	b = fake_batch_of(s->turn_number, ids, a->count);
	b->claim_id = a->claim_id;
	b->is_adopted = is_adopted;
	b->publishing_id = a->publishing_id;
	b->lease_deadline_ms = s->began_ms + lease_ms;
	for (int i = 0; i < a->count; i++) {
		struct db_row *row = database_row(ids[i]);

		if (row)
			row->holder = s;
		b->rows[i].try_count = a->rows[i].tries;
		if (a->rows[i].is_shared)
			snprintf(exchange, sizeof(exchange), SHARED);
		else
			snprintf(exchange, sizeof(exchange), "x%lld", (long long)ids[i]);
		fake_batch_address(b, i, exchange, FAKE_ROUTING_KEY);
		if (a->rows[i].nature == LARGE) {
			b->rows[i].message.body = (struct slice){0};
			b->rows[i].body_size = s->settings.max_message_bytes + 1;
		}
		if (is_adopted || a->rows[i].was_refused)
			batch_set_alone(b, &b->rows[i]);
	}
	return b;
}

static void take_marks(struct store *s, const struct store_turn *t)
{
	const struct answer *a = &s->answer;
	struct due_place seen = {a->peeked_ms - LATE_MS, INT64_MIN};
	struct due_place latest = {a->claimed_ms - LATE_CLAIM_MS, INT64_MIN};

	if (t->claim_limit && a->claim_id) {
		s->due_from = a->last_claimed;
		if (a->took_all || due_place_is_before(latest, s->due_from))
			s->due_from = latest;
		s->claims_from = a->claims_from;
		/* Two claims or three, and there is a bookmark. */
		look_back_claimed(&s->look_back, s->due_from, a->last_claimed.id, 2000);
	}
	if (t->peek && a->next_due_ms == 0 &&
	    due_place_is_before(a->first_due, s->due_from))
		s->due_from = a->first_due;
	if (t->peek && a->next_due_ms != 0 && due_place_is_before(s->due_from, seen))
		s->due_from = seen;
	if (a->found_late && due_place_is_before(a->first_late, s->due_from))
		s->due_from = a->first_late;
}

/* Dead index entries, or rows that are left alone, may be in the way. */
static void look_back_takes(struct store *s, struct store_turn *t)
{
	const struct request *r = &s->backend->request;

	t->read_us = sim_chance(3) ? sim_random(50000) : 0;
	t->found_late = s->answer.found_late;
	if (t->full_read)
		look_back_restart(&s->look_back);
	t->has_reached_beginning =
		t->full_read || look_back_took(&s->look_back, r->look_from, r->look_until,
					       t->found_late, t->read_us);
}

static void take_answers(struct store *s, struct store_turn *t)
{
	struct answer *a = &s->answer;
	const struct request *r = &s->backend->request;

	for (int i = 0; i < t->settle_count; i++) {
		t->settled[i] = a->settled[i];
		take_settled(t->settle[i], &r->settle[i]);
	}
	if (t->name) {
		t->named = a->settled[t->settle_count];
		take_settled(t->name, &r->settle[t->settle_count]);
		t->name->publishing_id = t->publishing_id;
	}
	t->renewed = a->renewed;
	t->renewed_count = a->renewed_count;
	t->due = a->due;
	t->bell = a->bell;
	t->next_due_ms = a->next_due_ms;
	if (t->full_read || t->look_back)
		look_back_takes(s, t);
	t->dead_in_ms = a->dead_in_ms;
	t->named_left_ms = a->named_left_ms;
	s->has_bell = a->bell == STORE_BELL_TAKEN || (s->has_bell && !t->peek);
	take_marks(s, t);
	if (a->claim_id)
		t->claimed = make_batch(s, t->adopt);
}

int store_turn_poll(struct store *s, struct error *err)
{
	task_seam();
	if (s->is_answered && !s->is_lost) {
		take_answers(s, s->turn);
		s->turn = NULL;
		return 1;
	}
	if (!s->is_lost && clock_ms() < store_deadline_ms(s))
		return 0;
	take_back(s->turn);
	s->turn = NULL;
	if (s->times_out || !s->is_lost)
		return error_set(err, ERROR_TIMEOUT, "no answer in time");
	return error_set(err, ERROR_LOST, "server closed the connection");
}

int store_listen(struct store *s, struct error *err)
{
	bool was_rung = s->is_rung;

	task_seam();
	s->is_rung = false;
	if (s->is_lost)
		return error_set(err, ERROR_LOST, "terminating connection");
	return was_rung && s->settings.wants_bell;
}
