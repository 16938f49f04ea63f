#include "broker/confirms.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit/unit.h"

#define LIMIT 64

static struct confirms c;
static struct receipt out[4 * LIMIT];

static void setup(void)
{
	confirms_init(&c, LIMIT);
}

static void teardown(void)
{
	confirms_release(&c);
}

static struct slice text(const char *s)
{
	return (struct slice){.data = s, .size = strlen(s)};
}

/* Publishes with the caller's tags first … first + count - 1, so that delivery tags
 * differ. */
static void add(uint64_t first, int count)
{
	for (int i = 0; i < count; i++)
		confirms_add(&c, first + (uint64_t)i, text("id"));
}

static int take(void)
{
	return confirms_take(&c, out, 4 * LIMIT);
}

START_TEST(an_ack_names_the_publish_by_its_delivery_tag)
{
	add(101, 3);
	confirms_settle(&c, 2, false, VERDICT_SENT);
	ck_assert_int_eq(take(), 1);
	ck_assert_uint_eq(out[0].tag, 102);
	ck_assert_int_eq(out[0].verdict, VERDICT_SENT);
	ck_assert_str_eq(out[0].reason, "");
	ck_assert_uint_eq(c.in_flight, 2);
	ck_assert_uint_eq(c.open, 2);
}
END_TEST

START_TEST(multiple_means_all_open_ones_up_to_the_tag)
{
	add(101, 5);
	confirms_settle(&c, 2, false, VERDICT_NACKED);
	confirms_settle(&c, 4, true, VERDICT_SENT);
	ck_assert_int_eq(take(), 4);
	ck_assert_uint_eq(out[0].tag, 102);
	ck_assert_int_eq(out[0].verdict, VERDICT_NACKED);
	ck_assert_ptr_nonnull(strstr(out[0].reason, "nacked"));
	for (int i = 1; i < 4; i++)
		ck_assert_int_eq(out[i].verdict, VERDICT_SENT);
	ck_assert_uint_eq(c.open, 1);
}
END_TEST

START_TEST(multiple_with_tag_0_means_all)
{
	add(101, 5);
	confirms_settle(&c, 0, true, VERDICT_SENT);
	ck_assert_int_eq(take(), 5);
}
END_TEST

START_TEST(the_first_verdict_stands_when_confirms_overlap)
{
	add(101, 10);
	confirms_settle(&c, 9, true, VERDICT_SENT);
	confirms_settle(&c, 8, true, VERDICT_NACKED);
	confirms_settle(&c, 3, false, VERDICT_NACKED);
	ck_assert_int_eq(take(), 9);
	for (int i = 0; i < 9; i++)
		ck_assert_int_eq(out[i].verdict, VERDICT_SENT);
	ck_assert_uint_eq(c.ignored, 2);
	ck_assert_int_eq(take(), 0);
}
END_TEST

START_TEST(confirms_of_tags_never_used_are_ignored_and_counted)
{
	static const uint64_t tags[] = {0, 4, 5, 1000, UINT64_MAX, UINT64_MAX - 3};

	add(101, 3);
	for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); i++)
		confirms_settle(&c, tags[i], false, VERDICT_SENT);
	confirms_settle(&c, 4, true, VERDICT_SENT);
	ck_assert_int_eq(take(), 0);
	ck_assert_uint_eq(c.ignored, 7);
}
END_TEST

START_TEST(a_returned_message_is_returned_though_it_is_acked)
{
	confirms_add(&c, 101, text("a"));
	confirms_add(&c, 102, text("b"));
	confirms_returned(&c, text("b"), "312 NO_ROUTE");
	confirms_settle(&c, 2, true, VERDICT_SENT);
	ck_assert_int_eq(take(), 2);
	ck_assert_int_eq(out[0].verdict, VERDICT_SENT);
	ck_assert_int_eq(out[1].verdict, VERDICT_RETURNED);
	ck_assert_str_eq(out[1].reason, "312 NO_ROUTE");
}
END_TEST

START_TEST(a_returned_message_that_is_nacked_is_nacked)
{
	add(101, 1);
	confirms_returned(&c, text("id"), "312 NO_ROUTE");
	confirms_settle(&c, 1, false, VERDICT_NACKED);
	ck_assert_int_eq(take(), 1);
	ck_assert_int_eq(out[0].verdict, VERDICT_NACKED);
}
END_TEST

START_TEST(two_messages_of_one_id_are_returned_one_by_one)
{
	add(101, 3);
	confirms_returned(&c, text("id"), "first");
	confirms_returned(&c, text("id"), "second");
	confirms_settle(&c, 3, true, VERDICT_SENT);
	ck_assert_int_eq(take(), 3);
	ck_assert_str_eq(out[0].reason, "first");
	ck_assert_str_eq(out[1].reason, "second");
	ck_assert_int_eq(out[2].verdict, VERDICT_SENT);
}
END_TEST

START_TEST(returns_out_of_order_are_found)
{
	static const char *const ids[] = {"a", "b", "c", "d"};

	for (int i = 0; i < 4; i++)
		confirms_add(&c, 101 + (uint64_t)i, text(ids[i]));
	confirms_returned(&c, text("c"), "c");
	confirms_returned(&c, text("a"), "a");
	confirms_returned(&c, text("x"), "x");
	confirms_settle(&c, 4, true, VERDICT_SENT);
	ck_assert_int_eq(take(), 4);
	ck_assert_str_eq(out[0].reason, "a");
	ck_assert_str_eq(out[2].reason, "c");
	ck_assert_uint_eq(c.ignored, 1);
}
END_TEST

START_TEST(receipts_come_in_portions)
{
	add(101, 10);
	confirms_settle(&c, 10, true, VERDICT_SENT);
	ck_assert_int_eq(confirms_take(&c, out, 4), 4);
	ck_assert_uint_eq(c.in_flight, 6);
	ck_assert_int_eq(confirms_take(&c, out + 4, 4), 4);
	ck_assert_int_eq(confirms_take(&c, out + 8, 4), 2);
	for (int i = 0; i < 10; i++)
		ck_assert_uint_eq(out[i].tag, 101 + (uint64_t)i);
}
END_TEST

START_TEST(a_forgotten_publish_gets_no_receipt_but_stays_a_suspect)
{
	add(101, 2);
	confirms_forget(&c, 101);
	ck_assert_uint_eq(c.in_flight, 1);
	ck_assert_uint_eq(c.open, 2);
	confirms_settle(&c, 2, true, VERDICT_SENT);
	ck_assert_int_eq(take(), 1);
	ck_assert_uint_eq(out[0].tag, 102);
	ck_assert_uint_eq(c.open, 0);
}
END_TEST

START_TEST(a_verdict_not_yet_taken_can_be_forgotten)
{
	add(101, 3);
	confirms_settle(&c, 3, true, VERDICT_SENT);
	confirms_forget(&c, 102);
	ck_assert_uint_eq(c.in_flight, 2);
	ck_assert_int_eq(take(), 2);
	ck_assert_uint_eq(out[1].tag, 103);
}
END_TEST

START_TEST(a_message_is_not_looked_at_once_it_is_forgotten)
{
	char *id = strdup("id");

	confirms_add(&c, 101, text(id));
	confirms_forget(&c, 101);
	free(id);
	confirms_returned(&c, text("id"), "312 NO_ROUTE");
	ck_assert_uint_eq(c.ignored, 1);
}
END_TEST

START_TEST(an_oldest_publish_without_verdict_fills_the_ring)
{
	for (int i = 0; i < LIMIT; i++) {
		ck_assert(!confirms_full(&c));
		add(101 + (uint64_t)i, 1);
	}
	for (uint64_t tag = 2; tag <= LIMIT; tag++)
		confirms_settle(&c, tag, false, VERDICT_SENT);
	ck_assert_int_eq(take(), LIMIT - 1);
	ck_assert(confirms_full(&c));
	confirms_settle(&c, 1, false, VERDICT_SENT);
	ck_assert_int_eq(take(), 1);
	ck_assert(!confirms_full(&c));
}
END_TEST

START_TEST(a_forgotten_publish_gives_way_when_the_ring_is_full)
{
	add(101, LIMIT);
	confirms_forget(&c, 101);
	confirms_settle(&c, 2, false, VERDICT_SENT);
	ck_assert_int_eq(take(), 1);
	ck_assert(!confirms_full(&c));
	add(500, 1);
	ck_assert_uint_eq(c.open, LIMIT);
	confirms_settle(&c, 1, false, VERDICT_SENT);
	ck_assert_uint_eq(c.ignored, 1);
	confirms_settle(&c, LIMIT + 1, true, VERDICT_SENT);
	ck_assert_int_eq(take(), LIMIT - 1);
	ck_assert_uint_eq(out[LIMIT - 2].tag, 500);
}
END_TEST

START_TEST(an_interrupted_channel_settles_all_and_counts_from_1_again)
{
	add(101, 3);
	confirms_settle(&c, 1, false, VERDICT_SENT);
	confirms_returned(&c, text("id"), "312 NO_ROUTE");
	confirms_interrupt(&c, VERDICT_UNCLEAR, "404 NOT_FOUND");
	add(201, 2);
	confirms_settle(&c, 2, false, VERDICT_SENT);
	ck_assert_int_eq(take(), 4);
	ck_assert_int_eq(out[1].verdict, VERDICT_UNCLEAR);
	ck_assert_str_eq(out[1].reason, "404 NOT_FOUND");
	ck_assert_int_eq(out[2].verdict, VERDICT_UNCLEAR);
	ck_assert_uint_eq(out[3].tag, 202);
	ck_assert_int_eq(out[3].verdict, VERDICT_SENT);
}
END_TEST

/* --- against a naive model: a flat list, searched from the front --- */

#define MODEL_MAX 4000

static struct {
	uint64_t tag;
	enum verdict verdict; /* NONE: open */
	bool returned, forgotten, taken;
} model[MODEL_MAX];
static int first, end; /* of the current channel */

static void model_settle(uint64_t tag, bool multiple, enum verdict verdict)
{
	if (tag > (uint64_t)(end - first))
		return; /* no such publish */
	for (int i = first; i < end; i++) {
		uint64_t delivery = (uint64_t)(i - first) + 1;

		if (model[i].verdict != VERDICT_NONE ||
		    (multiple ? delivery > tag && tag != 0 : delivery != tag))
			continue;
		model[i].verdict = verdict == VERDICT_SENT && model[i].returned
					   ? VERDICT_RETURNED
					   : verdict;
	}
}

static char ids[MODEL_MAX][16];

static void step_add(void)
{
	if (confirms_full(&c) || end == MODEL_MAX)
		return;
	snprintf(ids[end], sizeof(ids[end]), "m%d", end);
	model[end].tag = (uint64_t)end + 1;
	confirms_add(&c, model[end].tag, text(ids[end]));
	end++;
}

static void step_take(void)
{
	int count = confirms_take(&c, out, 1 + rand() % 8);

	for (int i = 0; i < count; i++) {
		int at = (int)out[i].tag - 1;

		ck_assert(!model[at].taken && !model[at].forgotten);
		ck_assert_int_eq(out[i].verdict, model[at].verdict);
		model[at].taken = true;
	}
}

static void step_forget(void)
{
	int at = end ? rand() % end : 0;

	if (end == 0 || model[at].taken || model[at].forgotten)
		return;
	confirms_forget(&c, model[at].tag);
	model[at].forgotten = true;
}

static void step_return(void)
{
	int at = end > first ? first + rand() % (end - first) : -1;

	if (at < 0 || model[at].verdict != VERDICT_NONE || model[at].forgotten)
		return;
	confirms_returned(&c, text(ids[at]), "returned");
	model[at].returned = true;
}

static void step_settle(void)
{
	uint64_t tag = (uint64_t)(rand() % (end - first + 3));
	bool multiple = rand() % 2;
	enum verdict verdict = rand() % 4 ? VERDICT_SENT : VERDICT_NACKED;

	/* What the ring gave up to make room is open in the model for ever; it is
	   forgotten, so only the count could show it. */
	confirms_settle(&c, tag, multiple, verdict);
	model_settle(tag, multiple, verdict);
}

static void step_interrupt(void)
{
	confirms_interrupt(&c, VERDICT_UNCLEAR, "gone");
	for (int i = first; i < end; i++) {
		if (model[i].verdict == VERDICT_NONE)
			model[i].verdict = VERDICT_UNCLEAR;
	}
	first = end;
}

static void check_counts(void)
{
	size_t owed = 0;

	for (int i = 0; i < end; i++)
		owed += !model[i].taken && !model[i].forgotten;
	ck_assert_uint_eq(c.in_flight, owed);
}

START_TEST(any_order_of_events_agrees_with_a_naive_model)
{
	srand((unsigned int)_i);
	for (int n = 0; n < unit_rounds(8000); n++) {
		int dice = rand() % 100;

		if (dice < 50)
			step_add();
		else if (dice < 70)
			step_settle();
		else if (dice < 80)
			step_return();
		else if (dice < 95)
			step_take();
		else if (dice < 99)
			step_forget();
		else
			step_interrupt();
		check_counts();
	}
	step_interrupt();
	while (c.queued)
		step_take();
	check_counts();
	ck_assert_uint_eq(c.in_flight, 0);
	ck_assert_uint_eq(c.open, 0);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("confirms");
	TCase *cases = tcase_create("confirms");

	tcase_add_checked_fixture(cases, setup, teardown);
	tcase_add_test(cases, an_ack_names_the_publish_by_its_delivery_tag);
	tcase_add_test(cases, multiple_means_all_open_ones_up_to_the_tag);
	tcase_add_test(cases, multiple_with_tag_0_means_all);
	tcase_add_test(cases, the_first_verdict_stands_when_confirms_overlap);
	tcase_add_test(cases, confirms_of_tags_never_used_are_ignored_and_counted);
	tcase_add_test(cases, a_returned_message_is_returned_though_it_is_acked);
	tcase_add_test(cases, a_returned_message_that_is_nacked_is_nacked);
	tcase_add_test(cases, two_messages_of_one_id_are_returned_one_by_one);
	tcase_add_test(cases, returns_out_of_order_are_found);
	tcase_add_test(cases, receipts_come_in_portions);
	tcase_add_test(cases, a_forgotten_publish_gets_no_receipt_but_stays_a_suspect);
	tcase_add_test(cases, a_verdict_not_yet_taken_can_be_forgotten);
	tcase_add_test(cases, a_message_is_not_looked_at_once_it_is_forgotten);
	tcase_add_test(cases, an_oldest_publish_without_verdict_fills_the_ring);
	tcase_add_test(cases, a_forgotten_publish_gives_way_when_the_ring_is_full);
	tcase_add_test(cases, an_interrupted_channel_settles_all_and_counts_from_1_again);
	tcase_add_loop_test(cases, any_order_of_events_agrees_with_a_naive_model, 0, 20);
	suite_add_tcase(suite, cases);
	return suite;
}
