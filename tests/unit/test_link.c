#include "engine/link.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fake/fake_clock.h"
#include "unit/unit.h"

static struct link l;
static int log_pipe[2];
static int saved_stderr;

static void setup(void)
{
	fake_clock_reset();
	saved_stderr = dup(STDERR_FILENO);
	ck_assert_int_eq(pipe2(log_pipe, O_NONBLOCK), 0);
	dup2(log_pipe[1], STDERR_FILENO);
	link_init(&l, "broker");
}

static void teardown(void)
{
	dup2(saved_stderr, STDERR_FILENO);
	close(saved_stderr);
	close(log_pipe[0]);
	close(log_pipe[1]);
}

static char logged[65536];

/* Lines since the last call. */
static int count_lines(void)
{
	ssize_t size = read(log_pipe[0], logged, sizeof(logged) - 1);
	int lines = 0;

	logged[size > 0 ? size : 0] = '\0';
	for (const char *c = logged; *c; c++)
		lines += *c == '\n';
	return lines;
}

static void down(enum error_kind kind, const char *text)
{
	struct error err;

	error_set(&err, kind, "%s", text);
	link_down(&l, &err);
}

START_TEST(a_new_link_is_down_and_due)
{
	ck_assert(!l.is_up);
	ck_assert(link_is_due(&l, clock_ms()));
}
END_TEST

START_TEST(a_link_that_is_up_is_not_due)
{
	link_up(&l, "there");
	ck_assert(l.is_up);
	ck_assert(!link_is_due(&l, clock_ms()));
	ck_assert_int_eq(count_lines(), 1);
	ck_assert_ptr_nonnull(strstr(logged, "event=connected side=broker peer=there"));
}
END_TEST

/* Delay before each further try, without jitter. */
static const struct {
	enum error_kind kind;
	int64_t delays_ms[8];
} backoffs[] = {
	{ERROR_LOST, {100, 200, 400, 800, 1600, 3200, 5000, 5000}},
	{ERROR_TIMEOUT, {100, 200, 400, 800, 1600, 3200, 5000, 5000}},
	{ERROR_REFUSED, {500, 1000, 2000, 4000, 8000, 10000, 10000, 10000}},
	{ERROR_CONFIG, {500, 1000, 2000, 4000, 8000, 10000, 10000, 10000}},
};

START_TEST(tries_get_rarer_while_the_side_stays_down)
{
	for (int i = 0; i < 8; i++) {
		int64_t delay_ms = backoffs[_i].delays_ms[i];
		int64_t wait_ms;

		down(backoffs[_i].kind, "no");
		wait_ms = l.retry_at_ms - clock_ms();
		ck_assert_int_ge(wait_ms, delay_ms * 8 / 10);
		ck_assert_int_le(wait_ms, delay_ms * 12 / 10);
		ck_assert(!link_is_due(&l, l.retry_at_ms - 1));
		ck_assert(link_is_due(&l, l.retry_at_ms));
		ck_assert_int_eq(l.failures, i + 1);
		fake_clock_advance(wait_ms);
	}
}
END_TEST

START_TEST(a_session_that_lasted_is_retried_soon)
{
	for (int i = 0; i < 5; i++)
		down(ERROR_LOST, "no");
	link_up(&l, "there");
	ck_assert_int_eq(l.failures, 0);
	fake_clock_advance(60000);
	down(ERROR_LOST, "no");
	ck_assert_int_eq(l.failures, 0);
	ck_assert_int_le(l.retry_at_ms - clock_ms(), 120);
}
END_TEST

/* One that accepts us and drops us at once must not be called ten times a second. */
START_TEST(a_side_that_comes_and_goes_is_tried_rarer)
{
	int64_t began_ms = clock_ms();
	int lines = 0;

	for (int i = 0; i < 20; i++) {
		link_up(&l, "there");
		down(ERROR_LOST, "gone again");
		lines += count_lines();
		fake_clock_advance(l.retry_at_ms - clock_ms());
	}
	ck_assert_int_ge(clock_ms() - began_ms, 50000);
	ck_assert_int_le(lines, 40);
}
END_TEST

START_TEST(a_change_of_state_is_logged_once)
{
	link_up(&l, "there");
	fake_clock_advance(5000);
	count_lines();
	down(ERROR_LOST, "reset by peer");
	ck_assert_int_eq(count_lines(), 1);
	ck_assert_ptr_nonnull(strstr(logged, "event=disconnected side=broker"));
	ck_assert_ptr_nonnull(strstr(logged, "error=\"reset by peer\" down_ms=0"));
	fake_clock_advance(2000);
	down(ERROR_LOST, "reset by peer");
	ck_assert_int_eq(count_lines(), 0);
	fake_clock_advance(3000);
	link_up(&l, "there");
	ck_assert_int_eq(count_lines(), 1);
	ck_assert_ptr_nonnull(strstr(logged, "down_ms=5000 failed_tries=1"));
}
END_TEST

START_TEST(a_new_reason_is_logged_and_the_old_one_again_after_a_minute)
{
	down(ERROR_LOST, "refused");
	ck_assert_int_eq(count_lines(), 1);
	ck_assert_ptr_nonnull(strstr(logged, "event=\"cannot connect\""));
	fake_clock_advance(1000);
	down(ERROR_LOST, "no route");
	ck_assert_int_eq(count_lines(), 1);
	fake_clock_advance(59999);
	down(ERROR_LOST, "no route");
	ck_assert_int_eq(count_lines(), 0);
	fake_clock_advance(1);
	down(ERROR_LOST, "no route");
	ck_assert_int_eq(count_lines(), 1);
}
END_TEST

START_TEST(reasons_that_change_with_every_try_are_one_line_a_second)
{
	char text[32];
	int lines = 0;

	for (int i = 0; i < 1000; i++) {
		snprintf(text, sizeof(text), "port %d", i);
		down(ERROR_LOST, text);
		lines += count_lines();
		fake_clock_advance(10);
	}
	ck_assert_int_ge(lines, 5);
	ck_assert_int_le(lines, 11);
}
END_TEST

/* A broker that accepts and drops at once must not fill the disk either. */
START_TEST(an_hour_down_is_a_line_a_minute)
{
	int64_t until_ms = clock_ms() + 3600000;
	int lines = 0;

	while (clock_ms() < until_ms) {
		down(ERROR_LOST, "no");
		lines += count_lines();
		fake_clock_advance(l.retry_at_ms - clock_ms());
	}
	ck_assert_int_ge(lines, 50);
	ck_assert_int_le(lines, 61);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("link");
	TCase *tc = tcase_create("link");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, a_new_link_is_down_and_due);
	tcase_add_test(tc, a_link_that_is_up_is_not_due);
	tcase_add_loop_test(tc, tries_get_rarer_while_the_side_stays_down, 0,
			    sizeof(backoffs) / sizeof(backoffs[0]));
	tcase_add_test(tc, a_session_that_lasted_is_retried_soon);
	tcase_add_test(tc, a_side_that_comes_and_goes_is_tried_rarer);
	tcase_add_test(tc, a_change_of_state_is_logged_once);
	tcase_add_test(tc, a_new_reason_is_logged_and_the_old_one_again_after_a_minute);
	tcase_add_test(tc, reasons_that_change_with_every_try_are_one_line_a_second);
	tcase_add_test(tc, an_hour_down_is_a_line_a_minute);
	suite_add_tcase(suite, tc);
	return suite;
}
