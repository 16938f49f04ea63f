#include "base/histogram.h"

#include "unit/unit.h"

static const int64_t bounds[] = {1, 10, 100};
static struct histogram h;

static void setup(void)
{
	histogram_init(&h, bounds, 3);
}

static const struct {
	int64_t value;
	int place;
} values[] = {{0, 0},  {1, 0},   {2, 1},   {10, 1},
	      {11, 2}, {100, 2}, {101, 3}, {INT64_C(1) << 40, 3}};

START_TEST(a_value_counts_into_the_first_range_that_holds_it)
{
	histogram_add(&h, values[_i].value);
	ck_assert_uint_eq(h.counts[values[_i].place], 1);
	ck_assert_uint_eq(h.total, 1);
	ck_assert_int_eq(h.sum, values[_i].value);
}
END_TEST

START_TEST(values_add_up)
{
	for (int i = 0; i < 200; i++)
		histogram_add(&h, i);
	ck_assert_uint_eq(h.counts[0] + h.counts[1] + h.counts[2] + h.counts[3], h.total);
	ck_assert_uint_eq(h.counts[2], 90);
	ck_assert_uint_eq(h.total, 200);
	ck_assert_int_eq(h.sum, 199 * 200 / 2);
}
END_TEST

/* Two machines' clocks: never a negative sum. */
START_TEST(a_negative_value_is_zero)
{
	histogram_add(&h, -5);
	ck_assert_uint_eq(h.counts[0], 1);
	ck_assert_int_eq(h.sum, 0);
}
END_TEST

START_TEST(without_bounds_there_is_one_range)
{
	histogram_init(&h, bounds, 0);
	histogram_add(&h, 7);
	ck_assert_uint_eq(h.counts[0], 1);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("histogram");
	TCase *tc = tcase_create("histogram");

	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_loop_test(tc, a_value_counts_into_the_first_range_that_holds_it, 0,
			    sizeof(values) / sizeof(values[0]));
	tcase_add_test(tc, values_add_up);
	tcase_add_test(tc, a_negative_value_is_zero);
	tcase_add_test(tc, without_bounds_there_is_one_range);
	suite_add_tcase(suite, tc);
	return suite;
}
