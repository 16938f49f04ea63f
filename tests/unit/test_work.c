#include "engine/work.h"

#include <stdio.h>

#include "fake/fake_batch.h"
#include "unit/unit.h"

static const struct decision sent = {.fate = FATE_SENT};

static struct work w;

static void teardown(void)
{
	work_release(&w);
}

/* Publishes until there is nothing to; returns the ids in order. */
static const char *publish_by(struct row *(*next)(struct work *, struct batch **),
			      int limit)
{
	static char ids[256];
	struct batch *b;
	struct row *row;
	size_t used = 0;

	ids[0] = '\0';
	while (limit-- > 0 && (row = next(&w, &b))) {
		used += (size_t)snprintf(ids + used, sizeof(ids) - used, "%s%lld",
					 used ? " " : "", (long long)row->id);
		batch_set_state(b, row, ROW_IN_FLIGHT);
	}
	return ids;
}

static const char *publish_others(int limit)
{
	return publish_by(work_next_other, limit);
}

static const char *publish_alone(void)
{
	return publish_by(work_next_alone, 99);
}

static struct row *row_at(int batch, int index)
{
	return &w.batches[batch]->rows[index];
}

static void decide(int batch, int index)
{
	batch_decide(w.batches[batch], row_at(batch, index), sent, NULL);
}

START_TEST(without_batches_there_is_nothing_to_do)
{
	struct batch *b;

	ck_assert_ptr_null(work_next_alone(&w, &b));
	ck_assert_ptr_null(work_next_other(&w, &b));
	ck_assert(!work_has_others(&w));
	ck_assert_int_eq(work_open_batches(&w), 0);
	ck_assert_int_eq(work_in_flight(&w), 0);
	ck_assert(!work_has_alone(&w));
}
END_TEST

START_TEST(rows_go_in_the_order_of_batches_and_places)
{
	work_add(&w, fake_batch(1, 10, 3));
	work_add(&w, fake_batch(2, 20, 2));
	ck_assert_str_eq(publish_others(99), "10 11 12 20 21");
	ck_assert_int_eq(work_in_flight(&w), 5);
}
END_TEST

START_TEST(a_row_that_waits_again_goes_before_later_ones)
{
	work_add(&w, fake_batch(1, 10, 3));
	work_add(&w, fake_batch(2, 20, 2));
	publish_others(4);
	batch_set_state(w.batches[0], row_at(0, 1), ROW_WAITING);
	ck_assert_str_eq(publish_others(99), "11 21");
}
END_TEST

START_TEST(a_batch_is_open_until_all_its_rows_have_a_fate)
{
	work_add(&w, fake_batch(1, 10, 1));
	work_add(&w, fake_batch(2, 20, 2));
	work_add(&w, fake_batch(3, 30, 0));
	ck_assert_int_eq(work_open_batches(&w), 2);
	publish_others(2);
	decide(0, 0);
	ck_assert_int_eq(work_open_batches(&w), 1);
	decide(1, 0);
	ck_assert_int_eq(work_open_batches(&w), 1);
	decide(1, 1);
	ck_assert_int_eq(work_open_batches(&w), 0);
}
END_TEST

START_TEST(a_row_that_goes_alone_waits_until_nothing_is_in_flight)
{
	work_add(&w, fake_batch(1, 10, 2));
	work_add(&w, fake_batch(2, 20, 3));
	publish_others(3);
	batch_set_alone(w.batches[1], row_at(1, 1));
	ck_assert(work_has_alone(&w));
	ck_assert_str_eq(publish_alone(), "");
	decide(0, 0);
	decide(0, 1);
	ck_assert_str_eq(publish_alone(), "");
	decide(1, 0);
	ck_assert_str_eq(publish_alone(), "21");
	decide(1, 1);
	ck_assert(!work_has_alone(&w));
	ck_assert_str_eq(publish_others(99), "22");
	ck_assert(!work_has_others(&w));
}
END_TEST

START_TEST(rows_alone_go_one_by_one_over_all_batches)
{
	work_add(&w, fake_batch(1, 10, 3));
	work_add(&w, fake_batch(2, 20, 2));
	batch_set_alone(w.batches[0], row_at(0, 2));
	batch_set_alone(w.batches[1], row_at(1, 0));
	ck_assert_str_eq(publish_alone(), "12");
	decide(0, 2);
	ck_assert_str_eq(publish_alone(), "20");
	decide(1, 0);
	ck_assert_str_eq(publish_alone(), "");
	ck_assert_str_eq(publish_others(99), "10 11 21");
}
END_TEST

START_TEST(the_others_go_round_rows_that_go_alone)
{
	work_add(&w, fake_batch(1, 10, 3));
	work_add(&w, fake_batch(2, 20, 2));
	batch_set_alone(w.batches[0], row_at(0, 0));
	batch_set_alone(w.batches[1], row_at(1, 0));
	batch_set_alone(w.batches[1], row_at(1, 1));
	ck_assert_str_eq(publish_others(99), "11 12");
	ck_assert(!work_has_others(&w));
	batch_set_state(w.batches[0], row_at(0, 1), ROW_WAITING);
	ck_assert(work_has_others(&w));
	ck_assert_str_eq(publish_others(99), "11");
	batch_set_state(w.batches[0], row_at(0, 1), ROW_WAITING);
	batch_set_alone(w.batches[0], row_at(0, 1));
	ck_assert_str_eq(publish_others(99), "");
}
END_TEST

START_TEST(a_tag_finds_its_row_and_no_other)
{
	struct batch *b;

	work_add(&w, fake_batch(7, 10, 3));
	work_add(&w, fake_batch(UINT32_MAX, 20, 2));
	for (int k = 0; k < 2; k++) {
		for (int i = 0; i < w.batches[k]->count; i++) {
			uint64_t tag = work_tag(w.batches[k], row_at(k, i));

			ck_assert_uint_ne(tag, 0);
			ck_assert_ptr_eq(work_find(&w, tag, &b), row_at(k, i));
			ck_assert_ptr_eq(b, w.batches[k]);
		}
	}
}
END_TEST

START_TEST(a_tag_of_what_is_not_in_hand_finds_nothing)
{
	struct batch *b = NULL;
	uint64_t tag;

	work_add(&w, fake_batch(7, 10, 3));
	work_add(&w, fake_batch(8, 20, 3));
	tag = work_tag(w.batches[0], row_at(0, 2));
	ck_assert_ptr_null(work_find(&w, 0, &b));
	ck_assert_ptr_null(work_find(&w, tag + 1, &b));
	ck_assert_ptr_null(work_find(&w, UINT64_MAX, &b));
	work_remove(&w, w.batches[0]);
	ck_assert_ptr_null(work_find(&w, tag, &b));
	ck_assert_ptr_null(b);
}
END_TEST

START_TEST(the_others_keep_their_order_when_one_is_removed)
{
	for (uint32_t turn = 1; turn <= 4; turn++)
		work_add(&w, fake_batch(turn, 10 * turn, 1));
	work_remove(&w, w.batches[1]);
	ck_assert_str_eq(publish_others(99), "10 30 40");
	work_remove(&w, w.batches[2]);
	work_remove(&w, w.batches[0]);
	ck_assert_int_eq(w.count, 1);
	ck_assert_int_eq(row_at(0, 0)->id, 30);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("work");
	TCase *tc = tcase_create("work");

	tcase_add_checked_fixture(tc, NULL, teardown);
	tcase_add_test(tc, without_batches_there_is_nothing_to_do);
	tcase_add_test(tc, rows_go_in_the_order_of_batches_and_places);
	tcase_add_test(tc, a_row_that_waits_again_goes_before_later_ones);
	tcase_add_test(tc, a_batch_is_open_until_all_its_rows_have_a_fate);
	tcase_add_test(tc, a_row_that_goes_alone_waits_until_nothing_is_in_flight);
	tcase_add_test(tc, rows_alone_go_one_by_one_over_all_batches);
	tcase_add_test(tc, the_others_go_round_rows_that_go_alone);
	tcase_add_test(tc, a_tag_finds_its_row_and_no_other);
	tcase_add_test(tc, a_tag_of_what_is_not_in_hand_finds_nothing);
	tcase_add_test(tc, the_others_keep_their_order_when_one_is_removed);
	suite_add_tcase(suite, tc);
	return suite;
}
