#include "engine/relay.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/stop.h"
#include "fake/fake_broker.h"
#include "fake/fake_clock.h"
#include "fake/fake_config.h"
#include "fake/fake_store.h"
#include "fake/fake_system.h"
#include "unit/unit.h"

/*
 * The whole relay above its two seams, in fake time. Signals are real: each test needs a
 * process of its own, so not with CK_FORK=no.
 */

#define SECOND_MS   1000
#define MINUTE_MS   60000
#define HOUR_MS     3600000
#define SHUTDOWN_MS 20000

static struct fake_database *const db = &fake_database;
static struct fake_broker broker;
static struct config config;
static struct counts counts; /* of the last run */
static int64_t took_ms;

static bool may_reload;
static int reloads, ticks;
static int64_t longest_tick_ms, last_tick_ms;
static bool (*should_end)(void); /* asked once a turn: then SIGHUP, once a run */
static bool was_ended;

static bool reload(void *context)
{
	(void)context;
	reloads++;
	return may_reload;
}

static void tick(void *context)
{
	(void)context;
	ticks++;
	if (clock_ms() - last_tick_ms > longest_tick_ms)
		longest_tick_ms = clock_ms() - last_tick_ms;
	last_tick_ms = clock_ms();
	if (should_end && !was_ended && should_end()) {
		was_ended = true;
		raise(SIGHUP);
	}
}

static struct relay_hooks hooks = {.reload = reload, .tick = tick};

/* --- the broker's answers --- */

#define POISON 13

static struct fake_answer sent_after_2_ms(void *context, int64_t id)
{
	(void)context;
	(void)id;
	return (struct fake_answer){.verdict = VERDICT_SENT, .after_ms = 2};
}

static struct fake_answer sent_after_3_s(void *context, int64_t id)
{
	(void)context;
	(void)id;
	return (struct fake_answer){.verdict = VERDICT_SENT, .after_ms = 3000};
}

static struct fake_answer silence(void *context, int64_t id)
{
	(void)context;
	(void)id;
	return (struct fake_answer){.verdict = VERDICT_NONE};
}

static struct fake_answer poison_is_returned(void *context, int64_t id)
{
	struct fake_answer answer = sent_after_2_ms(context, id);

	if (id == POISON) {
		answer.verdict = VERDICT_RETURNED;
		answer.reason = "312 NO_ROUTE";
	}
	return answer;
}

static struct fake_answer poison_is_silent(void *context, int64_t id)
{
	return id == POISON ? silence(context, id) : sent_after_2_ms(context, id);
}

static struct fake_answer poison_closes_the_channel(void *context, int64_t id)
{
	return id == POISON ? fake_broker_close_channel(&broker, "404 NOT_FOUND")
			    : sent_after_2_ms(context, id);
}

/* --- running --- */

static void setup(void)
{
	fake_clock_reset();
	fake_database_reset();
	fake_broker_init(&broker);
	broker.answer = sent_after_2_ms;
	last_tick_ms = clock_ms();
	srandom(1);
	stop_setup();
	log_setup(LOG_LEVEL_ERROR, LOG_FORMAT_LOGFMT);
	config = fake_config();
	config.relay.shutdown_timeout_ms = SHUTDOWN_MS;
}

static enum relay_end run(bool until_empty)
{
	struct relay *r = relay_new(&config, &broker.base, until_empty, &hooks);
	int64_t began_ms = clock_ms();
	enum relay_end end;

	was_ended = false;
	end = relay_run(r);
	took_ms = clock_ms() - began_ms;
	counts = *relay_counts(r);
	relay_free(r);
	ck_assert(!broker.is_open);
	return end;
}

static void send_signal(void *signal)
{
	raise(*(int *)signal);
}

static int sigterm = SIGTERM, sighup = SIGHUP;

static enum relay_end run_for(int64_t ms)
{
	fake_clock_at(clock_ms() + ms, send_signal, &sigterm);
	return run(false);
}

static void after(int64_t ms, void (*happen)(void *context))
{
	fake_clock_at(clock_ms() + ms, happen, NULL);
}

static void assert_all_sent(void)
{
	for (int i = 0; i < db->row_count; i++) {
		ck_assert_msg(db->rows[i].status == FAKE_SENT, "row %lld is not sent",
			      (long long)db->rows[i].id);
		ck_assert_msg(broker.is_sent[db->rows[i].id], "row %lld has no receipt",
			      (long long)db->rows[i].id);
	}
	ck_assert_int_eq(db->claim_count, 0);
}

static void assert_nobody_charged(void)
{
	for (int i = 0; i < db->row_count; i++)
		ck_assert_msg(db->rows[i].try_count == 0, "row %lld is charged: %s",
			      (long long)db->rows[i].id, db->rows[i].last_error);
}

static void assert_published_once(void)
{
	for (int i = 0; i < db->row_count; i++)
		ck_assert_msg(broker.published[db->rows[i].id] == 1,
			      "row %lld was published %d times",
			      (long long)db->rows[i].id,
			      broker.published[db->rows[i].id]);
}

/* --- good weather --- */

START_TEST(nothing_to_free_is_fine)
{
	relay_free(NULL);
}
END_TEST

START_TEST(all_rows_are_sent_once_and_settled)
{
	fake_database_insert(1, 100, clock_ms());
	ck_assert_int_eq(run_for(MINUTE_MS), RELAY_STOPPED);
	assert_all_sent();
	assert_nobody_charged();
	assert_published_once();
	ck_assert_uint_eq(counts.sent, 100);
	ck_assert_uint_eq(counts.claimed, 100);
	ck_assert_uint_eq(counts.published, 100);
	ck_assert_uint_eq(counts.interrupted, 0);
	ck_assert_int_eq(broker.opens, 1);
}
END_TEST

/* While a batch is at the broker the next one is fetched: 100 rows in batches of 8 with 2 ms
   at the broker and 1 ms at the database take less than the sum. */
START_TEST(broker_and_database_work_at_the_same_time)
{
	db->answer_ms = 10;
	fake_database_insert(1, 200, clock_ms());
	ck_assert_int_eq(run(true), RELAY_STOPPED);
	assert_all_sent();
	ck_assert_int_le(db->turns, 200 / 8 + 6);
}
END_TEST

/* One a millisecond. */
static struct fake_answer sent_in_turn(void *context, int64_t id)
{
	(void)context;
	return (struct fake_answer){.verdict = VERDICT_SENT, .after_ms = id};
}

static void send_thousands(int max_in_flight)
{
	broker.answer = sent_in_turn;
	config.relay.batch_size = 512;
	config.broker.max_in_flight = max_in_flight;
	fake_naps = fake_longest_nap_ms = 0;
	fake_database_insert(1, 3000, clock_ms());
	ck_assert_int_eq(run(true), RELAY_STOPPED);
	assert_all_sent();
	assert_published_once();
}

START_TEST(with_thousands_in_flight_the_loop_looks_at_signals_alone_for_some_ms)
{
	send_thousands(4000);
	ck_assert_uint_gt(broker.most_pending, 1024);
	ck_assert_int_gt(fake_naps, 50);
	ck_assert_int_ge(fake_longest_nap_ms, 8);
	ck_assert_int_le(fake_longest_nap_ms, (int)broker.most_pending / 128);
}
END_TEST

static struct fake_answer silence_after_600(void *context, int64_t id)
{
	struct fake_answer sent = {.verdict = VERDICT_SENT, .after_ms = id / 10};

	return id > 600 ? silence(context, id) : sent;
}

/* The moment comes soon after another at which the loop has something to do, and after none. */
START_TEST(with_thousands_in_flight_a_drain_ends_to_the_millisecond)
{
	broker.answer = silence_after_600;
	config.relay.batch_size = 512;
	config.relay.shutdown_timeout_ms = 400 + _i * 8;
	config.broker.max_in_flight = 4000;
	fake_naps = 0;
	fake_database_insert(1, 1800, clock_ms());
	ck_assert_int_eq(run_for(200), RELAY_STOPPED);
	ck_assert_uint_gt(broker.most_pending, 1024);
	ck_assert_int_gt(fake_naps, 0);
	ck_assert_int_le(took_ms, 200 + config.relay.shutdown_timeout_ms * 3 / 4 + 2);
}
END_TEST

START_TEST(with_hundreds_in_flight_each_answer_is_looked_at)
{
	send_thousands(1000);
	ck_assert_int_eq(fake_naps, 0);
}
END_TEST

START_TEST(what_is_half_written_is_waited_for_with_thousands_in_flight)
{
	broker.has_output = true;
	send_thousands(4000);
	ck_assert_uint_gt(broker.most_pending, 1024);
	ck_assert_int_eq(fake_naps, 0);
}
END_TEST

static void insert_1(void *context)
{
	(void)context;
	fake_database_insert(1, 1, clock_ms());
}

static bool all_terminal(void)
{
	return fake_database_count(FAKE_SENDING) == 0;
}

START_TEST(a_row_that_comes_while_the_relay_sleeps_is_sent_at_once)
{
	int64_t inserted_ms = clock_ms() + 30333;

	config.relay.poll_interval_ms = HOUR_MS;
	fake_clock_at(inserted_ms, insert_1, NULL);
	fake_database_insert(2, 1, clock_ms());
	fake_clock_at(inserted_ms + 10, send_signal, &sigterm);
	ck_assert_int_eq(run(false), RELAY_STOPPED);
	assert_all_sent();
}
END_TEST

START_TEST(a_sleeping_relay_looks_once_a_second_and_ticks)
{
	ck_assert_int_eq(run_for(HOUR_MS), RELAY_STOPPED);
	ck_assert_int_le(db->turns, 3600 + 10);
	ck_assert_int_ge(db->turns, 3000);
	ck_assert_int_le(fake_clock_waits(), 3 * 3600);
	ck_assert_int_le(longest_tick_ms, 2000);
}
END_TEST

START_TEST(an_unroutable_row_fails_at_its_third_attempt_and_no_sooner)
{
	broker.answer = poison_is_returned;
	fake_database_insert(1, 20, clock_ms());
	run_for(10 * MINUTE_MS);
	ck_assert_int_eq(fake_database_count(FAKE_SENT), 19);
	ck_assert_int_eq(fake_database_row(POISON)->status, FAKE_FAILED);
	ck_assert_int_eq(fake_database_row(POISON)->try_count, 3);
	ck_assert_int_eq(broker.published[POISON], 3);
	ck_assert_uint_eq(counts.failed, 1);
	ck_assert_uint_eq(counts.retried, 2);
}
END_TEST

/* --- a queue that confirms nothing --- */

static struct fake_answer every_third_is_silent(void *context, int64_t id)
{
	(void)context;
	return (struct fake_answer){.verdict = id % 3 ? VERDICT_SENT : VERDICT_NONE,
				    .after_ms = 2};
}

static bool healthy_are_sent(void)
{
	for (int i = 0; i < db->row_count; i++) {
		if (db->rows[i].id % 3 && db->rows[i].status != FAKE_SENT)
			return false;
	}
	return true;
}

static void readdress(void)
{
	for (int i = 0; i < db->row_count; i++)
		db->rows[i].routing_key = db->rows[i].id % 3 ? "healthy" : "stuck";
}

/*
 * A quorum queue without its majority, among others: its messages fill all batches in hand. They
 * are told from a broker that is silent by a few messages more, charged, and their destination is
 * parked; the others arrive, within a few confirm timeouts.
 */
START_TEST(a_queue_that_confirms_nothing_holds_up_the_others_for_a_while_only)
{
	broker.answer = every_third_is_silent;
	fake_database_insert(1, 600, clock_ms());
	readdress();
	should_end = healthy_are_sent;
	may_reload = true;
	ck_assert_int_eq(run(false), RELAY_RELOAD);
	ck_assert_int_lt(took_ms, 10 * MINUTE_MS);
	for (int i = 0; i < db->row_count; i++)
		ck_assert(db->rows[i].id % 3 == 0 || db->rows[i].try_count == 0);
	ck_assert_uint_eq(counts.parked, 1);
	ck_assert_int_eq(fake_database_count(FAKE_FAILED), 0);
}
END_TEST

START_TEST(its_messages_fail_after_three_attempts_where_they_are_few)
{
	broker.answer = every_third_is_silent;
	fake_database_insert(1, 20, clock_ms());
	fake_database_insert(100, 1, clock_ms() + 20000);
	fake_database_insert(200, 1, clock_ms() + 25000);
	fake_database_insert(301, 1, clock_ms() + 60000);
	fake_database_insert(401, 1, clock_ms() + 68000);
	run_for(HOUR_MS);
	ck_assert(healthy_are_sent());
	ck_assert_int_ge(fake_database_row(3)->try_count, 1);
}
END_TEST

START_TEST(a_row_that_closes_the_channel_fails_and_harms_nobody_else)
{
	broker.answer = poison_closes_the_channel;
	fake_database_insert(1, 40, clock_ms());
	run_for(10 * MINUTE_MS);
	ck_assert_int_eq(fake_database_row(POISON)->status, FAKE_FAILED);
	ck_assert_int_eq(fake_database_row(POISON)->try_count, 3);
	fake_database_row(POISON)->status = FAKE_SENT;
	fake_database_row(POISON)->try_count = 0;
	broker.is_sent[POISON] = true;
	assert_all_sent();
	assert_nobody_charged();
	/* Once with the others, then three times alone. */
	ck_assert_int_eq(broker.published[POISON], 4);
}
END_TEST

static void insert_more(void *context)
{
	static int64_t next = 100;

	(void)context;
	fake_database_insert(next++, 1, clock_ms());
	if (next < 1000)
		after(500, insert_more);
}

START_TEST(a_row_that_gets_no_confirm_is_given_up_while_the_others_flow)
{
	broker.answer = poison_is_silent;
	fake_database_insert(1, 20, clock_ms());
	after(500, insert_more);
	run_for(5 * MINUTE_MS);
	ck_assert_int_eq(fake_database_row(POISON)->status, FAKE_FAILED);
	ck_assert_int_eq(fake_database_row(POISON)->try_count, 3);
	ck_assert_int_eq(fake_database_row(12)->status, FAKE_SENT);
	ck_assert_int_eq(fake_database_row(12)->try_count, 0);
	ck_assert_int_eq(broker.opens, 1);
}
END_TEST

/* --- outages --- */

static void broker_dies(void *context)
{
	(void)context;
	broker.fail_opens = -1;
	broker.loses_next_collect = broker.is_open;
	fake_clock_at(clock_ms(), NULL, NULL);
}

static void broker_returns(void *context)
{
	(void)context;
	broker.fail_opens = 0;
}

static int64_t dead_database_takes_ms; /* to say so */

static void database_dies(void *context)
{
	(void)context;
	db->open_takes_ms = dead_database_takes_ms;
	db->fail_opens = -1;
	db->loses_next_listen = true;
	fake_clock_at(clock_ms(), NULL, NULL);
}

static void database_returns(void *context)
{
	(void)context;
	db->open_takes_ms = 0;
	db->fail_opens = 0;
}

static void no_claims_are_held(void *context)
{
	(void)context;
	ck_assert_int_eq(db->claim_count, 0);
}

START_TEST(while_the_broker_is_away_claims_are_given_back_and_nobody_is_charged)
{
	broker.answer = silence;
	fake_database_insert(1, 30, clock_ms());
	after(1000, broker_dies);
	after(5000, no_claims_are_held);
	after(HOUR_MS - 1, no_claims_are_held);
	ck_assert_int_eq(run_for(HOUR_MS), RELAY_STOPPED);
	assert_nobody_charged();
	ck_assert_int_eq(fake_database_count(FAKE_SENDING), 30);
	/* A try every 5 s and a tick every 2 s. */
	ck_assert_int_le(broker.opens, 3600 / 4 + 20);
	ck_assert_int_le(longest_tick_ms, 2000);
	ck_assert_int_le(fake_clock_waits(), 3600 + 200);
	ck_assert_int_le(db->turns, 50);
}
END_TEST

static struct fake_answer silent_until_it_returned(void *context, int64_t id)
{
	return broker.opens < 3 ? silence(context, id) : sent_after_2_ms(context, id);
}

START_TEST(after_a_broker_outage_all_rows_are_sent)
{
	broker.answer = silent_until_it_returned;
	fake_database_insert(1, 30, clock_ms());
	after(1000, broker_dies);
	after(30 * MINUTE_MS, broker_returns);
	ck_assert_int_eq(run_for(HOUR_MS), RELAY_STOPPED);
	assert_all_sent();
	assert_nobody_charged();
}
END_TEST

/* A release is under way when the broker comes back: what is being given back must stay here. */
START_TEST(nothing_is_published_from_a_claim_that_is_being_given_back)
{
	broker.answer = silent_until_it_returned;
	fake_database_insert(1, 30, clock_ms());
	db->answer_ms = 3000;
	broker.fail_opens = 0;
	after(30000, broker_dies);
	after(30500, broker_returns);
	ck_assert_int_eq(run_for(HOUR_MS), RELAY_STOPPED);
	assert_all_sent();
	for (int i = 1; i <= 30; i++)
		ck_assert_int_le(broker.published[i], 2);
}
END_TEST

START_TEST(what_was_confirmed_while_the_database_is_away_is_settled_when_it_returns)
{
	fake_database_insert(1, 20, clock_ms());
	broker.answer = sent_after_3_s;
	after(1000, database_dies);
	after(10 * SECOND_MS, database_returns);
	ck_assert_int_eq(run_for(MINUTE_MS), RELAY_STOPPED);
	assert_all_sent();
	assert_published_once();
	ck_assert_uint_eq(counts.sent, 20);
}
END_TEST

START_TEST(a_database_away_for_an_hour_costs_little_and_charges_nobody)
{
	fake_database_insert(1, 30, clock_ms());
	broker.answer = sent_after_3_s;
	after(1000, database_dies);
	after(HOUR_MS, database_returns);
	ck_assert_int_eq(run_for(HOUR_MS + MINUTE_MS), RELAY_STOPPED);
	assert_all_sent();
	assert_nobody_charged();
	ck_assert_int_le(fake_clock_waits(), 3600 + 1000);
	ck_assert_int_le(db->opens, 3600 / 4 + 20);
}
END_TEST

START_TEST(with_both_sides_away_the_loop_hardly_turns)
{
	broker.fail_opens = -1;
	db->fail_opens = -1;
	broker.open_takes_ms = db->open_takes_ms = 3000;
	ck_assert_int_eq(run_for(HOUR_MS), RELAY_STOPPED);
	ck_assert_int_le(fake_clock_waits(), 3600);
}
END_TEST

static void broker_blocks(void *context)
{
	(void)context;
	broker.blocked = "low on memory";
	fake_clock_at(clock_ms(), NULL, NULL);
}

static void broker_unblocks(void *context)
{
	(void)context;
	broker.blocked = NULL;
	fake_broker_confirm_all(&broker, VERDICT_SENT);
	broker.answer = sent_after_2_ms;
	fake_clock_at(clock_ms(), NULL, NULL);
}

START_TEST(a_blocked_broker_is_waited_for_as_long_as_it_takes)
{
	broker.answer = silence;
	fake_database_insert(1, 30, clock_ms());
	after(100, broker_blocks);
	after(HOUR_MS, broker_unblocks);
	ck_assert_int_eq(run_for(HOUR_MS + MINUTE_MS), RELAY_STOPPED);
	assert_all_sent();
	assert_nobody_charged();
	assert_published_once();
	ck_assert_int_eq(broker.opens, 1);
	ck_assert_int_le(fake_clock_waits(), 6 * 3600);
}
END_TEST

/* A thousand let it take larger batches. */
static struct fake_answer a_thousand_in_turn(void *context, int64_t id)
{
	return id <= 1000 ? sent_in_turn(context, id) : silence(context, id);
}

START_TEST(a_broker_that_blocks_with_thousands_in_flight_costs_no_more)
{
	broker.answer = a_thousand_in_turn;
	config.relay.batch_size = 512;
	config.broker.max_in_flight = 4000;
	fake_database_insert(1, 3000, clock_ms());
	after(2 * SECOND_MS, broker_blocks);
	after(HOUR_MS, broker_unblocks);
	ck_assert_int_eq(run_for(HOUR_MS + MINUTE_MS), RELAY_STOPPED);
	assert_all_sent();
	assert_published_once();
	ck_assert_uint_gt(broker.most_pending, 1024);
	ck_assert_int_le(fake_clock_waits(), 2 * 6 * 3600 + 10000);
}
END_TEST

static void unlock_all(void *context)
{
	(void)context;
	for (int i = 0; i < db->row_count; i++)
		db->rows[i].is_locked = false;
}

START_TEST(a_row_locked_by_another_session_is_waited_for_without_harm)
{
	fake_database_insert(1, 40, clock_ms());
	for (int id = 5; id <= 40; id += 10)
		fake_database_row(id)->is_locked = true;
	after(10 * MINUTE_MS, unlock_all);
	ck_assert_int_eq(run_for(11 * MINUTE_MS), RELAY_STOPPED);
	assert_all_sent();
	assert_nobody_charged();
	assert_published_once();
	ck_assert_int_le(fake_clock_waits(), 11 * 60 * 10);
	ck_assert_int_le(db->opens, 20);
}
END_TEST

START_TEST(a_row_alone_in_flight_for_long_does_not_make_the_loop_spin)
{
	broker.answer = silence;
	fake_database_insert(1, 5, clock_ms());
	snprintf(fake_database_row(1)->last_error,
		 sizeof(fake_database_row(1)->last_error), BATCH_REFUSED "404");
	run_for(MINUTE_MS);
	ck_assert_int_le(fake_clock_waits(), 1000);
	assert_nobody_charged();
}
END_TEST

/* --- adopting --- */

static struct fake_answer named_and_alone(void *context, int64_t id)
{
	ck_assert_uint_eq(broker.pending_count, 0);
	ck_assert_int_eq(db->claims[0].publishing_id, id);
	return sent_after_2_ms(context, id);
}

START_TEST(adopted_rows_go_one_at_a_time_each_named_in_the_claim_before)
{
	broker.answer = named_and_alone;
	fake_database_insert(1, 6, clock_ms());
	fake_database_dead_claim(1, 6, 0);
	ck_assert_int_eq(run(true), RELAY_STOPPED);
	assert_all_sent();
	assert_published_once();
	ck_assert_uint_eq(counts.claims_adopted, 1);
}
END_TEST

START_TEST(a_row_that_kills_every_relay_is_failed_in_the_end)
{
	fake_database_insert(1, 3, clock_ms());
	for (int death = 0; death < 3; death++) {
		fake_database_dead_claim(2, 1, 2);
		ck_assert_int_eq(run(true), RELAY_STOPPED);
		ck_assert_int_eq(fake_database_row(2)->try_count, death + 1);
		fake_database_row(2)->next_retry_ms = clock_ms();
	}
	ck_assert_int_eq(fake_database_row(2)->status, FAKE_FAILED);
	ck_assert_int_eq(broker.published[2], 0);
	ck_assert_int_eq(fake_database_count(FAKE_SENT), 2);
}
END_TEST

/* --- until empty --- */

START_TEST(a_run_until_empty_ends_at_once_when_nothing_is_due)
{
	fake_database_insert(1, 1, clock_ms() + MINUTE_MS);
	ck_assert_int_eq(run(true), RELAY_STOPPED);
	ck_assert_int_le(took_ms, 100);
	ck_assert_int_eq(broker.published[1], 0);
	ck_assert(db->last.peek && !db->last.sleep); /* and rings nobody's bell */
}
END_TEST

START_TEST(a_run_until_empty_ends_when_all_is_settled)
{
	fake_database_insert(1, 100, clock_ms());
	ck_assert_int_eq(run(true), RELAY_STOPPED);
	assert_all_sent();
	assert_published_once();
	ck_assert_int_le(took_ms, 500);
}
END_TEST

static const struct {
	bool has_broker, has_database;
	enum error_kind kind;
} absences[] = {
	{true, false, ERROR_LOST},    {false, true, ERROR_LOST},
	{false, false, ERROR_LOST},   {false, true, ERROR_REFUSED},
	{true, false, ERROR_REFUSED},
};

START_TEST(a_run_until_empty_gives_up_on_a_side_that_is_not_there)
{
	broker.fail_opens = absences[_i].has_broker ? 0 : -1;
	broker.open_error = absences[_i].kind;
	db->fail_opens = absences[_i].has_database ? 0 : -1;
	db->open_error = absences[_i].kind;
	fake_database_insert(1, 3, clock_ms());
	ck_assert_int_eq(run(true), RELAY_UNAVAILABLE);
	ck_assert_int_le(took_ms, MINUTE_MS);
	ck_assert_int_eq(db->claim_count, 0);
	assert_nobody_charged();
}
END_TEST

/* --- stopping --- */

static int published_at_stop;

static void stop_now(void *context)
{
	(void)context;
	published_at_stop = broker.order_count;
	raise(SIGTERM);
}

START_TEST(stopping_waits_for_what_is_in_flight_and_publishes_nothing_more)
{
	config.broker.max_in_flight = 10;
	broker.answer = sent_after_3_s;
	fake_database_insert(1, 30, clock_ms());
	after(4000, stop_now);
	ck_assert_int_eq(run(false), RELAY_STOPPED);
	ck_assert_int_eq(broker.order_count, published_at_stop);
	ck_assert_int_eq(fake_database_count(FAKE_SENT), published_at_stop);
	ck_assert_int_eq(db->claim_count, 0);
	ck_assert_int_le(took_ms, 4000 + 3100);
	assert_nobody_charged();
	for (int id = 1; id <= 30; id++)
		ck_assert_int_le(broker.published[id], 1);
}
END_TEST

START_TEST(stopping_with_nothing_in_hand_is_quick)
{
	ck_assert_int_eq(run_for(10 * SECOND_MS), RELAY_STOPPED);
	ck_assert_int_le(took_ms, 10 * SECOND_MS + 50);
}
END_TEST

START_TEST(a_claim_that_is_on_its_way_when_we_stop_is_given_back)
{
	db->answer_ms = 3000;
	fake_database_insert(1, 5, clock_ms());
	ck_assert_int_eq(run_for(4000), RELAY_STOPPED);
	ck_assert(db->last_claim_id > 0);
	ck_assert_int_eq(db->claim_count, 0);
	ck_assert_int_eq(broker.published[1], 0);
}
END_TEST

START_TEST(a_silent_broker_is_given_up_in_time_to_give_the_claims_back)
{
	broker.answer = silence;
	fake_database_insert(1, 30, clock_ms());
	ck_assert_int_eq(run_for(1000), RELAY_STOPPED);
	ck_assert_int_ge(took_ms, 1000 + SHUTDOWN_MS / 2);
	ck_assert_int_le(took_ms, 1000 + SHUTDOWN_MS);
	ck_assert_int_eq(db->claim_count, 0);
	ck_assert_int_eq(fake_database_count(FAKE_SENDING), 30);
	assert_nobody_charged();
	ck_assert_uint_gt(counts.interrupted, 0);
}
END_TEST

START_TEST(stopping_while_the_broker_is_away_gives_the_claims_back_at_once)
{
	broker.answer = silence;
	fake_database_insert(1, 30, clock_ms());
	after(1000, broker_dies);
	ck_assert_int_eq(run_for(1050), RELAY_STOPPED);
	ck_assert_int_le(took_ms, 1050 + 100);
	ck_assert_int_eq(db->claim_count, 0);
}
END_TEST

START_TEST(stopping_while_the_broker_blocks_ends_in_time)
{
	broker.answer = silence;
	fake_database_insert(1, 30, clock_ms());
	after(500, broker_blocks);
	ck_assert_int_eq(run_for(1000), RELAY_STOPPED);
	ck_assert_int_le(took_ms, 1000 + SHUTDOWN_MS);
	ck_assert_int_eq(db->claim_count, 0);
}
END_TEST

static const int64_t open_takes_ms[] = {0, 100, 3000, 5000};

START_TEST(stopping_without_a_database_ends_in_time_and_leaves_the_claims_to_their_lease)
{
	fake_database_insert(1, 30, clock_ms());
	broker.answer = sent_after_3_s;
	dead_database_takes_ms = open_takes_ms[_i];
	after(1000, database_dies);
	ck_assert_int_eq(run_for(10 * SECOND_MS), RELAY_CUT_SHORT);
	ck_assert_int_le(took_ms, 10 * SECOND_MS + SHUTDOWN_MS);
	ck_assert_int_gt(db->claim_count, 0);
}
END_TEST

static void database_hangs(void *context)
{
	(void)context;
	db->hangs_next_turn = true;
}

START_TEST(a_database_that_hangs_does_not_hold_up_the_end)
{
	fake_database_insert(1, 30, clock_ms());
	broker.answer = sent_after_3_s;
	after(1000, database_hangs);
	ck_assert_int_eq(run_for(2000), RELAY_CUT_SHORT);
	ck_assert_int_le(took_ms, 2000 + SHUTDOWN_MS);
}
END_TEST

START_TEST(what_was_confirmed_is_settled_even_if_the_database_returns_late)
{
	fake_database_insert(1, 8, clock_ms());
	broker.answer = sent_after_3_s;
	after(1000, database_dies);
	after(15 * SECOND_MS, database_returns);
	ck_assert_int_eq(run_for(2000), RELAY_STOPPED);
	assert_all_sent();
}
END_TEST

/* --- what others see --- */

static struct status status;

static void look(void *context)
{
	(void)context;
	status_get(hooks.board, &status);
}

START_TEST(others_see_what_the_relay_does_soon_after)
{
	hooks.board = status_board_new();
	broker.answer = sent_after_3_s;
	fake_database_insert(1, 10, clock_ms());
	fake_clock_at(clock_ms() + 1000, look, NULL);
	run_for(6000);
	ck_assert(status.database.is_up && status.broker.is_up && !status.is_ending);
	ck_assert_int_eq(status.rows_in_hand, 10);
	ck_assert_int_eq(status.rows_in_flight, 10);
	ck_assert_int_ge(status.batches, 1);
	look(NULL);
	ck_assert_uint_eq(status.counts.sent, 10);
	ck_assert_uint_eq(status.counts.verdicts[VERDICT_SENT], 10);
	ck_assert_uint_eq(status.counts.confirm_ms.total, 10);
	ck_assert_int_ge(status.counts.confirm_ms.sum, 30000);
	ck_assert_int_eq(status.rows_in_hand, 0);
	status_board_free(hooks.board);
}
END_TEST

static bool row_has_failed(void)
{
	return fake_database_row(POISON)->status == FAKE_FAILED;
}

/* A status is put up 100 ms apart at least, but for the last. */
START_TEST(the_last_status_has_the_row_that_failed_at_the_end)
{
	hooks.board = status_board_new();
	broker.answer = poison_is_returned;
	fake_database_insert(POISON, 1, clock_ms());
	may_reload = true;
	should_end = row_has_failed;
	run_for(HOUR_MS);
	look(NULL);
	ck_assert(status.is_ending);
	ck_assert_uint_eq(status.counts.failed, 1);
	ck_assert_int_eq(status.failed_count, 1);
	ck_assert_int_eq(status.failed[0].id, POISON);
	ck_assert_str_eq(status.failed[0].reason, "returned: 312 NO_ROUTE");
	status_board_free(hooks.board);
}
END_TEST

START_TEST(counts_go_on_from_one_relay_to_the_next)
{
	struct counts kept;

	counts_init(&kept);
	hooks.counts = &kept;
	may_reload = false;
	broker.answer = sent_after_2_ms;
	fake_database_insert(1, 10, clock_ms());
	run(true);
	fake_database_insert(11, 10, clock_ms());
	fake_clock_at(clock_ms() + 500, send_signal, &sighup);
	run_for(1000);
	ck_assert_uint_eq(kept.sent, 20);
	ck_assert_uint_eq(kept.connects, 4);
	ck_assert_uint_eq(kept.reloads_refused, 1);
}
END_TEST

/* --- reloading --- */

START_TEST(a_reload_that_is_refused_changes_nothing)
{
	fake_database_insert(1, 8, clock_ms());
	fake_clock_at(clock_ms() + 1000, send_signal, &sighup);
	ck_assert_int_eq(run_for(5000), RELAY_STOPPED);
	ck_assert_int_eq(reloads, 1);
	ck_assert_int_ge(took_ms, 5000);
	assert_all_sent();
}
END_TEST

START_TEST(a_reload_waits_for_what_is_in_flight_and_the_next_relay_goes_on)
{
	may_reload = true;
	broker.answer = sent_after_3_s;
	config.broker.max_in_flight = 10;
	fake_database_insert(1, 30, clock_ms());
	fake_clock_at(clock_ms() + 1000, send_signal, &sighup);
	ck_assert_int_eq(run(false), RELAY_RELOAD);
	ck_assert_int_le(took_ms, 1000 + 2100);
	ck_assert_int_eq(fake_database_count(FAKE_SENT), 10);
	ck_assert_int_eq(db->claim_count, 0);
	ck_assert_int_eq(run(true), RELAY_STOPPED);
	assert_all_sent();
	assert_published_once();
}
END_TEST

START_TEST(stopping_during_a_reload_stops)
{
	may_reload = true;
	broker.answer = sent_after_3_s;
	fake_database_insert(1, 8, clock_ms());
	fake_clock_at(clock_ms() + 1000, send_signal, &sighup);
	fake_clock_at(clock_ms() + 1500, send_signal, &sigterm);
	ck_assert_int_eq(run(false), RELAY_STOPPED);
	ck_assert_int_eq(reloads, 1);
	assert_all_sent();
}
END_TEST

START_TEST(a_hangup_during_the_drain_is_not_looked_at)
{
	may_reload = true;
	broker.answer = sent_after_3_s;
	fake_database_insert(1, 8, clock_ms());
	fake_clock_at(clock_ms() + 1500, send_signal, &sighup);
	ck_assert_int_eq(run_for(1000), RELAY_STOPPED);
	ck_assert_int_eq(reloads, 0);
}
END_TEST

/* --- any weather --- */

/*
 * Ten minutes in which anything may happen at any moment, then good weather until every row
 * is sent or failed. The seed is the number that Check prints behind the test's name.
 *
 * What tests/simulation has not: reloads in between, rows that share a destination, which may be
 * parked, and several rows at a time that are never confirmed.
 */
#define STORM_MS   (10 * MINUTE_MS)
#define STORM_ROWS 60
#define SEEDS      unit_rounds(40)

static int64_t storm_ends_ms;
static bool rows_are_healthy; /* only the infrastructure fails */
static int silent_session;    /* by number */

/* What a row is like, for as long as it lives. */
static struct fake_answer stormy(void *context, int64_t id)
{
	static const enum verdict whims[] = {VERDICT_SENT, VERDICT_SENT, VERDICT_RETURNED,
					     VERDICT_NACKED, VERDICT_NONE};
	struct fake_answer answer = {.verdict = VERDICT_SENT,
				     .after_ms = 1 + random() % 50};

	(void)context;
	answer.reason = "whim";
	if (clock_ms() >= storm_ends_ms)
		return answer;
	if (random() % 20 == 0)
		answer.result = PUBLISH_FULL;
	if (random() % 100 == 0)
		answer.result = PUBLISH_LOST;
	if (random() % 20 == 0)
		answer.after_ms = random() % (rows_are_healthy ? 20000 : 60000);
	if (silent_session == broker.opens)
		answer.verdict = VERDICT_NONE;
	if (rows_are_healthy)
		return answer;
	if (id % 17 == 0)
		answer.result = PUBLISH_INVALID;
	if (id % 5 == 0)
		answer.verdict = whims[random() % 5];
	if (id % 7 == 0 && !broker.pending_count)
		answer.verdict = VERDICT_REFUSED;
	return answer;
}

static void lose_broker(void)
{
	broker.loses_next_collect = broker.is_open;
	broker.fail_opens = (int)(random() % 4);
	broker.open_error = random() % 2 ? ERROR_LOST : ERROR_REFUSED;
	broker.open_takes_ms = random() % 5000;
}

static void close_channel(void)
{
	fake_broker_confirm_all(&broker, VERDICT_UNCLEAR);
}

/* The broker takes messages and says nothing any more. */
static void fall_silent(void)
{
	silent_session = broker.opens;
	for (size_t i = 0; i < broker.pending_count; i++)
		broker.pending[i].at_ms = CLOCK_NEVER;
}

static void block(void)
{
	broker.blocked = broker.blocked ? NULL : "low on disk";
}

static void lose_database(void)
{
	db->loses_next_turn = (enum fake_loss)(random() % 3);
	db->loses_next_listen = random() % 2;
	db->fail_opens = (int)(random() % 4);
	db->open_takes_ms = random() % 5000;
}

static void hang_database(void)
{
	db->hangs_next_turn = true;
}

static void slow_database(void)
{
	db->answer_ms = 1 + (random() % 3 ? random() % 20 : random() % 9000);
}

static void lock_row(void)
{
	db->rows[random() % db->row_count].is_locked = random() % 2;
}

static void change_bell(void)
{
	db->bell = (enum store_bell)(STORE_BELL_TAKEN + random() % 3);
}

static void hang_up(void)
{
	/* Long enough for whatever else happens, or a row that an adopted claim names would be
	   charged with the death of its relay. */
	config.relay.shutdown_timeout_ms = rows_are_healthy ? HOUR_MS : random() % 20000;
	raise(SIGHUP);
}

/* The relay goes without a word: its claims wait for an adopter. */
static void crash(void)
{
	if (rows_are_healthy)
		return;
	config.relay.shutdown_timeout_ms = 0;
	raise(SIGHUP);
}

/* Another relay took a claim of ours, and died. */
static void steal_claim(void)
{
	struct fake_claim *c;

	if (rows_are_healthy || !db->claim_count)
		return;
	c = &db->claims[random() % db->claim_count];
	c->relay_id = ++db->last_relay_id;
	c->is_adopted = true;
	c->publishing_id = random() % 3 ? 0 : c->ids[0];
}

static void good_weather(void)
{
	/* A broker that came to its senses would confirm later messages only. */
	broker.loses_next_collect = broker.is_open && silent_session == broker.opens;
	silent_session = 0;
	broker.fail_opens = db->fail_opens = 0;
	broker.open_takes_ms = db->open_takes_ms = 0;
	broker.blocked = NULL;
	unlock_all(NULL);
	db->bell = STORE_BELL_TAKEN;
	db->answer_ms = 1;
}

static void weather(void *context)
{
	static void (*const faults[])(void) = {
		lose_broker, lose_broker,   close_channel,      fall_silent,
		block,       block,         lose_database,      hang_database,
		change_bell, slow_database, slow_database,      hang_up,
		crash,       steal_claim,   fake_database_ring, lock_row,
		lock_row,
	};

	int64_t pause_ms;

	(void)context;
	if (clock_ms() >= storm_ends_ms) {
		good_weather();
		return;
	}
	faults[(size_t)random() % (sizeof(faults) / sizeof(faults[0]))]();
	pause_ms = random() % 4 ? random() % 500 : random() % 10000;
	after(1 + pause_ms, weather);
	fake_clock_at(clock_ms(), NULL, NULL);
}

static void trickle(void *context)
{
	int count = 1 + (int)(random() % 5);
	int64_t ahead_ms = random() % 4 ? 0 : random() % 20000;

	(void)context;
	if (db->row_count >= STORM_ROWS)
		return;
	fake_database_insert(db->row_count + 1, count, clock_ms() + ahead_ms);
	after(random() % 20000, trickle);
}

static bool has_receipt(int64_t id)
{
	return broker.is_sent[id];
}

static bool is_over(void)
{
	for (int i = 0; i < db->row_count; i++) {
		if (db->rows[i].try_count > 3)
			ck_abort_msg("row %lld has %lld attempts",
				     (long long)db->rows[i].id,
				     (long long)db->rows[i].try_count);
	}
	return clock_ms() >= storm_ends_ms && all_terminal();
}

static void ride_out_the_storm(unsigned int seed, bool healthy)
{
	int runs = 0;

	srandom(seed);
	rows_are_healthy = healthy;
	broker.answer = stormy;
	broker.room = 20;
	db->may_be_sent = has_receipt;
	should_end = is_over;
	may_reload = true;
	storm_ends_ms = clock_ms() + STORM_MS;
	fake_database_insert(1, 20, clock_ms());
	after(1, trickle);
	after(1, weather);
	while (!is_over()) {
		ck_assert_int_eq(run(false), RELAY_RELOAD);
		ck_assert_msg(clock_ms() < storm_ends_ms + 2 * HOUR_MS,
			      "rows are left over: %d",
			      fake_database_count(FAKE_SENDING));
		ck_assert_int_lt(runs++, 2000);
	}
	ck_assert_int_le(fake_clock_waits(), 100000);
}

START_TEST(in_any_weather_every_row_is_sent_or_failed_for_a_reason_of_its_own)
{
	ride_out_the_storm((unsigned int)_i, false);
	for (int i = 0; i < db->row_count; i++) {
		const struct fake_row *row = &db->rows[i];

		if (row->status == FAKE_FAILED)
			ck_assert_msg(row->try_count == 3 || row->id % 17 == 0,
				      "row %lld failed too soon: %s", (long long)row->id,
				      row->last_error);
	}
}
END_TEST

START_TEST(in_any_weather_healthy_rows_are_all_sent_and_never_charged)
{
	ride_out_the_storm((unsigned int)_i, true);
	ck_assert_int_eq(fake_database_count(FAKE_FAILED), 0);
	ck_assert_int_eq(fake_database_count(FAKE_SENT), db->row_count);
	assert_nobody_charged();
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("relay");
	TCase *tc = tcase_create("relay");
	TCase *storm = tcase_create("storm");

	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_test(tc, nothing_to_free_is_fine);
	tcase_add_test(tc, all_rows_are_sent_once_and_settled);
	tcase_add_test(tc, broker_and_database_work_at_the_same_time);
	tcase_add_test(
		tc, with_thousands_in_flight_the_loop_looks_at_signals_alone_for_some_ms);
	tcase_add_loop_test(tc, with_thousands_in_flight_a_drain_ends_to_the_millisecond,
			    0, 4);
	tcase_add_test(tc, with_hundreds_in_flight_each_answer_is_looked_at);
	tcase_add_test(tc, what_is_half_written_is_waited_for_with_thousands_in_flight);
	tcase_add_test(tc, a_row_that_comes_while_the_relay_sleeps_is_sent_at_once);
	tcase_add_test(tc, a_sleeping_relay_looks_once_a_second_and_ticks);
	tcase_add_test(tc, an_unroutable_row_fails_at_its_third_attempt_and_no_sooner);
	tcase_add_test(
		tc, a_queue_that_confirms_nothing_holds_up_the_others_for_a_while_only);
	tcase_add_test(tc, its_messages_fail_after_three_attempts_where_they_are_few);
	tcase_add_test(tc, a_row_that_closes_the_channel_fails_and_harms_nobody_else);
	tcase_add_test(tc, a_row_that_gets_no_confirm_is_given_up_while_the_others_flow);
	tcase_add_test(
		tc, while_the_broker_is_away_claims_are_given_back_and_nobody_is_charged);
	tcase_add_test(tc, after_a_broker_outage_all_rows_are_sent);
	tcase_add_test(tc, nothing_is_published_from_a_claim_that_is_being_given_back);
	tcase_add_test(
		tc,
		what_was_confirmed_while_the_database_is_away_is_settled_when_it_returns);
	tcase_add_test(tc, a_database_away_for_an_hour_costs_little_and_charges_nobody);
	tcase_add_test(tc, with_both_sides_away_the_loop_hardly_turns);
	tcase_add_test(tc, a_blocked_broker_is_waited_for_as_long_as_it_takes);
	tcase_add_test(tc, a_broker_that_blocks_with_thousands_in_flight_costs_no_more);
	tcase_add_test(tc, a_row_locked_by_another_session_is_waited_for_without_harm);
	tcase_add_test(tc, a_row_alone_in_flight_for_long_does_not_make_the_loop_spin);
	tcase_add_test(tc, adopted_rows_go_one_at_a_time_each_named_in_the_claim_before);
	tcase_add_test(tc, a_row_that_kills_every_relay_is_failed_in_the_end);
	tcase_add_test(tc, a_run_until_empty_ends_at_once_when_nothing_is_due);
	tcase_add_test(tc, a_run_until_empty_ends_when_all_is_settled);
	tcase_add_loop_test(tc, a_run_until_empty_gives_up_on_a_side_that_is_not_there, 0,
			    sizeof(absences) / sizeof(absences[0]));
	tcase_add_test(tc,
		       stopping_waits_for_what_is_in_flight_and_publishes_nothing_more);
	tcase_add_test(tc, stopping_with_nothing_in_hand_is_quick);
	tcase_add_test(tc, a_claim_that_is_on_its_way_when_we_stop_is_given_back);
	tcase_add_test(tc, a_silent_broker_is_given_up_in_time_to_give_the_claims_back);
	tcase_add_test(tc,
		       stopping_while_the_broker_is_away_gives_the_claims_back_at_once);
	tcase_add_test(tc, stopping_while_the_broker_blocks_ends_in_time);
	tcase_add_loop_test(
		tc,
		stopping_without_a_database_ends_in_time_and_leaves_the_claims_to_their_lease,
		0, sizeof(open_takes_ms) / sizeof(open_takes_ms[0]));
	tcase_add_test(tc, a_database_that_hangs_does_not_hold_up_the_end);
	tcase_add_test(tc,
		       what_was_confirmed_is_settled_even_if_the_database_returns_late);
	tcase_add_test(tc, others_see_what_the_relay_does_soon_after);
	tcase_add_test(tc, the_last_status_has_the_row_that_failed_at_the_end);
	tcase_add_test(tc, counts_go_on_from_one_relay_to_the_next);
	tcase_add_test(tc, a_reload_that_is_refused_changes_nothing);
	tcase_add_test(tc,
		       a_reload_waits_for_what_is_in_flight_and_the_next_relay_goes_on);
	tcase_add_test(tc, stopping_during_a_reload_stops);
	tcase_add_test(tc, a_hangup_during_the_drain_is_not_looked_at);
	suite_add_tcase(suite, tc);
	tcase_add_checked_fixture(storm, setup, NULL);
	tcase_add_loop_test(
		storm, in_any_weather_every_row_is_sent_or_failed_for_a_reason_of_its_own,
		0, SEEDS);
	tcase_add_loop_test(storm,
			    in_any_weather_healthy_rows_are_all_sent_and_never_charged, 0,
			    SEEDS);
	suite_add_tcase(suite, storm);
	return suite;
}
