#include "base/log.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "unit/unit.h"

/* Standard error is a pipe during a test; what was logged is read back from it. */
static int saved_stderr;
static int log_pipe[2];

static void setup(void)
{
	saved_stderr = dup(STDERR_FILENO);
	ck_assert_int_eq(pipe2(log_pipe, O_NONBLOCK), 0);
	dup2(log_pipe[1], STDERR_FILENO);
	log_setup(LOG_LEVEL_DEBUG, LOG_FORMAT_LOGFMT);
}

static void teardown(void)
{
	dup2(saved_stderr, STDERR_FILENO);
	close(saved_stderr);
	close(log_pipe[0]);
	close(log_pipe[1]);
}

static char logged[256 * 1024];

static const char *read_log(void)
{
	size_t size = 0;
	ssize_t n;

	while ((n = read(log_pipe[0], logged + size, sizeof(logged) - 1 - size)) > 0)
		size += (size_t)n;
	logged[size] = '\0';
	return logged;
}

/* Without "ts=2026-01-31T23:59:59.123Z " or {"ts":"…",. */
static const char *read_after_time(void)
{
	const char *line = read_log();
	const char *after = strchr(line, 'Z');

	ck_assert_ptr_nonnull(after);
	return after + 2;
}

START_TEST(a_line_has_time_level_event_and_fields_in_order)
{
	log_info("broker connected", LOG_STR("peer", "localhost:5672"),
		 LOG_INT("ms", -12));
	ck_assert(strncmp(read_log(), "ts=20", 5) == 0);
	ck_assert_str_eq(strchr(logged, 'Z') + 1,
			 " level=info event=\"broker connected\" "
			 "peer=localhost:5672 ms=-12\n");
}
END_TEST

START_TEST(a_line_is_an_object_in_json)
{
	log_setup(LOG_LEVEL_DEBUG, LOG_FORMAT_JSON);
	log_error("failed", LOG_STR("error", "say \"no\"\n"), LOG_INT("rows", INT64_MAX),
		  LOG_STR("peer", "a"));
	ck_assert(strncmp(read_log(), "{\"ts\":\"20", 9) == 0);
	ck_assert_str_eq(
		strchr(logged, 'Z') + 1,
		"\",\"level\":\"error\",\"event\":\"failed\",\"error\":\"say "
		"\\\"no\\\"\\u000a\",\"rows\":9223372036854775807,\"peer\":\"a\"}\n");
}
END_TEST

START_TEST(an_event_needs_no_fields_and_a_field_without_a_key_is_skipped)
{
	log_warn("alone");
	ck_assert_str_eq(read_after_time(), "level=warn event=alone\n");
	log_warn("some", LOG_STR(NULL, "x"), LOG_INT("n", 1));
	ck_assert_str_eq(read_after_time(), "level=warn event=some n=1\n");
}
END_TEST

static const struct {
	const char *value, *printed;
} values[] = {
	{"plain", "plain"},
	{"", "\"\""},
	{"two words", "\"two words\""},
	{"a=b", "\"a=b\""},
	{"quo\"te", "\"quo\\\"te\""},
	{"back\\slash", "\"back\\\\slash\""},
	{"new\nline", "\"new\\u000aline\""},
	{"del\x7f", "\"del\\u007f\""},
	{"caf\xc3\xa9", "\"caf\xc3\xa9\""},
};

START_TEST(a_value_is_quoted_and_escaped_where_it_must_be)
{
	char expected[64];

	log_info("e", LOG_STR("k", values[_i].value));
	snprintf(expected, sizeof(expected), "level=info event=e k=%s\n",
		 values[_i].printed);
	ck_assert_str_eq(read_after_time(), expected);
}
END_TEST

START_TEST(lines_below_the_level_are_not_written)
{
	log_setup(LOG_LEVEL_WARN, LOG_FORMAT_LOGFMT);
	log_debug("a");
	log_info("b");
	ck_assert_str_eq(read_log(), "");
	log_warn("c");
	log_error("d");
	ck_assert_ptr_nonnull(strstr(read_log(), "level=warn event=c\n"));
	ck_assert_ptr_nonnull(strstr(logged, "level=error event=d\n"));
	log_setup(LOG_LEVEL_DEBUG, LOG_FORMAT_LOGFMT);
	log_debug("e");
	ck_assert_ptr_nonnull(strstr(read_log(), "level=debug event=e\n"));
}
END_TEST

/* `fill` characters and a good many fields: whatever the room, the line ends as it should. */
static void log_long_line(enum log_format format, size_t fill)
{
	static char text[2 * LOG_LINE_MAX];

	memset(text, 'x', fill);
	text[fill] = '\0';
	log_setup(LOG_LEVEL_DEBUG, format);
	log_info("long", LOG_STR("text", text), LOG_STR("quoted", "say \"no\""),
		 LOG_INT("number", INT64_MIN), LOG_STR("bare", "word"));
}

static const size_t fills[] = {
	LOG_LINE_MAX - 300, LOG_LINE_MAX - 150, LOG_LINE_MAX - 130,   LOG_LINE_MAX - 100,
	LOG_LINE_MAX - 75,  LOG_LINE_MAX - 71,  LOG_LINE_MAX - 60,    LOG_LINE_MAX - 1,
	LOG_LINE_MAX,       LOG_LINE_MAX + 1,   2 * LOG_LINE_MAX - 1,
};

START_TEST(a_line_too_long_is_cut_and_still_a_line)
{
	size_t size;

	log_long_line(LOG_FORMAT_LOGFMT, fills[_i]);
	size = strlen(read_log());
	ck_assert_uint_le(size, LOG_LINE_MAX);
	ck_assert_uint_ge(size, LOG_LINE_MAX - 300);
	ck_assert_ptr_eq(strchr(logged, '\n'), logged + size - 1);
	log_long_line(LOG_FORMAT_JSON, fills[_i]);
	size = strlen(read_log());
	ck_assert_uint_le(size, LOG_LINE_MAX);
	ck_assert_ptr_eq(strchr(logged, '\n'), logged + size - 1);
	ck_assert_int_eq(logged[size - 2], '}');
	ck_assert_msg(logged[size - 3] == '"' || strchr("0123456789", logged[size - 3]),
		      "cut within a field: …%s", logged + size - 20);
}
END_TEST

/* A stopped reader of a pipe: the relay goes on, and says later what was lost. */
START_TEST(a_full_pipe_drops_lines_and_the_next_line_says_how_many)
{
	char text[3000];
	uint64_t dropped;

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	for (int i = 0; i < 100; i++)
		log_info("filling", LOG_STR("text", text));
	dropped = log_dropped();
	ck_assert_uint_gt(dropped, 0);
	ck_assert_uint_lt(dropped, 100);
	read_log();
	log_info("again");
	snprintf(text, sizeof(text), "level=info event=again dropped=%d\n", (int)dropped);
	ck_assert_str_eq(read_after_time(), text);
	log_info("and again");
	ck_assert_str_eq(read_after_time(), "level=info event=\"and again\"\n");
	ck_assert_uint_eq(log_dropped(), dropped);
}
END_TEST

START_TEST(a_full_disk_drops_lines_and_nothing_else)
{
	int fd = open("/dev/full", O_WRONLY);

	ck_assert_int_ge(fd, 0);
	dup2(fd, STDERR_FILENO);
	close(fd);
	log_info("lost");
	ck_assert_uint_eq(log_dropped(), 1);
}
END_TEST

START_TEST(a_closed_standard_error_drops_lines_and_nothing_else)
{
	close(STDERR_FILENO);
	log_info("lost");
	ck_assert_uint_eq(log_dropped(), 1);
}
END_TEST

static void *write_lines(void *level)
{
	for (int i = 0; i < 200; i++) {
		log_setup(LOG_LEVEL_INFO, LOG_FORMAT_LOGFMT);
		log_write(*(enum log_level *)level, "line", NULL, 0);
	}
	return NULL;
}

START_TEST(lines_of_several_threads_stay_whole)
{
	enum log_level info = LOG_LEVEL_INFO, error = LOG_LEVEL_ERROR;
	pthread_t other;
	char *rest, *line;
	int lines = 0;

	pthread_create(&other, NULL, write_lines, &info);
	write_lines(&error);
	pthread_join(other, NULL);
	read_log();
	for (rest = logged; (line = strsep(&rest, "\n")) && *line;) {
		ck_assert(strncmp(line, "ts=20", 5) == 0);
		ck_assert_ptr_nonnull(strstr(line, " event=line"));
		lines++;
	}
	ck_assert_int_eq(lines, 400);
	ck_assert_uint_eq(log_dropped(), 0);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("log");
	TCase *tc = tcase_create("log");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, a_line_has_time_level_event_and_fields_in_order);
	tcase_add_test(tc, a_line_is_an_object_in_json);
	tcase_add_test(tc, an_event_needs_no_fields_and_a_field_without_a_key_is_skipped);
	tcase_add_loop_test(tc, a_value_is_quoted_and_escaped_where_it_must_be, 0,
			    sizeof(values) / sizeof(values[0]));
	tcase_add_test(tc, lines_below_the_level_are_not_written);
	tcase_add_loop_test(tc, a_line_too_long_is_cut_and_still_a_line, 0,
			    sizeof(fills) / sizeof(fills[0]));
	tcase_add_test(tc, a_full_pipe_drops_lines_and_the_next_line_says_how_many);
	tcase_add_test(tc, a_full_disk_drops_lines_and_nothing_else);
	tcase_add_test(tc, a_closed_standard_error_drops_lines_and_nothing_else);
	tcase_add_test(tc, lines_of_several_threads_stay_whole);
	suite_add_tcase(suite, tc);
	return suite;
}
