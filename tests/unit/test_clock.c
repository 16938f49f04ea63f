#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "unit/unit.h"

static const struct {
	int64_t deadline_ms, now_ms;
	int expected;
} waits[] = {
	{1000, 1000, 0},       {999, 1000, 0},        {0, INT64_MAX, 0},
	{INT64_MIN, 1000, 0},  {1001, 1000, 1},       {31000, 1000, 30000},
	{3600000, 0, 3600000}, {3600001, 0, 3600000}, {CLOCK_NEVER, 1000, 3600000},
};

START_TEST(a_wait_ends_at_its_deadline_and_after_an_hour)
{
	ck_assert_int_eq(clock_wait_ms(waits[_i].deadline_ms, waits[_i].now_ms),
			 waits[_i].expected);
}
END_TEST

START_TEST(the_earlier_deadline_counts)
{
	ck_assert_int_eq(clock_min(1, 2), 1);
	ck_assert_int_eq(clock_min(2, 1), 1);
	ck_assert_int_eq(clock_min(CLOCK_NEVER, 5), 5);
}
END_TEST

START_TEST(time_goes_on_in_milliseconds)
{
	struct timespec pause = {.tv_nsec = 20 * 1000 * 1000};
	int64_t before_ms = clock_ms();
	int64_t took_ms;

	nanosleep(&pause, NULL);
	took_ms = clock_ms() - before_ms;
	ck_assert_int_ge(took_ms, 19);
	ck_assert_int_lt(took_ms, 10000);
}
END_TEST

/* The zone of the machine shall not show in a log line. */
START_TEST(wall_time_is_printed_as_rfc_3339_in_utc)
{
	char text[40];
	struct tm printed = {0};
	const char *rest;
	time_t before = time(NULL);
	int milliseconds, end = 0;

	setenv("TZ", "Asia/Tokyo", 1);
	tzset();
	clock_print(text, sizeof(text));
	rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &printed);
	ck_assert_ptr_nonnull(rest);
	ck_assert_int_eq(sscanf(rest, ".%3dZ%n", &milliseconds, &end), 1);
	ck_assert_int_eq(end, 5);
	ck_assert_int_eq(rest[end], '\0');
	ck_assert_int_ge(timegm(&printed), before);
	/* time() is behind it for some ms of each second. */
	ck_assert_int_le(timegm(&printed), clock_wall_ms() / 1000);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("clock");
	TCase *tc = tcase_create("clock");

	tcase_add_loop_test(tc, a_wait_ends_at_its_deadline_and_after_an_hour, 0,
			    sizeof(waits) / sizeof(waits[0]));
	tcase_add_test(tc, the_earlier_deadline_counts);
	tcase_add_test(tc, time_goes_on_in_milliseconds);
	tcase_add_test(tc, wall_time_is_printed_as_rfc_3339_in_utc);
	suite_add_tcase(suite, tc);
	return suite;
}
