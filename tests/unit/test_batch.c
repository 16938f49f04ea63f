#include "store/batch.h"

#include <string.h>

#include "fake/fake_batch.h"
#include "unit/unit.h"

#define ROWS 8

static struct batch *b;

static const struct decision sent = {.fate = FATE_SENT};
static const struct decision retry = {.fate = FATE_RETRY, .charge = 1, .delay_ms = 10};

static void setup(void)
{
	b = fake_batch(1, 100, ROWS);
}

static void teardown(void)
{
	batch_free(b);
}

START_TEST(nothing_can_be_freed)
{
	batch_free(NULL);
}
END_TEST

START_TEST(a_state_is_counted_as_it_changes)
{
	batch_set_state(b, &b->rows[0], ROW_IN_FLIGHT);
	batch_set_state(b, &b->rows[1], ROW_IN_FLIGHT);
	ck_assert_int_eq(b->in_state[ROW_WAITING], ROWS - 2);
	ck_assert_int_eq(b->in_state[ROW_IN_FLIGHT], 2);
	ck_assert_int_eq(batch_open_rows(b), ROWS);
	batch_decide(b, &b->rows[0], sent, NULL);
	ck_assert_int_eq(b->in_state[ROW_IN_FLIGHT], 1);
	ck_assert_int_eq(b->in_state[ROW_DECIDED], 1);
	ck_assert_int_eq(batch_open_rows(b), ROWS - 1);
}
END_TEST

START_TEST(the_first_waiting_row_is_known)
{
	ck_assert_int_eq(b->first_waiting, 0);
	batch_set_state(b, &b->rows[1], ROW_IN_FLIGHT);
	ck_assert_int_eq(b->first_waiting, 0);
	batch_set_state(b, &b->rows[0], ROW_IN_FLIGHT);
	ck_assert_int_eq(b->first_waiting, 2);
	batch_set_state(b, &b->rows[1], ROW_WAITING);
	ck_assert_int_eq(b->first_waiting, 1);
	batch_set_state(b, &b->rows[0], ROW_DECIDED);
	ck_assert_int_eq(b->first_waiting, 1);
	for (int i = 1; i < ROWS; i++)
		batch_set_state(b, &b->rows[i], ROW_DECIDED);
	ck_assert_int_eq(b->first_waiting, ROWS);
}
END_TEST

START_TEST(a_row_is_alone_until_it_has_its_fate)
{
	batch_set_alone(b, &b->rows[3]);
	batch_set_alone(b, &b->rows[3]);
	ck_assert_int_eq(b->alone, 1);
	batch_set_state(b, &b->rows[3], ROW_IN_FLIGHT);
	ck_assert_int_eq(b->alone, 1);
	batch_decide(b, &b->rows[3], sent, NULL);
	ck_assert_int_eq(b->alone, 0);
	/* Too late to matter. */
	batch_decide(b, &b->rows[4], sent, NULL);
	batch_set_alone(b, &b->rows[4]);
	ck_assert_int_eq(b->alone, 0);
}
END_TEST

START_TEST(all_rows_of_one_state_move_together)
{
	for (int i = 0; i < 3; i++)
		batch_decide(b, &b->rows[i], i ? sent : retry, "why");
	batch_move_all(b, ROW_DECIDED, ROW_SETTLING);
	ck_assert_int_eq(b->in_state[ROW_SETTLING], 3);
	ck_assert_int_eq(b->in_state[ROW_WAITING], ROWS - 3);
	batch_move_all(b, ROW_SETTLING, ROW_DECIDED);
	ck_assert_int_eq(b->in_state[ROW_DECIDED], 3);
	batch_move_all(b, ROW_WAITING, ROW_SETTLED);
	ck_assert_int_eq(batch_open_rows(b), 0);
	ck_assert_int_eq(b->first_waiting, ROWS);
}
END_TEST

static const struct {
	const char *given, *kept;
} reasons[] = {
	{"312 NO_ROUTE", "312 NO_ROUTE"},
	{"two\nlines", "two?lines"},
	{"caf\xc3\xa9 \x7f", "caf?? ?"},
	{" ~", " ~"},
	{"", ""},
};

START_TEST(a_reason_is_kept_as_printable_ascii)
{
	batch_decide(b, &b->rows[0], retry, reasons[_i].given);
	ck_assert_str_eq(b->rows[0].reason, reasons[_i].kept);
	ck_assert_int_eq(b->rows[0].decision.fate, FATE_RETRY);
	ck_assert_int_eq(b->rows[0].decision.charge, 1);
	ck_assert_int_eq(b->rows[0].decision.delay_ms, 10);
}
END_TEST

static void decide_all_but_the_last(void)
{
	for (int i = 0; i < ROWS - 1; i++)
		batch_decide(b, &b->rows[i], sent, NULL);
}

START_TEST(bodies_of_a_batch_that_is_all_sent_are_given_back)
{
	decide_all_but_the_last();
	batch_decide(b, &b->rows[ROWS - 1], sent, NULL);
	batch_drop_bodies(b);
	ck_assert_ptr_null(b->result);
	batch_drop_bodies(b);
	ck_assert_int_eq(b->rows[0].id, 100);
}
END_TEST

START_TEST(a_batch_with_a_row_that_was_not_sent_keeps_what_names_it)
{
	decide_all_but_the_last();
	batch_decide(b, &b->rows[ROWS - 1], retry, "no");
	batch_drop_bodies(b);
	ck_assert_ptr_nonnull(b->result);
	ck_assert_int_eq(b->rows[ROWS - 1].message.message_id.data[0], 'm');
}
END_TEST

START_TEST(a_reason_is_copied_cut_and_replaced)
{
	char text[2000];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	batch_decide(b, &b->rows[0], retry, text);
	text[0] = 'y';
	ck_assert_uint_eq(strlen(b->rows[0].reason), 500);
	ck_assert_int_eq(b->rows[0].reason[0], 'x');
	batch_decide(b, &b->rows[0], retry, "shorter");
	ck_assert_str_eq(b->rows[0].reason, "shorter");
	batch_decide(b, &b->rows[0], sent, NULL);
	ck_assert_ptr_null(b->rows[0].reason);
}
END_TEST

/* What the batch counts as it goes along is what walking its rows would count. */
START_TEST(random_changes_keep_the_counters_true)
{
	srandom(11);
	for (int step = 0; step < 5000; step++) {
		struct row *row = &b->rows[random() % ROWS];
		int in_state[ROW_SETTLED + 1] = {0};
		int alone = 0, waiting = 0, first = ROWS, other = ROWS;

		if (random() % 200)
			batch_set_state(b, row,
					(enum row_state)(random() % (ROW_SETTLED + 1)));
		else
			batch_set_alone(b, row);
		for (int i = ROWS - 1; i >= 0; i--) {
			enum row_state state = b->rows[i].state;

			in_state[state]++;
			alone += b->rows[i].is_alone && state <= ROW_IN_FLIGHT;
			if (state != ROW_WAITING)
				continue;
			first = i;
			other = b->rows[i].is_alone ? other : i;
			waiting += b->rows[i].is_alone;
		}
		ck_assert_mem_eq(b->in_state, in_state, sizeof(in_state));
		ck_assert_int_eq(b->alone, alone);
		ck_assert_int_eq(b->alone_waiting, waiting);
		ck_assert_int_eq(b->first_waiting, first);
		ck_assert_int_eq(b->first_other, other);
	}
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("batch");
	TCase *tc = tcase_create("batch");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, nothing_can_be_freed);
	tcase_add_test(tc, a_state_is_counted_as_it_changes);
	tcase_add_test(tc, the_first_waiting_row_is_known);
	tcase_add_test(tc, a_row_is_alone_until_it_has_its_fate);
	tcase_add_test(tc, all_rows_of_one_state_move_together);
	tcase_add_loop_test(tc, a_reason_is_kept_as_printable_ascii, 0,
			    sizeof(reasons) / sizeof(reasons[0]));
	tcase_add_test(tc, a_reason_is_copied_cut_and_replaced);
	tcase_add_test(tc, bodies_of_a_batch_that_is_all_sent_are_given_back);
	tcase_add_test(tc, a_batch_with_a_row_that_was_not_sent_keeps_what_names_it);
	tcase_add_test(tc, random_changes_keep_the_counters_true);
	suite_add_tcase(suite, tc);
	return suite;
}
