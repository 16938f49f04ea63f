#include "engine/status.h"

#include <pthread.h>
#include <string.h>

#include "unit/unit.h"

static struct status_board *board;
static struct status in, out;

static void setup(void)
{
	board = status_board_new();
	memset(&in, 0, sizeof(in));
	counts_init(&in.counts);
}

static void teardown(void)
{
	status_board_free(board);
}

START_TEST(on_a_new_board_both_sides_are_down_since_now_and_nothing_is_in_hand)
{
	status_get(board, &out);
	ck_assert_int_gt(out.at_ms, 0);
	ck_assert(!out.database.is_up && !out.broker.is_up);
	ck_assert_int_eq(out.database.since_ms, out.at_ms);
	ck_assert_int_eq(out.broker.since_ms, out.at_ms);
	ck_assert_int_eq(out.progress_at_ms, out.at_ms);
	ck_assert_int_eq(out.oldest_due_ms, CLOCK_NEVER);
	ck_assert_uint_gt(out.counts.confirm_ms.bound_count, 0);
}
END_TEST

START_TEST(what_was_put_up_last_is_read)
{
	in.at_ms = 7;
	ck_assert(status_put(board, &in));
	in.at_ms = 8;
	in.rows_in_hand = 3;
	ck_assert(status_put(board, &in));
	status_get(board, &out);
	ck_assert_int_eq(out.at_ms, 8);
	ck_assert_int_eq(out.rows_in_hand, 3);
}
END_TEST

#define ROUNDS 20000

/* Numbers that belong together: a reader must never see halves of two. */
static void *write_pairs(void *arg)
{
	struct status s = {0};

	(void)arg;
	for (int i = 1; i <= ROUNDS; i++) {
		s.at_ms = s.counts.sent = s.counts.connects = (uint64_t)i;
		status_put(board, &s);
	}
	return NULL;
}

START_TEST(a_reader_sees_one_status_whole)
{
	pthread_t writer;
	int64_t before = 0;

	status_put_last(board, &(struct status){0});
	pthread_create(&writer, NULL, write_pairs, NULL);
	for (int i = 0; i < unit_rounds(5000); i++) {
		status_get(board, &out);
		ck_assert_int_eq(out.at_ms, (int64_t)out.counts.sent);
		ck_assert_int_eq(out.at_ms, (int64_t)out.counts.connects);
		ck_assert_int_ge(out.at_ms, before);
		before = out.at_ms;
	}
	pthread_join(writer, NULL);
}
END_TEST

START_TEST(freeing_no_board_is_legal)
{
	status_board_free(NULL);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("status");
	TCase *tc = tcase_create("status");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(
		tc, on_a_new_board_both_sides_are_down_since_now_and_nothing_is_in_hand);
	tcase_add_test(tc, what_was_put_up_last_is_read);
	tcase_add_test(tc, a_reader_sees_one_status_whole);
	tcase_add_test(tc, freeing_no_board_is_legal);
	suite_add_tcase(suite, tc);
	return suite;
}
