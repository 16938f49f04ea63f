#include "broker/rabbitmq_table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "unit/unit.h"

static amqp_pool_t pool, decoded_pool;
static char cc[] = "CC", delay[] = "x-delay", custom[] = "x-custom-*";
static char *allowed_items[] = {cc, delay, custom};
static const struct string_list nothing = {0};
static const struct string_list some = {.items = allowed_items, .count = 3};

static void setup(void)
{
	init_amqp_pool(&pool, 4096);
	init_amqp_pool(&decoded_pool, 4096);
}

static void teardown(void)
{
	empty_amqp_pool(&pool);
	empty_amqp_pool(&decoded_pool);
}

static struct slice text(const char *s)
{
	return (struct slice){.data = s, .size = strlen(s)};
}

/* Through the wire format and back, so that what is checked is what a consumer would get.
 */
static void convert(amqp_table_t *out, const char *json)
{
	static char wire[256 * 1024];
	amqp_bytes_t bytes = {.len = sizeof(wire), .bytes = wire};
	amqp_table_t table;
	struct error err;
	size_t size = 0, read = 0;

	if (rabbitmq_table_headers(&table, text(json), &nothing, &pool, &err) < 0)
		ck_abort_msg("%s", err.text);
	ck_assert_int_eq(amqp_encode_table(bytes, &table, &size), 0);
	bytes.len = size;
	ck_assert_int_eq(amqp_decode_table(bytes, &decoded_pool, out, &read), 0);
	ck_assert_uint_eq(read, size);
}

static bool has_text(amqp_bytes_t bytes, const char *expected)
{
	return bytes.len == strlen(expected) &&
	       memcmp(bytes.bytes, expected, bytes.len) == 0;
}

static const amqp_field_value_t *entry(const amqp_table_t *table, const char *name)
{
	for (int i = 0; i < table->num_entries; i++) {
		if (has_text(table->entries[i].key, name))
			return &table->entries[i].value;
	}
	ck_abort_msg("no entry %s", name);
	return NULL;
}

START_TEST(every_json_type_has_its_amqp_type)
{
	amqp_table_t t;
	const amqp_array_t *array;

	convert(&t,
		"{\"s\":\"h\\u00e9\",\"i\":-7,\"d\":0.5,\"t\":true,\"f\":false,\"n\":"
		"null,"
		"\"a\":[1,\"x\",[]],\"o\":{\"in\":{}},\"\":\"empty name\",\"e\":1e2}");
	ck_assert_int_eq(t.num_entries, 10);
	ck_assert_int_eq(entry(&t, "s")->kind, 'S');
	ck_assert(has_text(entry(&t, "s")->value.bytes, "h\xc3\xa9"));
	ck_assert_int_eq(entry(&t, "i")->kind, 'l');
	ck_assert_int_eq(entry(&t, "i")->value.i64, -7);
	ck_assert_int_eq(entry(&t, "d")->kind, 'd');
	ck_assert_double_eq(entry(&t, "d")->value.f64, 0.5);
	ck_assert_int_eq(entry(&t, "e")->kind, 'd');
	ck_assert_int_eq(entry(&t, "t")->kind, 't');
	ck_assert_int_eq(entry(&t, "t")->value.boolean, 1);
	ck_assert_int_eq(entry(&t, "f")->value.boolean, 0);
	ck_assert_int_eq(entry(&t, "n")->kind, 'V');
	array = &entry(&t, "a")->value.array;
	ck_assert_int_eq(array->num_entries, 3);
	ck_assert_int_eq(array->entries[2].kind, 'A');
	ck_assert_int_eq(entry(&t, "o")->kind, 'F');
	ck_assert_int_eq(entry(&entry(&t, "o")->value.table, "in")->kind, 'F');
	ck_assert(has_text(entry(&t, "")->value.bytes, "empty name"));
}
END_TEST

START_TEST(integers_are_exact_to_the_last_of_64_bits)
{
	amqp_table_t t;

	convert(&t,
		"{\"max\":9223372036854775807,\"min\":-9223372036854775808,\"z\":-0.0}");
	ck_assert_int_eq(entry(&t, "max")->value.i64, INT64_MAX);
	ck_assert_int_eq(entry(&t, "min")->value.i64, INT64_MIN);
	ck_assert(1 / entry(&t, "z")->value.f64 < 0);
}
END_TEST

START_TEST(a_name_of_255_bytes_and_50_levels_pass)
{
	char name[300], json[600];
	amqp_table_t t;
	size_t used = 0;

	memset(name, 'k', 255);
	name[255] = '\0';
	snprintf(json, sizeof(json), "{\"%s\":1}", name);
	convert(&t, json);
	ck_assert_uint_eq(t.entries[0].key.len, 255);
	for (int i = 0; i < 49; i++)
		used += (size_t)snprintf(json + used, sizeof(json) - used, "{\"a\":");
	used += (size_t)snprintf(json + used, sizeof(json) - used, "1");
	memset(json + used, '}', 49);
	json[used + 49] = '\0';
	convert(&t, json);
}
END_TEST

static const struct {
	const char *json;
	const char *reason;
} refused_headers[] = {
	{"[]", "headers are not a JSON object"},
	{"3", "headers are not valid JSON"},
	{"", "headers are not valid JSON"},
	{"{\"a\":1} x", "headers are not valid JSON"},
	{"{\"a\":\"\xff\"}", "headers are not valid JSON"},
	{"{\"a\":1,\"a\":2}", "headers have a name twice"},
	{"{\"o\":{\"a\":1,\"a\":2}}", "headers have a name twice"},
	{"{\"a\":9223372036854775808}", "headers have a number that is out of range"},
	{"{\"a\":1e400}", "headers have a number that is out of range"},
	{"{\"a\":\"x\\u0000y\"}", "headers have a NUL character"},
	{"{\"x\\u0000y\":1}", "headers have a NUL character"},
	{"{\"CC\":[\"k\"]}", "\"CC\" steers the broker"},
	{"{\"BCC\":[\"k\"]}", "\"BCC\" steers the broker"},
	{"{\"x-death\":1}", "\"x-death\" steers the broker"},
	{"{\"X-Death\":1}", "\"X-Death\" steers the broker"},
	{"{\"x-\xc3\xa9\\n\":1}", "\"x-???\" steers the broker"},
};

START_TEST(headers_that_cannot_be_expressed_exactly_are_refused)
{
	amqp_table_t t = {.num_entries = -1};
	struct error err;

	ck_assert_int_eq(rabbitmq_table_headers(&t, text(refused_headers[_i].json),
						&nothing, &pool, &err),
			 -1);
	ck_assert_msg(strstr(err.text, refused_headers[_i].reason) != NULL, "%s",
		      err.text);
	ck_assert_int_eq(t.num_entries, -1);
}
END_TEST

START_TEST(names_over_255_bytes_and_51_levels_are_refused)
{
	char json[600];
	amqp_table_t t;
	struct error err;
	size_t used = 0;

	memset(json, 'k', sizeof(json));
	memcpy(json, "{\"", 2);
	memcpy(json + 2 + 256, "\":1}", 5);
	ck_assert_int_eq(rabbitmq_table_headers(&t, text(json), &nothing, &pool, &err),
			 -1);
	ck_assert_ptr_nonnull(strstr(err.text, "more than 255 bytes"));
	for (int i = 0; i < 51; i++)
		used += (size_t)snprintf(json + used, sizeof(json) - used, "{\"a\":");
	used += (size_t)snprintf(json + used, sizeof(json) - used, "1");
	memset(json + used, '}', 51);
	json[used + 51] = '\0';
	ck_assert_int_eq(rabbitmq_table_headers(&t, text(json), &nothing, &pool, &err),
			 -1);
	ck_assert_ptr_nonnull(strstr(err.text, "nested more than 50 deep"));
}
END_TEST

START_TEST(brackets_without_end_do_not_exhaust_the_stack)
{
	size_t size = 1 << 20;
	char *json = xmalloc(size + 1);
	amqp_table_t t;
	struct error err;

	memset(json, '[', size);
	json[size] = '\0';
	memcpy(json, "{\"a\":", 5);
	ck_assert_int_eq(rabbitmq_table_headers(&t, text(json), &nothing, &pool, &err),
			 -1);
	ck_assert_str_eq(err.text, "headers are nested too deeply");
	free(json);
}
END_TEST

START_TEST(reserved_names_pass_when_the_configuration_allows_them)
{
	static const char *const fine[] = {"{\"CC\":[]}", "{\"x-delay\":1}",
					   "{\"x-custom-a\":1}",
					   "{\"o\":{\"x-death\":1}}", "{\"cc\":1}"};
	static const char *const not [] = {"{\"BCC\":[]}", "{\"x-delay2\":1}",
					   "{\"x-custom\":1}"};
	amqp_table_t t;
	struct error err;

	for (size_t i = 0; i < sizeof(fine) / sizeof(fine[0]); i++)
		ck_assert_int_eq(rabbitmq_table_headers(&t, text(fine[i]), &some, &pool,
							&err),
				 0);
	for (size_t i = 0; i < sizeof(not ) / sizeof(not [0]); i++)
		ck_assert_int_eq(rabbitmq_table_headers(&t, text(not [i]), &some, &pool,
							&err),
				 -1);
}
END_TEST

START_TEST(every_property_arrives_in_its_place)
{
	amqp_basic_properties_t p = {0};
	struct error err;
	const char *json =
		"{\"content_encoding\":\"gzip\",\"delivery_mode\":2,\"priority\":255,"
		"\"correlation_id\":\"c\",\"reply_to\":\"r\",\"expiration\":60000,"
		"\"timestamp\":1700000000,\"type\":\"t\",\"user_id\":\"u\","
		"\"app_id\":\"a\",\"cluster_id\":\"k\"}";

	ck_assert_int_eq(rabbitmq_table_properties(&p, text(json), &pool, &err), 0);
	ck_assert(has_text(p.content_encoding, "gzip"));
	ck_assert_uint_eq(p.delivery_mode, 2);
	ck_assert_uint_eq(p.priority, 255);
	ck_assert(has_text(p.correlation_id, "c"));
	ck_assert(has_text(p.reply_to, "r"));
	ck_assert(has_text(p.expiration, "60000"));
	ck_assert_uint_eq(p.timestamp, 1700000000);
	ck_assert(has_text(p.type, "t"));
	ck_assert(has_text(p.user_id, "u"));
	ck_assert(has_text(p.app_id, "a"));
	ck_assert(has_text(p.cluster_id, "k"));
	ck_assert_uint_eq(p._flags & 0xffff, 0xfffc & ~(AMQP_BASIC_CONTENT_TYPE_FLAG |
							AMQP_BASIC_HEADERS_FLAG |
							AMQP_BASIC_MESSAGE_ID_FLAG));
}
END_TEST

START_TEST(null_leaves_a_property_unset)
{
	amqp_basic_properties_t p = {0};
	struct error err;

	ck_assert_int_eq(rabbitmq_table_properties(&p, text("{\"type\":null}"), &pool,
						   &err),
			 0);
	ck_assert_uint_eq(p._flags, 0);
}
END_TEST

START_TEST(an_expiration_may_be_a_number_or_digits)
{
	static const char *const fine[][2] = {
		{"{\"expiration\":0}", "0"},
		{"{\"expiration\":\"0060\"}", "60"},
		{"{\"expiration\":315360000000}", "315360000000"},
	};

	for (size_t i = 0; i < sizeof(fine) / sizeof(fine[0]); i++) {
		amqp_basic_properties_t p = {0};
		struct error err;

		ck_assert_int_eq(rabbitmq_table_properties(&p, text(fine[i][0]), &pool,
							   &err),
				 0);
		ck_assert(has_text(p.expiration, fine[i][1]));
	}
}
END_TEST

static const char *const refused_properties[] = {
	"{\"message_id\":\"x\"}",
	"{\"content_type\":\"x\"}",
	"{\"headers\":{}}",
	"{\"nonsense\":1}",
	"{\"delivery_mode\":1}",
	"{\"delivery_mode\":\"2\"}",
	"{\"priority\":256}",
	"{\"priority\":-1}",
	"{\"priority\":300}",
	"{\"priority\":1.0}",
	"{\"type\":1}",
	"{\"timestamp\":-1}",
	"{\"timestamp\":\"2026-01-01\"}",
	"{\"timestamp\":1.5}",
	"{\"expiration\":\"abc\"}",
	"{\"expiration\":\"\"}",
	"{\"expiration\":-1}",
	"{\"expiration\":\"-1\"}",
	"{\"expiration\":\"1e3\"}",
	"{\"expiration\":315360000001}",
	"{\"expiration\":\"99999999999999999999\"}",
	"{\"expiration\":1.5}",
	"{\"expiration\":true}",
	"[]",
	"null",
};

START_TEST(properties_that_rabbitmq_would_refuse_are_refused_before)
{
	amqp_basic_properties_t p = {0};
	struct error err;

	ck_assert_int_eq(rabbitmq_table_properties(&p, text(refused_properties[_i]),
						   &pool, &err),
			 -1);
	ck_assert_int_eq(err.kind, ERROR_CONFIG);
	ck_assert_uint_eq(p._flags, 0);
}
END_TEST

START_TEST(a_string_property_takes_255_bytes)
{
	char json[400];

	for (int size = 255; size <= 256; size++) {
		amqp_basic_properties_t p = {0};
		struct error err;

		snprintf(json, sizeof(json), "{\"type\":\"%0*d\"}", size, 0);
		ck_assert_int_eq(rabbitmq_table_properties(&p, text(json), &pool, &err),
				 size == 255 ? 0 : -1);
	}
}
END_TEST

START_TEST(settings_become_arguments_of_their_kind)
{
	static char length[] = "x-max-length", overflow[] = "x-overflow",
		    flag[] = "x-flag";
	static char reject[] = "reject-publish";
	struct setting items[] = {
		{.name = length, .kind = SETTING_INT, .number = 5},
		{.name = overflow, .kind = SETTING_STRING, .text = reject},
		{.name = flag, .kind = SETTING_BOOL, .number = 1},
	};
	const struct setting_map map = {.items = items, .count = 3};
	amqp_table_t t;

	rabbitmq_table_settings(&t, &map, &pool);
	rabbitmq_table_add(&t, "x-queue-type", "quorum", &pool);
	ck_assert_int_eq(t.num_entries, 4);
	ck_assert_int_eq(entry(&t, "x-max-length")->value.i64, 5);
	ck_assert(has_text(entry(&t, "x-overflow")->value.bytes, "reject-publish"));
	ck_assert_int_eq(entry(&t, "x-flag")->kind, 't');
	ck_assert(has_text(entry(&t, "x-queue-type")->value.bytes, "quorum"));
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("rabbitmq_table");
	TCase *headers = tcase_create("headers");
	TCase *properties = tcase_create("properties");

	tcase_add_checked_fixture(headers, setup, teardown);
	tcase_add_test(headers, every_json_type_has_its_amqp_type);
	tcase_add_test(headers, integers_are_exact_to_the_last_of_64_bits);
	tcase_add_test(headers, a_name_of_255_bytes_and_50_levels_pass);
	tcase_add_loop_test(headers, headers_that_cannot_be_expressed_exactly_are_refused,
			    0, sizeof(refused_headers) / sizeof(refused_headers[0]));
	tcase_add_test(headers, names_over_255_bytes_and_51_levels_are_refused);
	tcase_add_test(headers, brackets_without_end_do_not_exhaust_the_stack);
	tcase_add_test(headers, reserved_names_pass_when_the_configuration_allows_them);
	tcase_add_test(headers, settings_become_arguments_of_their_kind);
	tcase_add_checked_fixture(properties, setup, teardown);
	tcase_add_test(properties, every_property_arrives_in_its_place);
	tcase_add_test(properties, null_leaves_a_property_unset);
	tcase_add_test(properties, an_expiration_may_be_a_number_or_digits);
	tcase_add_loop_test(properties,
			    properties_that_rabbitmq_would_refuse_are_refused_before, 0,
			    sizeof(refused_properties) / sizeof(refused_properties[0]));
	tcase_add_test(properties, a_string_property_takes_255_bytes);
	suite_add_tcase(suite, headers);
	suite_add_tcase(suite, properties);
	return suite;
}
