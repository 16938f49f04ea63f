#include "store/settle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake/fake_batch.h"
#include "unit/unit.h"

static struct pg_params p;
static struct batch *b, *other;

static void setup(void)
{
	b = fake_batch(1, 100, 6);
	other = fake_batch(2, 200, 2);
}

static void teardown(void)
{
	batch_free(b);
	batch_free(other);
	pg_params_release(&p);
}

static void settle_sent(void)
{
	settle_params_sent(&p, (struct batch *[]){b, other}, 2, 77);
}

static void decide(int index, enum fate fate, int charge, int64_t delay_ms,
		   const char *reason)
{
	struct decision d = {.fate = fate, .charge = charge, .delay_ms = delay_ms};

	batch_decide(b, &b->rows[index], d, reason);
}

/* --- reading what was written --- */

static const unsigned char *bytes_of(int index)
{
	ck_assert_int_lt(index, p.count);
	return (const unsigned char *)p.bytes.data + p.items[index].offset;
}

static int64_t number(const unsigned char *at, int size)
{
	uint64_t value = 0;

	for (int i = 0; i < size; i++)
		value = value << 8 | at[i];
	return (int64_t)value;
}

/* Numbers and texts alike as "{1,2,…}". */
static const char *array(int index)
{
	static char text[512];
	const unsigned char *at = bytes_of(index);
	bool is_text = p.items[index].type == 1009;
	int count = number(at, 4) ? (int)number(at + 12, 4) : 0;
	size_t used = 0;

	ck_assert(is_text || p.items[index].type == 1016);
	at += count ? 20 : 12;
	used += (size_t)snprintf(text, sizeof(text), "{");
	for (int i = 0; i < count; i++) {
		int size = (int)number(at, 4);

		if (is_text)
			used += (size_t)snprintf(text + used, sizeof(text) - used,
						 "%s%.*s", i ? "," : "", size, at + 4);
		else
			used += (size_t)snprintf(text + used, sizeof(text) - used,
						 "%s%lld", i ? "," : "",
						 (long long)number(at + 4, 8));
		at += 4 + size;
	}
	ck_assert_ptr_eq(at, bytes_of(index) + p.items[index].size);
	snprintf(text + used, sizeof(text) - used, "}");
	return text;
}

/* --- parameters --- */

START_TEST(what_was_sent_goes_with_its_claim_and_nothing_else_does)
{
	decide(0, FATE_SENT, 0, 0, NULL);
	decide(3, FATE_SENT, 0, 0, NULL);
	batch_set_state(b, &b->rows[1], ROW_IN_FLIGHT);
	decide(4, FATE_SENT, 0, 0, NULL);
	batch_set_state(b, &b->rows[4], ROW_SETTLED);
	batch_decide(other, &other->rows[1], (struct decision){.fate = FATE_SENT}, NULL);
	b->claim_id = 11;
	other->claim_id = 12;
	settle_sent();
	ck_assert_int_eq(p.count, 4);
	ck_assert_str_eq(array(0), "{11,12}");
	ck_assert_int_eq(number(bytes_of(1), 4), 77);
	ck_assert_str_eq(array(2), "{100,103,201}");
	ck_assert_str_eq(array(3), "{11,11,12}");
}
END_TEST

START_TEST(a_batch_without_any_verdict_still_closes_its_claim)
{
	b->claim_id = 11;
	other->claim_id = 12;
	settle_sent();
	ck_assert_str_eq(array(0), "{11,12}");
	ck_assert_str_eq(array(2), "{}");
	ck_assert_str_eq(array(3), "{}");
}
END_TEST

START_TEST(refused_rows_come_as_columns_of_one_table)
{
	b->rows[1].try_count = 1;
	b->rows[2].try_count = 2;
	decide(0, FATE_SENT, 0, 0, NULL);
	decide(1, FATE_RETRY, 1, 10000, "returned: 312");
	decide(2, FATE_FAILED, 1, 0, "nacked");
	decide(4, FATE_RETRY, 0, 20000, NULL);
	b->rows[1].verdict = VERDICT_RETURNED;
	b->rows[1].latency_ms = 12;
	b->rows[2].verdict = VERDICT_NACKED;
	b->rows[4].verdict = VERDICT_DEFERRED;
	b->rows[4].latency_ms = -1;
	decide(5, FATE_SENT, 0, 0, NULL);
	ck_assert(settle_tells(b));
	settle_params(&p, b, 77, SETTLE_CLOSE, 0);
	ck_assert_int_eq(p.count, 11);
	ck_assert_str_eq(array(2), "{100,105}");
	ck_assert_str_eq(array(3), "{101,102,104}");
	ck_assert_str_eq(array(4), "{sending,failed,sending}");
	ck_assert_str_eq(array(5), "{1,1,0}");
	ck_assert_str_eq(array(6), "{10000,0,20000}");
	ck_assert_str_eq(array(7), "{returned: 312,nacked,}");
	ck_assert_str_eq(array(8), "{1,2,0}");
	ck_assert_str_eq(array(9), "{returned,nacked,deferred}");
	ck_assert_str_eq(array(10), "{12,0,-1}");
}
END_TEST

START_TEST(a_row_that_is_sent_in_the_end_is_told_of_when_it_has_a_history)
{
	b->rows[2].has_history = true;
	b->rows[2].latency_ms = 7;
	decide(1, FATE_SENT, 0, 0, NULL);
	decide(2, FATE_SENT, 0, 0, NULL);
	b->rows[2].verdict = VERDICT_SENT;
	ck_assert(settle_tells(b));
	settle_params(&p, b, 77, SETTLE_CLOSE, 0);
	ck_assert_str_eq(array(2), "{101,102}");
	ck_assert_str_eq(array(3), "{102}");
	ck_assert_str_eq(array(4), "{sent}");
	ck_assert_str_eq(array(9), "{confirmed}");
	ck_assert_str_eq(array(10), "{7}");
}
END_TEST

static const struct {
	enum settle_form form;
	int64_t publishing_id;
} names[] = {
	{SETTLE_KEEP, 104},
	{SETTLE_KEEP, 0},
	{SETTLE_CAREFUL, 104},
	{SETTLE_CAREFUL, 0},
};

START_TEST(a_claim_that_is_kept_names_a_row_or_none)
{
	decide(0, FATE_SENT, 0, 0, NULL);
	settle_params(&p, b, 77, names[_i].form, names[_i].publishing_id);
	ck_assert_int_eq(p.items[3].is_null, names[_i].publishing_id == 0);
	ck_assert_uint_eq(p.items[3].type, 20);
	if (names[_i].publishing_id)
		ck_assert_int_eq(number(bytes_of(3), 8), names[_i].publishing_id);
	ck_assert_int_eq(p.count, names[_i].form == SETTLE_CAREFUL ? 5 : 4);
}
END_TEST

START_TEST(the_careful_form_has_all_ids_to_look_for_locks)
{
	decide(0, FATE_SENT, 0, 0, NULL);
	decide(1, FATE_RETRY, 1, 10000, "no");
	settle_params(&p, b, 77, SETTLE_CAREFUL, 0);
	ck_assert_str_eq(array(2), "{100}");
	ck_assert_str_eq(array(4), "{100,101}");
	ck_assert_str_eq(array(5), "{101}");
	ck_assert_int_eq(p.count, 13);
}
END_TEST

START_TEST(parameters_are_written_anew_each_time)
{
	decide(1, FATE_RETRY, 1, 10000, "no");
	settle_params(&p, b, 77, SETTLE_CLOSE, 0);
	batch_move_all(b, ROW_DECIDED, ROW_SETTLING);
	ck_assert(!settle_tells(b));
	settle_sent();
	ck_assert_int_eq(p.count, 4);
}
END_TEST

/* --- texts --- */

/* The highest $n of the statement. */
static int highest(const char *sql)
{
	int most = 0;

	for (const char *c = strchr(sql, '$'); c; c = strchr(c + 1, '$')) {
		int n = (int)strtol(c + 1, NULL, 10);

		most = n > most ? n : most;
	}
	return most;
}

/* Every form: a text that uses the parameters that settle_params() writes for it, no others. */
START_TEST(text_and_parameters_fit_together)
{
	enum settle_form form = (enum settle_form)(_i % SETTLE_FORMS);
	bool tells = _i / SETTLE_FORMS % 2;
	bool deletes = _i / SETTLE_FORMS / 2;
	char *sql = settle_text(form, deletes, tells);
	char parameter[16];

	if (tells ? form == SETTLE_SENT : form == SETTLE_CLOSE) {
		ck_assert_ptr_null(sql);
		return;
	}
	decide(0, FATE_SENT, 0, 0, NULL);
	if (tells)
		decide(1, FATE_RETRY, 1, 10000, "no");
	ck_assert_int_eq(settle_tells(b), tells);
	if (form == SETTLE_SENT)
		settle_sent();
	else
		settle_params(&p, b, 77, form, 0);
	ck_assert_int_eq(highest(sql), p.count);
	for (int n = 1; n <= p.count; n++) {
		snprintf(parameter, sizeof(parameter), "$%d", n);
		ck_assert_msg(strstr(sql, parameter), "%s is not in: %s", parameter, sql);
	}
	ck_assert_ptr_null(strchr(sql, '%'));
	ck_assert_int_eq(strstr(sql, "DELETE FROM message_log_claim") != NULL,
			 form == SETTLE_SENT || form == SETTLE_CLOSE);
	ck_assert_int_eq(strstr(sql, "DELETE FROM message_log WHERE") != NULL, deletes);
	ck_assert_int_eq(strstr(sql, "INTO message_log_attempt") != NULL, tells);
	ck_assert_int_eq(strstr(sql, "FROM message_log_attempt WHERE") != NULL,
			 tells && deletes);
	ck_assert_int_eq(strstr(sql, "SKIP LOCKED") != NULL, form == SETTLE_CAREFUL);
	free(sql);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("settle");
	TCase *tc = tcase_create("settle");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, what_was_sent_goes_with_its_claim_and_nothing_else_does);
	tcase_add_test(tc, a_batch_without_any_verdict_still_closes_its_claim);
	tcase_add_test(tc, refused_rows_come_as_columns_of_one_table);
	tcase_add_test(tc,
		       a_row_that_is_sent_in_the_end_is_told_of_when_it_has_a_history);
	tcase_add_loop_test(tc, a_claim_that_is_kept_names_a_row_or_none, 0,
			    sizeof(names) / sizeof(names[0]));
	tcase_add_test(tc, the_careful_form_has_all_ids_to_look_for_locks);
	tcase_add_test(tc, parameters_are_written_anew_each_time);
	tcase_add_loop_test(tc, text_and_parameters_fit_together, 0, 4 * SETTLE_FORMS);
	suite_add_tcase(suite, tc);
	return suite;
}
