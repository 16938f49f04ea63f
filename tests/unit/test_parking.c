#include "engine/parking.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "fake/fake_clock.h"
#include "unit/unit.h"

#define NO_ROUTE "312 NO_ROUTE"

static struct parking p;
static struct probe probe;
static char text[8][32];

static void setup(void)
{
	fake_clock_reset();
	memset(&p, 0, sizeof(p));
}

static struct slice slice(const char *s)
{
	return (struct slice){s, strlen(s)};
}

static struct message message(const char *exchange, const char *routing_key)
{
	return (struct message){.exchange = slice(exchange),
				.routing_key = slice(routing_key)};
}

/* True: parked by the last of them. */
static bool refuse(const char *exchange, const char *routing_key, enum verdict verdict,
		   const char *reply, int times)
{
	struct message msg = message(exchange, routing_key);
	bool parked = false;

	for (int i = 0; i < times; i++) {
		ck_assert_msg(!parked, "parked after %d of %d refusals", i, times);
		parked = parking_refused(&p, &msg, verdict, reply, false);
	}
	return parked;
}

static bool park(const char *exchange, const char *routing_key)
{
	return refuse(exchange, routing_key, VERDICT_RETURNED, NO_ROUTE,
		      PARKING_AFTER_RETURNED);
}

static void send(const char *exchange, const char *routing_key)
{
	struct message msg = message(exchange, routing_key);

	parking_sent(&p, &msg);
}

static bool holds(const char *exchange, const char *routing_key)
{
	struct message msg = message(exchange, routing_key);

	return parking_holds(&p, &msg);
}

static void refuse_probe(const char *exchange, const char *routing_key)
{
	struct message msg = message(exchange, routing_key);

	ck_assert(!parking_refused(&p, &msg, VERDICT_RETURNED, NO_ROUTE, true));
}

/* --- parking --- */

static const struct {
	enum verdict verdict;
	const char *reply;
	int after;
} refusals[] = {
	{VERDICT_RETURNED, NO_ROUTE, PARKING_AFTER_RETURNED},
	{VERDICT_NACKED, "nacked by the broker", PARKING_AFTER_RETURNED},
	{VERDICT_REFUSED, "404 NOT_FOUND - no exchange 'orders'", PARKING_AFTER_REFUSED},
};

START_TEST(refusals_in_a_row_park_a_destination)
{
	enum verdict verdict = refusals[_i].verdict;

	ck_assert(!refuse("orders", "a", verdict, refusals[_i].reply,
			  refusals[_i].after - 1));
	ck_assert(!holds("orders", "a"));
	ck_assert_int_eq(parking_due_ms(&p), CLOCK_NEVER);
	ck_assert(refuse("orders", "a", verdict, refusals[_i].reply, 1));
	ck_assert(holds("orders", "a"));
	ck_assert_int_eq(p.count, 1);
	ck_assert_str_eq(parking_list(&p)[0].exchange, "orders");
}
END_TEST

START_TEST(one_message_taken_in_between_keeps_it_open)
{
	refuse("orders", "a", VERDICT_RETURNED, NO_ROUTE, PARKING_AFTER_RETURNED - 1);
	send("orders", "b");
	ck_assert(!refuse("orders", "a", VERDICT_RETURNED, NO_ROUTE,
			  PARKING_AFTER_RETURNED - 1));
	ck_assert_int_eq(p.count, 0);
}
END_TEST

START_TEST(another_exchange_neither_counts_nor_interrupts)
{
	refuse("orders", "a", VERDICT_RETURNED, NO_ROUTE, PARKING_AFTER_RETURNED - 1);
	refuse("bills", "a", VERDICT_RETURNED, NO_ROUTE, PARKING_AFTER_RETURNED - 1);
	send("stock", "a");
	ck_assert_int_eq(p.count, 0);
	ck_assert(refuse("orders", "a", VERDICT_RETURNED, NO_ROUTE, 1));
	ck_assert(!holds("bills", "a"));
}
END_TEST

START_TEST(another_reply_begins_anew)
{
	refuse("orders", "a", VERDICT_RETURNED, NO_ROUTE, PARKING_AFTER_RETURNED - 1);
	ck_assert(!refuse("orders", "a", VERDICT_NACKED, "nacked", 1));
	ck_assert(!refuse("orders", "a", VERDICT_RETURNED, NO_ROUTE, 1));
}
END_TEST

START_TEST(details_behind_the_dash_do_not_make_another_reply)
{
	for (int i = 1; i < PARKING_AFTER_REFUSED; i++) {
		snprintf(text[0], sizeof(text[0]), "403 ACCESS_REFUSED - topic %d", i);
		ck_assert(!refuse("orders", "a", VERDICT_REFUSED, text[0], 1));
	}
	ck_assert(refuse("orders", "a", VERDICT_REFUSED, "403 ACCESS_REFUSED - else", 1));
}
END_TEST

START_TEST(one_mistyped_key_does_not_hold_up_its_neighbours)
{
	ck_assert(park("orders", "typo"));
	ck_assert(holds("orders", "typo"));
	ck_assert(!holds("orders", "order.message"));
	ck_assert(!holds("bills", "typo"));
	ck_assert_str_eq(parking_list(&p)[0].routing_key, "typo");
}
END_TEST

START_TEST(refusals_of_many_keys_park_the_exchange)
{
	refuse("orders", "a", VERDICT_RETURNED, NO_ROUTE, PARKING_AFTER_RETURNED - 1);
	ck_assert(refuse("orders", "b", VERDICT_RETURNED, NO_ROUTE, 1));
	ck_assert(holds("orders", "c"));
	ck_assert_ptr_null(parking_list(&p)[0].routing_key);
}
END_TEST

START_TEST(a_broker_that_breaks_off_refuses_the_exchange)
{
	ck_assert(refuse("orders", "a", VERDICT_REFUSED, "404 NOT_FOUND",
			 PARKING_AFTER_REFUSED));
	ck_assert(holds("orders", "b"));
}
END_TEST

START_TEST(the_default_exchange_is_one_like_others)
{
	ck_assert(park("", "queue"));
	ck_assert(holds("", "queue"));
	ck_assert(!holds("orders", "queue"));
}
END_TEST

START_TEST(names_of_255_bytes_fit)
{
	char name[256];

	memset(name, 'x', 255);
	name[255] = '\0';
	ck_assert(park(name, name));
	ck_assert(holds(name, name));
	name[254] = 'y';
	ck_assert(!holds(name, name));
}
END_TEST

START_TEST(there_is_room_for_so_many_and_no_more)
{
	char name[16];

	for (int i = 0; i < PARKING_MAX; i++) {
		snprintf(name, sizeof(name), "x%d", i);
		ck_assert(park(name, "a"));
	}
	ck_assert(!refuse("one more", "a", VERDICT_RETURNED, NO_ROUTE,
			  2 * PARKING_AFTER_RETURNED));
	ck_assert(!holds("one more", "a"));
	ck_assert_int_eq(p.count, PARKING_MAX);
	send("x3", "a");
	ck_assert(refuse("one more", "a", VERDICT_RETURNED, NO_ROUTE, 1));
}
END_TEST

/* Refusals of more exchanges than are remembered: the oldest are forgotten, nothing breaks. */
START_TEST(more_exchanges_than_are_counted_do_no_harm)
{
	char name[16];

	for (int i = 0; i < 3 * PARKING_MAX; i++) {
		snprintf(name, sizeof(name), "x%d", i);
		ck_assert(!refuse(name, "a", VERDICT_RETURNED, NO_ROUTE, 1));
	}
	ck_assert_int_eq(p.run_count, PARKING_MAX);
	ck_assert(park("late", "a"));
}
END_TEST

/* --- probing --- */

static void wait_for_probe(void)
{
	ck_assert_int_ne(parking_due_ms(&p), CLOCK_NEVER);
	fake_clock_advance(parking_due_ms(&p) - clock_ms() - 1);
	ck_assert(!parking_next_probe(&p, &probe));
	fake_clock_advance(1);
	ck_assert(parking_next_probe(&p, &probe));
}

START_TEST(probes_get_rarer_up_to_a_minute)
{
	static const int64_t delays_ms[] = {1000,  2000,  4000,  8000, 16000,
					    32000, 60000, 60000, 60000};

	park("orders", "a");
	for (size_t i = 0; i < sizeof(delays_ms) / sizeof(delays_ms[0]); i++) {
		int64_t wait_ms = parking_due_ms(&p) - clock_ms();

		ck_assert_int_ge(wait_ms, delays_ms[i] * 8 / 10);
		ck_assert_int_le(wait_ms, delays_ms[i] * 12 / 10);
		wait_for_probe();
		ck_assert_str_eq(probe.destination.exchange, "orders");
		ck_assert_str_eq(probe.destination.routing_key, "a");
		refuse_probe("orders", "a");
	}
}
END_TEST

/* Nothing was due, or the connection broke: no answer says nothing. */
START_TEST(a_probe_without_an_answer_is_repeated_after_the_same_delay)
{
	park("orders", "a");
	for (int i = 0; i < 5; i++) {
		wait_for_probe();
		ck_assert(!parking_next_probe(&p, &probe));
		ck_assert_int_le(parking_due_ms(&p) - clock_ms(), 1200);
	}
}
END_TEST

START_TEST(every_other_probe_is_a_young_row)
{
	park("orders", "a");
	for (int i = 0; i < 6; i++) {
		wait_for_probe();
		ck_assert_int_eq(probe.is_newest, i % 2);
	}
}
END_TEST

START_TEST(what_was_on_its_way_when_it_was_parked_is_no_probe)
{
	int64_t due_ms;

	park("orders", "a");
	due_ms = parking_due_ms(&p);
	ck_assert(!refuse("orders", "a", VERDICT_RETURNED, NO_ROUTE, 500));
	ck_assert_int_eq(parking_due_ms(&p), due_ms);
	ck_assert_int_eq(p.parked[0].refused, 0);
}
END_TEST

START_TEST(the_first_message_taken_ends_it)
{
	park("orders", "a");
	wait_for_probe();
	ck_assert_uint_eq(p.resumed, 0);
	send("orders", "a");
	ck_assert(!holds("orders", "a"));
	ck_assert_uint_eq(p.resumed, 1);
	ck_assert_int_eq(parking_due_ms(&p), CLOCK_NEVER);
}
END_TEST

START_TEST(one_key_taken_opens_the_exchange_but_no_other_key)
{
	park("orders", "a");
	refuse("orders", "b", VERDICT_REFUSED, "403", PARKING_AFTER_REFUSED);
	ck_assert_int_eq(p.count, 2);
	send("orders", "c");
	ck_assert(holds("orders", "a"));
	ck_assert(!holds("orders", "b"));
	send("orders", "a");
	ck_assert(!holds("orders", "a"));
	ck_assert_int_eq(p.count, 0);
	ck_assert_uint_eq(p.resumed, 2);
}
END_TEST

START_TEST(the_others_stay_when_one_is_resumed)
{
	park("orders", "a");
	park("bills", "b");
	refuse("stock", "c", VERDICT_REFUSED, "404", PARKING_AFTER_REFUSED);
	send("orders", "a");
	ck_assert_int_eq(p.count, 2);
	ck_assert(!holds("orders", "a"));
	ck_assert(holds("bills", "b"));
	ck_assert(!holds("bills", "c"));
	ck_assert(holds("stock", "d"));
	send("bills", "b");
	ck_assert(holds("stock", "e"));
	ck_assert_str_eq(parking_list(&p)[0].exchange, "stock");
}
END_TEST

START_TEST(each_is_probed_in_its_turn)
{
	park("orders", "a");
	park("bills", "b");
	fake_clock_advance(2000);
	ck_assert(parking_next_probe(&p, &probe));
	ck_assert_str_eq(probe.destination.exchange, "orders");
	ck_assert(parking_next_probe(&p, &probe));
	ck_assert_str_eq(probe.destination.exchange, "bills");
	ck_assert(!parking_next_probe(&p, &probe));
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("parking");
	TCase *tc = tcase_create("parking");

	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_loop_test(tc, refusals_in_a_row_park_a_destination, 0,
			    sizeof(refusals) / sizeof(refusals[0]));
	tcase_add_test(tc, one_message_taken_in_between_keeps_it_open);
	tcase_add_test(tc, another_exchange_neither_counts_nor_interrupts);
	tcase_add_test(tc, another_reply_begins_anew);
	tcase_add_test(tc, details_behind_the_dash_do_not_make_another_reply);
	tcase_add_test(tc, one_mistyped_key_does_not_hold_up_its_neighbours);
	tcase_add_test(tc, refusals_of_many_keys_park_the_exchange);
	tcase_add_test(tc, a_broker_that_breaks_off_refuses_the_exchange);
	tcase_add_test(tc, the_default_exchange_is_one_like_others);
	tcase_add_test(tc, names_of_255_bytes_fit);
	tcase_add_test(tc, there_is_room_for_so_many_and_no_more);
	tcase_add_test(tc, more_exchanges_than_are_counted_do_no_harm);
	tcase_add_test(tc, probes_get_rarer_up_to_a_minute);
	tcase_add_test(tc, a_probe_without_an_answer_is_repeated_after_the_same_delay);
	tcase_add_test(tc, every_other_probe_is_a_young_row);
	tcase_add_test(tc, what_was_on_its_way_when_it_was_parked_is_no_probe);
	tcase_add_test(tc, the_first_message_taken_ends_it);
	tcase_add_test(tc, one_key_taken_opens_the_exchange_but_no_other_key);
	tcase_add_test(tc, the_others_stay_when_one_is_resumed);
	tcase_add_test(tc, each_is_probed_in_its_turn);
	suite_add_tcase(suite, tc);
	return suite;
}
