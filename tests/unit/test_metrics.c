#include "monitor/metrics.h"

#include <stdio.h>
#include <string.h>

#include "unit/unit.h"

#define NOW_MS 100000

static struct status s;
static struct webhook_counts alerts;
static struct buffer out;

static void setup(void)
{
	memset(&s, 0, sizeof(s));
	counts_init(&s.counts);
	s.at_ms = NOW_MS - 500;
	s.oldest_due_ms = CLOCK_NEVER;
	s.database = (struct status_side){.is_up = true, .since_ms = 1000};
	s.broker = s.database;
	buffer_init(&out, 1 << 20);
}

static void teardown(void)
{
	buffer_release(&out);
}

static const char *text(void)
{
	metrics_write(&out, &s, &alerts, "libpq 15.4, \"x\\", NOW_MS);
	return buffer_text(&out);
}

/* One whole line of the answer. */
static void assert_line(const char *line)
{
	char whole[512];

	snprintf(whole, sizeof(whole), "\n%s\n", line);
	ck_assert_msg(strstr(text(), whole) != NULL, "no line \"%s\" in:\n%s", line,
		      buffer_text(&out));
	buffer_clear(&out);
}

START_TEST(counters_are_named_total_and_carry_their_number)
{
	s.counts.published = 12345678901;
	s.counts.interrupted = 3;
	assert_line("outbox_relay_messages_published_total 12345678901");
	assert_line("outbox_relay_possible_duplicates_total 3");
	assert_line("# TYPE outbox_relay_messages_published_total counter");
}
END_TEST

START_TEST(verdicts_and_fates_are_labels)
{
	s.counts.verdicts[VERDICT_RETURNED] = 4;
	s.counts.failed = 2;
	assert_line("outbox_relay_verdicts_total{verdict=\"returned\"} 4");
	assert_line("outbox_relay_verdicts_total{verdict=\"nacked\"} 0");
	assert_line("outbox_relay_rows_settled_total{fate=\"failed\"} 2");
}
END_TEST

START_TEST(every_verdict_has_a_name)
{
	ck_assert_ptr_null(strstr(text(), "(null)"));
	ck_assert_ptr_null(strstr(buffer_text(&out), "verdict=\"\""));
}
END_TEST

START_TEST(histograms_add_up_and_are_in_seconds)
{
	histogram_add(&s.counts.confirm_ms, 1);
	histogram_add(&s.counts.confirm_ms, 3);
	histogram_add(&s.counts.confirm_ms, 400000);
	assert_line("outbox_relay_confirm_seconds_bucket{le=\"0.001\"} 1");
	assert_line("outbox_relay_confirm_seconds_bucket{le=\"0.002\"} 1");
	assert_line("outbox_relay_confirm_seconds_bucket{le=\"0.005\"} 2");
	assert_line("outbox_relay_confirm_seconds_bucket{le=\"300\"} 2");
	assert_line("outbox_relay_confirm_seconds_bucket{le=\"+Inf\"} 3");
	assert_line("outbox_relay_confirm_seconds_count 3");
	assert_line("outbox_relay_confirm_seconds_sum 400.004");
}
END_TEST

START_TEST(a_side_that_is_down_tells_since_when)
{
	s.broker = (struct status_side){.since_ms = NOW_MS - 2500};
	assert_line("outbox_relay_connected{side=\"database\"} 1");
	assert_line("outbox_relay_connected{side=\"broker\"} 0");
	assert_line("outbox_relay_down_seconds{side=\"database\"} 0");
	assert_line("outbox_relay_down_seconds{side=\"broker\"} 2.5");
}
END_TEST

START_TEST(a_blocked_broker_counts_while_it_lasts)
{
	s.counts.blocked_ms = 2000;
	assert_line("outbox_relay_broker_blocked 0");
	assert_line("outbox_relay_broker_blocked_seconds_total 2");
	snprintf(s.block_reason, sizeof(s.block_reason), "low on memory");
	s.blocked_since_ms = NOW_MS - 1500;
	assert_line("outbox_relay_broker_blocked 1");
	assert_line("outbox_relay_broker_blocked_seconds_total 3.5");
}
END_TEST

START_TEST(parked_destinations_are_labelled_and_escaped)
{
	struct status_parked *p = &s.parked[0];

	assert_line("outbox_relay_parked_destinations 0");
	s.parked_count = 2;
	snprintf(p->exchange, sizeof(p->exchange), "a\"b\\c\nd");
	snprintf(p->routing_key, sizeof(p->routing_key), "not to be seen");
	p->since_ms = NOW_MS - 1000;
	s.parked[1] = *p;
	s.parked[1].has_key = true;
	snprintf(s.parked[1].routing_key, sizeof(p->routing_key), "key");
	assert_line("outbox_relay_parked_destinations 2");
	assert_line("outbox_relay_destination_parked_seconds"
		    "{exchange=\"a\\\"b\\\\c\\nd\",routing_key=\"\"} 1");
	assert_line("outbox_relay_destination_parked_seconds"
		    "{exchange=\"a\\\"b\\\\c\\nd\",routing_key=\"key\"} 1");
}
END_TEST

START_TEST(the_work_in_hand_is_told)
{
	s.rows_in_hand = 40;
	s.rows_in_flight = 30;
	s.batches = 2;
	s.oldest_due_ms = NOW_MS - 4000;
	assert_line("outbox_relay_rows_in_hand 40");
	assert_line("outbox_relay_messages_in_flight 30");
	assert_line("outbox_relay_claims_in_hand 2");
	assert_line("outbox_relay_oldest_in_hand_seconds 4");
	assert_line("outbox_relay_loop_age_seconds 0.5");
	s.oldest_due_ms = CLOCK_NEVER;
	assert_line("outbox_relay_oldest_in_hand_seconds 0");
}
END_TEST

START_TEST(the_build_and_the_process_are_told)
{
	assert_line("outbox_relay_build_info{version=\"" VERSION
		    "\",libraries=\"libpq 15.4, \\\"x\\\\\"} 1");
	ck_assert_ptr_nonnull(strstr(text(), "\nprocess_resident_memory_bytes "));
	ck_assert_ptr_null(
		strstr(buffer_text(&out), "process_resident_memory_bytes 0\n"));
	ck_assert_ptr_null(strstr(buffer_text(&out), "process_open_fds 0\n"));
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("metrics");
	TCase *tc = tcase_create("metrics");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, counters_are_named_total_and_carry_their_number);
	tcase_add_test(tc, verdicts_and_fates_are_labels);
	tcase_add_test(tc, every_verdict_has_a_name);
	tcase_add_test(tc, histograms_add_up_and_are_in_seconds);
	tcase_add_test(tc, a_side_that_is_down_tells_since_when);
	tcase_add_test(tc, a_blocked_broker_counts_while_it_lasts);
	tcase_add_test(tc, parked_destinations_are_labelled_and_escaped);
	tcase_add_test(tc, the_work_in_hand_is_told);
	tcase_add_test(tc, the_build_and_the_process_are_told);
	suite_add_tcase(suite, tc);
	return suite;
}
