/* relay/base/human: what people read and write. */
#include "unit/unit.h"

#include <stdlib.h>
#include <string.h>

#include "base/human.h"

static char out[HUMAN_MAX];

#define SECOND INT64_C(1000)
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)

static const struct {
	int64_t ms;
	const char *text;
} ages[] = {
	{-5, "0 s"},
	{0, "0.0 s"},
	{999, "0.9 s"},
	{9999, "9.9 s"},
	{10 * SECOND, "10 s"},
	{MINUTE - 1, "59 s"},
	{MINUTE, "1 min 0 s"},
	{HOUR - 1, "59 min 59 s"},
	{HOUR, "1 h 0 min"},
	{DAY - 1, "23 h 59 min"},
	{3 * DAY + 4 * HOUR, "3 d 4 h"},
};

START_TEST(an_age_has_its_two_largest_units)
{
	ck_assert_str_eq(human_age(ages[_i].ms, out), ages[_i].text);
}
END_TEST

static const struct {
	int64_t n;
	const char *text;
} counts[] = {
	{0, "0"},
	{999, "999"},
	{1000, "1,000"},
	{1234567, "1,234,567"},
	{-1000, "-1,000"},
	{-100, "-100"},
	{INT64_MAX, "9,223,372,036,854,775,807"},
};

START_TEST(thousands_are_set_apart)
{
	ck_assert_str_eq(human_count(counts[_i].n, out), counts[_i].text);
}
END_TEST

static const struct {
	int64_t n;
	const char *text;
} sizes[] = {
	{0, "0 B"},        {1023, "1023 B"},     {1024, "1.0 KiB"},
	{1536, "1.5 KiB"}, {1048575, "1.0 MiB"}, {INT64_C(5) << 30, "5.0 GiB"},
};

START_TEST(bytes_are_told_in_the_unit_that_fits)
{
	ck_assert_str_eq(human_bytes(sizes[_i].n, out), sizes[_i].text);
}
END_TEST

START_TEST(one_is_singular)
{
	ck_assert_str_eq(human_plural(0, "row", out), "0 rows");
	ck_assert_str_eq(human_plural(1, "row", out), "1 row");
	ck_assert_str_eq(human_plural(1200, "row", out), "1,200 rows");
}
END_TEST

static const struct {
	const char *text;
	int64_t ms;
} parsed[] = {
	{"0s", 0},
	{"90s", 90 * SECOND},
	{"5m", 5 * MINUTE},
	{"12h", 12 * HOUR},
	{"7d", 7 * DAY},
	{"2w", 14 * DAY},
	{"", -1},
	{"s", -1},
	{"7", -1},
	{"-7d", -1},
	{"7 d", -1},
	{"7days", -1},
	{"7D", -1},
	{"1e3s", -1},
	{"99999999999999999999s", -1},
	{"99999w", -1},
};

START_TEST(an_age_is_a_number_and_a_unit)
{
	ck_assert_int_eq(human_parse_age(parsed[_i].text), parsed[_i].ms);
}
END_TEST

static const struct {
	const char *data;
	size_t size;
	const char *text;
} escapes[] = {
	{"plain", 5, "plain"},
	{"Grüße, 世界", 15, "Grüße, 世界"},
	{"a\nb\tc\rd", 7, "a\\nb\\tc\\rd"},
	{"\033[2J", 4, "\\x1b[2J"},
	{"a\0b", 3, "a\\x00b"},
	{"\x7f", 1, "\\x7f"},
	{"\xc2\x9b"
	 "31m",
	 5, "\\u009b31m"},
	{"\xe2\x80\xae", 3, "\\u202e"},
	{"\xff\xfe", 2, "\\xff\\xfe"},
	{"\xc0\x80", 2, "\\xc0\\x80"},          /* overlong */
	{"\xed\xa0\x80", 3, "\\xed\\xa0\\x80"}, /* a surrogate */
	{"\xe4\xb8", 2, "\\xe4\\xb8"},          /* cut */
	{"\xf3\xa0\x80\x81", 4, "\\U000e0001"},
};

START_TEST(what_a_terminal_would_obey_is_shown_as_an_escape)
{
	struct buffer b = {0};

	human_escape(&b, escapes[_i].data, escapes[_i].size);
	ck_assert_str_eq(buffer_text(&b), escapes[_i].text);
	buffer_release(&b);
}
END_TEST

START_TEST(a_block_keeps_its_lines_and_tabs)
{
	struct buffer b = {0};

	human_escape_block(&b, "a\n\tb\033\r", 6);
	ck_assert_str_eq(buffer_text(&b), "a\n\tb\\x1b\\r");
	buffer_release(&b);
}
END_TEST

START_TEST(text_is_utf_8_without_controls)
{
	ck_assert(human_is_text("", 0));
	ck_assert(human_is_text("a\r\n\tb ü", 8));
	ck_assert(!human_is_text("a\0b", 3));
	ck_assert(!human_is_text("\033", 1));
	ck_assert(!human_is_text("\xff", 1));
}
END_TEST

START_TEST(width_counts_columns_not_bytes)
{
	ck_assert_uint_eq(human_width("abc"), 3);
	ck_assert_uint_eq(human_width("Grüße"), 5);
	ck_assert_uint_eq(human_width("世界"), 4);
	ck_assert_uint_eq(human_width("e\xcc\x81"), 1);
}
END_TEST

START_TEST(bytes_that_are_no_utf_8_become_the_replacement_character_in_json)
{
	json_t *j = human_json("a\xff\0z", 4);

	ck_assert_uint_eq(json_string_length(j), 6);
	ck_assert_mem_eq(json_string_value(j), "a\xef\xbf\xbd\0z", 6);
	json_decref(j);
}
END_TEST

static const struct {
	const char *json, *text;
} indents[] = {
	{"7", "7"},
	{"{}", "{}"},
	{" [ ] ", "[]"},
	{"{\"a\":1.10,\"b\":[true,null],\"c\":{}}",
	 "{\n  \"a\": 1.10,\n  \"b\": [\n    true,\n    null\n  ],\n  \"c\": {}\n}"},
	{"{\"a{,:\\\"}\":\"[\\\\\"}", "{\n  \"a{,:\\\"}\": \"[\\\\\"\n}"},
};

START_TEST(json_is_indented_and_no_value_is_touched)
{
	struct buffer b = {0};

	human_indent_json(&b, indents[_i].json, strlen(indents[_i].json));
	ck_assert_str_eq(buffer_text(&b), indents[_i].text);
	buffer_release(&b);
}
END_TEST

START_TEST(hex_has_sixteen_bytes_a_line_and_shows_the_printable_ones)
{
	struct buffer b = {0};

	human_hex(&b, "0123456789abcde\n\xff", 17);
	ck_assert_str_eq(
		buffer_text(&b),
		"00000000  30 31 32 33 34 35 36 37  38 39 61 62 63 64 65 0a  "
		"|0123456789abcde.|\n"
		"00000010  ff                                                |.|\n");
	buffer_release(&b);
}
END_TEST

#define COUNT(list) (int)(sizeof(list) / sizeof((list)[0]))

Suite *unit_suite(void)
{
	Suite *suite = suite_create("human");
	TCase *tc = tcase_create("human");

	tcase_add_loop_test(tc, an_age_has_its_two_largest_units, 0, COUNT(ages));
	tcase_add_loop_test(tc, thousands_are_set_apart, 0, COUNT(counts));
	tcase_add_loop_test(tc, bytes_are_told_in_the_unit_that_fits, 0, COUNT(sizes));
	tcase_add_test(tc, one_is_singular);
	tcase_add_loop_test(tc, an_age_is_a_number_and_a_unit, 0, COUNT(parsed));
	tcase_add_loop_test(tc, what_a_terminal_would_obey_is_shown_as_an_escape, 0,
			    COUNT(escapes));
	tcase_add_test(tc, a_block_keeps_its_lines_and_tabs);
	tcase_add_test(tc, text_is_utf_8_without_controls);
	tcase_add_test(tc, width_counts_columns_not_bytes);
	tcase_add_test(tc,
		       bytes_that_are_no_utf_8_become_the_replacement_character_in_json);
	tcase_add_loop_test(tc, json_is_indented_and_no_value_is_touched, 0,
			    COUNT(indents));
	tcase_add_test(tc, hex_has_sixteen_bytes_a_line_and_shows_the_printable_ones);
	suite_add_tcase(suite, tc);
	return suite;
}
