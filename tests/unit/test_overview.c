/* relay/store/overview: what was counted and what is estimated become one figure a state. */
#include "unit/unit.h"

#include "store/overview.h"

#define MANY (OVERVIEW_EXACT + 1)

enum { EXACT, ESTIMATE, UNKNOWN };

struct expected {
	int64_t rows;
	int kind;
};

static const struct {
	struct overview_tally
		tally; /* due, scheduled, failed, all; table, due index, failed index */
	struct expected due, scheduled, failed, sent;
} cases[] = {
	{{0, 0, 0, 0, -1, -1, -1}, {0, EXACT}, {0, EXACT}, {0, EXACT}, {0, EXACT}},
	{{3, 2, 1, 10, 999, 999, 999}, {3, EXACT}, {2, EXACT}, {1, EXACT}, {4, EXACT}},
	/* a big table with little to do */
	{{3, 2, 1, MANY, 50000, 999, 999},
	 {3, EXACT},
	 {2, EXACT},
	 {1, EXACT},
	 {49994, ESTIMATE}},
	/* due and scheduled are in one index */
	{{MANY, 500, 0, MANY, 90000, 60500, 0},
	 {60000, ESTIMATE},
	 {500, EXACT},
	 {0, EXACT},
	 {29500, ESTIMATE}},
	{{MANY, 0, MANY, MANY, 90000, 40000, 30000},
	 {40000, ESTIMATE},
	 {0, EXACT},
	 {30000, ESTIMATE},
	 {20000, ESTIMATE}},
	/* no statistics, or older than the backlog */
	{{MANY, 0, 0, MANY, 90000, -1, -1},
	 {OVERVIEW_EXACT, UNKNOWN},
	 {0, EXACT},
	 {0, EXACT},
	 {0, UNKNOWN}},
	{{MANY, 0, 0, MANY, 90000, 12, -1},
	 {OVERVIEW_EXACT, UNKNOWN},
	 {0, EXACT},
	 {0, EXACT},
	 {0, UNKNOWN}},
	{{0, 0, 0, MANY, -1, -1, -1},
	 {0, EXACT},
	 {0, EXACT},
	 {0, EXACT},
	 {MANY, UNKNOWN}},
	/* estimates that contradict each other never make a negative figure */
	{{MANY, 0, 0, MANY, 20000, 50000, 0},
	 {50000, ESTIMATE},
	 {0, EXACT},
	 {0, EXACT},
	 {0, ESTIMATE}},
};

static void expect(const struct overview_count *found, struct expected e)
{
	ck_assert_int_eq(found->rows, e.rows);
	ck_assert_int_eq(found->is_estimate, e.kind == ESTIMATE);
	ck_assert_int_eq(found->is_unknown, e.kind == UNKNOWN);
}

START_TEST(what_was_not_counted_to_the_end_is_estimated_or_said_to_be_unknown)
{
	struct overview v = {0};

	overview_tally(&v, &cases[_i].tally);
	expect(&v.due, cases[_i].due);
	expect(&v.scheduled, cases[_i].scheduled);
	expect(&v.failed, cases[_i].failed);
	expect(&v.sent, cases[_i].sent);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("overview");
	TCase *tc = tcase_create("overview");

	tcase_add_loop_test(
		tc, what_was_not_counted_to_the_end_is_estimated_or_said_to_be_unknown, 0,
		sizeof(cases) / sizeof(cases[0]));
	suite_add_tcase(suite, tc);
	return suite;
}
