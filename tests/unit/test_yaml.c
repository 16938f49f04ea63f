#include "config/yaml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "unit/unit.h"

static struct yaml_node *parse(const char *text, struct error *err)
{
	return yaml_parse("f", text, strlen(text), err);
}

static struct yaml_node *member(const struct yaml_node *map, const char *key)
{
	struct yaml_node *node = yaml_member(map, key, strlen(key));

	ck_assert_msg(node != NULL, "no member %s", key);
	return node;
}

static const struct {
	const char *text;
	size_t size; /* 0: strlen */
	const char *error;
} refused[] = {
	{.text = "a: 1\nb: *x\n", .error = "f:2:4: aliases (*name) are not allowed"},
	{.text = "a: &x 1\n", .error = "f:1:4: anchors (&name) are not allowed"},
	{.text = "a: &x [*x]\n", .error = "f:1:4: anchors (&name) are not allowed"},
	{.text = "a: &x {b: 1}\n", .error = "f:1:4: anchors (&name) are not allowed"},
	{.text = "&x a: 1\n", .error = "f:1:1: anchors (&name) are not allowed"},
	{.text = "*x : 1\n", .error = "f:1:1: aliases (*name) are not allowed"},
	{.text = "a: !!str 1\n", .error = "f:1:4: tags (!name) are not allowed"},
	{.text = "a: !x [1]\n", .error = "f:1:4: tags (!name) are not allowed"},
	{.text = "a: !!map {b: 1}\n", .error = "f:1:4: tags (!name) are not allowed"},
	{.text = "a: ! 1\n", .error = "f:1:4: tags (!name) are not allowed"},
	{.text = "a: ! \"1\"\n", .error = "f:1:4: tags (!name) are not allowed"},
	{.text = "a: ! [1]\n", .error = "f:1:4: tags (!name) are not allowed"},
	{.text = "a: !<tag:yaml.org,2002:str> 1\n",
	 .error = "f:1:4: tags (!name) are not allowed"},
	{.text = "a: 1\n---\nb: 2\n", .error = "f:2:1: a second document starts here"},
	{.text = "a: 1\n...\n---\n", .error = "f:3:1: a second document starts here"},
	{.text = "a: 1\nb:\n  c: 1\n  c: 2\n",
	 .error = "f:4:3: c: duplicate key, first seen in line 3"},
	{.text = "'pass word': 1\npass word: 1\n",
	 .error = "f:2:1: (not a key): duplicate key, first seen in line 1"},
	{.text = "a: [[[[[[[[1]]]]]]]]\n",
	 .error = "f:1:11: nested deeper than 8 levels"},
	{.text = "[a]: 1\n", .error = "f:1:1: a key must be plain text"},
	{.text = "? {a: 1}\n: 1\n", .error = "f:1:3: a key must be plain text"},
	{.text = "- a\n",
	 .error = "f:1:1: must consist of sections (name: and indented lines)"},
	{.text = "--- text\n",
	 .error = "f:1:5: must consist of sections (name: and indented lines)"},
	{.text = "a: \"x\\0y\"\n", .error = "f:1:4: NUL characters are not allowed"},
	{.text = "\"x\\0y\": 1\n", .error = "f:1:1: NUL characters are not allowed"},
	{.text = "a: 1\nb: x\0y\n",
	 .size = 11,
	 .error = "f:2:5: NUL bytes are not allowed"},
	{.text = "\xff\xfe"
		 "a\0",
	 .size = 4,
	 .error = "f:1:1: is UTF-16; save it as UTF-8"},
	{.text = "\xfe\xff\0a", .size = 4, .error = "f:1:1: is UTF-16; save it as UTF-8"},
	{.text = "a: 1\n# \xc3\xa4 \xff\n",
	 .error = "f:2:5: invalid leading UTF-8 octet"},
	{.text = "a: \x01\n", .error = "f:1:4: control characters are not allowed"},
	{.text = "a:\n\tb: 1\n",
	 .error = "f:2:1: found a tab where YAML allows only spaces"},
	{.text = "# \xc3\xa4\na:\n\tb: 1\n",
	 .error = "f:3:1: found a tab where YAML allows only spaces"},
	{.text = "a: {b: 1\n",
	 .error = "f:2:1: did not find expected ',' or '}' while parsing a flow mapping"},
	{.text = "a: b: c\n",
	 .error = "f:1:5: mapping values are not allowed in this context"},
	{.text = "a: 'x\n",
	 .error = "f:2:1: found unexpected end of stream while scanning a quoted scalar"},
};

START_TEST(what_a_configuration_does_not_need_is_refused_where_it_stands)
{
	size_t size = refused[_i].size ? refused[_i].size : strlen(refused[_i].text);
	struct error err = {0};

	ck_assert_ptr_null(yaml_parse("f", refused[_i].text, size, &err));
	ck_assert_str_eq(err.text, refused[_i].error);
	ck_assert_int_eq(err.kind, ERROR_CONFIG);
}
END_TEST

START_TEST(nodes_know_where_they_stood)
{
	struct error err;
	struct yaml_node *root = parse("# comment\n"
				       "relay:\n"
				       "  batch_size: 10\n"
				       "  \xc3\xa4: 'x'\n"
				       "  list: [a, \"b\"]\n",
				       &err);
	struct yaml_node *relay = member(root, "relay");
	struct yaml_node *size = member(relay, "batch_size");
	struct yaml_node *list = member(relay, "list");

	ck_assert_int_eq(relay->kind, YAML_MAP);
	ck_assert_int_eq(relay->child_count, 3);
	ck_assert_int_eq(size->key_at.line, 3);
	ck_assert_int_eq(size->key_at.column, 3);
	ck_assert_int_eq(size->at.column, 15);
	ck_assert_str_eq(size->text, "10");
	ck_assert(size->is_plain);
	ck_assert(!member(relay, "\xc3\xa4")->is_plain);
	ck_assert_int_eq(member(relay, "\xc3\xa4")->at.column, 6);
	ck_assert_int_eq(list->kind, YAML_LIST);
	ck_assert_str_eq(list->children->text, "a");
	ck_assert_str_eq(list->children->next->text, "b");
	ck_assert_int_eq(list->children->next->at.column, 13);
	ck_assert_ptr_null(list->children->key);
	ck_assert_ptr_null(yaml_member(relay, "lis", 3));
	ck_assert_ptr_null(yaml_member(list, "a", 1));
	yaml_node_free(root);
}
END_TEST

START_TEST(a_file_without_content_is_an_empty_map)
{
	static const char *const texts[] = {"", "# nothing\n", "---\n", "\xef\xbb\xbf",
					    "~\n"};
	struct error err;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct yaml_node *root = parse(texts[i], &err);

		ck_assert_ptr_nonnull(root);
		ck_assert_int_eq(root->kind, YAML_MAP);
		ck_assert_ptr_null(root->children);
		ck_assert_int_eq(root->at.line, 1);
		yaml_node_free(root);
	}
}
END_TEST

START_TEST(a_byte_order_mark_of_utf_8_is_no_part_of_the_first_key)
{
	struct error err;
	struct yaml_node *root = parse("\xef\xbb\xbf"
				       "a: 1\n",
				       &err);

	ck_assert_int_eq(member(root, "a")->key_at.column, 1);
	yaml_node_free(root);
}
END_TEST

START_TEST(only_an_unquoted_nothing_is_null)
{
	struct error err;
	struct yaml_node *root =
		parse("a:\nb: ~\nc: null\nd: ''\ne: 'null'\nf: []\ng: x\n", &err);

	ck_assert(yaml_is_null(member(root, "a")));
	ck_assert(yaml_is_null(member(root, "b")));
	ck_assert(yaml_is_null(member(root, "c")));
	ck_assert(!yaml_is_null(member(root, "d")));
	ck_assert(!yaml_is_null(member(root, "e")));
	ck_assert(!yaml_is_null(member(root, "f")));
	ck_assert(!yaml_is_null(member(root, "g")));
	yaml_node_free(root);
}
END_TEST

START_TEST(eight_levels_are_allowed)
{
	struct error err;
	struct yaml_node *root = parse("a: [[[[[[[]]]]]]]\n", &err);

	ck_assert_msg(root != NULL, "%s", err.text);
	yaml_node_free(root);
}
END_TEST

/* libyaml 0.2.5 takes more than a second for the first of them when it is let. */
START_TEST(deep_nesting_is_refused_at_once)
{
	static const char *const units[] = {"[", "{a: ", "- ", "? ", "[{"};
	struct error err;

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		struct buffer text = {0};
		int64_t start;

		buffer_printf(&text, "a:\n  ");
		for (int n = 0; n < 200000; n++)
			buffer_printf(&text, "%s", units[i]);
		start = clock_ms();
		ck_assert_ptr_null(
			yaml_parse("f", buffer_text(&text), buffer_size(&text), &err));
		ck_assert_msg(clock_ms() - start < 500, "%s took %d ms", units[i],
			      (int)(clock_ms() - start));
		ck_assert_msg(strstr(err.text, "nested deeper") ||
				      strstr(err.text, "a key must be plain text"),
			      "%s: %s", units[i], err.text);
		buffer_release(&text);
	}
}
END_TEST

START_TEST(too_many_values_are_refused)
{
	struct error err;
	struct buffer text = {0};

	buffer_printf(&text, "a:\n");
	/* The root, the key and the list are the first three. */
	for (int i = 0; i < YAML_NODES_MAX - 3; i++)
		buffer_printf(&text, "- x\n");
	yaml_node_free(yaml_parse("f", buffer_text(&text), buffer_size(&text), &err));
	buffer_printf(&text, "- x\n");
	ck_assert_ptr_null(yaml_parse("f", buffer_text(&text), buffer_size(&text), &err));
	ck_assert_str_eq(err.text, "f:9999:3: more than 10000 keys and values");
	buffer_release(&text);
}
END_TEST

static const char *folder;
static char path[300];

static void make_folder(void)
{
	folder = unit_folder();
	snprintf(path, sizeof(path), "%s/file.yaml", folder);
}

static void remove_folder(void)
{
	unlink(path);
	rmdir(folder);
}

static void check_refused(const char *file, const char *reason)
{
	char expected[256];
	struct error err;

	snprintf(expected, sizeof(expected), "%s: %s", file, reason);
	ck_assert_ptr_null(yaml_read(file, &err));
	ck_assert_str_eq(err.text, expected);
	ck_assert_int_eq(err.kind, ERROR_CONFIG);
}

START_TEST(only_regular_files_are_read)
{
	check_refused(path, "No such file or directory");
	check_refused(folder, "is a directory");
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	check_refused(path, "is not a regular file");
	check_refused("/dev/zero", "is not a regular file");
}
END_TEST

START_TEST(a_file_that_cannot_be_read_is_an_error)
{
	/* Regular, may be opened, and reading at offset 0 fails with EIO. */
	check_refused("/proc/self/mem", "Input/output error");
}
END_TEST

START_TEST(a_file_above_1_mib_is_refused)
{
	struct error err;
	struct yaml_node *root;
	FILE *file = fopen(path, "w");

	fprintf(file, "a: 1\n#");
	for (int i = 6; i < YAML_SIZE_MAX; i++)
		putc('x', file);
	fflush(file);
	root = yaml_read(path, &err);
	ck_assert_msg(root != NULL, "%s", err.text);
	yaml_node_free(root);
	putc('x', file);
	fclose(file);
	check_refused(path, "is larger than 1048576 bytes");
}
END_TEST

START_TEST(only_what_looks_like_a_key_is_quoted_in_errors)
{
	ck_assert_str_eq(yaml_printable_key("tls.ca_file-2"), "tls.ca_file-2");
	ck_assert_str_eq(yaml_printable_key(""), "(not a key)");
	ck_assert_str_eq(yaml_printable_key("amqp://u:hunter2@h"), "(not a key)");
	ck_assert_str_eq(yaml_printable_key("1234567890123456789012345678901234567890"
					    "123456789012345678901234"),
			 "(not a key)");
	yaml_node_free(NULL);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("yaml");
	TCase *texts = tcase_create("texts");
	TCase *files = tcase_create("files");

	tcase_add_loop_test(texts,
			    what_a_configuration_does_not_need_is_refused_where_it_stands,
			    0, sizeof(refused) / sizeof(refused[0]));
	tcase_add_test(texts, nodes_know_where_they_stood);
	tcase_add_test(texts, a_file_without_content_is_an_empty_map);
	tcase_add_test(texts, a_byte_order_mark_of_utf_8_is_no_part_of_the_first_key);
	tcase_add_test(texts, only_an_unquoted_nothing_is_null);
	tcase_add_test(texts, eight_levels_are_allowed);
	tcase_add_test(texts, deep_nesting_is_refused_at_once);
	tcase_add_test(texts, too_many_values_are_refused);
	tcase_add_test(texts, only_what_looks_like_a_key_is_quoted_in_errors);
	tcase_add_checked_fixture(files, make_folder, remove_folder);
	tcase_add_test(files, only_regular_files_are_read);
	tcase_add_test(files, a_file_that_cannot_be_read_is_an_error);
	tcase_add_test(files, a_file_above_1_mib_is_refused);
	suite_add_tcase(suite, texts);
	suite_add_tcase(suite, files);
	return suite;
}
