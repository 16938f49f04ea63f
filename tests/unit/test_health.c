#include "monitor/health.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit/unit.h"

#define NOW_MS 1000000

static struct status s;

static void setup(void)
{
	memset(&s, 0, sizeof(s));
	s.at_ms = s.progress_at_ms = NOW_MS;
	s.database = (struct status_side){.is_up = true, .since_ms = NOW_MS - 5000};
	s.broker = s.database;
}

/* The parsed answer; the caller gives it back. */
static json_t *ask(bool *is_ready)
{
	char *text = health_ready(&s, NOW_MS, is_ready);
	json_t *o = json_loads(text, 0, NULL);

	ck_assert_msg(o != NULL, "no JSON: %s", text);
	free(text);
	ck_assert(json_is_true(json_object_get(o, "ready")) == *is_ready);
	return o;
}

static void assert_reason(const char *reason)
{
	bool is_ready;
	json_t *o = ask(&is_ready);
	json_t *reasons = json_object_get(o, "reasons");

	ck_assert_int_eq(is_ready, reason == NULL);
	ck_assert_uint_eq(json_array_size(reasons), reason != NULL);
	if (reason)
		ck_assert_str_eq(json_string_value(json_array_get(reasons, 0)), reason);
	json_decref(o);
}

START_TEST(with_both_sides_up_it_is_ready)
{
	assert_reason(NULL);
}
END_TEST

START_TEST(without_a_side_it_is_not_ready_and_says_why)
{
	bool is_ready;
	json_t *o, *broker;

	s.broker = (struct status_side){.since_ms = NOW_MS - 1500,
					.failed_tries = 3,
					.error = "connect: Connection refused"};
	assert_reason("the broker is down");
	o = ask(&is_ready);
	broker = json_object_get(o, "broker");
	ck_assert_str_eq(json_string_value(json_object_get(broker, "error")),
			 "connect: Connection refused");
	ck_assert_int_eq(json_integer_value(json_object_get(broker, "failed_tries")), 3);
	ck_assert_double_eq(json_real_value(json_object_get(broker, "seconds")), 1.5);
	json_decref(o);
	setup();
	s.database.is_up = false;
	assert_reason("the database is down");
}
END_TEST

START_TEST(a_blocked_broker_makes_it_unready)
{
	snprintf(s.block_reason, sizeof(s.block_reason), "low on memory");
	assert_reason("the broker takes no messages");
}
END_TEST

START_TEST(rows_that_make_no_progress_make_it_unready)
{
	s.progress_at_ms = NOW_MS - HEALTH_PROGRESS_MS;
	assert_reason(NULL);
	s.progress_at_ms--;
	assert_reason("rows in hand make no progress");
}
END_TEST

START_TEST(a_parked_destination_is_told_and_no_reason_to_be_unready)
{
	bool is_ready;
	json_t *o, *parked;

	s.parked_count = 1;
	snprintf(s.parked[0].exchange, sizeof(s.parked[0].exchange), "shop");
	s.parked[0].since_ms = NOW_MS - 3000;
	assert_reason(NULL);
	o = ask(&is_ready);
	parked = json_array_get(json_object_get(o, "parked"), 0);
	ck_assert_str_eq(json_string_value(json_object_get(parked, "exchange")), "shop");
	ck_assert(json_is_null(json_object_get(parked, "routing_key")));
	json_decref(o);
}
END_TEST

/* Exchange names are the application's, and need not be UTF-8 for the answer to be JSON. */
START_TEST(names_that_are_no_utf_8_do_not_spoil_the_answer)
{
	bool is_ready;

	s.parked_count = 1;
	snprintf(s.parked[0].exchange, sizeof(s.parked[0].exchange), "\xff\xfe");
	json_decref(ask(&is_ready));
}
END_TEST

START_TEST(a_loop_that_does_not_turn_is_dead)
{
	s.at_ms = NOW_MS - HEALTH_LIVE_MS;
	ck_assert(health_is_live(&s, NOW_MS));
	s.at_ms--;
	ck_assert(!health_is_live(&s, NOW_MS));
	assert_reason("the loop does not turn");
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("health");
	TCase *tc = tcase_create("health");

	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_test(tc, with_both_sides_up_it_is_ready);
	tcase_add_test(tc, without_a_side_it_is_not_ready_and_says_why);
	tcase_add_test(tc, a_blocked_broker_makes_it_unready);
	tcase_add_test(tc, rows_that_make_no_progress_make_it_unready);
	tcase_add_test(tc, a_parked_destination_is_told_and_no_reason_to_be_unready);
	tcase_add_test(tc, names_that_are_no_utf_8_do_not_spoil_the_answer);
	tcase_add_test(tc, a_loop_that_does_not_turn_is_dead);
	suite_add_tcase(suite, tc);
	return suite;
}
