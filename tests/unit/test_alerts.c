#include "monitor/alerts.h"

#include <stdio.h>
#include <string.h>

#include "unit/unit.h"

#define WAIT_MS     1000
#define INTERVAL_MS 30000
#define DOWN_MS     60000
#define DUE_MS      300000
#define REPEAT_MS   3600000

static struct alerts *a;
static struct status s;
static int64_t now_ms;
static int64_t overdue_ms; /* of the table */
static const struct alert_message *m;

static void setup(void)
{
	const struct alerts_settings settings = {.oldest_due_ms = DUE_MS,
						 .down_ms = DOWN_MS,
						 .group_wait_ms = WAIT_MS,
						 .group_interval_ms = INTERVAL_MS,
						 .repeat_interval_ms = REPEAT_MS};

	now_ms = 1000000;
	overdue_ms = CLOCK_NEVER;
	memset(&s, 0, sizeof(s));
	counts_init(&s.counts);
	s.at_ms = now_ms;
	s.database.is_up = s.broker.is_up = true;
	s.oldest_due_ms = CLOCK_NEVER;
	s.counts.failed = 5; /* before our time */
	a = alerts_new(&settings, 5);
	alerts_look(a, &s, overdue_ms, now_ms);
	ck_assert_int_eq(alerts_due_ms(a), CLOCK_NEVER);
}

static void teardown(void)
{
	alerts_free(a);
}

/* Looks twice a second for so long; the message that became due, if any, is in `m`. */
static int pass(int64_t ms)
{
	int messages = 0;

	for (int64_t end_ms = now_ms + ms; now_ms < end_ms; now_ms += 500) {
		alerts_look(a, &s, overdue_ms, now_ms);
		if (now_ms < alerts_due_ms(a))
			continue;
		m = alerts_take(a, now_ms);
		ck_assert_int_ge(m->count, 1);
		messages++;
	}
	return messages;
}

static void fail_rows(int count)
{
	memset(s.failed, 0, sizeof(s.failed));
	s.failed_count = 0;
	for (int i = 0; i < count; i++)
		s.counts.failed++;
	for (int i = 0; i < count && i < REPORT_LATEST; i++)
		s.failed[s.failed_count++].id = (int64_t)s.counts.failed - i;
}

static void go_down(struct status_side *side, const char *error)
{
	*side = (struct status_side){.since_ms = now_ms};
	snprintf(side->error, sizeof(side->error), "%s", error);
}

static void park(int i, const char *exchange, const char *key)
{
	struct status_parked *p = &s.parked[i];

	memset(p, 0, sizeof(*p));
	snprintf(p->exchange, sizeof(p->exchange), "%s", exchange);
	snprintf(p->routing_key, sizeof(p->routing_key), "%s", key ? key : "");
	snprintf(p->reply, sizeof(p->reply), "404 NOT_FOUND");
	p->has_key = key != NULL;
	p->since_ms = now_ms;
	s.parked_count = i + 1;
}

static void assert_one(enum alert_kind kind, bool is_firing)
{
	ck_assert_int_eq(m->count, 1);
	ck_assert_int_eq(m->alerts[0].kind, kind);
	ck_assert_int_eq(m->alerts[0].is_firing, is_firing);
}

/* --- failed rows --- */

START_TEST(ten_thousand_failed_rows_are_one_message)
{
	for (int i = 0; i < 10; i++) {
		fail_rows(1000);
		alerts_look(a, &s, overdue_ms, now_ms += 50);
	}
	ck_assert_int_eq(pass(INTERVAL_MS), 1);
	assert_one(ALERT_ROWS_FAILED, true);
	ck_assert_uint_eq(m->alerts[0].rows, 10000);
	ck_assert_uint_eq(m->alerts[0].rows_total, 10000);
	ck_assert_int_eq(m->example_count, REPORT_LATEST);
	ck_assert_int_eq(m->examples[0].id, 10005);
	ck_assert_int_eq(m->examples[7].id, 9998);
}
END_TEST

START_TEST(examples_of_several_looks_are_gathered_the_newest_first)
{
	fail_rows(2);
	alerts_look(a, &s, overdue_ms, now_ms);
	fail_rows(3);
	ck_assert_int_eq(pass(INTERVAL_MS), 1);
	ck_assert_int_eq(m->example_count, 5);
	ck_assert_int_eq(m->examples[0].id, 10);
	ck_assert_int_eq(m->examples[4].id, 6);
}
END_TEST

/* A reload begins with an empty list, and the count goes on. */
START_TEST(rows_of_which_no_example_is_left_are_counted)
{
	fail_rows(3);
	s.failed_count = 0;
	ck_assert_int_eq(pass(INTERVAL_MS), 1);
	ck_assert_uint_eq(m->alerts[0].rows, 3);
	ck_assert_int_eq(m->example_count, 0);
}
END_TEST

START_TEST(only_rows_that_failed_since_the_last_look_are_examples)
{
	fail_rows(4);
	pass(INTERVAL_MS);
	s.counts.failed++;
	s.failed[0].id = 10;
	ck_assert_int_eq(pass(INTERVAL_MS), 1);
	ck_assert_int_eq(m->example_count, 1);
	ck_assert_int_eq(m->examples[0].id, 10);
}
END_TEST

START_TEST(rows_that_go_on_failing_are_one_message_an_interval)
{
	uint64_t told = 0;
	int messages = 0;

	for (int i = 0; i < 600; i++) { /* 5 minutes */
		fail_rows(7);
		messages += pass(500);
		told = messages ? m->alerts[0].rows_total : 0;
	}
	ck_assert_int_eq(messages, 300000 / INTERVAL_MS);
	pass(INTERVAL_MS);
	ck_assert_uint_gt(m->alerts[0].rows_total, told);
	ck_assert_uint_eq(m->alerts[0].rows_total, 4200);
}
END_TEST

START_TEST(failed_rows_are_resolved_when_none_has_failed_for_long)
{
	int64_t failed_ms = now_ms;

	fail_rows(1);
	ck_assert_int_eq(pass(INTERVAL_MS), 1);
	ck_assert_int_eq(pass((ALERTS_QUIET_INTERVALS - 1) * INTERVAL_MS), 0);
	ck_assert_int_eq(pass(2 * WAIT_MS), 1);
	assert_one(ALERT_ROWS_FAILED, false);
	ck_assert_int_eq(m->alerts[0].until_ms, failed_ms);
	ck_assert_uint_eq(m->alerts[0].rows, 0);
	ck_assert_uint_eq(m->alerts[0].rows_total, 1);
	fail_rows(2);
	ck_assert_int_eq(pass(INTERVAL_MS), 1);
	assert_one(ALERT_ROWS_FAILED, true);
	ck_assert_uint_eq(m->alerts[0].rows_total, 2);
}
END_TEST

/* --- sides --- */

static const struct {
	enum alert_kind kind;
	const char *error;
} sides[] = {
	{ALERT_DATABASE_DOWN, "connection refused"},
	{ALERT_BROKER_DOWN, "connection refused"},
	{ALERT_BROKER_BLOCKED, "low on memory"},
};

static void set_side(enum alert_kind kind, bool is_bad, const char *error)
{
	struct status_side *side = kind == ALERT_BROKER_DOWN ? &s.broker : &s.database;

	if (kind == ALERT_BROKER_BLOCKED) {
		snprintf(s.block_reason, sizeof(s.block_reason), "%s",
			 is_bad ? error : "");
		s.blocked_since_ms = now_ms;
	} else if (is_bad) {
		go_down(side, error);
	} else {
		*side = (struct status_side){.is_up = true, .since_ms = now_ms};
	}
}

START_TEST(a_side_that_is_down_for_long_is_told_and_its_return_too)
{
	int64_t down_ms = now_ms, up_ms;

	set_side(sides[_i].kind, true, sides[_i].error);
	ck_assert_int_eq(pass(DOWN_MS), 0);
	ck_assert_int_eq(pass(2 * WAIT_MS), 1);
	assert_one(sides[_i].kind, true);
	ck_assert_int_eq(m->alerts[0].since_ms, down_ms);
	ck_assert_str_eq(m->alerts[0].error, sides[_i].error);
	ck_assert_int_eq(pass(INTERVAL_MS), 0);
	up_ms = now_ms;
	set_side(sides[_i].kind, false, NULL);
	ck_assert_int_eq(pass(INTERVAL_MS), 1);
	assert_one(sides[_i].kind, false);
	ck_assert_int_eq(m->alerts[0].since_ms, down_ms);
	ck_assert_int_eq(m->alerts[0].until_ms, up_ms);
}
END_TEST

START_TEST(a_side_that_was_down_for_a_moment_is_not_told)
{
	set_side(sides[_i].kind, true, sides[_i].error);
	ck_assert_int_eq(pass(DOWN_MS - 1000), 0);
	set_side(sides[_i].kind, false, NULL);
	ck_assert_int_eq(pass(DOWN_MS), 0);
}
END_TEST

/* A reload begins with both sides down, since just now. */
START_TEST(a_side_that_was_never_up_in_between_is_not_resolved)
{
	set_side(sides[_i].kind, true, sides[_i].error);
	pass(DOWN_MS + INTERVAL_MS);
	set_side(sides[_i].kind, true, "another reason");
	ck_assert_int_eq(pass(2 * DOWN_MS), 0);
}
END_TEST

START_TEST(a_side_that_is_up_for_less_than_a_moment_is_not_resolved)
{
	set_side(sides[_i].kind, true, sides[_i].error);
	pass(DOWN_MS + INTERVAL_MS);
	for (int i = 0; i < 20; i++) {
		set_side(sides[_i].kind, false, NULL);
		ck_assert_int_eq(pass(WAIT_MS - 500), 0);
		set_side(sides[_i].kind, true, sides[_i].error);
		ck_assert_int_eq(pass(5000), 0);
	}
}
END_TEST

START_TEST(a_side_that_the_relay_closes_at_its_end_is_not_told)
{
	s.is_ending = true;
	set_side(sides[_i].kind, true, sides[_i].error);
	ck_assert_int_eq(pass(2 * DOWN_MS), 0);
	fail_rows(1);
	ck_assert_int_eq(pass(INTERVAL_MS), 1);
	assert_one(ALERT_ROWS_FAILED, true);
}
END_TEST

/* --- the oldest row --- */

START_TEST(a_row_that_is_due_for_long_is_told_until_none_is)
{
	int64_t due_ms = now_ms;

	s.oldest_due_ms = due_ms;
	ck_assert_int_eq(pass(DUE_MS), 0);
	ck_assert_int_eq(pass(2 * WAIT_MS), 1);
	assert_one(ALERT_OLDEST_DUE, true);
	ck_assert_int_eq(m->alerts[0].since_ms, due_ms);
	ck_assert_int_eq(pass(INTERVAL_MS), 0);
	s.oldest_due_ms = now_ms;
	ck_assert_int_eq(pass(INTERVAL_MS), 1);
	assert_one(ALERT_OLDEST_DUE, false);
}
END_TEST

START_TEST(a_row_of_the_table_that_is_overdue_is_told_until_none_is)
{
	overdue_ms = now_ms - DUE_MS - 7;
	ck_assert_int_eq(pass(INTERVAL_MS), 1);
	assert_one(ALERT_OLDEST_DUE, true);
	ck_assert_int_eq(m->alerts[0].since_ms, overdue_ms);
	s.oldest_due_ms = now_ms; /* one in hand is not */
	ck_assert_int_eq(pass(INTERVAL_MS), 0);
	overdue_ms = CLOCK_NEVER;
	ck_assert_int_eq(pass(INTERVAL_MS), 1);
	assert_one(ALERT_OLDEST_DUE, false);
}
END_TEST

/* --- parked destinations --- */

START_TEST(parked_destinations_are_told_one_by_one_and_resolved_so)
{
	park(0, "shop", NULL);
	park(1, "stock", "stock.changed");
	ck_assert_int_eq(pass(INTERVAL_MS), 1);
	ck_assert_int_eq(m->count, 2);
	for (int i = 0; i < 2; i++) {
		const struct alert *alert = &m->alerts[i];

		ck_assert_int_eq(alert->kind, ALERT_DESTINATION_PARKED);
		ck_assert(alert->is_firing);
		ck_assert_str_eq(alert->error, "404 NOT_FOUND");
		if (strcmp(alert->exchange, "stock") != 0)
			ck_assert(!alert->has_key);
		else
			ck_assert_str_eq(alert->routing_key, "stock.changed");
	}
	s.parked[0] = s.parked[1];
	s.parked_count = 1;
	ck_assert_int_eq(pass(INTERVAL_MS), 1);
	assert_one(ALERT_DESTINATION_PARKED, false);
	ck_assert_str_eq(m->alerts[0].exchange, "shop");
	s.parked_count = 0;
	ck_assert_int_eq(pass(INTERVAL_MS), 1);
	assert_one(ALERT_DESTINATION_PARKED, false);
	ck_assert_str_eq(m->alerts[0].exchange, "stock");
}
END_TEST

START_TEST(a_destination_that_was_parked_for_a_moment_is_not_told)
{
	park(0, "shop", NULL);
	ck_assert_int_eq(pass(500), 0);
	s.parked_count = 0;
	ck_assert_int_eq(pass(INTERVAL_MS), 0);
}
END_TEST

/* 32 of ever other names, every time: more than there are slots until the next message. */
START_TEST(more_parked_destinations_than_there_is_room_for_are_told_later)
{
	char name[32];
	int told = 0, resolved = 0;

	for (int i = 0; i < 8; i++) {
		for (int n = 0; n < PARKING_MAX; n++) {
			snprintf(name, sizeof(name), "x%d", i * PARKING_MAX + n);
			park(n, name, NULL);
		}
		for (int j = 0; j < INTERVAL_MS / 500; j++) {
			if (pass(500) == 0)
				continue;
			for (int n = 0; n < m->count; n++)
				*(m->alerts[n].is_firing ? &told : &resolved) += 1;
		}
	}
	ck_assert_int_eq(told, 8 * PARKING_MAX);
	ck_assert_int_eq(resolved, 7 * PARKING_MAX);
}
END_TEST

/* --- messages --- */

START_TEST(what_happens_together_is_one_message)
{
	fail_rows(2);
	park(0, "shop", NULL);
	s.oldest_due_ms = now_ms - 2 * DUE_MS;
	ck_assert_int_eq(pass(INTERVAL_MS), 1);
	ck_assert_int_eq(m->count, 3);
}
END_TEST

START_TEST(the_first_message_waits_for_more_and_the_next_for_the_interval)
{
	int64_t first_ms = now_ms;

	fail_rows(1);
	alerts_look(a, &s, overdue_ms, now_ms);
	ck_assert_int_eq(alerts_due_ms(a), first_ms + WAIT_MS);
	alerts_take(a, now_ms += WAIT_MS);
	ck_assert_int_eq(alerts_due_ms(a), CLOCK_NEVER);
	fail_rows(1);
	alerts_look(a, &s, overdue_ms, now_ms);
	ck_assert_int_eq(alerts_due_ms(a), now_ms + INTERVAL_MS);
}
END_TEST

START_TEST(what_still_fires_is_told_again_after_the_repeat_interval)
{
	go_down(&s.broker, "gone");
	ck_assert_int_eq(pass(DOWN_MS + REPEAT_MS), 1);
	ck_assert_int_eq(pass(3 * WAIT_MS), 1);
	assert_one(ALERT_BROKER_DOWN, true);
	ck_assert_int_eq(pass(REPEAT_MS - 3 * WAIT_MS), 0);
	ck_assert_int_eq(pass(5 * WAIT_MS), 1);
}
END_TEST

START_TEST(where_all_is_well_nothing_is_told)
{
	ck_assert_int_eq(pass(DOWN_MS + REPEAT_MS), 0);
	ck_assert_int_eq(alerts_due_ms(a), CLOCK_NEVER);
	ck_assert_int_eq(alerts_take(a, now_ms)->count, 0);
	alerts_free(NULL);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("alerts");
	TCase *tc = tcase_create("alerts");
	int side_count = sizeof(sides) / sizeof(sides[0]);

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, ten_thousand_failed_rows_are_one_message);
	tcase_add_test(tc, examples_of_several_looks_are_gathered_the_newest_first);
	tcase_add_test(tc, rows_of_which_no_example_is_left_are_counted);
	tcase_add_test(tc, only_rows_that_failed_since_the_last_look_are_examples);
	tcase_add_test(tc, rows_that_go_on_failing_are_one_message_an_interval);
	tcase_add_test(tc, failed_rows_are_resolved_when_none_has_failed_for_long);
	tcase_add_loop_test(tc, a_side_that_is_down_for_long_is_told_and_its_return_too,
			    0, side_count);
	tcase_add_loop_test(tc, a_side_that_was_down_for_a_moment_is_not_told, 0,
			    side_count);
	tcase_add_loop_test(tc, a_side_that_was_never_up_in_between_is_not_resolved, 0,
			    side_count);
	tcase_add_loop_test(tc, a_side_that_is_up_for_less_than_a_moment_is_not_resolved,
			    0, side_count);
	tcase_add_loop_test(tc, a_side_that_the_relay_closes_at_its_end_is_not_told, 0,
			    side_count);
	tcase_add_test(tc, a_row_that_is_due_for_long_is_told_until_none_is);
	tcase_add_test(tc, a_row_of_the_table_that_is_overdue_is_told_until_none_is);
	tcase_add_test(tc, parked_destinations_are_told_one_by_one_and_resolved_so);
	tcase_add_test(tc, a_destination_that_was_parked_for_a_moment_is_not_told);
	tcase_add_test(tc,
		       more_parked_destinations_than_there_is_room_for_are_told_later);
	tcase_add_test(tc, what_happens_together_is_one_message);
	tcase_add_test(tc,
		       the_first_message_waits_for_more_and_the_next_for_the_interval);
	tcase_add_test(tc, what_still_fires_is_told_again_after_the_repeat_interval);
	tcase_add_test(tc, where_all_is_well_nothing_is_told);
	suite_add_tcase(suite, tc);
	return suite;
}
