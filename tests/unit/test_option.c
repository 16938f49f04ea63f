#include "config/option.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/expand.h"
#include "config/redact.h"
#include "config/typo.h"
#include "unit/unit.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct values {
	bool flag;
	int64_t number;
	double real;
	int choice;
	char *text;
	char *secret;
	char *url;
	struct secret_file file;
	struct string_list urls;
	struct setting_map map;
	struct row_list rows;
};

static const char *const choices[] = {"none", "some", NULL};

static const struct option row_options[] = {
	{.key = "text", .type = OPTION_STRING, .offset = offsetof(struct values, text)},
	{.key = NULL},
};

#define AT(member) .offset = offsetof(struct values, member)

static const struct option flag = {.key = "flag", .type = OPTION_BOOL, AT(flag)};
static const struct option number = {
	.key = "number", .type = OPTION_INT, AT(number), .min = -5, .max = 65535};
static const struct option whole = {.key = "whole",
				    .type = OPTION_INT,
				    AT(number),
				    .min = INT64_MIN,
				    .max = INT64_MAX};
static const struct option real = {
	.key = "real", .type = OPTION_REAL, AT(real), .min = 1, .max = 100};
static const struct option duration = {.key = "duration",
				       .type = OPTION_DURATION,
				       AT(number),
				       .min = 0,
				       .max = 604800000};
static const struct option lease = {
	.key = "lease", .type = OPTION_DURATION, AT(number), .min = 10, .max = 3600000};
static const struct option size = {.key = "size",
				   .type = OPTION_SIZE,
				   AT(number),
				   .min = 0,
				   .max = INT64_C(4) << 30};
static const struct option choice = {.key = "choice",
				     .type = OPTION_ENUM,
				     AT(choice),
				     .names = choices};
static const struct option text = {
	.key = "text", .type = OPTION_STRING, AT(text), .min = 1, .max = 3};
static const struct option any = {.key = "any", .type = OPTION_STRING, AT(text)};
static const struct option long_text = {
	.key = "long", .type = OPTION_STRING, AT(text), .min = 2, .max = 3};
static const struct option needed = {.key = "needed",
				     .type = OPTION_STRING,
				     AT(text),
				     .flags = OPTION_REQUIRED};

static const struct {
	const struct option *option;
	const char *text;
	const char *printed;
} accepted[] = {
	{&flag, "true", "true"},
	{&flag, "false", "false"},
	{&number, "0", "0"},
	{&number, "-5", "-5"},
	{&number, "65535", "65535"},
	{&whole, "9223372036854775807", "9223372036854775807"},
	{&real, "1", "1"},
	{&real, "2.5", "2.5"},
	{&real, "1.000000001", "1.000000001"},
	{&real, "100", "100"},
	{&duration, "0ms", "0s"},
	{&duration, "0d", "0s"},
	{&duration, "500ms", "500ms"},
	{&duration, "1500ms", "1500ms"},
	{&duration, "5000ms", "5s"},
	{&duration, "90s", "90s"},
	{&duration, "120s", "2m"},
	{&duration, "1h", "1h"},
	{&duration, "7d", "7d"},
	{&size, "0B", "0B"},
	{&size, "512B", "512B"},
	{&size, "64KiB", "64KiB"},
	{&size, "1024KiB", "1MiB"},
	{&size, "4GiB", "4GiB"},
	{&choice, "none", "none"},
	{&choice, "some", "some"},
	{&text, "abc", "abc"},
	{&any, "", ""},
};

START_TEST(a_value_is_printed_as_it_would_be_written)
{
	struct values v = {0};
	struct error err;
	char *printed;

	ck_assert_msg(option_parse(accepted[_i].option, accepted[_i].text, &v, &err) == 0,
		      "%s", err.text);
	printed = option_print(accepted[_i].option, &v);
	ck_assert_str_eq(printed, accepted[_i].printed);
	free(printed);
	free(v.text);
}
END_TEST

#define NO_INT      "is not a whole number"
#define NO_REAL     "is not a decimal number"
#define NO_DURATION "is not a duration such as 500ms, 5s, 2m, 1h or 7d"
#define NO_SIZE     "is not a size such as 512B, 64KiB, 4MiB or 1GiB"

static const struct {
	const struct option *option;
	const char *text;
	const char *error;
} refused[] = {
	{&flag, "yes", "is neither true nor false"},
	{&flag, "True", "is neither true nor false"},
	{&flag, "1", "is neither true nor false"},
	{&number, "", NO_INT},
	{&number, "-", NO_INT},
	{&number, "+1", NO_INT},
	{&number, " 1", NO_INT},
	{&number, "1 ", NO_INT},
	{&number, "010", NO_INT},
	{&number, "0o17", NO_INT},
	{&number, "0x1f", NO_INT},
	{&number, "1e3", NO_INT},
	{&number, "1_000", NO_INT},
	{&number, "1.0", NO_INT},
	{&number, "-6", "is out of range -5 to 65535"},
	{&number, "65536", "is out of range -5 to 65535"},
	{&number, "9223372036854775808", "is out of range -5 to 65535"},
	{&number, "18446744073709551617", "is out of range -5 to 65535"},
	{&number, "340282366920938463463374607431768211457",
	 "is out of range -5 to 65535"},
	{&real, "", NO_REAL},
	{&real, ".5", NO_REAL},
	{&real, "1.", NO_REAL},
	{&real, "1.5x", NO_REAL},
	{&real, "1.0000000001", NO_REAL},
	{&real, "-1", NO_REAL},
	{&real, "inf", NO_REAL},
	{&real, "1e1", NO_REAL},
	{&real, "1,5", NO_REAL},
	{&real, "0.99", "is out of range 1 to 100"},
	{&real, "100.1", "is out of range 1 to 100"},
	{&duration, "", NO_DURATION},
	{&duration, "5", NO_DURATION},
	{&duration, "0", NO_DURATION},
	{&duration, "s", NO_DURATION},
	{&duration, "5 s", NO_DURATION},
	{&duration, "1.5s", NO_DURATION},
	{&duration, "-1s", NO_DURATION},
	{&duration, "05s", NO_DURATION},
	{&duration, "5S", NO_DURATION},
	{&duration, "1h30m", NO_DURATION},
	{&duration, "8d", "is out of range 0s to 7d"},
	{&duration, "9223372036854775807d", "is out of range 0s to 7d"},
	{&lease, "9ms", "is out of range 10ms to 1h"},
	{&lease, "2h", "is out of range 10ms to 1h"},
	{&size, "5", NO_SIZE},
	{&size, "5KB", NO_SIZE},
	{&size, "5kib", NO_SIZE},
	{&size, "1s", NO_SIZE},
	{&size, "5GiB", "is out of range 0B to 4GiB"},
	{&choice, "all", "is not one of none, some"},
	{&choice, "None", "is not one of none, some"},
	{&text, "", "must not be empty"},
	{&needed, "", "must not be empty"},
	{&text, "abcd", "must be 1 to 3 bytes long"},
	{&long_text, "a", "must be 2 to 3 bytes long"},
};

START_TEST(a_value_that_is_none_is_refused_and_changes_nothing)
{
	struct values v = {.number = 77, .real = 77, .choice = 77};
	struct error err = {0};

	ck_assert_int_eq(option_parse(refused[_i].option, refused[_i].text, &v, &err),
			 -1);
	ck_assert_str_eq(err.text, refused[_i].error);
	ck_assert_int_eq(err.kind, ERROR_CONFIG);
	ck_assert_int_eq(v.number, 77);
	ck_assert_int_eq(v.choice, 77);
	ck_assert(v.real > 76 && v.real < 78);
	ck_assert_ptr_null(v.text);
}
END_TEST

static const struct option table[] = {
	{.key = "flag", .type = OPTION_BOOL, AT(flag), .fallback = "true"},
	{.key = "number", .type = OPTION_INT, AT(number), .fallback = "7", .max = 9},
	{.key = "text", .type = OPTION_STRING, AT(text), .fallback = "x"},
	{.key = "secret", .type = OPTION_STRING, AT(secret), .flags = OPTION_SECRET},
	{.key = "url", .type = OPTION_STRING, AT(url), .flags = OPTION_URL},
	{.key = "file", .type = OPTION_STRING, AT(file), .flags = OPTION_FILE},
	{.key = "urls", .type = OPTION_STRINGS, AT(urls), .flags = OPTION_URL},
	{.key = "map", .type = OPTION_MAP, AT(map), .fallback = "{}"},
	{.key = "rows",
	 .type = OPTION_ROWS,
	 AT(rows),
	 .rows = row_options,
	 .row_size = sizeof(struct values)},
	{.key = NULL},
};

static void check_printed(const struct option *o, const struct values *v,
			  const char *expected)
{
	char *printed = option_print(o, v);

	if (expected)
		ck_assert_str_eq(printed, expected);
	else
		ck_assert_ptr_null(printed);
	free(printed);
}

START_TEST(defaults_are_the_fallbacks_and_release_undoes_everything)
{
	struct values v = {0}, nothing = {0};

	option_defaults(table, &v);
	ck_assert(v.flag);
	ck_assert_int_eq(v.number, 7);
	ck_assert_str_eq(v.text, "x");
	ck_assert_ptr_null(v.url);
	ck_assert_int_eq(v.urls.count, 0);
	v.rows.items = calloc(1, sizeof(struct values));
	v.rows.count = 1;
	((struct values *)v.rows.items)->text = strdup("row");
	v.map.items = calloc(1, sizeof(struct setting));
	v.map.count = 1;
	v.map.items[0].name = strdup("name");
	v.map.items[0].text = strdup("text");
	option_release(table, &v);
	v.flag = false;
	v.number = 0;
	ck_assert_mem_eq(&v, &nothing, sizeof(v));
	option_release(table, &v);
}
END_TEST

START_TEST(secrets_are_printed_as_asterisks)
{
	struct values v = {0};
	struct error err;

	for (const struct option *o = table + 3; o->key; o++)
		check_printed(o, &v, o->type == OPTION_STRINGS ? "[]" : NULL);
	ck_assert_int_eq(option_parse(&table[3], "hunter2", &v, &err), 0);
	ck_assert_int_eq(option_parse(&table[3], "hunter3", &v, &err), 0);
	ck_assert_int_eq(option_parse(&table[4], "amqp://u:hunter2@h/v", &v, &err), 0);
	ck_assert_int_eq(option_parse(&table[5], "/run/secret", &v, &err), 0);
	v.urls.items = calloc(2, sizeof(char *));
	v.urls.items[v.urls.count++] = strdup("amqp://u:hunter2@a");
	v.urls.items[v.urls.count++] = strdup("amqp://b");
	check_printed(&table[3], &v, "***");
	check_printed(&table[4], &v, "amqp://u:***@h/v");
	check_printed(&table[5], &v, "/run/secret");
	check_printed(&table[6], &v, "[amqp://u:***@a, amqp://b]");
	option_release(table, &v);
}
END_TEST

static const struct {
	const char *content;
	size_t size; /* 0: strlen */
	const char *secret;
	const char *error;
} files[] = {
	{.content = "hunter2\n", .secret = "hunter2"},
	{.content = "hunter2", .secret = "hunter2"},
	{.content = "hunter2\r\n", .secret = "hunter2"},
	{.content = " hunter 2 \nnext line\n", .secret = " hunter 2 "},
	{.content = "hunter2\nx\0y", .size = 11, .secret = "hunter2"},
	{.content = "", .error = "the first line is empty"},
	{.content = "\nhunter2\n", .error = "the first line is empty"},
	{.content = "\r\n", .error = "the first line is empty"},
	{.content = "hun\0ter2\n", .size = 9, .error = "the first line has a NUL byte"},
};

static const char *folder;
static char path[256 + 8];

static void make_folder(void)
{
	folder = unit_folder();
	snprintf(path, sizeof(path), "%s/file", folder);
}

static void remove_folder(void)
{
	unlink(path);
	rmdir(folder);
}

static void write_file(const char *content, size_t bytes)
{
	FILE *file = fopen(path, "w");

	ck_assert_int_eq(fwrite(content, 1, bytes, file), bytes);
	fclose(file);
}

START_TEST(a_secret_is_the_first_line_of_its_file)
{
	struct values v = {.file = {strdup(path), strdup("before")}};
	struct error err = {0};
	int result;

	write_file(files[_i].content,
		   files[_i].size ? files[_i].size : strlen(files[_i].content));
	result = option_read_file(&table[5], &v, &err);
	ck_assert_int_eq(result, files[_i].secret ? 0 : -1);
	ck_assert_str_eq(v.file.text, files[_i].secret ? files[_i].secret : "before");
	if (files[_i].error)
		ck_assert_str_eq(err.text, files[_i].error);
	option_release(table, &v);
}
END_TEST

START_TEST(only_small_regular_files_hold_secrets)
{
	struct values v = {.file = {.path = strdup(path)}};
	char *large = malloc(OPTION_FILE_MAX + 1);
	struct error err;

	memset(large, 'x', OPTION_FILE_MAX + 1);
	ck_assert_int_eq(option_read_file(&table[5], &v, &err), -1);
	ck_assert_str_eq(err.text, "No such file or directory");
	write_file(large, OPTION_FILE_MAX);
	ck_assert_int_eq(option_read_file(&table[5], &v, &err), 0);
	write_file(large, OPTION_FILE_MAX + 1);
	ck_assert_int_eq(option_read_file(&table[5], &v, &err), -1);
	ck_assert_str_eq(err.text, "is larger than 65536 bytes");
	unlink(path);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	ck_assert_int_eq(option_read_file(&table[5], &v, &err), -1);
	ck_assert_str_eq(err.text, "is not a regular file");
	free(large);
	option_release(table, &v);
}
END_TEST

static const struct {
	const char *text;
	const char *redacted;
} urls[] = {
	{"amqp://localhost", "amqp://localhost"},
	{"amqp://app@mq:5672/orders", "amqp://app@mq:5672/orders"},
	{"amqp://app:hunter2@mq:5672/orders", "amqp://app:***@mq:5672/orders"},
	{"amqps://app:@mq/%2f", "amqps://app:***@mq/%2f"},
	{"amqp://:hunter2@mq", "amqp://:***@mq"},
	{"a+b.c-d://app:hunter2@mq", "a+b.c-d://app:***@mq"},
	{"amqp://app:hunter2@[::1]:5672/", "amqp://app:***@[::1]:5672/"},
	{"postgresql://[::1]:5432/db", "postgresql://[::1]:5432/db"},
	{"postgresql://a:hunter2@h1:1,h2:2/db", "postgresql://a:***@h1:1,h2:2/db"},
	{"postgresql:///db?host=/run", "postgresql:///db?host=/run"},
	{"postgresql://h/db?user=a&password=hunter2&sslmode=require",
	 "postgresql://h/db?user=a&password=***&sslmode=require"},
	{"postgresql://h?sslpassword=hunter2", "postgresql://h?sslpassword=***"},
	{"postgresql://h?PASSWORD=hunter2", "postgresql://h?PASSWORD=***"},
	{"postgresql://h?%70assword=hunter2", "postgresql://h?%70assword=***"},
	{"postgresql://h?oauth_client_secret=x",
	 "postgresql://h?oauth_client_secret=***"},
	{"postgresql://h?auth_token=x", "postgresql://h?auth_token=***"},
	{"postgresql://h?passfile=/x", "postgresql://h?passfile=/x"},
	{"postgresql://h?a=1;password=hunter2", "postgresql://h?a=***"},
	{"postgresql://h?dbname=postgresql://a", "postgresql://h?dbname=***"},
	{"postgresql://h?hunter2", "postgresql://h?***"},
	{"postgresql://h?", "postgresql://h?"},
	{"postgresql://h/db#x?password=hunter2", "postgresql://h/db#x?password=***"},
	{"postgresql://"
	 "h?aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa=1",
	 "postgresql://"
	 "h?aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa=***"},
	/* What could be read in two ways is masked. */
	{"amqp://app:hun@ter2@mq/v", "amqp://app:***@mq/v"},
	{"amqp://app:hun/ter2@mq/v", "amqp://***"},
	{"amqp://app:hun?ter2@mq/v", "amqp://***"},
	{"amqp://app:hun#ter2@mq/v", "amqp://***"},
	{"amqp://app:hunter2", "amqp://***"},
	{"amqp://app:hunter2/v", "amqp://***"},
	{"postgresql://h/db&password=hunter2", "postgresql://***"},
	{"postgresql://h/db?password=hun@ter2", "postgresql://***"},
	/* libpq's key=value form. */
	{"host=db user=app password=hunter2", "host=db user=app password=***"},
	{"  host = db  password = 'hun ter2' port=5432 ",
	 "host=db password=*** port=5432"},
	{"password='hun\\'ter 2' host=db", "password=*** host=db"},
	{"password=hun\\ ter2 host=db", "password=*** host=db"},
	{"password= host=db", "password=***"},
	{"host='a b' password=", "host='a b' password=***"},
	{"sslpassword=hunter2", "sslpassword=***"},
	{"service=orders passfile=/x", "service=orders passfile=/x"},
	{"user=app;password=hunter2", "user=***"},
	{"dbname='host=h password=hunter2'", "dbname=***"},
	{"dbname=postgresql://a:hunter2@h/db", "dbname=***"},
	{"host=db\\", "host=db\\"},
	{"", ""},
	/* Neither form. */
	{"hunter2", "***"},
	{"host=db password='hunter2", "***"},
	{"host=db hunter2", "***"},
	{"p@ss=hunter2", "***"},
	{"=hunter2", "***"},
	{"password='hun'ter2", "***"},
	{" amqp://app:hunter2@h", "***"},
	{"://app:hunter2@h", "***"},
	{"amqp:/app:hunter2@h", "***"},
};

START_TEST(passwords_never_survive_redaction)
{
	char *redacted = redact_url(urls[_i].text);

	ck_assert_str_eq(redacted, urls[_i].redacted);
	free(redacted);
}
END_TEST

START_TEST(of_a_webhook_the_host_is_shown_and_nothing_behind_it)
{
	static const char *const pairs[][2] = {
		{"https://hooks.example.com/services/T0/hunter2",
		 "https://hooks.example.com/***"},
		{"https://h:8443?token=hunter2", "https://h:8443/***"},
		{"http://[::1]:80/hunter2", "http://[::1]:80/***"},
		{"https://h#hunter2", "https://h/***"},
		{"https://h", "https://h/***"},
		{"https://u:hunter2@h/x", "https://***"},
		{"https://hunter2@h/x", "https://***"},
		{"https://u:hun/ter2@h/x", "https://***"},
		{"https://h:hunter2/x", "https://***"},
		{"https://h\\hunter2", "https://***"},
		{"hooks.example.com/hunter2", "***"},
		{"hunter2", "***"},
		{"", "***"},
	};

	for (size_t i = 0; i < COUNT(pairs); i++) {
		char *redacted = redact_path(pairs[i][0]);

		ck_assert_str_eq(redacted, pairs[i][1]);
		free(redacted);
	}
}
END_TEST

START_TEST(a_value_is_masked_only_when_it_could_be_a_connection_string)
{
	static const char *const pairs[][2] = {
		{"ten", "ten"},
		{"5:3", "5:3"},
		{"amqp://u:hunter2@h", "amqp://u:***@h"},
		{"amqp://u:hunter2", "amqp://***"},
		{"password=hunter2", "password=***"},
		{"u:hunter2@h", "***"},
		{"HTTPS://hooks.example.com/hunter2", "HTTPS://hooks.example.com/***"},
		{"http://h/hunter2", "http://h/***"},
	};

	for (size_t i = 0; i < COUNT(pairs); i++) {
		char *redacted = redact_value(pairs[i][0]);

		ck_assert_str_eq(redacted, pairs[i][1]);
		free(redacted);
	}
}
END_TEST

#define MALFORMED                                                                   \
	"has a malformed ${…}: write ${NAME} or ${NAME:-default}, and $${ for a " \
	"literal ${"

static const struct {
	const char *text;
	const char *expanded;
	const char *error;
} expansions[] = {
	{"", "", NULL},
	{"plain", "plain", NULL},
	{"${RELAY_SET}", "value", NULL},
	{"a ${RELAY_SET} b ${RELAY_SET}", "a value b value", NULL},
	{"${RELAY_SET:-other}", "value", NULL},
	{"${RELAY_EMPTY}", "", NULL},
	{"${RELAY_EMPTY:-other}", "other", NULL},
	{"${RELAY_UNSET:-other}", "other", NULL},
	{"${RELAY_UNSET:-}", "", NULL},
	{"${RELAY_UNSET:-a:-b}", "a:-b", NULL},
	{"$${RELAY_SET}", "${RELAY_SET}", NULL},
	{"$$${RELAY_SET}", "$${RELAY_SET}", NULL},
	{"$RELAY_SET $ $$ {x}", "$RELAY_SET $ $$ {x}", NULL},
	{"${RELAY_TWICE}", "${RELAY_SET}", NULL},
	{"${RELAY_UNSET}", NULL, "the environment variable RELAY_UNSET is not set"},
	{"${RELAY_SET", NULL, MALFORMED},
	{"${", NULL, MALFORMED},
	{"${}", NULL, MALFORMED},
	{"${:-x}", NULL, MALFORMED},
	{"${1X}", NULL, MALFORMED},
	{"${RELAY SET}", NULL, MALFORMED},
	{"${RELAY_SET-x}", NULL, MALFORMED},
	{"${RELAY_SET:?x}", NULL, MALFORMED},
	{"${RELAY_SET:-x", NULL, MALFORMED},
	{"${A23456789012345678901234567890123456789012345678901234567890"
	 "12345678901234567890123456789012345678901234567890123456789012345678}",
	 NULL, MALFORMED},
};

START_TEST(the_environment_is_put_in_where_a_value_says_so)
{
	struct error err = {0};
	char *expanded;

	setenv("RELAY_SET", "value", 1);
	setenv("RELAY_EMPTY", "", 1);
	setenv("RELAY_TWICE", "${RELAY_SET}", 1);
	unsetenv("RELAY_UNSET");
	expanded = expand_env(expansions[_i].text, &err);
	if (expansions[_i].expanded) {
		ck_assert_msg(expanded != NULL, "%s", err.text);
		ck_assert_str_eq(expanded, expansions[_i].expanded);
	} else {
		ck_assert_ptr_null(expanded);
		ck_assert_str_eq(err.text, expansions[_i].error);
	}
	free(expanded);
}
END_TEST

static const struct {
	const char *a, *b;
	size_t distance;
} words[] = {
	{"", "", 0},         {"abc", "abc", 0},   {"abc", "", 3},
	{"abc", "abxc", 1},  {"abc", "ac", 1},    {"abc", "axc", 1},
	{"abcd", "acbd", 1}, {"bcda", "abcd", 2}, {"kitten", "sitting", 3},
	{"log", "relay", 4},
};

START_TEST(a_distance_is_the_number_of_slips_and_the_same_both_ways)
{
	char longer[TYPO_SIZE_MAX + 2];

	ck_assert_int_eq(typo_distance(words[_i].a, words[_i].b), words[_i].distance);
	ck_assert_int_eq(typo_distance(words[_i].b, words[_i].a), words[_i].distance);
	memset(longer, 'x', sizeof(longer));
	longer[TYPO_SIZE_MAX + 1] = '\0';
	ck_assert(typo_distance(longer, "x") == SIZE_MAX);
	ck_assert(typo_distance("x", longer) == SIZE_MAX);
	ck_assert_int_eq(typo_distance(longer + 1, longer + 2), 1);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("option");
	TCase *values = tcase_create("values");
	TCase *secrets = tcase_create("secrets");

	tcase_add_loop_test(values, a_value_is_printed_as_it_would_be_written, 0,
			    COUNT(accepted));
	tcase_add_loop_test(values, a_value_that_is_none_is_refused_and_changes_nothing,
			    0, COUNT(refused));
	tcase_add_test(values, defaults_are_the_fallbacks_and_release_undoes_everything);
	tcase_add_test(values, secrets_are_printed_as_asterisks);
	tcase_add_loop_test(values, passwords_never_survive_redaction, 0, COUNT(urls));
	tcase_add_test(values, of_a_webhook_the_host_is_shown_and_nothing_behind_it);
	tcase_add_test(values,
		       a_value_is_masked_only_when_it_could_be_a_connection_string);
	tcase_add_loop_test(values, the_environment_is_put_in_where_a_value_says_so, 0,
			    COUNT(expansions));
	tcase_add_loop_test(values,
			    a_distance_is_the_number_of_slips_and_the_same_both_ways, 0,
			    COUNT(words));
	tcase_add_checked_fixture(secrets, make_folder, remove_folder);
	tcase_add_loop_test(secrets, a_secret_is_the_first_line_of_its_file, 0,
			    COUNT(files));
	tcase_add_test(secrets, only_small_regular_files_hold_secrets);
	suite_add_tcase(suite, values);
	suite_add_tcase(suite, secrets);
	return suite;
}
