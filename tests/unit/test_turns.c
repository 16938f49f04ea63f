#include "engine/turns.h"

#include <string.h>

#include "fake/fake_batch.h"
#include "fake/fake_clock.h"
#include "fake/fake_store.h"
#include "unit/unit.h"

#define LEASE_MS    30000
#define POLL_MS     1000
#define BATCH       4
#define BATCH_BYTES 1000
#define GATHER_MS   10

static const struct turns_settings settings = {
	.poll_interval_ms = POLL_MS,
	.lease_ms = LEASE_MS,
	.batch_size = BATCH,
	.wants_bell = true,
	.policy = {.max_attempts = 3, .delay = {10000, 2, 600000, 0}},
};
static const struct store_settings store_settings = {
	.wants_bell = true,
	.statement_timeout_ms = 30000,
	.lock_timeout_ms = 5000,
	.lease_ms = LEASE_MS,
	.batch_bytes = BATCH_BYTES,
	.max_message_bytes = 10 * BATCH_BYTES,
};

static struct fake_database *const db = &fake_database;
static struct store *store;
static struct work work;
static struct counts counts;
static struct report report;
static struct turns t;

static bool may_claim, releases;
static struct batch *unnamed_batch;
static struct row *unnamed;

static void setup(void)
{
	fake_clock_reset();
	fake_database_reset();
	store = store_new(&store_settings);
	turns_init(&t, &settings, store, &work, &counts, &report);
	may_claim = true;
	turns_open(&t, 5000, -1);
	ck_assert(t.link.is_up);
}

static void teardown(void)
{
	store_free(store);
	work_release(&work);
}

/* Begins what there is to do; true: something. */
static bool begin(void)
{
	int before = db->turns;

	turns_begin(&t, may_claim, releases, unnamed_batch, unnamed);
	return db->turns > before;
}

static void answer(void)
{
	fake_clock_advance(db->answer_ms);
	turns_collect(&t);
}

/* One turn with its answer. */
static bool turn(void)
{
	bool did = begin();

	answer();
	return did;
}

/* Turns until there is nothing to do now. */
static int turn_all(void)
{
	int turns = 0;

	while (turn())
		ck_assert_int_lt(++turns, 50);
	return turns;
}

/* The database has answered for a lease: claims that name a row may be adopted. */
static void watch(void)
{
	t.watched_since_ms = clock_ms() - LEASE_MS;
	t.answered_at_ms = clock_ms();
}

/* The first turn after opening looks for dead relays. */
static void skip_adopt(void)
{
	ck_assert(turn());
	ck_assert(db->last.adopt);
}

/* Rows 1 … of a relay that died and had named none of them, adopted. */
static struct batch *adopt_rows(int count)
{
	fake_database_insert(1, count, clock_ms());
	fake_database_dead_claim(1, count, 0);
	skip_adopt();
	ck_assert_int_eq(work.count, 1);
	return work.batches[0];
}

/* From now on it is to be named in its claim; NULL: none. */
static void wants_name(struct batch *b, struct row *row)
{
	unnamed_batch = b;
	unnamed = row;
}

static void decide(struct batch *b, int first, int count, enum fate fate)
{
	struct decision d = {.fate = fate,
			     .charge = fate != FATE_SENT,
			     .delay_ms = 10000};

	for (int i = first; i < first + count; i++) {
		batch_set_state(b, &b->rows[i], ROW_IN_FLIGHT);
		batch_decide(b, &b->rows[i], d, fate == FATE_SENT ? NULL : "no");
	}
	/* Few rows wait a moment for others before they are settled; these have. */
	b->done_at_ms = clock_ms() - GATHER_MS;
}

static void decide_all(struct batch *b, enum fate fate)
{
	decide(b, 0, b->count, fate);
}

/* Claims `count` new rows as one batch. */
static struct batch *claim_rows(int64_t first_id, int count)
{
	fake_database_insert(first_id, count, clock_ms());
	t.appetite = APPETITE_AWAKE;
	ck_assert(turn());
	ck_assert_int_eq(db->last.claim_limit, BATCH);
	ck_assert_int_gt(work.count, 0);
	return work.batches[work.count - 1];
}

static void reopen(void)
{
	ck_assert(!t.link.is_up);
	fake_clock_advance(t.link.retry_at_ms - clock_ms());
	turns_open(&t, 5000, -1);
	ck_assert(t.link.is_up);
}

/* --- the session --- */

START_TEST(opening_waits_for_its_time_and_backs_off)
{
	skip_adopt();
	db->loses_next_listen = true;
	turns_collect(&t);
	ck_assert(!t.link.is_up);
	ck_assert(!store_is_open(store));
	turns_open(&t, 5000, -1);
	ck_assert_int_eq(db->opens, 1);
	ck_assert_int_eq(turns_due_ms(&t), t.link.retry_at_ms);
	db->fail_opens = 1;
	fake_clock_advance(t.link.retry_at_ms - clock_ms());
	turns_open(&t, 700, -1);
	ck_assert_int_eq(db->open_timeout_ms, 700);
	ck_assert_int_eq(t.link.failures, 1);
	reopen();
	ck_assert_uint_eq(counts.connects, 2);
	ck_assert(turn());
	ck_assert_int_gt(db->last.claim_limit, 0);
}
END_TEST

START_TEST(nothing_is_begun_while_the_session_is_down_or_busy)
{
	ck_assert(begin());
	ck_assert(!begin());
	turns_close(&t);
	ck_assert(!begin());
	turns_collect(&t);
	ck_assert(!store_is_open(store));
}
END_TEST

START_TEST(a_dead_relay_is_looked_for_first_and_then_every_2_s_while_awake)
{
	ck_assert(begin());
	ck_assert(db->last.adopt);
	ck_assert_int_eq(db->last.claim_limit, 0);
	answer();
	ck_assert(turn());
	ck_assert(!db->last.adopt);
	fake_clock_advance(2000);
	t.appetite = APPETITE_AWAKE;
	ck_assert(turn());
	ck_assert(db->last.adopt);
}
END_TEST

START_TEST(a_session_that_answers_nothing_is_lost_at_its_deadline)
{
	db->hangs_next_turn = true;
	begin();
	ck_assert_int_eq(turns_due_ms(&t), clock_ms() + 35000);
	fake_clock_advance(34999);
	turns_collect(&t);
	ck_assert(t.link.is_up);
	fake_clock_advance(1);
	turns_collect(&t);
	ck_assert(!t.link.is_up);
	ck_assert(!store_is_open(store));
}
END_TEST

/* --- claiming --- */

START_TEST(an_empty_table_is_claimed_once_and_slept_on)
{
	skip_adopt();
	ck_assert(turn());
	ck_assert_int_eq(db->last.claim_limit, BATCH);
	ck_assert(db->last.full_read);
	ck_assert_int_eq(t.appetite, APPETITE_DROWSY);
	ck_assert(turn());
	ck_assert(db->last.peek);
	ck_assert(db->last.sleep);
	ck_assert_int_eq(db->last.claim_limit, 0);
	ck_assert_int_eq(t.appetite, APPETITE_ASLEEP);
	ck_assert(!turn());
	ck_assert_int_eq(turns_due_ms(&t), t.sleep_until_ms);
}
END_TEST

START_TEST(a_full_batch_means_more_and_a_smaller_one_means_a_last_look)
{
	skip_adopt();
	fake_database_insert(1, BATCH + 2, clock_ms());
	ck_assert(turn());
	ck_assert_int_eq(work.batches[0]->count, BATCH);
	ck_assert_int_eq(t.appetite, APPETITE_AWAKE);
	ck_assert(turn());
	ck_assert_int_eq(work.batches[1]->count, 2);
	ck_assert_int_eq(t.appetite, APPETITE_DROWSY);
	ck_assert_uint_eq(counts.claimed, BATCH + 2);
	ck_assert(turn());
	ck_assert(db->last.peek);
	ck_assert_int_eq(t.appetite, APPETITE_ASLEEP);
}
END_TEST

START_TEST(a_claim_of_sixteen_rows_means_that_they_keep_coming)
{
	skip_adopt();
	t.batch_size.rows = 40;
	fake_database_insert(1, 16, clock_ms());
	ck_assert(turn());
	ck_assert_int_eq(work.batches[0]->count, 16);
	ck_assert_int_eq(t.appetite, APPETITE_AWAKE);
	t.batch_size.rows = 40;
	fake_database_insert(17, 15, clock_ms());
	ck_assert(turn());
	ck_assert_int_eq(work.batches[1]->count, 15);
	ck_assert_int_eq(t.appetite, APPETITE_DROWSY);
}
END_TEST

START_TEST(a_batch_cut_short_by_its_bytes_means_more)
{
	skip_adopt();
	fake_database_insert(1, 3, clock_ms());
	fake_database_row(3)->body_size = BATCH_BYTES;
	ck_assert(turn());
	ck_assert_int_eq(work.batches[0]->count, 2);
	ck_assert_int_eq(t.appetite, APPETITE_AWAKE);
	ck_assert(turn());
	ck_assert_int_eq(work.batches[1]->count, 1);
	ck_assert_int_eq(t.appetite, APPETITE_DROWSY);
}
END_TEST

START_TEST(five_open_batches_are_enough)
{
	skip_adopt();
	fake_database_insert(1, 7 * BATCH, clock_ms());
	ck_assert_int_eq(turn_all(), 5);
	ck_assert_int_eq(work.count, 5);
	decide_all(work.batches[1], FATE_SENT);
	ck_assert(begin());
	ck_assert_int_eq(db->last.settle_count, 1);
	ck_assert_int_eq(db->last.claim_limit, BATCH);
}
END_TEST

/* Three batches may be held up by rows that go alone; new messages shall not be. */
START_TEST(beside_rows_that_go_alone_there_is_room_for_one_batch_more)
{
	skip_adopt();
	for (int i = 0; i < 5; i++)
		claim_rows(10 * i + 1, 2);
	t.appetite = APPETITE_AWAKE;
	ck_assert(!begin());
	batch_set_alone(work.batches[0], &work.batches[0]->rows[1]);
	ck_assert(begin());
	ck_assert_int_eq(db->last.claim_limit, BATCH);
}
END_TEST

/* Full of messages that get no answer: only other ones can tell whose silence it is. */
START_TEST(in_a_stall_a_few_more_are_claimed_up_to_a_limit)
{
	skip_adopt();
	batch_size_init(&t.batch_size, 100);
	for (int i = 0; i < 5; i++) {
		fake_database_insert(100 * i + 1, 100, clock_ms());
		t.appetite = APPETITE_AWAKE;
		turn();
	}
	fake_database_insert(1001, 400, clock_ms());
	t.appetite = APPETITE_AWAKE;
	ck_assert(!begin());
	t.is_stalled = true;
	for (int i = 0; i < 10; i++) {
		t.appetite = APPETITE_AWAKE;
		turn();
		ck_assert_int_le(db->last.claim_limit, 32);
	}
	ck_assert_int_eq(work.count, WORK_BATCHES_MAX);
	turns_begin(&t, false, true, NULL, NULL);
	ck_assert_int_eq(t.turn.settle_count, WORK_BATCHES_MAX);
}
END_TEST

START_TEST(what_goes_alone_is_taken_on_one_batch_at_a_time)
{
	struct batch *b;

	skip_adopt();
	fake_database_insert(101, 4, clock_ms());
	fake_database_dead_claim(101, 2, 0);
	fake_database_dead_claim(103, 2, 0);
	b = claim_rows(1, 2);
	batch_set_alone(b, &b->rows[0]);
	fake_clock_advance(10000);
	turn_all();
	ck_assert_int_eq(work.count, 1);
	ck_assert_int_eq(t.appetite, APPETITE_ASLEEP);
	decide_all(b, FATE_SENT);
	fake_clock_advance(POLL_MS);
	turn_all();
	ck_assert_int_eq(work.count, 1);
	ck_assert(work.batches[0]->is_adopted);
	decide_all(work.batches[0], FATE_SENT);
	fake_clock_advance(POLL_MS);
	turn_all();
	ck_assert_uint_eq(counts.claims_adopted, 2);
}
END_TEST

/* Asleep with no room: its poll cannot be served, so it must not be due. */
START_TEST(a_poll_that_could_not_claim_is_not_due)
{
	skip_adopt();
	for (int i = 0; i < 5; i++)
		claim_rows(10 * i + 1, 2);
	t.appetite = APPETITE_ASLEEP;
	t.sleep_until_ms = clock_ms();
	ck_assert(!begin());
	ck_assert_int_gt(turns_due_ms(&t), clock_ms());
}
END_TEST

START_TEST(with_a_row_that_goes_alone_no_probe_is_due)
{
	struct batch *b;

	skip_adopt();
	b = claim_rows(1, 2);
	batch_set_alone(b, &b->rows[0]);
	parking_refused(&work.parking, &b->rows[0].message, VERDICT_REFUSED, "404",
			false);
	work.parking.count = 1;
	turn_all();
	fake_clock_advance(t.sleep_until_ms - clock_ms() - 1);
	work.parking.parked[0].probe_at_ms = clock_ms();
	ck_assert(!begin());
	ck_assert_int_gt(turns_due_ms(&t), clock_ms());
	work.parking.count = 0;
}
END_TEST

START_TEST(claims_begin_at_the_low_water_mark_and_look_back_once_a_second)
{
	skip_adopt();
	claim_rows(1, BATCH);
	ck_assert(db->last.full_read);
	claim_rows(11, BATCH);
	ck_assert(!db->last.full_read && !db->last.look_back);
	decide_all(work.batches[0], FATE_SENT);
	turn();
	fake_clock_advance(1000);
	decide_all(work.batches[0], FATE_SENT);
	claim_rows(21, 1);
	ck_assert(db->last.look_back);
}
END_TEST

START_TEST(a_look_that_finds_due_rows_is_followed_by_a_claim_from_the_mark)
{
	skip_adopt();
	turn();
	fake_database_insert(1, 1, clock_ms());
	ck_assert(turn());
	ck_assert(db->last.peek);
	ck_assert_int_eq(t.appetite, APPETITE_AWAKE);
	ck_assert(turn());
	ck_assert_int_eq(db->last.claim_limit, BATCH);
	ck_assert(!db->last.full_read);
	ck_assert_int_eq(work.count, 1);
	ck_assert(!store_has_bell(store));
}
END_TEST

/* --- sleeping --- */

START_TEST(a_ring_wakes)
{
	skip_adopt();
	turn_all();
	ck_assert(t.has_bell);
	fake_database_insert(1, 2, clock_ms());
	turns_collect(&t);
	ck_assert_int_eq(t.appetite, APPETITE_AWAKE);
	ck_assert(turn());
	ck_assert_int_eq(db->last.claim_limit, BATCH);
	ck_assert_int_eq(work.count, 1);
	ck_assert(!store_has_bell(store));
}
END_TEST

START_TEST(a_ring_while_awake_changes_nothing)
{
	skip_adopt();
	fake_database_insert(1, BATCH, clock_ms());
	fake_database_ring();
	turn();
	ck_assert(!t.was_rung);
	ck_assert_int_eq(t.appetite, APPETITE_AWAKE);
}
END_TEST

/* Rows for later ring, too. Each such ring costs every writer a NOTIFY, so the relay stays off
   the bell, the longer the more often it happens. */
START_TEST(rings_for_nothing_are_answered_by_growing_pauses)
{
	int64_t last_ms = 0;

	skip_adopt();
	turn_all();
	for (int i = 0; i < 6; i++) {
		int64_t pause_ms;

		fake_database_ring();
		turns_collect(&t);
		ck_assert(turn());
		ck_assert(!t.turn.claimed);
		ck_assert_int_eq(t.appetite, APPETITE_ASLEEP);
		ck_assert(!store_has_bell(store));
		pause_ms = t.sleep_until_ms - clock_ms();
		ck_assert_int_ge(pause_ms, last_ms);
		ck_assert_int_le(pause_ms, 25);
		last_ms = pause_ms;
		fake_clock_advance(pause_ms);
		turn_all();
		ck_assert(t.has_bell);
	}
	ck_assert_int_eq(last_ms, 25);
	/* A whole sleep without a ring, and the next one is answered at once again. */
	fake_clock_advance(POLL_MS);
	turn_all();
	fake_database_ring();
	turns_collect(&t);
	turn();
	ck_assert_int_le(t.sleep_until_ms - clock_ms(), 1);
}
END_TEST

/* Asleep on the bell, and the last claim took one row. */
static void trickle(void)
{
	skip_adopt();
	turn_all();
	fake_database_insert(1, 1, clock_ms());
	turns_collect(&t);
	turn_all();
	ck_assert_int_eq(work.count, 1);
	ck_assert(store_has_bell(store));
}

START_TEST(rows_that_come_one_by_one_are_claimed_without_giving_the_bell_back)
{
	trickle();
	fake_database_insert(2, 1, clock_ms());
	turns_collect(&t);
	ck_assert_int_eq(turn_all(), 1);
	ck_assert_int_eq(db->last.claim_limit, BATCH);
	ck_assert_int_eq(work.count, 2);
	ck_assert(store_has_bell(store) && t.has_bell);
	ck_assert_int_eq(t.appetite, APPETITE_ASLEEP);
}
END_TEST

/* A look follows in a moment, and the row shall not wait for it. */
START_TEST(such_a_claim_does_not_look_back)
{
	trickle();
	t.claims_look_at_ms = clock_ms();
	fake_database_insert(2, 1, clock_ms());
	turns_collect(&t);
	ck_assert(turn());
	ck_assert(db->last.keeps_bell && !db->last.look_back);
	fake_clock_advance(t.sleep_until_ms - clock_ms());
	ck_assert(turn());
	ck_assert(db->last.peek && db->last.look_back);
}
END_TEST

START_TEST(a_row_that_is_committed_during_such_a_claim_rings_and_is_claimed_next)
{
	trickle();
	fake_database_insert(2, 1, clock_ms());
	turns_collect(&t);
	ck_assert(begin());
	fake_database_insert(3, 1, clock_ms());
	answer();
	ck_assert_int_eq(work.count, 2);
	ck_assert_int_eq(turn_all(), 1);
	ck_assert_int_eq(work.count, 3);
}
END_TEST

/* Up to as many batches as there is room for. */
START_TEST(a_row_that_rang_does_not_wait_for_settlements)
{
	int64_t id = 1;

	trickle();
	while (work.count < 5) {
		decide(work.batches[work.count - 1], 0, 1, FATE_SENT);
		fake_database_insert(++id, 1, clock_ms());
		turns_collect(&t);
		ck_assert(turn());
		ck_assert_int_eq(db->last.settle_count, 0);
		ck_assert_int_eq(work.count, (int)id);
	}
	decide(work.batches[4], 0, 1, FATE_SENT);
	fake_database_insert(++id, 1, clock_ms());
	turns_collect(&t);
	ck_assert(turn());
	ck_assert_int_eq(work.count, 6);
	fake_database_insert(++id, 1, clock_ms());
	turns_collect(&t);
	ck_assert(turn());
	ck_assert_int_eq(db->last.settle_count, 5);
	ck_assert_int_gt(db->last.claim_limit, 0);
}
END_TEST

START_TEST(what_was_put_off_for_a_row_that_rang_is_settled_next)
{
	trickle();
	decide(work.batches[0], 0, 1, FATE_SENT);
	fake_database_insert(2, 1, clock_ms());
	turns_collect(&t);
	ck_assert(turn());
	ck_assert(turn());
	ck_assert_int_eq(db->last.settle_count, 1);
	ck_assert_int_eq(fake_database_row(1)->status, FAKE_SENT);
}
END_TEST

/* Its row may be scheduled ahead, and the ring before it was not for that one. */
START_TEST(rows_that_come_one_by_one_do_not_put_off_the_look_for_long)
{
	trickle();
	fake_clock_advance(40);
	fake_database_insert(2, 1, clock_ms());
	fake_database_insert(3, 1, clock_ms() + 20);
	turns_collect(&t);
	ck_assert_int_eq(turn_all(), 1);
	ck_assert_int_eq(work.count, 2);
	ck_assert_int_le(turns_due_ms(&t), clock_ms() + 10);
	fake_clock_advance(10);
	ck_assert_int_eq(turn_all(), 1);
	ck_assert(db->last.peek);
	fake_clock_advance(10);
	turn_all();
	ck_assert_int_eq(work.count, 3);
}
END_TEST

START_TEST(writers_ring_no_more_when_many_rows_come)
{
	trickle();
	fake_database_insert(2, 3, clock_ms());
	turns_collect(&t);
	turn_all();
	ck_assert(store_has_bell(store));
	fake_database_insert(5, 1, clock_ms());
	turns_collect(&t);
	ck_assert(turn());
	ck_assert_int_eq(work.count, 3);
	ck_assert(!store_has_bell(store));
}
END_TEST

START_TEST(a_ring_for_nothing_between_rows_that_come_one_by_one_is_followed_by_a_look)
{
	trickle();
	fake_database_ring();
	turns_collect(&t);
	ck_assert_int_eq(turn_all(), 2);
	ck_assert(db->last.peek);
	ck_assert(t.has_bell);
	/* After a second one the relay stays off the bell. */
	fake_database_ring();
	turns_collect(&t);
	ck_assert(turn());
	ck_assert(!store_has_bell(store));
	ck_assert_int_eq(t.appetite, APPETITE_ASLEEP);
}
END_TEST

/* Its receipts come in so long a time, with or without a row that failed. */
START_TEST(claims_follow_how_fast_the_broker_confirms)
{
	static const struct {
		int64_t took_ms;
		int failed, next;
	} cases[] = {
		{100, 0, 64}, {600, 0, 32}, {2000, 0, 16}, {100, 1, 32}, {2000, 1, 32}};
	struct batch *b;

	skip_adopt();
	t.batch_size = (struct batch_size){.rows = 32, .most = 64};
	fake_database_insert(1, 200, clock_ms());
	ck_assert(turn());
	b = work.batches[0];
	ck_assert_int_eq(b->count, 32);
	b->first_receipt_ms = clock_ms();
	b->last_receipt_ms = clock_ms() + cases[_i].took_ms;
	decide(b, 0, cases[_i].failed, FATE_FAILED);
	decide(b, cases[_i].failed, b->count - cases[_i].failed, FATE_SENT);
	ck_assert(turn());
	ck_assert_int_eq(db->last.settle_count, 1);
	ck_assert_int_eq(db->last.claim_limit, cases[_i].next);
}
END_TEST

START_TEST(writers_under_way_are_waited_for_in_growing_pauses)
{
	static const int64_t pauses_ms[] = {1, 2, 4, 8, 16, 25, 25, 25, 25, 25};

	skip_adopt();
	turn();
	db->bell = STORE_BELL_WRITERS;
	for (size_t i = 0; i < sizeof(pauses_ms) / sizeof(pauses_ms[0]); i++) {
		ck_assert(turn());
		ck_assert(db->last.sleep);
		ck_assert(!t.has_bell);
		ck_assert_int_eq(t.sleep_until_ms - clock_ms(), pauses_ms[i]);
		ck_assert(!begin());
		fake_clock_advance(pauses_ms[i]);
		if (pauses_ms[i] > 4)
			continue;
		/* Not gone to sleep for long yet: their rows are asked for without a look. */
		ck_assert(turn());
		ck_assert(db->last.claim_limit && !db->last.peek);
	}
	db->bell = STORE_BELL_TAKEN;
	turn();
	ck_assert_int_eq(t.sleep_until_ms - clock_ms(), POLL_MS);
}
END_TEST

START_TEST(a_row_scheduled_ahead_ends_the_sleep)
{
	int64_t due_ms;

	skip_adopt();
	fake_database_insert(1, 1, clock_ms() + 203);
	due_ms = clock_ms() + 203;
	turn_all();
	ck_assert_int_ge(turns_due_ms(&t), due_ms);
	ck_assert_int_le(turns_due_ms(&t), due_ms + db->answer_ms);
	fake_clock_advance(turns_due_ms(&t) - clock_ms());
	turn_all();
	ck_assert_int_eq(work.count, 1);
}
END_TEST

START_TEST(a_row_scheduled_far_ahead_does_not_prolong_the_sleep)
{
	skip_adopt();
	fake_database_insert(1, 1, clock_ms() + 3600000);
	turn_all();
	ck_assert_int_eq(turns_due_ms(&t) - clock_ms(),
			 POLL_MS - 1); /* one empty answer ago */
}
END_TEST

START_TEST(another_relays_bell_wakes_but_is_not_trusted_for_long)
{
	t.settings.poll_interval_ms = 60000;
	db->bell = STORE_BELL_SHARED;
	skip_adopt();
	turn_all();
	ck_assert(t.has_bell);
	ck_assert(!store_has_bell(store));
	ck_assert_int_le(t.sleep_until_ms - clock_ms(), 1000);
	fake_database_insert(1, 1, clock_ms());
	turns_collect(&t);
	ck_assert(turn());
	ck_assert_int_eq(work.count, 1);
}
END_TEST

START_TEST(without_a_bell_each_poll_looks)
{
	t.settings.wants_bell = false;
	skip_adopt();
	turn_all();
	ck_assert(!db->last.sleep);
	for (int i = 0; i < 5; i++) {
		ck_assert_int_le(turns_due_ms(&t) - clock_ms(), POLL_MS);
		fake_clock_advance(turns_due_ms(&t) - clock_ms());
		ck_assert(turn());
		ck_assert(db->last.peek);
		ck_assert(!begin());
	}
}
END_TEST

START_TEST(an_idle_poll_is_one_look_a_second)
{
	int64_t until_ms;
	int before;

	skip_adopt();
	turn_all();
	before = db->turns;
	until_ms = clock_ms() + 60000;
	while (clock_ms() < until_ms) {
		fake_clock_advance(turns_due_ms(&t) - clock_ms());
		turn_all();
	}
	ck_assert_int_le(db->turns - before, 61);
	ck_assert(db->last.peek);
	ck_assert_int_eq(db->last.claim_limit, 0);
}
END_TEST

START_TEST(a_broker_that_takes_nothing_means_no_claims_and_no_ringing)
{
	skip_adopt();
	turn_all();
	ck_assert(store_has_bell(store));
	may_claim = false;
	ck_assert(turn());
	ck_assert(db->last.wake);
	ck_assert(!db->last.claim_limit && !db->last.peek && !db->last.adopt);
	ck_assert(!store_has_bell(store));
	ck_assert(!begin());
	fake_clock_advance(60000);
	ck_assert(!begin());
	ck_assert_int_eq(turns_due_ms(&t), CLOCK_NEVER);
	may_claim = true;
	ck_assert(begin());
}
END_TEST

START_TEST(a_bell_that_rang_just_before_the_broker_went_is_given_back)
{
	skip_adopt();
	turn_all();
	fake_database_ring();
	turns_collect(&t);
	may_claim = false;
	ck_assert(turn());
	ck_assert(db->last.wake);
	ck_assert(!store_has_bell(store));
}
END_TEST

START_TEST(another_relays_bell_is_not_ours_to_give_back)
{
	db->bell = STORE_BELL_SHARED;
	skip_adopt();
	turn_all();
	may_claim = false;
	ck_assert(!begin());
	ck_assert(!t.has_bell);
}
END_TEST

/* --- until empty --- */

START_TEST(a_run_until_empty_looks_only_with_nothing_in_hand)
{
	struct batch *b;

	t.settings.until_empty = true;
	t.settings.wants_bell = false;
	skip_adopt();
	b = claim_rows(1, 2);
	ck_assert(!begin());
	ck_assert(!t.is_empty);
	decide_all(b, FATE_SENT);
	ck_assert(turn());
	ck_assert(!t.is_empty);
	ck_assert(turn());
	ck_assert(db->last.peek);
	ck_assert(t.is_empty);
}
END_TEST

START_TEST(rows_for_later_and_claims_of_others_alive_are_not_due)
{
	struct fake_claim *c;

	t.settings.until_empty = true;
	t.settings.wants_bell = false;
	fake_database_insert(1, 1, clock_ms() + 5000);
	turn_all();
	ck_assert(t.is_empty);
	t.is_empty = false;
	fake_database_insert(2, 1, clock_ms());
	c = fake_database_dead_claim(2, 1, 0);
	t.appetite = APPETITE_DROWSY;
	ck_assert(turn());
	ck_assert(db->last.peek);
	ck_assert(!t.is_empty);
	ck_assert(turn());
	ck_assert(db->last.adopt);
	ck_assert_int_eq(work.batches[0]->claim_id, c->claim_id);
}
END_TEST

/* --- settling --- */

START_TEST(only_complete_batches_are_settled_and_the_next_claim_rides_along)
{
	struct batch *first, *second;

	skip_adopt();
	first = claim_rows(1, BATCH);
	second = claim_rows(11, BATCH);
	decide(first, 0, 3, FATE_SENT);
	decide(first, 3, 1, FATE_FAILED);
	decide(second, 0, BATCH - 1, FATE_SENT);
	t.appetite = APPETITE_AWAKE;
	fake_database_insert(21, 1, clock_ms());
	ck_assert(begin());
	ck_assert_int_eq(db->last.settle_count, 1);
	ck_assert_ptr_eq(db->last.settle[0], first);
	ck_assert_ptr_nonnull(first->result); /* a row failed: its report names it */
	ck_assert_int_eq(db->last.claim_limit, BATCH);
	ck_assert(first->is_settling);
	answer();
	ck_assert_int_eq(work.count, 2);
	ck_assert_ptr_eq(work.batches[0], second);
	ck_assert_uint_eq(counts.sent, 3);
	ck_assert_uint_eq(counts.failed, 1);
	ck_assert_int_eq(fake_database_row(1)->status, FAKE_SENT);
	ck_assert_int_eq(fake_database_row(4)->status, FAKE_FAILED);
	ck_assert_int_eq(fake_database_row(11)->status, FAKE_SENDING);
	ck_assert_int_eq(db->claim_count, 2);
}
END_TEST

/* Every row has been confirmed just now. */
static void confirm(struct batch *b)
{
	decide_all(b, FATE_SENT);
	b->done_at_ms = 0;
}

START_TEST(batches_that_are_done_wait_for_others_and_are_settled_together)
{
	struct batch *first, *second;
	int64_t until_ms;

	skip_adopt();
	first = claim_rows(1, 1);
	second = claim_rows(11, 2);
	turn_all();
	confirm(first);
	ck_assert(!begin());
	until_ms = clock_ms() + GATHER_MS;
	ck_assert_int_eq(turns_due_ms(&t), until_ms);
	fake_clock_advance(GATHER_MS - 1);
	confirm(second);
	ck_assert(!begin());
	ck_assert_int_eq(turns_due_ms(&t), until_ms);
	fake_clock_advance(1);
	ck_assert(turn());
	ck_assert_int_eq(db->last.settle_count, 2);
	ck_assert_int_eq(work.count, 0);
}
END_TEST

START_TEST(a_broker_with_nothing_left_does_not_wait_until_a_heap_is_settled)
{
	skip_adopt();
	for (int i = 0; i < 3; i++)
		claim_rows(1 + i * BATCH, BATCH);
	for (int i = 0; i < 3; i++)
		decide_all(work.batches[i], FATE_SENT);
	fake_database_insert(101, 2 * BATCH, clock_ms());
	t.appetite = APPETITE_AWAKE;
	ck_assert(turn());
	ck_assert_int_eq(db->last.claim_limit, BATCH);
	ck_assert_int_eq(db->last.settle_count, 0);
	ck_assert_int_eq(work_open_batches(&work), 1);
	/* What was sent wants no memory meanwhile; what is to be sent does. */
	for (int i = 0; i < 3; i++)
		ck_assert_ptr_null(work.batches[i]->result);
	ck_assert_ptr_nonnull(work.batches[3]->result);
	/* Now it has some. */
	ck_assert(turn());
	ck_assert_int_eq(db->last.settle_count, 3);
	ck_assert_int_eq(db->last.claim_limit, BATCH);
	ck_assert_int_eq(fake_database_row(1)->status, FAKE_SENT);
}
END_TEST

START_TEST(a_claim_does_not_take_along_what_waits_for_others)
{
	skip_adopt();
	confirm(claim_rows(1, 1));
	claim_rows(11, 2);
	ck_assert_int_eq(db->last.settle_count, 0);
	ck_assert_int_eq(work.count, 2);
}
END_TEST

START_TEST(a_batch_with_locked_rows_does_not_hurry_the_others)
{
	struct batch *locked;

	skip_adopt();
	locked = claim_rows(1, 1);
	confirm(claim_rows(11, 2));
	turn_all();
	confirm(locked);
	locked->is_careful = true;
	locked->settle_at_ms = clock_ms() + 1000;
	ck_assert(!begin());
	fake_clock_advance(GATHER_MS);
	confirm(work.batches[1]);
	ck_assert(!begin());
	ck_assert_int_eq(turns_due_ms(&t), clock_ms() + GATHER_MS);
}
END_TEST

enum reason { MANY_ROWS, NO_ROOM, BROKER_AWAY, GIVEN_BACK, UNTIL_EMPTY, REASONS };

START_TEST(what_has_a_reason_to_be_settled_at_once_waits_for_nothing)
{
	skip_adopt();
	t.batch_size.rows = _i == MANY_ROWS ? 64 : BATCH;
	fake_database_insert(1, t.batch_size.rows, clock_ms());
	ck_assert(turn());
	for (int i = 0; _i == NO_ROOM && i < 4; i++)
		claim_rows(101 + i, 1);
	t.appetite = APPETITE_ASLEEP;
	t.sleep_until_ms = CLOCK_NEVER;
	may_claim = _i != BROKER_AWAY && _i != GIVEN_BACK;
	releases = _i == GIVEN_BACK;
	t.settings.until_empty = _i == UNTIL_EMPTY;
	confirm(work.batches[0]);
	ck_assert(turn());
	ck_assert_int_ge(db->last.settle_count, 1);
	releases = false;
}
END_TEST

START_TEST(refused_rows_are_counted_and_reported)
{
	struct batch *b;

	skip_adopt();
	b = claim_rows(1, 3);
	decide(b, 0, 1, FATE_SENT);
	decide(b, 1, 1, FATE_RETRY);
	decide(b, 2, 1, FATE_FAILED);
	turn();
	ck_assert_uint_eq(counts.sent, 1);
	ck_assert_uint_eq(counts.retried, 1);
	ck_assert_uint_eq(counts.failed, 1);
	ck_assert_int_eq(report.failed.rows, 1);
	ck_assert_int_eq(report.failed.example.id, 3);
	ck_assert_int_eq(report.retried.example.id, 2);
	ck_assert_int_eq(fake_database_row(2)->try_count, 1);
	ck_assert_str_eq(fake_database_row(2)->last_error, "no");
}
END_TEST

START_TEST(a_claim_without_rows_is_closed)
{
	skip_adopt();
	claim_rows(1, 2);
	work.batches[0]->count = 0;
	memset(work.batches[0]->in_state, 0, sizeof(work.batches[0]->in_state));
	turn();
	fake_clock_advance(GATHER_MS);
	turn();
	ck_assert_int_eq(work.count, 0);
	ck_assert_int_eq(db->claim_count, 0);
}
END_TEST

START_TEST(giving_back_settles_what_is_known_and_frees_the_rest)
{
	struct batch *b;

	skip_adopt();
	b = claim_rows(1, 3);
	decide(b, 0, 1, FATE_SENT);
	fake_database_insert(10, 2, clock_ms());
	t.appetite = APPETITE_AWAKE;
	releases = true;
	ck_assert(turn());
	ck_assert_int_eq(db->last.settle_count, 1);
	ck_assert_int_eq(db->last.claim_limit, 0);
	ck_assert_int_eq(work.count, 0);
	ck_assert_int_eq(db->claim_count, 0);
	ck_assert_int_eq(fake_database_row(1)->status, FAKE_SENT);
	ck_assert_int_eq(fake_database_row(2)->status, FAKE_SENDING);
	ck_assert_uint_eq(counts.sent, 1);
	ck_assert_uint_eq(counts.retried, 0);
}
END_TEST

START_TEST(of_a_claim_that_is_gone_nothing_is_counted_or_overwritten)
{
	struct batch *b;

	skip_adopt();
	b = claim_rows(1, 2);
	decide_all(b, FATE_SENT);
	db->claims[0].relay_id = FAKE_OTHER_RELAY;
	turn();
	ck_assert_int_eq(work.count, 0);
	ck_assert_uint_eq(counts.sent, 0);
	ck_assert_uint_eq(counts.claims_lost, 1);
	ck_assert_int_eq(fake_database_row(1)->status, FAKE_SENDING);
	ck_assert_int_eq(db->claim_count, 1);
}
END_TEST

/* It may be gone, and its rows with another relay. */
START_TEST(nothing_is_published_from_a_claim_that_was_perhaps_given_back)
{
	struct batch *b, *from;

	skip_adopt();
	b = claim_rows(1, 2);
	releases = true;
	db->loses_next_turn = _i ? FAKE_LOSS_AFTER_COMMIT : FAKE_LOSS_BEFORE_COMMIT;
	turn();
	ck_assert(!t.link.is_up);
	ck_assert_int_eq(b->in_state[ROW_WAITING], 2);
	ck_assert_ptr_null(work_next_other(&work, &from));
	reopen();
	if (_i) {
		ck_assert(b->is_lost);
		ck_assert_ptr_null(work_next_other(&work, &from));
	} else {
		ck_assert_ptr_eq(work_next_other(&work, &from), &b->rows[0]);
	}
}
END_TEST

START_TEST(what_there_was_no_memory_for_is_claimed_anew_in_smaller_pieces)
{
	skip_adopt();
	fake_database_insert(1, 3, clock_ms());
	db->loses_next_turn = FAKE_LOSS_OF_MEMORY;
	turn();
	ck_assert(!t.link.is_up);
	ck_assert_int_eq(db->fetches_less, 1);
	ck_assert_int_eq(work.count, 0);
	fake_clock_advance(1000);
	turns_open(&t, 1000, -1);
	turn_all();
	ck_assert_int_eq(work.count, 1);
	ck_assert_int_eq(work.batches[0]->count, 3);
	ck_assert_int_eq(db->fetches_less, 1);
}
END_TEST

START_TEST(a_settlement_lost_before_its_commit_is_sent_again)
{
	struct batch *b;

	skip_adopt();
	b = claim_rows(1, 3);
	decide(b, 0, 2, FATE_SENT);
	decide(b, 2, 1, FATE_RETRY);
	db->loses_next_turn = FAKE_LOSS_BEFORE_COMMIT;
	turn();
	ck_assert(!t.link.is_up);
	ck_assert_int_eq(b->in_state[ROW_DECIDED], 3);
	ck_assert_int_eq(fake_database_row(1)->status, FAKE_SENDING);
	reopen();
	ck_assert(!b->is_lost);
	ck_assert(!b->is_settling);
	ck_assert(turn());
	ck_assert_uint_eq(counts.sent, 2);
	ck_assert_uint_eq(counts.retried, 1);
	ck_assert_int_eq(fake_database_row(1)->status, FAKE_SENT);
	ck_assert_int_eq(fake_database_row(3)->try_count, 1);
	ck_assert_int_eq(work.count, 0);
}
END_TEST

START_TEST(a_settlement_whose_answer_is_lost_charges_nobody_twice)
{
	struct batch *b;

	skip_adopt();
	b = claim_rows(1, 2);
	decide(b, 0, 1, FATE_SENT);
	decide(b, 1, 1, FATE_RETRY);
	db->loses_next_turn = FAKE_LOSS_AFTER_COMMIT;
	turn();
	ck_assert_int_eq(b->in_state[ROW_DECIDED], 2);
	reopen();
	turn();
	ck_assert_int_eq(work.count, 0);
	ck_assert_uint_eq(counts.claims_lost, 1);
	ck_assert_int_eq(fake_database_row(1)->status, FAKE_SENT);
	ck_assert_int_eq(fake_database_row(2)->try_count, 1);
}
END_TEST

START_TEST(a_claim_whose_answer_is_lost_is_dropped_at_the_next_session)
{
	skip_adopt();
	fake_database_insert(1, 2, clock_ms());
	db->loses_next_turn = FAKE_LOSS_AFTER_COMMIT;
	turn();
	ck_assert_int_eq(db->claim_count, 1);
	ck_assert_int_eq(work.count, 0);
	reopen();
	ck_assert_int_eq(db->claim_count, 0);
	turn_all();
	ck_assert_int_eq(work.count, 1);
}
END_TEST

START_TEST(rows_of_a_claim_that_was_taken_meanwhile_are_not_published)
{
	struct batch *b;

	skip_adopt();
	b = claim_rows(1, 3);
	batch_set_state(b, &b->rows[0], ROW_IN_FLIGHT);
	db->loses_next_listen = true;
	turns_collect(&t);
	db->claims[0].relay_id = FAKE_OTHER_RELAY;
	reopen();
	ck_assert(b->is_lost);
	ck_assert_int_eq(b->in_state[ROW_WAITING], 0);
	ck_assert_int_eq(b->in_state[ROW_IN_FLIGHT], 1);
	decide(b, 0, 1, FATE_SENT);
	turn();
	ck_assert_int_eq(work.count, 0);
	ck_assert_uint_eq(counts.sent, 0);
	ck_assert_uint_eq(counts.claims_lost, 1);
}
END_TEST

/* As a crash of the server does with what was not on its disk. */
static void forget_claims(void)
{
	db->loses_next_listen = true;
	turns_collect(&t);
	ck_assert(!t.link.is_up);
	db->claim_count = 0;
	reopen();
}

START_TEST(what_has_its_fate_is_settled_though_the_claim_was_forgotten)
{
	struct batch *b;

	skip_adopt();
	b = claim_rows(1, 4);
	decide(b, 0, 1, FATE_SENT);
	decide(b, 1, 1, FATE_RETRY);
	batch_set_state(b, &b->rows[2], ROW_IN_FLIGHT);
	forget_claims();
	ck_assert_int_eq(db->claim_count, 1);
	ck_assert_int_eq(db->claims[0].claim_id, b->claim_id);
	ck_assert_int_eq(db->claims[0].count, 2);
	decide(b, 2, 1, FATE_SENT);
	turn();
	ck_assert_int_eq(fake_database_row(1)->status, FAKE_SENT);
	ck_assert_int_eq(fake_database_row(2)->try_count, 1);
	ck_assert_int_eq(fake_database_row(3)->status, FAKE_SENT);
	ck_assert_int_eq(fake_database_row(4)->status, FAKE_SENDING);
	ck_assert_uint_eq(counts.sent, 2);
	ck_assert_uint_eq(counts.retried, 1);
	ck_assert_uint_eq(counts.claims_lost, 0);
}
END_TEST

START_TEST(nothing_more_is_published_from_a_claim_that_was_forgotten)
{
	struct batch *b, *from;

	skip_adopt();
	b = claim_rows(1, 2);
	decide(b, 0, 1, FATE_SENT);
	forget_claims();
	ck_assert_ptr_null(work_next_other(&work, &from));
	ck_assert_int_eq(batch_open_rows(b), 0);
}
END_TEST

/* What was on its way when the connection broke comes back to wait, and is free. */
START_TEST(a_row_that_is_free_again_is_not_counted_as_sent)
{
	struct batch *b;

	skip_adopt();
	b = claim_rows(1, 2);
	decide(b, 0, 1, FATE_SENT);
	batch_set_state(b, &b->rows[1], ROW_IN_FLIGHT);
	forget_claims();
	batch_set_state(b, &b->rows[1], ROW_WAITING);
	turn();
	ck_assert_uint_eq(counts.sent, 1);
	ck_assert_int_eq(fake_database_row(2)->status, FAKE_SENDING);
}
END_TEST

START_TEST(a_forgotten_claim_does_not_pass_for_one_that_got_its_id)
{
	struct batch *b, *other;

	skip_adopt();
	b = claim_rows(1, 1);
	batch_set_state(b, &b->rows[0], ROW_IN_FLIGHT);
	db->last_claim_id = 0;
	forget_claims();
	turn_all();
	other = work.batches[work.count - 1];
	ck_assert_ptr_ne(b, other);
	ck_assert_int_eq(other->claim_id, 1);
	decide(b, 0, 1, FATE_SENT);
	turn();
	ck_assert_ptr_nonnull(fake_database_claim(other->claim_id));
	ck_assert_uint_eq(counts.claims_lost, 1);
}
END_TEST

/* --- rows that others have locked --- */

/* Settles until the database gives up waiting for the lock, and opens a new session. */
static void run_into_lock(void)
{
	ck_assert(begin());
	fake_clock_advance(5000);
	turns_collect(&t);
	reopen();
}

START_TEST(a_locked_row_holds_up_no_other_and_is_settled_when_it_is_free)
{
	struct batch *b;

	skip_adopt();
	b = claim_rows(1, 3);
	decide(b, 0, 2, FATE_SENT);
	decide(b, 2, 1, FATE_RETRY);
	fake_database_row(2)->is_locked = true;
	run_into_lock();
	ck_assert_int_eq(b->in_state[ROW_DECIDED], 3);
	ck_assert(turn());
	ck_assert_int_eq(fake_database_row(1)->status, FAKE_SENT);
	ck_assert_int_eq(fake_database_row(3)->try_count, 1);
	ck_assert_int_eq(fake_database_row(2)->status, FAKE_SENDING);
	ck_assert_uint_eq(counts.sent, 1);
	ck_assert_uint_eq(counts.retried, 1);
	ck_assert_int_eq(b->in_state[ROW_DECIDED], 1);
	ck_assert_int_eq(db->claim_count, 1);
	turn_all();
	for (int i = 0; i < 10; i++) {
		int64_t wait_ms = b->settle_at_ms - clock_ms();

		ck_assert_int_ge(wait_ms, 990);
		ck_assert_int_le(turns_due_ms(&t) - clock_ms(), wait_ms);
		fake_clock_advance(wait_ms);
		ck_assert(turn());
		turn_all();
	}
	ck_assert_int_eq(work.count, 1);
	fake_database_row(2)->is_locked = false;
	fake_clock_advance(1000);
	turn_all();
	ck_assert_int_eq(fake_database_row(2)->status, FAKE_SENT);
	ck_assert_int_eq(work.count, 0);
	ck_assert_int_eq(db->claim_count, 0);
	ck_assert_uint_eq(counts.sent, 2);
	ck_assert_uint_eq(counts.retried, 1);
	ck_assert_uint_eq(counts.claims_lost, 0);
}
END_TEST

START_TEST(a_claim_with_a_locked_row_that_is_lost_is_given_up)
{
	struct batch *b;

	skip_adopt();
	b = claim_rows(1, 2);
	decide_all(b, FATE_SENT);
	fake_database_row(2)->is_locked = true;
	run_into_lock();
	db->claims[0].relay_id = FAKE_OTHER_RELAY;
	turn();
	ck_assert_int_eq(work.count, 0);
	ck_assert_uint_eq(counts.claims_lost, 1);
	ck_assert_uint_eq(counts.sent, 0);
}
END_TEST

START_TEST(an_adopted_batch_goes_on_past_a_locked_row)
{
	struct batch *b = adopt_rows(3);

	decide(b, 0, 1, FATE_RETRY);
	fake_database_row(1)->is_locked = true;
	wants_name(b, &b->rows[1]);
	run_into_lock();
	ck_assert(turn());
	ck_assert_int_eq(b->publishing_id, 2);
	ck_assert_int_eq(db->claims[0].publishing_id, 2);
	ck_assert_int_eq(b->rows[0].state, ROW_DECIDED);
	fake_database_row(1)->is_locked = false;
	wants_name(b, &b->rows[2]);
	decide(b, 1, 1, FATE_SENT);
	ck_assert(turn());
	ck_assert_int_eq(b->in_state[ROW_DECIDED], 0);
	ck_assert_int_eq(fake_database_row(1)->try_count, 1);
	ck_assert_int_eq(fake_database_row(2)->status, FAKE_SENT);
}
END_TEST

/* Batches that stay for their locked rows leave no room for others. */
START_TEST(batches_with_locked_rows_take_up_room)
{
	skip_adopt();
	for (int i = 0; i < 2; i++) {
		struct batch *b = claim_rows(1 + 10 * i, BATCH);

		decide_all(b, FATE_SENT);
		fake_database_row(b->rows[0].id)->is_locked = true;
		b->is_careful = true;
		turn();
	}
	ck_assert_int_eq(work.count, 2);
	fake_database_insert(100, 20 * BATCH, clock_ms());
	for (int i = 0; i < 20; i++) {
		t.appetite = APPETITE_AWAKE;
		fake_clock_advance(500);
		turn();
		ck_assert_int_le(work.count, 6);
	}
	ck_assert_int_eq(work.count, 6);
}
END_TEST

/* --- leases --- */

START_TEST(leases_are_renewed_at_a_third)
{
	struct batch *b;
	int64_t claimed_ms;

	skip_adopt();
	claimed_ms = clock_ms();
	b = claim_rows(1, 2);
	ck_assert_int_eq(b->lease_deadline_ms, claimed_ms + LEASE_MS);
	turn_all();
	may_claim = false; /* and not because of a poll */
	turn_all();
	ck_assert_int_eq(turns_due_ms(&t), claimed_ms + LEASE_MS / 3);
	fake_clock_advance(turns_due_ms(&t) - clock_ms() - 1);
	ck_assert(!begin());
	fake_clock_advance(1);
	ck_assert(turn());
	ck_assert(db->last.renew);
	ck_assert_int_eq(b->lease_deadline_ms, claimed_ms + LEASE_MS / 3 + LEASE_MS);
	ck_assert_int_ge(db->claims[0].lease_until_ms, b->lease_deadline_ms);
	ck_assert(!begin());
}
END_TEST

START_TEST(a_lease_counts_from_before_the_request)
{
	db->answer_ms = 400;
	skip_adopt();
	claim_rows(1, 1);
	ck_assert_int_eq(work.batches[0]->lease_deadline_ms, clock_ms() - 400 + LEASE_MS);
	fake_clock_advance(LEASE_MS / 2);
	turn();
	ck_assert(db->last.renew);
	ck_assert_int_eq(work.batches[0]->lease_deadline_ms, clock_ms() - 400 + LEASE_MS);
}
END_TEST

START_TEST(rows_of_a_claim_that_could_not_be_renewed_are_not_published)
{
	struct batch *lost, *kept;

	skip_adopt();
	lost = claim_rows(1, 3);
	kept = claim_rows(11, 2);
	batch_set_state(lost, &lost->rows[0], ROW_IN_FLIGHT);
	db->claims[0].relay_id = FAKE_OTHER_RELAY;
	fake_clock_advance(LEASE_MS / 2);
	turn();
	ck_assert(db->last.renew);
	ck_assert_int_eq(lost->in_state[ROW_WAITING], 0);
	ck_assert_int_eq(lost->in_state[ROW_IN_FLIGHT], 1);
	ck_assert_int_eq(kept->in_state[ROW_WAITING], 2);
	/* In doubt: not ours to publish again. */
	batch_set_state(lost, &lost->rows[0], ROW_WAITING);
	ck_assert_int_eq(batch_open_rows(lost), 0);
	turn();
	fake_clock_advance(GATHER_MS);
	turn();
	ck_assert_int_eq(work.count, 1);
	ck_assert_uint_eq(counts.claims_lost, 1);
	ck_assert_uint_eq(counts.sent, 0);
}
END_TEST

/* --- adopting --- */

START_TEST(a_claim_of_a_dead_relay_is_adopted_and_its_rows_go_alone)
{
	struct batch *b = adopt_rows(3);

	ck_assert(b->is_adopted);
	ck_assert_int_eq(b->alone, 3);
	ck_assert_int_eq(b->in_state[ROW_WAITING], 3);
	ck_assert_uint_eq(counts.claims_adopted, 1);
	ck_assert_uint_eq(counts.claimed, 3);
}
END_TEST

static const struct {
	int64_t try_count;
	enum fate fate;
} deaths[] = {{0, FATE_RETRY}, {1, FATE_RETRY}, {2, FATE_FAILED}};

START_TEST(the_row_that_killed_its_relay_is_charged_and_no_other)
{
	struct batch *b;

	fake_database_insert(1, 3, clock_ms());
	fake_database_row(2)->try_count = deaths[_i].try_count;
	fake_database_dead_claim(1, 3, 2);
	watch();
	skip_adopt();
	b = work.batches[0];
	ck_assert_int_eq(b->in_state[ROW_WAITING], 2);
	ck_assert_int_eq(b->rows[1].state, ROW_DECIDED);
	ck_assert_int_eq(b->rows[1].decision.fate, deaths[_i].fate);
	ck_assert_int_eq(b->rows[1].decision.charge, 1);
	ck_assert_ptr_nonnull(strstr(b->rows[1].reason, "died"));
	ck_assert_int_eq(b->alone, 2);
}
END_TEST

/* Looks, asleep in between, until `ms` have passed; says whether any claim was adopted. */
static bool adopts_within(int64_t ms)
{
	int64_t until_ms = clock_ms() + ms;

	while (clock_ms() < until_ms && counts.claims_adopted == 0) {
		if (turn_all() == 0 && t.appetite == APPETITE_ASLEEP)
			fake_clock_advance(clock_min(turns_due_ms(&t), until_ms) -
					   clock_ms());
	}
	return counts.claims_adopted > 0;
}

/* It names no row, and its lease is not over: only the lock of its owner's session is free. */
static void claim_without_session(int64_t first_id, int count)
{
	fake_database_insert(first_id, count, clock_ms());
	fake_database_dead_claim(first_id, count, 0)->lease_until_ms =
		clock_ms() + LEASE_MS;
}

START_TEST(a_claim_is_adopted_a_second_after_its_session_was_seen_to_have_ended)
{
	static const int64_t polls[] = {POLL_MS, 3600000};

	t.settings.poll_interval_ms = polls[_i];
	claim_without_session(1, 2);
	ck_assert(!adopts_within(1000));
	ck_assert(adopts_within(100));
	ck_assert_int_eq(work.batches[0]->count, 2);
}
END_TEST

START_TEST(a_claim_whose_session_ends_while_a_relay_sleeps_is_adopted_after_its_next_look)
{
	turn_all();
	claim_without_session(1, 2);
	ck_assert(!adopts_within(POLL_MS));
	ck_assert(adopts_within(1000 + 100));
}
END_TEST

START_TEST(a_run_until_empty_waits_for_the_owner_of_a_session_that_ended)
{
	t.settings.until_empty = true;
	t.settings.wants_bell = false;
	claim_without_session(1, 1);
	turn_all();
	ck_assert(!t.is_empty);
	ck_assert(!adopts_within(900));
	ck_assert(!t.is_empty);
	ck_assert(adopts_within(200));
}
END_TEST

/* Its lease ran out in an outage, perhaps, and its owner lives. */
START_TEST(a_claim_that_names_a_row_is_adopted_after_a_lease_of_answers)
{
	static const int64_t polls[] = {POLL_MS, 3600000};

	t.settings.poll_interval_ms = polls[_i];
	fake_database_insert(1, 2, clock_ms());
	fake_database_dead_claim(1, 2, 2);
	ck_assert(!adopts_within(LEASE_MS - 1));
	ck_assert_int_eq(fake_database_row(2)->try_count, 0);
	ck_assert(adopts_within(LEASE_MS / 4 + 100));
	turn_all();
	ck_assert_int_eq(fake_database_row(2)->try_count, 1);
}
END_TEST

START_TEST(a_claim_that_names_none_does_not_wait_for_one_that_does)
{
	fake_database_insert(1, 4, clock_ms());
	fake_database_dead_claim(1, 2, 2);
	fake_database_dead_claim(3, 2, 0);
	skip_adopt();
	ck_assert_int_eq(work.count, 1);
	ck_assert_int_eq(work.batches[0]->rows[0].id, 3);
}
END_TEST

/* Whether or not a row is named: the server went, perhaps, and with it all locks and owners' sessions. */
static const int64_t named_or_not[] = {2, 0};

START_TEST(a_new_session_begins_the_wait_for_owners_anew)
{
	t.settings.poll_interval_ms = 3600000;
	fake_database_insert(1, 2, clock_ms() + 3600000);
	turn_all();
	ck_assert(!adopts_within(LEASE_MS));
	db->loses_next_listen = true;
	turns_collect(&t);
	fake_database_dead_claim(1, 2, named_or_not[_i]);
	reopen();
	ck_assert(!adopts_within(LEASE_MS - 1));
	ck_assert(adopts_within(LEASE_MS / 4 + 100));
}
END_TEST

/* A pooler, or a network that swallows for a while, keeps this session; its owner's may be gone. */
START_TEST(an_answer_after_a_long_silence_begins_the_wait_for_owners_anew)
{
	turn_all();
	ck_assert(!adopts_within(LEASE_MS));
	db->answer_ms = LEASE_MS / 2 + 1;
	fake_clock_advance(POLL_MS);
	ck_assert(turn());
	db->answer_ms = 1;
	fake_database_insert(1, 2, clock_ms() + 3600000);
	fake_database_dead_claim(1, 2, 2);
	ck_assert(!adopts_within(LEASE_MS - 1));
	ck_assert(adopts_within(LEASE_MS / 4 + 100));
}
END_TEST

START_TEST(a_look_after_a_long_sleep_begins_the_wait_for_owners_anew)
{
	t.settings.poll_interval_ms = 3600000;
	turn_all();
	fake_database_insert(1, 2, clock_ms() + 2 * 3600000);
	turn_all();
	fake_database_dead_claim(1, 2, 2);
	fake_clock_advance(t.sleep_until_ms - clock_ms());
	ck_assert(!adopts_within(LEASE_MS - 1));
	ck_assert(adopts_within(LEASE_MS / 4 + 100));
}
END_TEST

START_TEST(after_a_broken_session_fresh_rows_do_not_wait_for_other_owners)
{
	turn_all();
	db->loses_next_listen = true;
	turns_collect(&t);
	fake_database_insert(1, 2, clock_ms());
	fake_database_dead_claim(1, 2, 0);
	fake_database_insert(3, 1, clock_ms());
	reopen();
	turn_all();
	ck_assert_int_eq(work.count, 1);
	ck_assert_int_eq(work.batches[0]->rows[0].id, 3);
	ck_assert_uint_eq(counts.claims_adopted, 0);
}
END_TEST

/* So that it is back in time, however slow the backoff has become. */
START_TEST(an_owner_tries_soon_to_come_back)
{
	t.settings.lease_ms = 2000;
	skip_adopt();
	claim_rows(1, 2);
	db->loses_next_listen = true;
	turns_collect(&t);
	db->fail_opens = 10;
	for (int i = 0; i < 10; i++) {
		fake_clock_advance(t.link.retry_at_ms - clock_ms());
		turns_open(&t, 5000, -1);
		ck_assert_int_le(t.link.retry_at_ms, clock_ms() + 500);
	}
}
END_TEST

START_TEST(an_owner_is_back_before_others_take_it_for_dead)
{
	int64_t lost_ms = clock_ms();

	skip_adopt();
	claim_rows(1, 2);
	t.link.step = 10;
	db->loses_next_listen = true;
	turns_collect(&t);
	db->fail_opens = 20;
	while (clock_ms() - lost_ms < 2000) {
		ck_assert_int_le(t.link.retry_at_ms, clock_ms() + 400);
		fake_clock_advance(t.link.retry_at_ms - clock_ms());
		turns_open(&t, 5000, -1);
	}
	ck_assert_int_gt(t.link.retry_at_ms, clock_ms() + 400);
}
END_TEST

/* After a long outage others may be there already. */
START_TEST(an_owner_whose_new_session_ends_at_once_is_back_as_soon)
{
	skip_adopt();
	claim_rows(1, 2);
	db->loses_next_listen = true;
	turns_collect(&t);
	db->fail_opens = 20;
	while (db->fail_opens) {
		fake_clock_advance(t.link.retry_at_ms - clock_ms());
		turns_open(&t, 5000, -1);
	}
	ck_assert_int_gt(t.link.retry_at_ms, clock_ms() + 400);
	db->loses_next_open = true;
	fake_clock_advance(t.link.retry_at_ms - clock_ms());
	turns_open(&t, 5000, -1);
	ck_assert(!t.link.is_up);
	ck_assert_int_le(t.link.retry_at_ms, clock_ms() + 400);
	reopen();
}
END_TEST

START_TEST(a_run_until_empty_waits_for_the_owners_of_claims)
{
	t.settings.until_empty = true;
	t.settings.wants_bell = false;
	turn_all();
	db->loses_next_listen = true;
	turns_collect(&t);
	fake_database_insert(1, 1, clock_ms());
	fake_database_dead_claim(1, 1, 0);
	reopen();
	turn_all();
	ck_assert(!t.is_empty);
	ck_assert(adopts_within(LEASE_MS + LEASE_MS / 4));
}
END_TEST

START_TEST(a_run_until_empty_waits_for_a_claim_whose_lease_ran_out)
{
	t.settings.until_empty = true;
	t.settings.wants_bell = false;
	fake_database_insert(1, 1, clock_ms());
	fake_database_dead_claim(1, 1, 1);
	turn_all();
	ck_assert(!t.is_empty);
	ck_assert(adopts_within(LEASE_MS + LEASE_MS / 4));
	turn_all();
	ck_assert_int_eq(fake_database_row(1)->try_count, 1);
	ck_assert(t.is_empty);
}
END_TEST

START_TEST(a_named_row_that_is_not_there_any_more_is_no_trouble)
{
	fake_database_insert(1, 3, clock_ms());
	fake_database_dead_claim(1, 3, 2);
	fake_database_row(2)->status = FAKE_SENT;
	watch();
	skip_adopt();
	ck_assert_int_eq(work.batches[0]->count, 2);
	ck_assert_int_eq(work.batches[0]->in_state[ROW_DECIDED], 0);
}
END_TEST

START_TEST(naming_a_row_settles_the_one_before_and_keeps_the_claim)
{
	struct batch *b = adopt_rows(2);

	decide(b, 0, 1, FATE_SENT);
	wants_name(b, &b->rows[1]);
	ck_assert(turn());
	ck_assert_ptr_eq(db->last.name, b);
	ck_assert_int_eq(db->claims[0].publishing_id, 2);
	ck_assert_int_eq(b->publishing_id, 2);
	ck_assert_uint_eq(counts.sent, 1);
	ck_assert_int_eq(work.count, 1);
	wants_name(b, NULL);
	decide(b, 1, 1, FATE_RETRY);
	ck_assert(turn());
	ck_assert_uint_eq(counts.sent, 1);
	ck_assert_uint_eq(counts.retried, 1);
	ck_assert_int_eq(work.count, 0);
}
END_TEST

/* Others have their turn now: if the relay dies meanwhile, that is not about this row. */
START_TEST(a_name_that_is_not_followed_by_another_is_taken_back)
{
	struct batch *b = adopt_rows(3);

	wants_name(b, &b->rows[0]);
	ck_assert(turn());
	ck_assert_int_eq(fake_database_claim(1)->publishing_id, 1);
	wants_name(b, NULL);
	batch_set_state(b, &b->rows[0], ROW_IN_FLIGHT);
	turn();
	ck_assert_int_eq(fake_database_claim(1)->publishing_id, 1);
	decide(b, 0, 1, FATE_SENT);
	ck_assert(turn());
	ck_assert_int_eq(fake_database_claim(1)->publishing_id, 0);
	ck_assert_int_eq(fake_database_row(1)->status, FAKE_SENT);
	turn_all();
	ck_assert_int_eq(b->in_state[ROW_WAITING], 2);
}
END_TEST

START_TEST(a_row_that_cannot_be_named_is_given_up_with_its_claim)
{
	struct batch *b = adopt_rows(2);

	db->claims[0].relay_id = FAKE_OTHER_RELAY;
	wants_name(b, &b->rows[0]);
	turn();
	ck_assert_int_eq(work.count, 0);
	ck_assert_uint_eq(counts.claims_lost, 1);
}
END_TEST

/* In a stall the next row is named while the one before is still in flight; the broker borrows that
   one until its receipt. */
START_TEST(a_lost_claim_keeps_what_the_broker_borrows_until_its_receipt)
{
	struct batch *b = adopt_rows(3);
	uint64_t tag;

	tag = work_tag(b, &b->rows[0]);
	batch_set_state(b, &b->rows[0], ROW_IN_FLIGHT);
	db->claims[0].relay_id = FAKE_OTHER_RELAY;
	wants_name(b, &b->rows[1]);
	ck_assert(turn());
	ck_assert_int_eq(work.count, 1);
	ck_assert_ptr_eq(work_find(&work, tag, &b), &b->rows[0]);
	ck_assert_mem_eq(b->rows[0].message.body.data, "{}", 2);
	ck_assert_int_eq(b->in_state[ROW_WAITING], 0);
	wants_name(b, NULL);
	turn_all();
	ck_assert_int_eq(work.count, 1);
	decide(b, 0, 1, FATE_SENT);
	turn_all();
	ck_assert_int_eq(work.count, 0);
	ck_assert_uint_eq(counts.claims_lost, 1);
	ck_assert_uint_eq(counts.sent, 0);
	ck_assert_int_eq(fake_database_row(1)->status, FAKE_SENDING);
}
END_TEST

START_TEST(a_naming_whose_answer_is_lost_charges_nobody_twice)
{
	struct batch *b = adopt_rows(2);

	decide(b, 0, 1, FATE_RETRY);
	wants_name(b, &b->rows[1]);
	db->loses_next_turn = FAKE_LOSS_AFTER_COMMIT;
	turn();
	ck_assert_int_eq(fake_database_row(1)->try_count, 1);
	ck_assert_int_eq(b->rows[0].state, ROW_DECIDED);
	reopen();
	ck_assert(turn());
	ck_assert_ptr_eq(db->last.name, b);
	ck_assert_int_eq(fake_database_row(1)->try_count, 1);
	ck_assert_int_eq(b->publishing_id, 2);
}
END_TEST

/* Another relay adopted our claim when its lease ran out, and died: we adopt what we still have
   in hand. */
START_TEST(a_claim_that_comes_back_belongs_to_its_new_batch_alone)
{
	struct batch *old;

	skip_adopt();
	old = claim_rows(1, 3);
	batch_set_state(old, &old->rows[0], ROW_IN_FLIGHT);
	db->claims[0].relay_id = ++db->last_relay_id;
	db->claims[0].lease_until_ms = 0;
	t.appetite = APPETITE_AWAKE;
	t.adopt_at_ms = 0;
	turn();
	ck_assert(db->last.adopt);
	ck_assert_int_eq(work.count, 2);
	ck_assert_int_eq(old->in_state[ROW_WAITING], 0);
	decide(old, 0, 1, FATE_SENT);
	turn();
	ck_assert_int_eq(work.count, 1);
	ck_assert(work.batches[0]->is_adopted);
	ck_assert_int_eq(db->claim_count, 1);
	ck_assert_uint_eq(counts.sent, 0);
}
END_TEST

START_TEST(nothing_is_named_while_claims_are_given_back)
{
	struct batch *b = adopt_rows(2);

	wants_name(b, &b->rows[0]);
	releases = true;
	ck_assert(turn());
	ck_assert_ptr_null(db->last.name);
	ck_assert_int_eq(db->last.settle_count, 1);
	ck_assert_int_eq(db->claim_count, 0);
}
END_TEST

START_TEST(a_dead_relay_seen_in_a_look_is_adopted_at_once)
{
	skip_adopt();
	turn();
	fake_database_insert(1, 1, clock_ms() + 60000);
	fake_database_row(1)->next_retry_ms = clock_ms();
	fake_database_dead_claim(1, 1, 0);
	ck_assert(turn());
	ck_assert(db->last.peek);
	ck_assert(turn());
	ck_assert(db->last.adopt);
	ck_assert_int_eq(work.count, 1);
}
END_TEST

START_TEST(closing_puts_what_was_on_its_way_back)
{
	struct batch *b;

	skip_adopt();
	b = claim_rows(1, 2);
	decide_all(b, FATE_SENT);
	db->loses_next_turn = FAKE_LOSS_BEFORE_COMMIT;
	begin();
	ck_assert_int_eq(b->in_state[ROW_SETTLING], 2);
	turns_close(&t);
	ck_assert_int_eq(b->in_state[ROW_DECIDED], 2);
	ck_assert(!t.has_bell);
}
END_TEST

/* --- parked destinations --- */

/* FAKE_EXCHANGE, with any key. */
static void park(void)
{
	struct message msg = {.exchange = {FAKE_EXCHANGE, strlen(FAKE_EXCHANGE)},
			      .routing_key = {"", 0}};

	for (int i = 0; i < PARKING_AFTER_REFUSED; i++)
		parking_refused(&work.parking, &msg, VERDICT_REFUSED, "404", false);
	ck_assert_int_eq(work.parking.count, 1);
}

static void resume(void)
{
	struct message msg = {.exchange = {FAKE_EXCHANGE, strlen(FAKE_EXCHANGE)},
			      .routing_key = {"", 0}};

	parking_sent(&work.parking, &msg);
	ck_assert_int_eq(work.parking.count, 0);
}

static void insert_elsewhere(int64_t first_id, int count)
{
	fake_database_insert(first_id, count, clock_ms());
	for (int i = 0; i < count; i++)
		fake_database_row(first_id + i)->exchange = "elsewhere";
}

START_TEST(rows_of_a_parked_destination_are_neither_claimed_nor_due)
{
	skip_adopt();
	fake_database_insert(1, 10, clock_ms());
	insert_elsewhere(11, 2);
	park();
	work.parking.parked[0].probe_at_ms = CLOCK_NEVER;
	turn_all();
	ck_assert_int_eq(work.count, 1);
	ck_assert_int_eq(work.batches[0]->count, 2);
	ck_assert_int_eq(work.batches[0]->rows[0].id, 11);
	decide_all(work.batches[0], FATE_SENT);
	turn_all();
	ck_assert_int_eq(work.count, 0);
	ck_assert_int_eq(t.appetite, APPETITE_ASLEEP);
	fake_clock_advance(POLL_MS);
	turn_all();
	ck_assert_int_eq(t.appetite, APPETITE_ASLEEP);
	ck_assert(t.is_empty);
}
END_TEST

START_TEST(a_probe_is_one_row_alone_and_the_bell_stays_with_the_sleeper)
{
	struct row *row;

	skip_adopt();
	fake_database_insert(1, 10, clock_ms());
	park();
	work.parking.parked[0].probe_at_ms = clock_ms() + POLL_MS / 2;
	turn_all();
	ck_assert(t.has_bell);
	ck_assert_int_eq(turns_due_ms(&t), parking_due_ms(&work.parking));
	fake_clock_advance(turns_due_ms(&t) - clock_ms());
	ck_assert(turn());
	ck_assert_int_eq(work.count, 1);
	ck_assert_int_eq(work.batches[0]->count, 1);
	row = &work.batches[0]->rows[0];
	ck_assert(row->is_probe && row->is_alone);
	ck_assert_int_eq(row->id, 1);
	ck_assert(t.has_bell && store_has_bell(store));
	ck_assert_uint_eq(counts.claimed, 1);
}
END_TEST

/* Parks the destination of all rows: which one is it probed with? */
static int64_t probe_row(void)
{
	park();
	fake_clock_advance(parking_due_ms(&work.parking) - clock_ms());
	ck_assert(turn());
	return work.batches[0]->rows[0].id;
}

START_TEST(a_row_with_attempts_to_spare_is_probed_with_first)
{
	skip_adopt();
	fake_database_insert(1, 3, clock_ms());
	fake_database_row(1)->try_count = 2;
	fake_database_row(2)->try_count = 1;
	ck_assert_int_eq(probe_row(), 2);
}
END_TEST

START_TEST(where_all_are_at_their_last_attempt_one_of_them_is_the_probe)
{
	skip_adopt();
	fake_database_insert(1, 2, clock_ms());
	fake_database_row(1)->try_count = 2;
	fake_database_row(2)->try_count = 2;
	ck_assert_int_eq(probe_row(), 1);
}
END_TEST

START_TEST(a_probe_with_nothing_due_is_tried_again_later)
{
	skip_adopt();
	park();
	turn_all();
	fake_clock_advance(parking_due_ms(&work.parking) - clock_ms());
	ck_assert(turn());
	ck_assert_ptr_nonnull(db->last.probe);
	ck_assert_int_eq(work.count, 0);
	ck_assert_int_gt(parking_due_ms(&work.parking), clock_ms());
}
END_TEST

START_TEST(nothing_is_probed_while_the_broker_takes_nothing)
{
	skip_adopt();
	fake_database_insert(1, 2, clock_ms());
	park();
	turn_all();
	may_claim = false;
	turn_all();
	fake_clock_advance(2000);
	ck_assert(!turn());
	ck_assert_int_gt(turns_due_ms(&t), clock_ms());
}
END_TEST

static void run_until_empty(void)
{
	t.settings.until_empty = true;
	t.settings.wants_bell = false;
	skip_adopt();
	park();
	work.parking.parked[0].probe_at_ms = CLOCK_NEVER;
	for (int i = 0; i < 10 && !t.is_empty; i++)
		turn();
	ck_assert(t.is_empty);
}

START_TEST(a_run_until_empty_tells_that_rows_of_a_parked_destination_are_left)
{
	fake_database_insert(1, 3, clock_ms());
	run_until_empty();
	ck_assert(t.has_parked);
}
END_TEST

START_TEST(parked_rows_that_are_not_due_do_not_matter_to_a_run_until_empty)
{
	fake_database_insert(1, 3, clock_ms() + 60000);
	run_until_empty();
	ck_assert(!t.has_parked);
}
END_TEST

START_TEST(a_resumed_destination_is_read_from_the_beginning_at_once)
{
	skip_adopt();
	fake_database_insert(1, 3, clock_ms());
	park();
	turn_all();
	ck_assert_int_eq(t.appetite, APPETITE_ASLEEP);
	resume();
	ck_assert(turn());
	ck_assert(db->last.full_read && db->last.claim_limit);
	ck_assert_int_eq(work.batches[0]->count, 3);
}
END_TEST

START_TEST(a_claim_from_the_beginning_that_took_long_puts_off_the_look_too)
{
	skip_adopt();
	db->read_us = 400000;
	ck_assert(turn());
	ck_assert(db->last.claim_limit && db->last.full_read);
	ck_assert(turn());
	ck_assert(db->last.peek && !db->last.look_back);
	fake_clock_advance(t.look_back_at_ms - clock_ms());
	ck_assert(turn());
	ck_assert(db->last.peek && db->last.look_back);
}
END_TEST

START_TEST(a_run_until_empty_ends_with_a_look_from_the_beginning_however_long_it_takes)
{
	t.settings.until_empty = true;
	skip_adopt();
	db->read_us = 400000;
	ck_assert(turn());
	ck_assert(db->last.claim_limit && db->last.full_read);
	ck_assert(turn());
	ck_assert(db->last.peek && db->last.full_read);
	ck_assert(t.is_empty);
}
END_TEST

/* The claims of a steady flow need not read from the beginning: its looks do. */
START_TEST(a_look_from_the_beginning_puts_off_that_of_the_claims)
{
	skip_adopt();
	turn_all();
	fake_clock_advance(1000);
	turn_all();
	ck_assert(db->last.peek && db->last.look_back);
	fake_database_insert(1, 1, clock_ms());
	fake_database_ring();
	turns_collect(&t);
	ck_assert(turn());
	ck_assert(db->last.claim_limit && !db->last.look_back);
}
END_TEST

/* A million rows that are passed by shall not be walked with each poll. */
START_TEST(a_look_from_the_beginning_that_took_long_is_not_repeated_soon)
{
	skip_adopt();
	ck_assert(turn()); /* the first claim */
	db->read_us = 400000;
	turn_all();
	ck_assert_int_eq(t.appetite, APPETITE_ASLEEP);
	ck_assert(db->last.peek && db->last.look_back);
	for (int i = 0; i < 5; i++) {
		fake_clock_advance(t.sleep_until_ms - clock_ms());
		ck_assert(turn());
		ck_assert(db->last.peek && !db->last.look_back);
	}
	fake_clock_advance(t.look_back_at_ms - clock_ms());
	ck_assert(turn());
	ck_assert(db->last.peek && db->last.look_back);
}
END_TEST

/* Returns how often it was read from the beginning. */
static int ring_for_nothing(void)
{
	int count;

	fake_database_ring();
	turns_collect(&t);
	ck_assert(turn());
	ck_assert(db->last.claim_limit && !t.turn.claimed);
	count = db->last.look_back;
	fake_clock_advance(t.sleep_until_ms - clock_ms());
	ck_assert(turn());
	ck_assert(db->last.peek);
	return count + db->last.look_back;
}

/* Of a transaction that took so long that its rows lie before the low-water mark. Rows for later ring
   for nothing, too, and must not have the whole index read each time. */
START_TEST(a_ring_for_what_is_not_seen_is_followed_by_a_look_from_the_beginning_at_times)
{
	int reads;

	skip_adopt();
	t.adopt_at_ms = CLOCK_NEVER;
	ck_assert(turn()); /* the first claim */
	db->read_us = 400000;
	turn_all();
	reads = ring_for_nothing();
	ck_assert(db->last.look_back);
	for (int i = 0; i < 160; i++) {
		reads += ring_for_nothing();
		fake_clock_advance(100 - clock_ms() % 100);
	}
	/* In 16 s, twice as often as a twentieth of the time allows. */
	ck_assert_int_ge(reads, 3);
	ck_assert_int_le(reads, 5);
}
END_TEST

/* A row that was committed late may lie before the low-water mark, and its bell has rung. */
START_TEST(after_a_look_from_the_mark_the_sleep_is_short_however_long_the_poll)
{
	skip_adopt();
	t.settings.poll_interval_ms = 3600000;
	ck_assert(turn()); /* the first claim */
	db->read_us = 400000;
	turn_all();
	ck_assert_int_gt(t.sleep_until_ms, clock_ms() + 3000000);
	ring_for_nothing();
	ring_for_nothing();
	ck_assert(db->last.peek && !db->last.look_back);
	ck_assert_int_le(t.sleep_until_ms, clock_ms() + 8000);
	fake_clock_advance(t.sleep_until_ms - clock_ms());
	ck_assert(turn());
	ck_assert(db->last.peek && db->last.look_back);
}
END_TEST

/* Asleep; from now on it takes so many pieces to look back, with 40 ms after each. */
static void sleep_before_pieces(int count)
{
	skip_adopt();
	turn_all();
	t.adopt_at_ms = CLOCK_NEVER;
	db->look_back_pieces = count;
	db->read_us = 2000;
}

static void sleep_out(void)
{
	fake_clock_advance(t.sleep_until_ms - clock_ms());
	turn();
}

static void sleep_out_and_look_back(void)
{
	sleep_out();
	ck_assert(db->last.peek && db->last.look_back);
}

/* Returns how many pieces it looks at before it sleeps for longer. */
static int look_on(void)
{
	int looks = 0;

	while (t.sleep_until_ms - clock_ms() < 1000 && looks < 10) {
		sleep_out();
		looks += db->last.look_back;
	}
	return looks;
}

START_TEST(a_look_back_in_pieces_goes_on_until_the_beginning_and_then_it_sleeps)
{
	sleep_before_pieces(3);
	for (int i = 0; i < 2; i++) {
		sleep_out_and_look_back();
		ck_assert_int_eq(t.appetite, APPETITE_ASLEEP);
		ck_assert_int_eq(t.sleep_until_ms, clock_ms() + 40);
	}
	sleep_out_and_look_back();
	ck_assert_int_eq(t.sleep_until_ms, clock_ms() + POLL_MS);
}
END_TEST

/* It may lie where it has looked already, and its bell has rung. */
START_TEST(a_row_that_rings_while_pieces_are_looked_at_has_it_look_back_once_more)
{
	sleep_before_pieces(3);
	t.settings.poll_interval_ms = 3600000;
	sleep_out_and_look_back();
	fake_database_ring();
	turns_collect(&t);
	ck_assert(turn());
	ck_assert(db->last.claim_limit && !t.turn.claimed);
	ck_assert_int_eq(look_on(), 2 + 3);
}
END_TEST

/* They need not ring when they commit. */
START_TEST(pieces_that_were_looked_at_while_writers_were_under_way_come_again)
{
	int looks;

	sleep_before_pieces(3);
	t.settings.poll_interval_ms = 3600000;
	sleep_out_and_look_back();
	fake_database_ring();
	turns_collect(&t);
	db->bell = STORE_BELL_WRITERS;
	for (int i = 0; i < 30; i++)
		sleep_out();
	ck_assert(t.is_amid_look_back);
	db->bell = STORE_BELL_TAKEN;
	looks = look_on();
	ck_assert_int_gt(looks, 3);
	ck_assert_int_lt(looks, 6);
}
END_TEST

START_TEST(pieces_that_held_nothing_are_left_for_a_while_but_when_it_rings)
{
	sleep_before_pieces(2);
	for (int i = 0; i < 2; i++)
		sleep_out_and_look_back();
	for (int i = 0; i < 9; i++) {
		sleep_out();
		ck_assert(db->last.peek && !db->last.look_back);
	}
	for (int i = 0; i < 2; i++)
		sleep_out_and_look_back();
	sleep_out();
	ck_assert(!db->last.look_back);
	ring_for_nothing();
	ck_assert(db->last.look_back);
}
END_TEST

START_TEST(where_nobody_rings_each_poll_looks_back)
{
	t.settings.wants_bell = false;
	sleep_before_pieces(2);
	for (int i = 0; i < 6; i++)
		sleep_out_and_look_back();
	ck_assert_int_eq(t.sleep_until_ms, clock_ms() + POLL_MS);
}
END_TEST

START_TEST(claims_look_back_piece_by_piece_and_a_second_after_the_last)
{
	int looks = 0;

	skip_adopt();
	ck_assert(turn()); /* the first claim */
	t.adopt_at_ms = CLOCK_NEVER;
	fake_clock_advance(1000);
	db->look_back_pieces = 3;
	db->read_us = 2000;
	for (int i = 0; i < 115; i++) {
		t.appetite = APPETITE_AWAKE;
		ck_assert(turn());
		ck_assert(db->last.claim_limit);
		looks += db->last.look_back;
		fake_clock_advance(10 - db->answer_ms);
	}
	/* At 0, 50 and 100 ms. */
	ck_assert_int_eq(looks, 3);
	t.appetite = APPETITE_AWAKE;
	ck_assert(turn());
	ck_assert(db->last.look_back);
}
END_TEST

/* The claim releases the bell, so whoever rings meanwhile is not heard; and it is one turn less. */
START_TEST(a_row_that_a_claim_finds_when_it_looks_back_is_claimed_at_once)
{
	skip_adopt();
	turn_all();
	fake_clock_advance(1000);
	fake_database_ring();
	turns_collect(&t);
	db->finds_late_next = true;
	ck_assert(turn());
	ck_assert(db->last.claim_limit && db->last.look_back);
	ck_assert_int_eq(t.appetite, APPETITE_AWAKE);
	ck_assert(turn());
	ck_assert(db->last.claim_limit);
}
END_TEST

START_TEST(a_row_that_a_look_back_finds_is_claimed_at_once)
{
	skip_adopt();
	turn_all();
	fake_clock_advance(t.sleep_until_ms - clock_ms());
	db->finds_late_next = true;
	ck_assert(turn());
	ck_assert(db->last.peek && db->last.look_back);
	ck_assert_int_eq(t.appetite, APPETITE_AWAKE);
	ck_assert(turn());
	ck_assert(db->last.claim_limit);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("turns");
	TCase *tc = tcase_create("turns");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, opening_waits_for_its_time_and_backs_off);
	tcase_add_test(tc, nothing_is_begun_while_the_session_is_down_or_busy);
	tcase_add_test(tc,
		       a_dead_relay_is_looked_for_first_and_then_every_2_s_while_awake);
	tcase_add_test(tc, a_session_that_answers_nothing_is_lost_at_its_deadline);
	tcase_add_test(tc, an_empty_table_is_claimed_once_and_slept_on);
	tcase_add_test(tc, a_full_batch_means_more_and_a_smaller_one_means_a_last_look);
	tcase_add_test(tc, a_claim_of_sixteen_rows_means_that_they_keep_coming);
	tcase_add_test(tc, a_batch_cut_short_by_its_bytes_means_more);
	tcase_add_test(tc, five_open_batches_are_enough);
	tcase_add_test(tc, beside_rows_that_go_alone_there_is_room_for_one_batch_more);
	tcase_add_test(tc, in_a_stall_a_few_more_are_claimed_up_to_a_limit);
	tcase_add_test(tc, what_goes_alone_is_taken_on_one_batch_at_a_time);
	tcase_add_test(tc, with_a_row_that_goes_alone_no_probe_is_due);
	tcase_add_test(tc, a_poll_that_could_not_claim_is_not_due);
	tcase_add_test(tc,
		       claims_begin_at_the_low_water_mark_and_look_back_once_a_second);
	tcase_add_test(tc,
		       a_look_that_finds_due_rows_is_followed_by_a_claim_from_the_mark);
	tcase_add_test(tc, a_ring_wakes);
	tcase_add_test(tc, a_ring_while_awake_changes_nothing);
	tcase_add_test(tc, rings_for_nothing_are_answered_by_growing_pauses);
	tcase_add_test(
		tc, rows_that_come_one_by_one_are_claimed_without_giving_the_bell_back);
	tcase_add_test(tc, such_a_claim_does_not_look_back);
	tcase_add_test(
		tc,
		a_row_that_is_committed_during_such_a_claim_rings_and_is_claimed_next);
	tcase_add_test(tc, a_row_that_rang_does_not_wait_for_settlements);
	tcase_add_test(tc, what_was_put_off_for_a_row_that_rang_is_settled_next);
	tcase_add_test(tc, rows_that_come_one_by_one_do_not_put_off_the_look_for_long);
	tcase_add_test(tc, writers_ring_no_more_when_many_rows_come);
	tcase_add_test(
		tc,
		a_ring_for_nothing_between_rows_that_come_one_by_one_is_followed_by_a_look);
	tcase_add_loop_test(tc, claims_follow_how_fast_the_broker_confirms, 0, 5);
	tcase_add_test(tc, writers_under_way_are_waited_for_in_growing_pauses);
	tcase_add_test(tc, a_row_scheduled_ahead_ends_the_sleep);
	tcase_add_test(tc, a_row_scheduled_far_ahead_does_not_prolong_the_sleep);
	tcase_add_test(tc, another_relays_bell_wakes_but_is_not_trusted_for_long);
	tcase_add_test(tc, without_a_bell_each_poll_looks);
	tcase_add_test(tc, an_idle_poll_is_one_look_a_second);
	tcase_add_test(tc, a_broker_that_takes_nothing_means_no_claims_and_no_ringing);
	tcase_add_test(tc, a_bell_that_rang_just_before_the_broker_went_is_given_back);
	tcase_add_test(tc, another_relays_bell_is_not_ours_to_give_back);
	tcase_add_test(tc, a_run_until_empty_looks_only_with_nothing_in_hand);
	tcase_add_test(tc, rows_for_later_and_claims_of_others_alive_are_not_due);
	tcase_add_test(tc,
		       only_complete_batches_are_settled_and_the_next_claim_rides_along);
	tcase_add_test(tc,
		       batches_that_are_done_wait_for_others_and_are_settled_together);
	tcase_add_test(tc,
		       a_broker_with_nothing_left_does_not_wait_until_a_heap_is_settled);
	tcase_add_test(tc, a_claim_does_not_take_along_what_waits_for_others);
	tcase_add_test(tc, a_batch_with_locked_rows_does_not_hurry_the_others);
	tcase_add_loop_test(tc, what_has_a_reason_to_be_settled_at_once_waits_for_nothing,
			    0, REASONS);
	tcase_add_test(tc, refused_rows_are_counted_and_reported);
	tcase_add_test(tc, a_claim_without_rows_is_closed);
	tcase_add_test(tc, giving_back_settles_what_is_known_and_frees_the_rest);
	tcase_add_test(tc, of_a_claim_that_is_gone_nothing_is_counted_or_overwritten);
	tcase_add_loop_test(tc,
			    nothing_is_published_from_a_claim_that_was_perhaps_given_back,
			    0, 2);
	tcase_add_test(tc,
		       what_there_was_no_memory_for_is_claimed_anew_in_smaller_pieces);
	tcase_add_test(tc, a_settlement_lost_before_its_commit_is_sent_again);
	tcase_add_test(tc, a_settlement_whose_answer_is_lost_charges_nobody_twice);
	tcase_add_test(tc, a_claim_whose_answer_is_lost_is_dropped_at_the_next_session);
	tcase_add_test(tc, what_has_its_fate_is_settled_though_the_claim_was_forgotten);
	tcase_add_test(tc, nothing_more_is_published_from_a_claim_that_was_forgotten);
	tcase_add_test(tc, a_row_that_is_free_again_is_not_counted_as_sent);
	tcase_add_test(tc, a_forgotten_claim_does_not_pass_for_one_that_got_its_id);
	tcase_add_test(tc, rows_of_a_claim_that_was_taken_meanwhile_are_not_published);
	tcase_add_test(tc, a_locked_row_holds_up_no_other_and_is_settled_when_it_is_free);
	tcase_add_test(tc, a_claim_with_a_locked_row_that_is_lost_is_given_up);
	tcase_add_test(tc, an_adopted_batch_goes_on_past_a_locked_row);
	tcase_add_test(tc, batches_with_locked_rows_take_up_room);
	tcase_add_test(tc, leases_are_renewed_at_a_third);
	tcase_add_test(tc, a_lease_counts_from_before_the_request);
	tcase_add_test(tc, rows_of_a_claim_that_could_not_be_renewed_are_not_published);
	tcase_add_test(tc, a_claim_of_a_dead_relay_is_adopted_and_its_rows_go_alone);
	tcase_add_loop_test(
		tc, a_claim_is_adopted_a_second_after_its_session_was_seen_to_have_ended,
		0, 2);
	tcase_add_test(
		tc,
		a_claim_whose_session_ends_while_a_relay_sleeps_is_adopted_after_its_next_look);
	tcase_add_test(tc, a_run_until_empty_waits_for_the_owner_of_a_session_that_ended);
	tcase_add_loop_test(tc, the_row_that_killed_its_relay_is_charged_and_no_other, 0,
			    sizeof(deaths) / sizeof(deaths[0]));
	tcase_add_loop_test(tc,
			    a_claim_that_names_a_row_is_adopted_after_a_lease_of_answers,
			    0, 2);
	tcase_add_test(tc, a_claim_that_names_none_does_not_wait_for_one_that_does);
	tcase_add_loop_test(tc, a_new_session_begins_the_wait_for_owners_anew, 0, 2);
	tcase_add_test(tc,
		       an_answer_after_a_long_silence_begins_the_wait_for_owners_anew);
	tcase_add_test(tc, a_look_after_a_long_sleep_begins_the_wait_for_owners_anew);
	tcase_add_test(tc,
		       after_a_broken_session_fresh_rows_do_not_wait_for_other_owners);
	tcase_add_test(tc, an_owner_tries_soon_to_come_back);
	tcase_add_test(tc, an_owner_whose_new_session_ends_at_once_is_back_as_soon);
	tcase_add_test(tc, an_owner_is_back_before_others_take_it_for_dead);
	tcase_add_test(tc, a_run_until_empty_waits_for_the_owners_of_claims);
	tcase_add_test(tc, a_run_until_empty_waits_for_a_claim_whose_lease_ran_out);
	tcase_add_test(tc, a_named_row_that_is_not_there_any_more_is_no_trouble);
	tcase_add_test(tc, naming_a_row_settles_the_one_before_and_keeps_the_claim);
	tcase_add_test(tc, a_name_that_is_not_followed_by_another_is_taken_back);
	tcase_add_test(tc, a_row_that_cannot_be_named_is_given_up_with_its_claim);
	tcase_add_test(tc, a_lost_claim_keeps_what_the_broker_borrows_until_its_receipt);
	tcase_add_test(tc, a_naming_whose_answer_is_lost_charges_nobody_twice);
	tcase_add_test(tc, a_claim_that_comes_back_belongs_to_its_new_batch_alone);
	tcase_add_test(tc, nothing_is_named_while_claims_are_given_back);
	tcase_add_test(tc, a_dead_relay_seen_in_a_look_is_adopted_at_once);
	tcase_add_test(tc, closing_puts_what_was_on_its_way_back);
	tcase_add_test(tc, rows_of_a_parked_destination_are_neither_claimed_nor_due);
	tcase_add_test(tc, a_probe_is_one_row_alone_and_the_bell_stays_with_the_sleeper);
	tcase_add_test(tc, a_row_with_attempts_to_spare_is_probed_with_first);
	tcase_add_test(tc, where_all_are_at_their_last_attempt_one_of_them_is_the_probe);
	tcase_add_test(tc, a_probe_with_nothing_due_is_tried_again_later);
	tcase_add_test(tc, nothing_is_probed_while_the_broker_takes_nothing);
	tcase_add_test(
		tc, a_run_until_empty_tells_that_rows_of_a_parked_destination_are_left);
	tcase_add_test(tc,
		       parked_rows_that_are_not_due_do_not_matter_to_a_run_until_empty);
	tcase_add_test(tc, a_resumed_destination_is_read_from_the_beginning_at_once);
	tcase_add_test(tc,
		       a_claim_from_the_beginning_that_took_long_puts_off_the_look_too);
	tcase_add_test(
		tc,
		a_run_until_empty_ends_with_a_look_from_the_beginning_however_long_it_takes);
	tcase_add_test(tc, a_look_from_the_beginning_puts_off_that_of_the_claims);
	tcase_add_test(tc, a_look_from_the_beginning_that_took_long_is_not_repeated_soon);
	tcase_add_test(
		tc,
		a_ring_for_what_is_not_seen_is_followed_by_a_look_from_the_beginning_at_times);
	tcase_add_test(
		tc, after_a_look_from_the_mark_the_sleep_is_short_however_long_the_poll);
	tcase_add_test(
		tc, a_look_back_in_pieces_goes_on_until_the_beginning_and_then_it_sleeps);
	tcase_add_test(
		tc,
		a_row_that_rings_while_pieces_are_looked_at_has_it_look_back_once_more);
	tcase_add_test(tc,
		       pieces_that_held_nothing_are_left_for_a_while_but_when_it_rings);
	tcase_add_test(
		tc, pieces_that_were_looked_at_while_writers_were_under_way_come_again);
	tcase_add_test(tc, where_nobody_rings_each_poll_looks_back);
	tcase_add_test(tc, claims_look_back_piece_by_piece_and_a_second_after_the_last);
	tcase_add_test(tc,
		       a_row_that_a_claim_finds_when_it_looks_back_is_claimed_at_once);
	tcase_add_test(tc, a_row_that_a_look_back_finds_is_claimed_at_once);
	suite_add_tcase(suite, tc);
	return suite;
}
