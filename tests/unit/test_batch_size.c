#include "engine/batch_size.h"

#include "unit/unit.h"

#define MOST 1000

START_TEST(it_begins_small_and_never_takes_more_than_the_most)
{
	struct batch_size s;

	batch_size_init(&s, MOST);
	ck_assert_int_eq(s.rows, 128);
	for (int i = 0; i < 10; i++)
		batch_size_learn(&s, s.rows, 1);
	ck_assert_int_eq(s.rows, MOST);
	batch_size_init(&s, 5);
	ck_assert_int_eq(s.rows, 5);
	batch_size_learn(&s, 5, 1);
	batch_size_learn(&s, 5, 10000);
	ck_assert_int_eq(s.rows, 5);
}
END_TEST

static const struct {
	int rows;
	int64_t took_ms;
	int next;
} cases[] = {
	{400, 100, 800},   /* full and soon */
	{400, 499, 800},   /* … */
	{400, 500, 400},   /* soon enough */
	{400, 1000, 400},  /* as long as it may take */
	{400, 1600, 250},  /* in proportion */
	{400, 60000, 200}, /* not less than half at once */
	{399, 100, 400},   /* there was no more to claim */
	{40, 1400, 200},   /* slow though few */
	{401, 60000, 400}, /* claimed when the size was another */
	{401, 1, 400},
};

START_TEST(it_follows_how_long_batches_take)
{
	struct batch_size s = {.rows = 400, .most = MOST};

	batch_size_learn(&s, cases[_i].rows, cases[_i].took_ms);
	ck_assert_int_eq(s.rows, cases[_i].next);
}
END_TEST

START_TEST(it_settles_where_a_batch_takes_the_time_it_may)
{
	struct batch_size s;

	batch_size_init(&s, MOST);
	for (int i = 0; i < 100; i++)
		batch_size_learn(&s, s.rows, s.rows * INT64_C(4));
	ck_assert_int_ge(s.rows, 125);
	ck_assert_int_le(s.rows, 250);
	for (int i = 0; i < 100; i++)
		batch_size_learn(&s, s.rows, s.rows * INT64_C(1000)); /* one a second */
	ck_assert_int_eq(s.rows, 16);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("batch_size");
	TCase *tc = tcase_create("batch_size");

	tcase_add_test(tc, it_begins_small_and_never_takes_more_than_the_most);
	tcase_add_loop_test(tc, it_follows_how_long_batches_take, 0,
			    sizeof(cases) / sizeof(cases[0]));
	tcase_add_test(tc, it_settles_where_a_batch_takes_the_time_it_may);
	suite_add_tcase(suite, tc);
	return suite;
}
