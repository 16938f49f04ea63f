/*
 * Headers and properties of a row: JSON to AMQP, onto the wire, and back through the
 * library's own decoder. What comes back must be what the JSON says, read once more by
 * other eyes.
 *
 * Byte 0 of the input: bit 0 allows names that steer the broker. Then the headers, and
 * behind the first NUL the properties.
 */

#include <amqp.h>
#include <amqp_framing.h>
#include <jansson.h>
#include <stdbool.h>

#include "broker/rabbitmq_table.h"
#include "fuzz/fuzz.h"

#define WIRE_SIZE (1024 * 1024)

static char wire[WIRE_SIZE];

static bool is_text(amqp_bytes_t bytes, const char *text, size_t size)
{
	return bytes.len == size && (size == 0 || memcmp(bytes.bytes, text, size) == 0);
}

static bool is_same(const amqp_field_value_t *v, const json_t *json);

static bool is_same_table(const amqp_table_t *table, const json_t *object)
{
	if ((size_t)table->num_entries != json_object_size(object))
		return false;
	for (int i = 0; i < table->num_entries; i++) {
		const amqp_table_entry_t *e = &table->entries[i];
		char name[256];
		const json_t *member;

		if (e->key.len > 255)
			return false;
		memcpy(name, e->key.bytes, e->key.len);
		name[e->key.len] = '\0';
		member = json_object_get(object, name);
		if (!member || !is_same(&e->value, member))
			return false;
	}
	return true;
}

static bool is_same_array(const amqp_array_t *array, const json_t *json)
{
	if ((size_t)array->num_entries != json_array_size(json))
		return false;
	for (int i = 0; i < array->num_entries; i++) {
		if (!is_same(&array->entries[i], json_array_get(json, (size_t)i)))
			return false;
	}
	return true;
}

static bool is_same(const amqp_field_value_t *v, const json_t *json)
{
	switch (v->kind) {
	case AMQP_FIELD_KIND_VOID:
		return json_is_null(json);
	case AMQP_FIELD_KIND_BOOLEAN:
		return json_is_boolean(json) && json_is_true(json) == !!v->value.boolean;
	case AMQP_FIELD_KIND_I64:
		return json_is_integer(json) && json_integer_value(json) == v->value.i64;
	case AMQP_FIELD_KIND_F64: {
		double real = json_real_value(json);

		/* Bit for bit: -0.0 is not 0.0. */
		return json_is_real(json) &&
		       memcmp(&real, &v->value.f64, sizeof(real)) == 0;
	}
	case AMQP_FIELD_KIND_UTF8:
		return json_is_string(json) &&
		       is_text(v->value.bytes, json_string_value(json),
			       json_string_length(json));
	case AMQP_FIELD_KIND_ARRAY:
		return json_is_array(json) && is_same_array(&v->value.array, json);
	case AMQP_FIELD_KIND_TABLE:
		return json_is_object(json) && is_same_table(&v->value.table, json);
	default:
		return false;
	}
}

static void check_refusal(const struct error *err)
{
	must(err->kind == ERROR_CONFIG && err->text[0]);
	for (const char *c = err->text; *c; c++)
		must(*c >= ' ' && *c < 127);
}

static void try_headers(struct slice text, const struct string_list *allowed)
{
	struct error err = {.text = ""};
	amqp_pool_t pool, back;
	amqp_table_t table, decoded;
	amqp_bytes_t bytes = {.len = sizeof(wire), .bytes = wire};
	size_t size = 0, read = 0;

	init_amqp_pool(&pool, 4096);
	init_amqp_pool(&back, 4096);
	if (rabbitmq_table_headers(&table, text, allowed, &pool, &err) < 0) {
		check_refusal(&err);
	} else if (amqp_encode_table(bytes, &table, &size) == 0) {
		json_t *json = json_loadb(text.data, text.size, 0, NULL);

		bytes.len = size;
		must(json);
		must(amqp_decode_table(bytes, &back, &decoded, &read) == 0);
		must(read == size);
		must(is_same_table(&decoded, json));
		json_decref(json);
	}
	empty_amqp_pool(&pool);
	empty_amqp_pool(&back);
}

static bool is_same_string(const json_t *json, const char *name, amqp_flags_t is_set,
			   amqp_bytes_t bytes)
{
	const json_t *value = json_object_get(json, name);

	if (!is_set)
		return !value || json_is_null(value);
	return json_is_string(value) &&
	       is_text(bytes, json_string_value(value), json_string_length(value));
}

static bool is_same_number(const json_t *json, const char *name, amqp_flags_t is_set,
			   uint64_t number)
{
	const json_t *value = json_object_get(json, name);

	if (!is_set)
		return !value || json_is_null(value);
	return json_is_integer(value) && json_integer_value(value) >= 0 &&
	       (uint64_t)json_integer_value(value) == number;
}

static bool is_same_expiration(const json_t *json, const amqp_basic_properties_t *p)
{
	const json_t *value = json_object_get(json, "expiration");
	char digits[32];
	long long ms;

	if (!(p->_flags & AMQP_BASIC_EXPIRATION_FLAG))
		return !value || json_is_null(value);
	ms = json_is_string(value) ? strtoll(json_string_value(value), NULL, 10)
				   : (long long)json_integer_value(value);
	snprintf(digits, sizeof(digits), "%lld", ms);
	return is_text(p->expiration, digits, strlen(digits));
}

static bool is_same_properties(const amqp_basic_properties_t *p, const json_t *json)
{
#define STRING(name, FLAG) \
	is_same_string(json, #name, p->_flags &AMQP_BASIC_##FLAG##_FLAG, p->name)
#define NUMBER(name, FLAG) \
	is_same_number(json, #name, p->_flags &AMQP_BASIC_##FLAG##_FLAG, p->name)
	return STRING(content_encoding, CONTENT_ENCODING) &&
	       STRING(correlation_id, CORRELATION_ID) && STRING(reply_to, REPLY_TO) &&
	       STRING(type, TYPE) && STRING(user_id, USER_ID) && STRING(app_id, APP_ID) &&
	       STRING(cluster_id, CLUSTER_ID) && NUMBER(priority, PRIORITY) &&
	       NUMBER(timestamp, TIMESTAMP) && NUMBER(delivery_mode, DELIVERY_MODE) &&
	       is_same_expiration(json, p);
}

static void try_properties(struct slice text)
{
	struct error err = {.text = ""};
	amqp_pool_t pool, back;
	amqp_basic_properties_t properties = {0};
	void *decoded;
	amqp_bytes_t bytes = {.len = sizeof(wire), .bytes = wire};
	int size;

	init_amqp_pool(&pool, 4096);
	init_amqp_pool(&back, 4096);
	if (rabbitmq_table_properties(&properties, text, &pool, &err) < 0) {
		check_refusal(&err);
	} else {
		json_t *json = json_loadb(text.data, text.size, 0, NULL);

		size = amqp_encode_properties(AMQP_BASIC_CLASS, &properties, bytes);
		must(json && size >= 0);
		bytes.len = (size_t)size;
		must(amqp_decode_properties(AMQP_BASIC_CLASS, &back, bytes, &decoded) >=
		     0);
		must(is_same_properties(decoded, json));
		json_decref(json);
	}
	empty_amqp_pool(&pool);
	empty_amqp_pool(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char cc[] = "CC", x[] = "x-*";
	static char *items[] = {cc, x};
	const struct string_list some = {.items = items, .count = 2}, none = {0};
	const char *end;
	char *text;

	if (size < 1)
		return 0;
	text = fuzz_text(data + 1, size - 1);
	end = memchr(text, '\0', size);
	try_headers((struct slice){.data = text, .size = (size_t)(end - text)},
		    data[0] & 1 ? &some : &none);
	if (end < text + size - 1)
		try_properties((struct slice){
			.data = end + 1,
			.size = (size_t)(text + size - 1 - (end + 1)),
		});
	free(text);
	return 0;
}
