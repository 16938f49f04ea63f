#include "engine/policy.h"

#include <stdlib.h>

#include "unit/unit.h"

#define MIDDLE 0x80000000U /* no jitter */

static const struct policy policy = {.max_attempts = 3, .delay = {10000, 2, 600000, 20}};
static const struct policy counting = {.max_attempts = 3,
				       .counts_outages = true,
				       .delay = {10000, 2, 600000, 20}};

/* What becomes of a row with `try_count` attempts charged before. */
static const struct {
	const char *what;
	enum verdict verdict;
	int64_t try_count;
	const struct policy *policy;
	enum policy_action action;
	struct decision decision;
} cases[] = {
	{"an ack is the end, charged nothing",
	 VERDICT_SENT,
	 0,
	 &policy,
	 POLICY_DECIDE,
	 {FATE_SENT, 0, 0}},
	{"an ack is the end at the last attempt, too",
	 VERDICT_SENT,
	 2,
	 &policy,
	 POLICY_DECIDE,
	 {FATE_SENT, 0, 0}},

	{"a return is charged",
	 VERDICT_RETURNED,
	 0,
	 &policy,
	 POLICY_DECIDE,
	 {FATE_RETRY, 1, 10000}},
	{"the second return waits longer",
	 VERDICT_RETURNED,
	 1,
	 &policy,
	 POLICY_DECIDE,
	 {FATE_RETRY, 1, 20000}},
	{"the third return fails",
	 VERDICT_RETURNED,
	 2,
	 &policy,
	 POLICY_DECIDE,
	 {FATE_FAILED, 1, 0}},
	{"a row over its attempts fails",
	 VERDICT_RETURNED,
	 7,
	 &policy,
	 POLICY_DECIDE,
	 {FATE_FAILED, 1, 0}},

	{"a nack is charged",
	 VERDICT_NACKED,
	 0,
	 &policy,
	 POLICY_DECIDE,
	 {FATE_RETRY, 1, 10000}},
	{"the third nack fails",
	 VERDICT_NACKED,
	 2,
	 &policy,
	 POLICY_DECIDE,
	 {FATE_FAILED, 1, 0}},

	{"a channel closed over one row is charged",
	 VERDICT_REFUSED,
	 0,
	 &policy,
	 POLICY_DECIDE,
	 {FATE_RETRY, 1, 10000}},
	{"the third refusal fails",
	 VERDICT_REFUSED,
	 2,
	 &policy,
	 POLICY_DECIDE,
	 {FATE_FAILED, 1, 0}},

	{"a channel closed over several charges nobody",
	 VERDICT_UNCLEAR,
	 0,
	 &policy,
	 POLICY_ALONE,
	 {FATE_RETRY, 0, 10000}},
	{"not even at the last attempt",
	 VERDICT_UNCLEAR,
	 2,
	 &policy,
	 POLICY_ALONE,
	 {FATE_RETRY, 0, 20000}},
	{"nor where outages count",
	 VERDICT_UNCLEAR,
	 2,
	 &counting,
	 POLICY_ALONE,
	 {FATE_RETRY, 0, 20000}},

	{"what cannot be expressed fails at once, uncharged",
	 VERDICT_INVALID,
	 0,
	 &policy,
	 POLICY_DECIDE,
	 {FATE_FAILED, 0, 0}},

	{"no confirm while others have theirs is charged",
	 VERDICT_OVERDUE,
	 0,
	 &policy,
	 POLICY_DECIDE,
	 {FATE_RETRY, 1, 10000}},
	{"the third silence fails",
	 VERDICT_OVERDUE,
	 2,
	 &policy,
	 POLICY_DECIDE,
	 {FATE_FAILED, 1, 0}},

	{"a lost connection charges nobody",
	 VERDICT_NONE,
	 0,
	 &policy,
	 POLICY_AGAIN,
	 {FATE_RETRY, 0, 10000}},
	{"and fails nobody",
	 VERDICT_NONE,
	 2,
	 &policy,
	 POLICY_AGAIN,
	 {FATE_RETRY, 0, 20000}},
	{"lost alone makes room, uncharged",
	 VERDICT_DEFERRED,
	 0,
	 &policy,
	 POLICY_DECIDE,
	 {FATE_RETRY, 0, 10000}},
	{"lost alone never fails",
	 VERDICT_DEFERRED,
	 2,
	 &policy,
	 POLICY_DECIDE,
	 {FATE_RETRY, 0, 20000}},

	{"where outages count, a lost connection charges",
	 VERDICT_NONE,
	 0,
	 &counting,
	 POLICY_DECIDE,
	 {FATE_RETRY, 1, 10000}},
	{"and the third fails",
	 VERDICT_NONE,
	 2,
	 &counting,
	 POLICY_DECIDE,
	 {FATE_FAILED, 1, 0}},
	{"lost alone likewise",
	 VERDICT_DEFERRED,
	 2,
	 &counting,
	 POLICY_DECIDE,
	 {FATE_FAILED, 1, 0}},
	{"a count of outages changes no other verdict",
	 VERDICT_SENT,
	 2,
	 &counting,
	 POLICY_DECIDE,
	 {FATE_SENT, 0, 0}},

	{"a row that killed its relay is charged",
	 VERDICT_CRASHED,
	 0,
	 &policy,
	 POLICY_DECIDE,
	 {FATE_RETRY, 1, 10000}},
	{"the third death fails",
	 VERDICT_CRASHED,
	 2,
	 &policy,
	 POLICY_DECIDE,
	 {FATE_FAILED, 1, 0}},

	{"delays end at the cap",
	 VERDICT_DEFERRED,
	 1000,
	 &policy,
	 POLICY_DECIDE,
	 {FATE_RETRY, 0, 600000}},
};

START_TEST(each_verdict_does_what_the_table_says)
{
	struct decision d;

	ck_assert_msg(policy_decide(cases[_i].policy, cases[_i].verdict,
				    cases[_i].try_count, MIDDLE, &d) == cases[_i].action,
		      "action: %s", cases[_i].what);
	ck_assert_msg(d.fate == cases[_i].decision.fate, "fate: %s", cases[_i].what);
	ck_assert_msg(d.charge == cases[_i].decision.charge, "charge: %s",
		      cases[_i].what);
	ck_assert_msg(d.delay_ms == cases[_i].decision.delay_ms, "delay: %s",
		      cases[_i].what);
}
END_TEST

START_TEST(one_attempt_means_one)
{
	const struct policy once = {.max_attempts = 1, .delay = policy.delay};
	struct decision d;

	policy_decide(&once, VERDICT_NACKED, 0, MIDDLE, &d);
	ck_assert_int_eq(d.fate, FATE_FAILED);
	ck_assert_int_eq(d.charge, 1);
}
END_TEST

static const struct {
	uint32_t random;
	int64_t expected_ms;
} spreads[] = {{0, 8000}, {MIDDLE, 10000}, {0xffffffffU, 11999}};

START_TEST(delays_are_spread_by_the_jitter)
{
	struct decision d;

	policy_decide(&policy, VERDICT_NACKED, 0, spreads[_i].random, &d);
	ck_assert_int_eq(d.delay_ms, spreads[_i].expected_ms);
}
END_TEST

/* No sequence of verdicts charges more than max_attempts, and only a charge uses one up. */
START_TEST(no_sequence_of_verdicts_goes_past_the_last_attempt)
{
	srandom(7);
	for (int row = 0; row < 2000; row++) {
		int64_t try_count = 0;
		struct decision d = {.fate = FATE_RETRY};

		for (int step = 0; step < 50 && d.fate == FATE_RETRY; step++) {
			enum verdict v = (enum verdict)(random() % VERDICT_COUNT);

			policy_decide(&policy, v, try_count, (uint32_t)random(), &d);
			try_count += d.charge;
			ck_assert_int_le(try_count, policy.max_attempts);
			if (d.fate == FATE_RETRY)
				ck_assert_int_lt(try_count, policy.max_attempts);
			else if (d.fate == FATE_FAILED && v != VERDICT_INVALID)
				ck_assert_int_eq(try_count, policy.max_attempts);
		}
	}
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("policy");
	TCase *tc = tcase_create("policy");

	tcase_add_loop_test(tc, each_verdict_does_what_the_table_says, 0,
			    sizeof(cases) / sizeof(cases[0]));
	tcase_add_test(tc, one_attempt_means_one);
	tcase_add_loop_test(tc, delays_are_spread_by_the_jitter, 0,
			    sizeof(spreads) / sizeof(spreads[0]));
	tcase_add_test(tc, no_sequence_of_verdicts_goes_past_the_last_attempt);
	suite_add_tcase(suite, tc);
	return suite;
}
