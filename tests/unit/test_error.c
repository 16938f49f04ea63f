#include "base/error.h"

#include <string.h>

#include "unit/unit.h"

START_TEST(set_fills_kind_and_text_and_returns_minus_1)
{
	struct error err;

	ck_assert_int_eq(error_set(&err, ERROR_LOST, "port %d is closed", 5672), -1);
	ck_assert_int_eq(err.kind, ERROR_LOST);
	ck_assert_str_eq(err.text, "port 5672 is closed");
}
END_TEST

static const struct {
	const char *given, *expected;
} lines[] = {
	{"one line", "one line"},
	{"FATAL:  gone\n", "FATAL:  gone"},
	{"two\nlines\twith\x7f controls\r\n \n", "two lines with  controls"},
	{" \n\t", ""},
	{"", ""},
	{"caf\xc3\xa9", "caf\xc3\xa9"},
};

START_TEST(a_text_is_always_one_line)
{
	struct error err;

	error_set(&err, ERROR_LOST, "%s", lines[_i].given);
	ck_assert_str_eq(err.text, lines[_i].expected);
}
END_TEST

START_TEST(a_text_too_long_is_cut)
{
	struct error err;
	char text[2 * sizeof(err.text)];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	error_set(&err, ERROR_LOST, "%s", text);
	ck_assert_uint_eq(strlen(err.text), sizeof(err.text) - 1);
}
END_TEST

START_TEST(context_grows_outwards_and_the_kind_stays)
{
	struct error err;

	error_set(&err, ERROR_REFUSED, "no such table");
	ck_assert_int_eq(error_wrap(&err, "schema %s", "shop"), -1);
	error_wrap(&err, "open");
	ck_assert_int_eq(err.kind, ERROR_REFUSED);
	ck_assert_str_eq(err.text, "open: schema shop: no such table");
}
END_TEST

START_TEST(context_too_long_cuts_what_is_inside)
{
	struct error err;
	char text[2 * sizeof(err.text)];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	error_set(&err, ERROR_LOST, "%s", text);
	error_wrap(&err, "outside");
	ck_assert_uint_eq(strlen(err.text), sizeof(err.text) - 1);
	ck_assert(strncmp(err.text, "outside: xxx", 12) == 0);
	error_wrap(&err, "%s", text);
	ck_assert_uint_eq(strlen(err.text), sizeof(err.text) - 1);
	ck_assert_ptr_null(strstr(err.text, "outside"));
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("error");
	TCase *tc = tcase_create("error");

	tcase_add_test(tc, set_fills_kind_and_text_and_returns_minus_1);
	tcase_add_loop_test(tc, a_text_is_always_one_line, 0,
			    sizeof(lines) / sizeof(lines[0]));
	tcase_add_test(tc, a_text_too_long_is_cut);
	tcase_add_test(tc, context_grows_outwards_and_the_kind_stays);
	tcase_add_test(tc, context_too_long_cuts_what_is_inside);
	suite_add_tcase(suite, tc);
	return suite;
}
