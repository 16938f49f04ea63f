#include "engine/report.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fake/fake_batch.h"
#include "fake/fake_clock.h"
#include "unit/unit.h"

static struct report r;
static struct batch *b;
static int log_pipe[2];
static int saved_stderr;

static void setup(void)
{
	fake_clock_reset();
	saved_stderr = dup(STDERR_FILENO);
	ck_assert_int_eq(pipe2(log_pipe, O_NONBLOCK), 0);
	dup2(log_pipe[1], STDERR_FILENO);
	b = fake_batch(1, 100, 10);
}

static void teardown(void)
{
	dup2(saved_stderr, STDERR_FILENO);
	close(saved_stderr);
	close(log_pipe[0]);
	close(log_pipe[1]);
	batch_free(b);
}

static char logged[65536];

static const char *read_log(void)
{
	ssize_t size = read(log_pipe[0], logged, sizeof(logged) - 1);

	logged[size > 0 ? size : 0] = '\0';
	return logged;
}

static void settle(int index, enum fate fate, const char *reason)
{
	struct row *row = &b->rows[index];

	row->try_count = 1;
	batch_decide(b, row, (struct decision){.fate = fate, .charge = 1}, reason);
	report_settled(&r, row);
}

START_TEST(nothing_to_say_is_never_due)
{
	ck_assert_int_eq(report_due_ms(&r), CLOCK_NEVER);
	report_say(&r, clock_ms(), false);
	report_say(&r, clock_ms(), true);
	ck_assert_str_eq(read_log(), "");
}
END_TEST

START_TEST(the_first_row_is_told_at_once_with_its_names_and_reason)
{
	settle(0, FATE_FAILED, "312 NO_ROUTE");
	ck_assert_int_le(report_due_ms(&r), clock_ms());
	report_say(&r, clock_ms(), false);
	ck_assert_ptr_nonnull(strstr(read_log(),
				     "level=error event=failed rows=1 id=100 "
				     "message_id=m100 exchange=orders try_count=2 "
				     "error=\"312 NO_ROUTE\"\n"));
	ck_assert_int_eq(report_due_ms(&r), CLOCK_NEVER);
}
END_TEST

START_TEST(rows_of_one_second_are_one_line_a_kind_with_the_first_as_example)
{
	settle(0, FATE_RETRY, "first");
	report_say(&r, clock_ms(), false);
	read_log();
	for (int i = 1; i < 5; i++)
		settle(i, FATE_RETRY, "nacked");
	settle(5, FATE_FAILED, NULL);
	fake_clock_advance(999);
	report_say(&r, clock_ms(), false);
	ck_assert_str_eq(read_log(), "");
	ck_assert_int_eq(report_due_ms(&r), clock_ms() + 1);
	fake_clock_advance(1);
	report_say(&r, clock_ms(), false);
	ck_assert_ptr_nonnull(
		strstr(read_log(), "level=warn event=retry rows=4 id=101 "));
	ck_assert_ptr_nonnull(strstr(logged, "level=error event=failed rows=1 id=105 "));
	ck_assert_ptr_nonnull(strstr(logged, "error=\"\"\n"));
}
END_TEST

START_TEST(at_the_end_all_is_said)
{
	settle(0, FATE_RETRY, "a");
	report_say(&r, clock_ms(), false);
	settle(1, FATE_RETRY, "b");
	read_log();
	report_say(&r, clock_ms(), true);
	ck_assert_ptr_nonnull(strstr(read_log(), "event=retry rows=1 id=101"));
}
END_TEST

START_TEST(the_rows_that_failed_last_are_kept_the_newest_first)
{
	struct report_row latest[REPORT_LATEST];

	ck_assert_int_eq(report_latest(&r, latest), 0);
	settle(0, FATE_RETRY, "nacked");
	ck_assert_int_eq(report_latest(&r, latest), 0);
	for (int i = 1; i < 4; i++)
		settle(i, FATE_FAILED, "312 NO_ROUTE");
	ck_assert_int_eq(report_latest(&r, latest), 3);
	ck_assert_int_eq(latest[0].id, 103);
	ck_assert_int_eq(latest[2].id, 101);
	ck_assert_str_eq(latest[0].message_id, "m103");
	ck_assert_str_eq(latest[0].exchange, "orders");
	ck_assert_str_eq(latest[0].routing_key, "order.message");
	ck_assert_str_eq(latest[0].reason, "312 NO_ROUTE");
	ck_assert_int_eq(latest[0].try_count, 2);
	for (int i = 0; i < 2 * REPORT_LATEST; i++)
		settle(i % 10, FATE_FAILED, "x");
	ck_assert_int_eq(report_latest(&r, latest), REPORT_LATEST);
	ck_assert_int_eq(latest[0].id, 105);
	ck_assert_int_eq(latest[REPORT_LATEST - 1].id, 108);
}
END_TEST

/* message_id and exchange are not terminated where they lie, and may be as long as they like. */
START_TEST(names_are_cut_to_what_a_line_has_room_for)
{
	static char name[400];

	memset(name, 'n', sizeof(name));
	b->rows[0].message.message_id =
		(struct slice){.data = name, .size = sizeof(name)};
	b->rows[0].message.exchange = (struct slice){.data = "orders.later", .size = 6};
	settle(0, FATE_FAILED, "x");
	report_say(&r, clock_ms(), false);
	ck_assert_ptr_nonnull(strstr(read_log(), "nnn exchange=orders try_count"));
	ck_assert_uint_eq(strspn(strstr(logged, "message_id=") + 11, "n"), 255);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("report");
	TCase *tc = tcase_create("report");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, nothing_to_say_is_never_due);
	tcase_add_test(tc, the_first_row_is_told_at_once_with_its_names_and_reason);
	tcase_add_test(tc,
		       rows_of_one_second_are_one_line_a_kind_with_the_first_as_example);
	tcase_add_test(tc, at_the_end_all_is_said);
	tcase_add_test(tc, the_rows_that_failed_last_are_kept_the_newest_first);
	tcase_add_test(tc, names_are_cut_to_what_a_line_has_room_for);
	suite_add_tcase(suite, tc);
	return suite;
}
