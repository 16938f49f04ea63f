#include "engine/sender.h"

#include <string.h>

#include "fake/fake_batch.h"
#include "fake/fake_broker.h"
#include "fake/fake_clock.h"
#include "unit/unit.h"

#define CONFIRM_TIMEOUT_MS 30000
#define MARGIN_MS          5000

static const struct sender_settings settings = {
	.policy = {.max_attempts = 3, .delay = {10000, 2, 600000, 0}},
	.connect_timeout_ms = 4000,
	.confirm_timeout_ms = CONFIRM_TIMEOUT_MS,
	.max_in_flight = 100,
	.lease_margin_ms = MARGIN_MS,
	.max_message_bytes = 1000,
};

static struct fake_broker broker;
static struct work work;
static struct counts counts;
static struct sender s;

static void setup(void)
{
	fake_clock_reset();
	fake_broker_init(&broker);
	sender_init(&s, &settings, &broker.base, &work, &counts);
	sender_open(&s, -1);
	ck_assert(sender_is_ready(&s));
}

static void teardown(void)
{
	broker.base.driver->close(&broker.base);
	work_release(&work);
}

static struct batch *add(uint32_t turn, int64_t first_id, int count)
{
	work_add(&work, fake_batch(turn, first_id, count));
	return work.batches[work.count - 1];
}

/* What went out of one turn of the loop. */
static const char *publish(void)
{
	sender_publish(&s);
	return fake_broker_published(&broker);
}

static void confirm(int64_t id, enum verdict verdict, const char *reason)
{
	fake_broker_confirm(&broker, id, verdict, reason);
	sender_collect(&s);
}

static void confirm_all(enum verdict verdict)
{
	fake_broker_confirm_all(&broker, verdict);
	sender_collect(&s);
}

static struct row *row_of(int64_t id)
{
	for (int i = 0; i < work.count; i++) {
		for (int k = 0; k < work.batches[i]->count; k++) {
			if (work.batches[i]->rows[k].id == id)
				return &work.batches[i]->rows[k];
		}
	}
	ck_abort_msg("no row %lld", (long long)id);
	return NULL;
}

static void assert_decided(int64_t id, enum fate fate, int charge)
{
	const struct row *row = row_of(id);

	ck_assert_msg(row->state == ROW_DECIDED, "row %lld is not decided",
		      (long long)id);
	ck_assert_msg(row->decision.fate == fate, "row %lld has fate %d", (long long)id,
		      row->decision.fate);
	ck_assert_msg(row->decision.charge == charge, "row %lld is charged %d",
		      (long long)id, row->decision.charge);
}

static void assert_waiting(int64_t id)
{
	ck_assert_msg(row_of(id)->state == ROW_WAITING, "row %lld is not waiting",
		      (long long)id);
}

/* The connection breaks, and is there again. */
static void lose_and_reopen(void)
{
	broker.loses_next_collect = true;
	sender_collect(&s);
	ck_assert(!sender_is_ready(&s));
	fake_clock_advance(s.link.retry_at_ms - clock_ms());
	sender_open(&s, -1);
	ck_assert(sender_is_ready(&s));
}

/* Lets time pass as the loop would, looking for silence whenever it is due; until the
   connection is lost. */
static void pass(int64_t ms)
{
	int64_t until_ms = clock_ms() + ms;

	while (clock_ms() < until_ms && s.link.is_up) {
		int64_t due_ms = clock_min(sender_due_ms(&s), until_ms);

		ck_assert_int_gt(due_ms, clock_ms());
		fake_clock_advance(due_ms - clock_ms());
		sender_collect(&s);
		sender_expire(&s);
	}
}

/* And whoever was passed over has been seen to be. */
static void confirm_a_later_one(void)
{
	add(2, 20, 1);
	publish();
	confirm(20, VERDICT_SENT, NULL);
	pass(300);
}

/* --- the connection --- */

START_TEST(opening_has_a_deadline_and_waits_for_its_time)
{
	ck_assert_int_eq(broker.open_timeout_ms, 4000);
	ck_assert_uint_eq(counts.connects, 1);
	broker.fail_opens = 1;
	broker.loses_next_collect = true;
	sender_collect(&s);
	ck_assert_int_eq(broker.closes, 1);
	sender_open(&s, -1);
	ck_assert_int_eq(broker.opens, 1);
	ck_assert_int_eq(sender_due_ms(&s), s.link.retry_at_ms);
	fake_clock_advance(s.link.retry_at_ms - clock_ms());
	sender_open(&s, -1);
	ck_assert_int_eq(broker.opens, 2);
	ck_assert_int_eq(s.link.failures, 1);
	ck_assert_int_gt(s.link.retry_at_ms, clock_ms());
	fake_clock_advance(s.link.retry_at_ms - clock_ms());
	sender_open(&s, -1);
	ck_assert(sender_is_ready(&s));
	ck_assert_uint_eq(counts.connects, 2);
}
END_TEST

START_TEST(nothing_is_done_while_the_connection_is_down)
{
	add(1, 10, 3);
	broker.loses_next_collect = true;
	sender_collect(&s);
	ck_assert_str_eq(publish(), "");
	sender_collect(&s);
	sender_expire(&s);
	assert_waiting(10);
}
END_TEST

/* How fast its receipts come tells how large claims should be. */
START_TEST(a_batch_remembers_when_its_first_and_its_last_receipt_came)
{
	struct batch *b = add(1, 10, 3);
	int64_t published_ms = clock_ms();

	publish();
	fake_clock_advance(70);
	confirm(11, VERDICT_SENT, NULL);
	fake_clock_advance(5);
	confirm(10, VERDICT_NACKED, NULL);
	fake_clock_advance(7);
	confirm(12, VERDICT_SENT, NULL);
	ck_assert_int_eq(b->first_receipt_ms, published_ms + 70);
	ck_assert_int_eq(b->last_receipt_ms, published_ms + 82);
}
END_TEST

START_TEST(closing_puts_what_is_in_flight_back)
{
	struct batch *b = add(1, 10, 3);

	publish();
	confirm(11, VERDICT_SENT, NULL);
	sender_close(&s);
	ck_assert_int_eq(broker.closes, 1);
	ck_assert_int_eq(b->in_state[ROW_WAITING], 2);
	assert_decided(11, FATE_SENT, 0);
	ck_assert_uint_eq(counts.interrupted, 2);
	ck_assert(!sender_is_ready(&s));
	ck_assert_int_eq(sender_due_ms(&s), CLOCK_NEVER);
}
END_TEST

/* --- publishing --- */

START_TEST(rows_are_published_in_order_and_once)
{
	add(1, 10, 3);
	add(2, 20, 2);
	ck_assert_str_eq(publish(), "10 11 12 20 21");
	ck_assert_str_eq(publish(), "");
	ck_assert_uint_eq(counts.published, 5);
	confirm_all(VERDICT_SENT);
	for (int64_t id = 10; id < 13; id++)
		assert_decided(id, FATE_SENT, 0);
	ck_assert_ptr_null(row_of(10)->reason);
}
END_TEST

START_TEST(no_more_than_the_window_is_in_flight)
{
	s.settings.max_in_flight = 3;
	add(1, 10, 5);
	ck_assert_str_eq(publish(), "10 11 12");
	ck_assert_str_eq(publish(), "");
	confirm(11, VERDICT_SENT, NULL);
	ck_assert_str_eq(publish(), "13");
	confirm_all(VERDICT_SENT);
	ck_assert_str_eq(publish(), "14");
}
END_TEST

START_TEST(a_full_broker_is_tried_again_later)
{
	broker.room = 2;
	add(1, 10, 4);
	ck_assert_str_eq(publish(), "10 11");
	assert_waiting(12);
	confirm(10, VERDICT_SENT, NULL);
	ck_assert_str_eq(publish(), "12");
	ck_assert_uint_eq(counts.published, 3);
}
END_TEST

static struct fake_answer refuse_11(void *context, int64_t id)
{
	struct fake_answer answer = *(struct fake_answer *)context;

	return id == 11 ? answer : (struct fake_answer){.result = PUBLISH_OK};
}

START_TEST(what_cannot_be_expressed_fails_unpublished_and_the_others_go_on)
{
	struct fake_answer answer = {.result = PUBLISH_INVALID, .reason = "key too long"};

	broker.answer = refuse_11;
	broker.context = &answer;
	add(1, 10, 4);
	ck_assert_str_eq(publish(), "10 12 13");
	assert_decided(11, FATE_FAILED, 0);
	ck_assert_str_eq(row_of(11)->reason, "invalid: key too long");
	ck_assert_uint_eq(counts.published, 3);
}
END_TEST

START_TEST(a_body_too_large_fails_unpublished_and_says_so)
{
	struct batch *b = add(1, 10, 3);

	b->rows[1].message.body.data = NULL;
	b->rows[1].body_size = 123456;
	ck_assert_str_eq(publish(), "10 12");
	assert_decided(11, FATE_FAILED, 0);
	ck_assert_ptr_nonnull(strstr(row_of(11)->reason, "123456"));
	ck_assert_ptr_nonnull(strstr(row_of(11)->reason, "max_message_bytes (1000)"));
}
END_TEST

START_TEST(a_body_there_was_no_memory_for_waits_uncharged_and_its_neighbours_go)
{
	struct batch *b = add(1, 10, 3);

	b->rows[1].message.body.data = NULL;
	b->rows[1].body_size = 1000;
	ck_assert_str_eq(publish(), "10 12");
	assert_decided(11, FATE_RETRY, 0);
	ck_assert_int_gt(row_of(11)->decision.delay_ms, 0);
	ck_assert_ptr_nonnull(strstr(row_of(11)->reason, "no memory"));
	ck_assert_ptr_nonnull(strstr(row_of(11)->reason, "1000 bytes"));
}
END_TEST

START_TEST(an_empty_body_is_a_body)
{
	struct batch *b = add(1, 10, 1);

	b->rows[0].message.body = (struct slice){.data = "", .size = 0};
	b->rows[0].body_size = 0;
	ck_assert_str_eq(publish(), "10");
}
END_TEST

START_TEST(losing_the_connection_while_publishing_charges_nobody)
{
	struct fake_answer answer = {.result = PUBLISH_LOST};

	broker.answer = refuse_11;
	broker.context = &answer;
	add(1, 10, 3);
	ck_assert_str_eq(publish(), "10");
	for (int64_t id = 10; id < 13; id++)
		assert_waiting(id);
	ck_assert_int_eq(broker.closes, 1);
	ck_assert_uint_eq(counts.interrupted, 1);
}
END_TEST

static const struct {
	int64_t left_ms;
	const char *published;
} leases[] = {
	{MARGIN_MS + 1, "10 11"},
	{MARGIN_MS, ""},
	{1, ""},
	{-1000, ""},
};

START_TEST(too_little_lease_left_stops_publishing)
{
	struct batch *b = add(1, 10, 2);

	b->lease_deadline_ms = clock_ms() + leases[_i].left_ms;
	ck_assert_str_eq(publish(), leases[_i].published);
	b->lease_deadline_ms = clock_ms() + 30000;
	publish();
	ck_assert_uint_eq(counts.published, 2);
}
END_TEST

START_TEST(nothing_of_a_batch_that_is_being_given_back_is_published)
{
	add(1, 10, 2)->is_settling = true;
	add(2, 20, 1);
	ck_assert_str_eq(publish(), "20");
}
END_TEST

/* --- verdicts --- */

static const struct {
	enum verdict verdict;
	int64_t try_count;
	enum fate fate;
	int charge;
	const char *reason; /* as last_error will have it */
} verdicts[] = {
	{VERDICT_SENT, 2, FATE_SENT, 0, NULL},
	{VERDICT_RETURNED, 0, FATE_RETRY, 1, "returned: 312 NO_ROUTE"},
	{VERDICT_RETURNED, 2, FATE_FAILED, 1, "returned: 312 NO_ROUTE"},
	{VERDICT_NACKED, 1, FATE_RETRY, 1, "312 NO_ROUTE"},
	{VERDICT_NACKED, 2, FATE_FAILED, 1, "312 NO_ROUTE"},
	{VERDICT_REFUSED, 1, FATE_RETRY, 1, BATCH_REFUSED "312 NO_ROUTE"},
	{VERDICT_REFUSED, 2, FATE_FAILED, 1, BATCH_REFUSED "312 NO_ROUTE"},
};

START_TEST(a_receipt_decides_about_its_row_and_no_other)
{
	struct batch *b = add(1, 10, 3);

	b->rows[1].try_count = verdicts[_i].try_count;
	publish();
	confirm(11, verdicts[_i].verdict, "312 NO_ROUTE");
	assert_decided(11, verdicts[_i].fate, verdicts[_i].charge);
	ck_assert_pstr_eq(row_of(11)->reason, verdicts[_i].reason);
	if (verdicts[_i].fate == FATE_RETRY)
		ck_assert_int_ge(row_of(11)->decision.delay_ms, 10000);
	ck_assert_int_eq(b->in_state[ROW_IN_FLIGHT], 2);
}
END_TEST

START_TEST(many_receipts_at_once_are_all_taken)
{
	struct batch *b = add(1, 1, 1000);

	s.settings.max_in_flight = 2000;
	sender_publish(&s);
	confirm_all(VERDICT_SENT);
	ck_assert_int_eq(b->in_state[ROW_DECIDED], 1000);
}
END_TEST

START_TEST(receipts_that_came_before_a_loss_still_count)
{
	struct batch *b = add(1, 1, 300);

	s.settings.max_in_flight = 300;
	sender_publish(&s);
	for (int64_t id = 1; id <= 256; id++)
		fake_broker_confirm(&broker, id, VERDICT_SENT, NULL);
	broker.loses_next_collect = true;
	sender_collect(&s);
	ck_assert(!s.link.is_up);
	ck_assert_int_eq(b->in_state[ROW_DECIDED], 256);
	ck_assert_int_eq(b->in_state[ROW_WAITING], 44);
	ck_assert_int_eq(b->alone, 0);
}
END_TEST

START_TEST(a_receipt_nobody_waits_for_changes_nothing)
{
	struct batch *b = add(1, 10, 2);

	publish();
	broker.stale_tag = (uint64_t)99 << 16;
	sender_collect(&s);
	ck_assert_int_eq(b->in_state[ROW_IN_FLIGHT], 2);
	/* A row of a batch in hand that is not in flight (any more). */
	confirm(11, VERDICT_NACKED, "no");
	broker.stale_tag = work_tag(b, &b->rows[1]);
	sender_collect(&s);
	ck_assert_int_eq(b->in_state[ROW_IN_FLIGHT], 1);
	assert_decided(11, FATE_RETRY, 1);
}
END_TEST

START_TEST(a_batch_that_is_gone_leaves_its_receipts_ignored)
{
	add(1, 10, 1);
	add(2, 20, 1);
	publish();
	broker.stale_tag = work_tag(work.batches[0], row_of(10));
	work_remove(&work, work.batches[0]);
	sender_collect(&s);
	ck_assert_int_eq(row_of(20)->state, ROW_IN_FLIGHT);
}
END_TEST

/* --- alone --- */

START_TEST(rows_in_doubt_after_a_channel_error_go_again_one_at_a_time)
{
	add(1, 10, 3);
	add(2, 20, 1);
	publish();
	confirm(10, VERDICT_SENT, NULL);
	fake_broker_confirm(&broker, 11, VERDICT_UNCLEAR, "404");
	fake_broker_confirm(&broker, 12, VERDICT_UNCLEAR, "404");
	sender_collect(&s);
	ck_assert_uint_eq(counts.interrupted, 2);
	assert_waiting(11);
	ck_assert_str_eq(publish(), ""); /* 20 is still in flight */
	confirm(20, VERDICT_SENT, NULL);
	ck_assert_str_eq(publish(), "11");
	ck_assert_str_eq(publish(), "");
	confirm(11, VERDICT_REFUSED, "404 NOT_FOUND");
	assert_decided(11, FATE_RETRY, 1);
	add(3, 30, 2);
	ck_assert_str_eq(publish(), "12");
	confirm(12, VERDICT_SENT, NULL);
	ck_assert_str_eq(publish(), "30 31");
}
END_TEST

START_TEST(a_row_alone_that_cannot_be_expressed_makes_room_for_the_next)
{
	struct fake_answer answer = {.result = PUBLISH_INVALID, .reason = "no"};
	struct batch *b = add(1, 10, 4);

	broker.answer = refuse_11;
	broker.context = &answer;
	for (int i = 1; i < 3; i++)
		batch_set_alone(b, &b->rows[i]);
	ck_assert_str_eq(publish(), "12");
	assert_decided(11, FATE_FAILED, 0);
	confirm(12, VERDICT_SENT, NULL);
	ck_assert_str_eq(publish(), "10 13");
}
END_TEST

START_TEST(losing_several_in_flight_charges_nobody_and_they_go_again)
{
	struct batch *b = add(1, 10, 3);

	publish();
	confirm(10, VERDICT_SENT, NULL);
	lose_and_reopen();
	ck_assert_uint_eq(counts.interrupted, 2);
	ck_assert_int_eq(b->alone, 0);
	ck_assert_str_eq(publish(), "11 12");
	assert_decided(10, FATE_SENT, 0);
}
END_TEST

START_TEST(a_session_without_a_single_receipt_makes_its_rows_go_alone)
{
	add(1, 10, 3);
	s.settings.max_in_flight = 2;
	publish();
	lose_and_reopen();
	ck_assert_str_eq(publish(), "10");
	ck_assert_str_eq(publish(), "");
	confirm(10, VERDICT_SENT, NULL);
	ck_assert_str_eq(publish(), "11");
	confirm(11, VERDICT_SENT, NULL);
	ck_assert_str_eq(publish(), "12");
}
END_TEST

START_TEST(receipts_of_the_session_before_do_not_count)
{
	add(1, 10, 3);
	publish();
	confirm(10, VERDICT_SENT, NULL);
	lose_and_reopen();
	ck_assert_str_eq(publish(), "11 12");
	lose_and_reopen();
	ck_assert_str_eq(publish(), "11");
}
END_TEST

START_TEST(a_row_lost_alone_makes_room_for_the_others_uncharged)
{
	struct batch *b = add(1, 10, 2);

	batch_set_alone(b, &b->rows[0]);
	ck_assert_str_eq(publish(), "10");
	lose_and_reopen();
	assert_decided(10, FATE_RETRY, 0);
	ck_assert_int_ge(row_of(10)->decision.delay_ms, 10000);
	ck_assert_ptr_nonnull(strstr(row_of(10)->reason, "reset by peer"));
	ck_assert_str_eq(publish(), "11");
}
END_TEST

START_TEST(where_outages_count_a_loss_charges_what_was_in_flight)
{
	struct batch *b = add(1, 10, 3);

	s.settings.policy.counts_outages = true;
	s.settings.max_in_flight = 2;
	b->rows[1].try_count = 2;
	publish();
	lose_and_reopen();
	assert_decided(10, FATE_RETRY, 1);
	assert_decided(11, FATE_FAILED, 1);
	ck_assert_str_eq(publish(), "12");
}
END_TEST

START_TEST(a_row_of_a_lost_claim_is_never_published_again)
{
	struct batch *b = add(1, 10, 2);

	publish();
	b->is_lost = true;
	confirm(10, VERDICT_UNCLEAR, "404");
	lose_and_reopen();
	ck_assert_str_eq(publish(), "");
	ck_assert_int_eq(batch_open_rows(b), 0);
	ck_assert(!work_has_alone(&work));
}
END_TEST

/* --- silence --- */

START_TEST(silence_for_one_row_while_later_ones_are_confirmed_is_about_the_row)
{
	add(1, 10, 3);
	publish();
	confirm(12, VERDICT_SENT, NULL);
	pass(CONFIRM_TIMEOUT_MS / 2);
	confirm(11, VERDICT_SENT, NULL);
	pass(CONFIRM_TIMEOUT_MS / 2);
	ck_assert_int_eq(row_of(10)->state, ROW_IN_FLIGHT);
	confirm_a_later_one();
	assert_decided(10, FATE_RETRY, 1);
	ck_assert_int_eq(broker.forgotten_count, 1);
	ck_assert_int_eq(broker.forgotten[0], 10);
	ck_assert(sender_is_ready(&s));
	ck_assert_ptr_nonnull(strstr(row_of(10)->reason, "30000 ms"));
}
END_TEST

START_TEST(the_third_silence_fails_a_row)
{
	add(1, 10, 2)->rows[0].try_count = 2;
	publish();
	pass(CONFIRM_TIMEOUT_MS - 1000);
	confirm(11, VERDICT_NACKED, NULL);
	pass(1300);
	assert_decided(10, FATE_FAILED, 1);
}
END_TEST

START_TEST(silence_for_everybody_is_a_lost_connection_and_charges_nobody)
{
	struct batch *b = add(1, 10, 3);

	publish();
	confirm(10, VERDICT_SENT, NULL);
	pass(CONFIRM_TIMEOUT_MS + 300);
	ck_assert(!sender_is_ready(&s));
	ck_assert_int_eq(broker.closes, 1);
	ck_assert_int_eq(broker.forgotten_count, 0);
	ck_assert_int_eq(b->in_state[ROW_WAITING], 2);
	ck_assert_int_eq(b->alone, 0);
	ck_assert_uint_eq(counts.interrupted, 2);
}
END_TEST

START_TEST(a_broker_that_falls_silent_after_confirming_some_charges_nobody)
{
	add(1, 10, 3);
	publish();
	confirm(12, VERDICT_SENT, NULL);
	pass(CONFIRM_TIMEOUT_MS + 300);
	ck_assert(!sender_is_ready(&s));
	ck_assert_int_eq(broker.forgotten_count, 0);
	assert_waiting(10);
	assert_waiting(11);
}
END_TEST

/* An answer for the earlier row says nothing about the later one. */
START_TEST(only_later_confirms_tell_that_a_row_was_passed_over)
{
	add(1, 10, 2);
	publish();
	pass(20000);
	confirm(10, VERDICT_SENT, NULL);
	pass(CONFIRM_TIMEOUT_MS);
	ck_assert_int_eq(broker.forgotten_count, 0);
	ck_assert(!sender_is_ready(&s));
	assert_waiting(11);
}
END_TEST

START_TEST(a_channel_error_is_no_confirm_of_later_messages)
{
	add(1, 10, 2);
	publish();
	pass(20000);
	confirm(11, VERDICT_UNCLEAR, "404");
	pass(CONFIRM_TIMEOUT_MS + 300);
	ck_assert_int_eq(broker.forgotten_count, 0);
	ck_assert(!sender_is_ready(&s));
	assert_waiting(10);
}
END_TEST

/* A process that was stopped: the message may have left it only now. */
START_TEST(after_looking_away_for_long_time_starts_over)
{
	add(1, 10, 2);
	publish();
	fake_clock_advance(CONFIRM_TIMEOUT_MS + 1000);
	confirm(11, VERDICT_SENT, NULL);
	sender_expire(&s);
	pass(CONFIRM_TIMEOUT_MS);
	ck_assert_int_eq(row_of(10)->state, ROW_IN_FLIGHT);
	confirm_a_later_one();
	assert_decided(10, FATE_RETRY, 1);
}
END_TEST

START_TEST(a_steady_flow_of_confirms_is_never_overdue)
{
	add(1, 1, 60);
	s.settings.max_in_flight = 4;
	for (int64_t id = 1; id <= 60; id++) {
		sender_publish(&s);
		pass(5000);
		confirm(id, VERDICT_SENT, NULL);
	}
	ck_assert_int_eq(broker.forgotten_count, 0);
	ck_assert_int_eq(broker.opens, 1);
}
END_TEST

START_TEST(with_nothing_in_flight_nothing_is_looked_for)
{
	add(1, 10, 1);
	publish();
	confirm(10, VERDICT_SENT, NULL);
	pass(1000);
	ck_assert_int_eq(s.expire_at_ms, CLOCK_NEVER);
	add(2, 20, 1);
	publish();
	ck_assert_int_le(sender_due_ms(&s), clock_ms() + 250);
}
END_TEST

/* --- blocked --- */

START_TEST(a_blocked_broker_gets_no_messages_until_it_unblocks)
{
	add(1, 10, 2);
	broker.blocked = "low on memory";
	sender_collect(&s);
	ck_assert(!sender_is_ready(&s));
	ck_assert_str_eq(publish(), "");
	broker.blocked = NULL;
	sender_collect(&s);
	ck_assert(sender_is_ready(&s));
	ck_assert_str_eq(publish(), "10 11");
}
END_TEST

START_TEST(while_blocked_nothing_expires_and_then_time_starts_over)
{
	struct batch *b = add(1, 10, 3);

	publish();
	confirm(12, VERDICT_SENT, NULL);
	pass(1000);
	broker.blocked = "low on memory";
	sender_collect(&s);
	pass(10 * CONFIRM_TIMEOUT_MS);
	ck_assert_int_eq(b->in_state[ROW_IN_FLIGHT], 2);
	broker.blocked = NULL;
	sender_collect(&s);
	pass(CONFIRM_TIMEOUT_MS);
	ck_assert_int_eq(b->in_state[ROW_IN_FLIGHT], 2);
	confirm_a_later_one();
	assert_decided(10, FATE_RETRY, 1);
	assert_decided(11, FATE_RETRY, 1);
}
END_TEST

START_TEST(a_blocked_broker_may_be_lost_and_the_next_is_not_blocked)
{
	add(1, 10, 1);
	publish();
	broker.blocked = "low on memory";
	sender_collect(&s);
	broker.blocked = NULL;
	broker.loses_next_collect = true;
	sender_collect(&s);
	fake_clock_advance(s.link.retry_at_ms - clock_ms());
	sender_open(&s, -1);
	ck_assert(sender_is_ready(&s));
	ck_assert_str_eq(publish(), "10");
}
END_TEST

/* --- adopted --- */

static struct batch *add_adopted(uint32_t turn, int64_t first_id, int count)
{
	struct batch *b = add(turn, first_id, count);

	b->is_adopted = true;
	for (int i = 0; i < count; i++)
		batch_set_alone(b, &b->rows[i]);
	return b;
}

START_TEST(an_adopted_row_is_named_before_it_is_published)
{
	struct batch *b = add_adopted(1, 10, 2);
	struct batch *found = NULL;

	ck_assert_str_eq(publish(), "");
	ck_assert_int_eq(sender_unnamed(&s, &found)->id, 10);
	ck_assert_ptr_eq(found, b);
	b->publishing_id = 10;
	ck_assert_ptr_null(sender_unnamed(&s, &found));
	ck_assert_str_eq(publish(), "10");
	ck_assert_ptr_null(sender_unnamed(&s, &found));
	confirm(10, VERDICT_SENT, NULL);
	ck_assert_int_eq(sender_unnamed(&s, &found)->id, 11);
	ck_assert_str_eq(publish(), "");
	b->publishing_id = 11;
	ck_assert_str_eq(publish(), "11");
}
END_TEST

START_TEST(no_row_needs_a_name_while_the_broker_takes_none)
{
	struct batch *found;

	add_adopted(1, 10, 2);
	broker.blocked = "low on memory";
	sender_collect(&s);
	ck_assert_ptr_null(sender_unnamed(&s, &found));
}
END_TEST

START_TEST(a_row_of_our_own_needs_no_name)
{
	struct batch *found;

	add(1, 10, 1);
	ck_assert_ptr_null(sender_unnamed(&s, &found));
}
END_TEST

/* --- taking turns --- */

START_TEST(rows_that_go_alone_and_the_others_take_turns)
{
	struct batch *b = add(1, 1, 3);

	for (int i = 0; i < 3; i++)
		batch_set_alone(b, &b->rows[i]);
	add(2, 11, 2);
	ck_assert_str_eq(publish(), "1");
	fake_clock_advance(300);
	ck_assert_str_eq(publish(), "");
	confirm(1, VERDICT_SENT, "");
	ck_assert_str_eq(publish(), "11 12");
	add(3, 21, 1);
	fake_clock_advance(100);
	ck_assert_str_eq(publish(), "21");
	add(4, 31, 1);
	fake_clock_advance(200);
	ck_assert_str_eq(publish(), "");
	confirm_all(VERDICT_SENT);
	ck_assert_str_eq(publish(), "2");
	confirm(2, VERDICT_SENT, "");
	ck_assert_str_eq(publish(), "3");
	confirm(3, VERDICT_SENT, "");
	ck_assert_str_eq(publish(), "31");
}
END_TEST

START_TEST(with_no_others_rows_go_alone_without_a_break)
{
	struct batch *b = add(1, 1, 3);

	for (int i = 0; i < 3; i++)
		batch_set_alone(b, &b->rows[i]);
	for (int i = 1; i <= 3; i++) {
		fake_clock_advance(300);
		publish();
		ck_assert_int_eq(row_of(i)->state, ROW_IN_FLIGHT);
		confirm(i, VERDICT_SENT, "");
	}
}
END_TEST

/* It would be blamed for a death while others are published. */
START_TEST(a_row_that_is_being_named_is_not_overtaken)
{
	struct batch *b = add(1, 1, 1);

	b->is_adopted = true;
	batch_set_alone(b, &b->rows[0]);
	add(2, 11, 1);
	ck_assert_str_eq(publish(), "");
	ck_assert_ptr_eq(sender_unnamed(&s, &b), &b->rows[0]);
	fake_clock_advance(300);
	ck_assert_str_eq(publish(), "");
	b->publishing_id = 1;
	ck_assert_str_eq(publish(), "1");
	confirm(1, VERDICT_SENT, "");
	ck_assert_str_eq(publish(), "11");
}
END_TEST

/* --- parked destinations --- */

/* Returned until the destination is parked; a second batch of `count` rows is in hand then. */
static struct batch *park(int count)
{
	struct batch *b;

	add(1, 1, PARKING_AFTER_RETURNED);
	publish();
	b = add(2, 1001, count);
	for (int i = 1; i <= PARKING_AFTER_RETURNED; i++)
		confirm(i, VERDICT_RETURNED, "312 NO_ROUTE");
	ck_assert_int_eq(work.parking.count, 1);
	ck_assert_uint_eq(counts.parked, 1);
	return b;
}

START_TEST(rows_for_a_parked_destination_are_let_go_uncharged_and_others_go_on)
{
	struct batch *b = park(5);

	fake_batch_address(b, 3, "elsewhere", "");
	ck_assert_str_eq(publish(), "1004");
	confirm(1004, VERDICT_SENT, "");
	assert_decided(1004, FATE_SENT, 0);
	ck_assert_int_eq(batch_open_rows(b), 0);
	ck_assert_int_eq(b->in_state[ROW_SETTLED], 4);
	ck_assert(b->rows[0].is_counted);
	ck_assert_int_eq(work.parking.count, 1);
}
END_TEST

/* However many there are: the loop must not fall asleep over the rest. */
START_TEST(letting_go_takes_no_room_in_the_window)
{
	struct batch *b = park(500);

	ck_assert_str_eq(publish(), "");
	ck_assert_int_eq(batch_open_rows(b), 0);
}
END_TEST

START_TEST(adopted_rows_for_a_parked_destination_need_no_name)
{
	struct batch *b = park(2);

	b->is_adopted = true;
	batch_set_alone(b, &b->rows[0]);
	batch_set_alone(b, &b->rows[1]);
	fake_batch_address(b, 1, "elsewhere", "");
	ck_assert_str_eq(publish(), "");
	ck_assert_ptr_eq(sender_unnamed(&s, &b), &b->rows[1]);
	ck_assert_int_eq(b->rows[0].state, ROW_SETTLED);
}
END_TEST

START_TEST(a_probe_is_published_and_charged_like_any_other)
{
	struct batch *b = park(1);

	b->rows[0].is_probe = true;
	batch_set_alone(b, &b->rows[0]);
	ck_assert_str_eq(publish(), "1001");
	confirm(1001, VERDICT_RETURNED, "312 NO_ROUTE");
	assert_decided(1001, FATE_RETRY, 1);
	ck_assert_int_eq(work.parking.parked[0].refused, 1);
	ck_assert_uint_eq(counts.parked, 1);
}
END_TEST

START_TEST(a_probe_that_is_taken_opens_its_destination)
{
	struct batch *b = park(1);

	b->rows[0].is_probe = true;
	batch_set_alone(b, &b->rows[0]);
	publish();
	confirm(1001, VERDICT_SENT, "");
	assert_decided(1001, FATE_SENT, 0);
	ck_assert_int_eq(work.parking.count, 0);
	add(3, 2001, 2);
	ck_assert_str_eq(publish(), "2001 2002");
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("sender");
	TCase *tc = tcase_create("sender");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, opening_has_a_deadline_and_waits_for_its_time);
	tcase_add_test(tc, nothing_is_done_while_the_connection_is_down);
	tcase_add_test(tc, a_batch_remembers_when_its_first_and_its_last_receipt_came);
	tcase_add_test(tc, closing_puts_what_is_in_flight_back);
	tcase_add_test(tc, rows_are_published_in_order_and_once);
	tcase_add_test(tc, no_more_than_the_window_is_in_flight);
	tcase_add_test(tc, a_full_broker_is_tried_again_later);
	tcase_add_test(tc,
		       what_cannot_be_expressed_fails_unpublished_and_the_others_go_on);
	tcase_add_test(tc, a_body_too_large_fails_unpublished_and_says_so);
	tcase_add_test(
		tc, a_body_there_was_no_memory_for_waits_uncharged_and_its_neighbours_go);
	tcase_add_test(tc, an_empty_body_is_a_body);
	tcase_add_test(tc, losing_the_connection_while_publishing_charges_nobody);
	tcase_add_loop_test(tc, too_little_lease_left_stops_publishing, 0,
			    sizeof(leases) / sizeof(leases[0]));
	tcase_add_test(tc, nothing_of_a_batch_that_is_being_given_back_is_published);
	tcase_add_loop_test(tc, a_receipt_decides_about_its_row_and_no_other, 0,
			    sizeof(verdicts) / sizeof(verdicts[0]));
	tcase_add_test(tc, many_receipts_at_once_are_all_taken);
	tcase_add_test(tc, receipts_that_came_before_a_loss_still_count);
	tcase_add_test(tc, a_receipt_nobody_waits_for_changes_nothing);
	tcase_add_test(tc, a_batch_that_is_gone_leaves_its_receipts_ignored);
	tcase_add_test(tc, rows_in_doubt_after_a_channel_error_go_again_one_at_a_time);
	tcase_add_test(tc, a_row_alone_that_cannot_be_expressed_makes_room_for_the_next);
	tcase_add_test(tc, losing_several_in_flight_charges_nobody_and_they_go_again);
	tcase_add_test(tc, a_session_without_a_single_receipt_makes_its_rows_go_alone);
	tcase_add_test(tc, receipts_of_the_session_before_do_not_count);
	tcase_add_test(tc, a_row_lost_alone_makes_room_for_the_others_uncharged);
	tcase_add_test(tc, where_outages_count_a_loss_charges_what_was_in_flight);
	tcase_add_test(tc, a_row_of_a_lost_claim_is_never_published_again);
	tcase_add_test(
		tc, silence_for_one_row_while_later_ones_are_confirmed_is_about_the_row);
	tcase_add_test(tc, the_third_silence_fails_a_row);
	tcase_add_test(tc, silence_for_everybody_is_a_lost_connection_and_charges_nobody);
	tcase_add_test(tc, only_later_confirms_tell_that_a_row_was_passed_over);
	tcase_add_test(tc, a_channel_error_is_no_confirm_of_later_messages);
	tcase_add_test(tc,
		       a_broker_that_falls_silent_after_confirming_some_charges_nobody);
	tcase_add_test(tc, after_looking_away_for_long_time_starts_over);
	tcase_add_test(tc, a_steady_flow_of_confirms_is_never_overdue);
	tcase_add_test(tc, with_nothing_in_flight_nothing_is_looked_for);
	tcase_add_test(tc, a_blocked_broker_gets_no_messages_until_it_unblocks);
	tcase_add_test(tc, while_blocked_nothing_expires_and_then_time_starts_over);
	tcase_add_test(tc, a_blocked_broker_may_be_lost_and_the_next_is_not_blocked);
	tcase_add_test(tc, an_adopted_row_is_named_before_it_is_published);
	tcase_add_test(tc, no_row_needs_a_name_while_the_broker_takes_none);
	tcase_add_test(tc, a_row_of_our_own_needs_no_name);
	tcase_add_test(tc, rows_that_go_alone_and_the_others_take_turns);
	tcase_add_test(tc, with_no_others_rows_go_alone_without_a_break);
	tcase_add_test(tc, a_row_that_is_being_named_is_not_overtaken);
	tcase_add_test(
		tc, rows_for_a_parked_destination_are_let_go_uncharged_and_others_go_on);
	tcase_add_test(tc, letting_go_takes_no_room_in_the_window);
	tcase_add_test(tc, adopted_rows_for_a_parked_destination_need_no_name);
	tcase_add_test(tc, a_probe_is_published_and_charged_like_any_other);
	tcase_add_test(tc, a_probe_that_is_taken_opens_its_destination);
	suite_add_tcase(suite, tc);
	return suite;
}
