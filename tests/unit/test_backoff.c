#include "base/backoff.h"

#include "unit/unit.h"

#define LOWEST  0U
#define MIDDLE  0x80000000U
#define HIGHEST 0xffffffffU

static const struct backoff doubling = {10000, 2, 600000, 20};

static const struct {
	struct backoff backoff;
	int step;
	uint32_t random;
	int64_t expected_ms;
} cases[] = {
	{{10000, 2, 600000, 20}, 0, MIDDLE, 10000},
	{{10000, 2, 600000, 20}, 1, MIDDLE, 20000},
	{{10000, 2, 600000, 20}, 5, MIDDLE, 320000},
	{{10000, 2, 600000, 20}, 6, MIDDLE, 600000},
	{{10000, 2, 600000, 20}, 1000000000, MIDDLE, 600000},
	{{10000, 2, 600000, 20}, 0, LOWEST, 8000},
	{{10000, 2, 600000, 20}, 0, HIGHEST, 11999},
	{{10000, 2, 600000, 20}, 6, LOWEST, 480000},
	{{10000, 2, 600000, 20}, 6, HIGHEST, 719999},
	{{10000, 2, 600000, 0}, 0, LOWEST, 10000},
	{{10000, 2, 600000, 0}, 0, HIGHEST, 10000},
	{{10000, 2, 600000, 100}, 0, LOWEST, 0},
	{{10000, 2, 600000, 100}, 0, HIGHEST, 19999},
	{{1000, 1, 600000, 0}, 500, MIDDLE, 1000}, /* no growth */
	{{1000, 1.5, 600000, 0}, 2, MIDDLE, 2250},
	{{5000, 2, 1000, 0}, 0, MIDDLE, 1000}, /* the cap is below the first */
	{{0, 2, 1000, 20}, 7, HIGHEST, 0},
};

START_TEST(delays_grow_to_the_cap_and_spread_by_the_jitter)
{
	ck_assert_int_eq(backoff_ms(&cases[_i].backoff, cases[_i].step, cases[_i].random),
			 cases[_i].expected_ms);
}
END_TEST

START_TEST(random_numbers_differ)
{
	uint32_t first = backoff_random();
	int same = 0;

	for (int i = 0; i < 8; i++)
		same += backoff_random() == first;
	ck_assert_int_lt(same, 8);
}
END_TEST

START_TEST(every_delay_lies_within_the_jitter)
{
	for (int i = 0; i < 1000; i++) {
		int64_t ms = backoff_ms(&doubling, 0, backoff_random());

		ck_assert_int_ge(ms, 8000);
		ck_assert_int_lt(ms, 12000);
	}
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("backoff");
	TCase *tc = tcase_create("backoff");

	tcase_add_loop_test(tc, delays_grow_to_the_cap_and_spread_by_the_jitter, 0,
			    sizeof(cases) / sizeof(cases[0]));
	tcase_add_test(tc, random_numbers_differ);
	tcase_add_test(tc, every_delay_lies_within_the_jitter);
	suite_add_tcase(suite, tc);
	return suite;
}
