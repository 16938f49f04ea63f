#include "rabbitmq_table.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buffer.h"
#include "broker/frames.h"

#define DEPTH_MAX         50
#define SHORT_STRING_MAX  255
#define EXPIRATION_MAX_MS (10LL * 365 * 86400 * 1000) /* RabbitMQ takes no more */

static void *pool_alloc(amqp_pool_t *pool, size_t size)
{
	void *memory;

	while (!(memory = amqp_pool_alloc(pool, size ? size : 1)))
		memory_spare();
	return memory;
}

static amqp_bytes_t pool_copy(amqp_pool_t *pool, const char *data, size_t size)
{
	amqp_bytes_t copy = {.len = size, .bytes = pool_alloc(pool, size)};

	memcpy(copy.bytes, data, size);
	return copy;
}

static int refuse(struct error *err, const char *what, const char *name, const char *why)
{
	char printable[80];
	amqp_bytes_t bytes = {.len = strlen(name), .bytes = (void *)name};

	frames_text(printable, sizeof(printable), bytes);
	return error_set(err, ERROR_CONFIG, "%s \"%s\" %s", what, printable, why);
}

/* The library's own text quotes the JSON, which may hold personal data. */
static json_t *parse(struct slice json, const char *what, struct error *err)
{
	json_error_t e;
	json_t *value;
	const char *why = "are not valid JSON";

	/* Out of memory must never look like a fault of the row. */
	json_set_alloc_funcs(xmalloc, free);
	value = json_loadb(json.data, json.size, JSON_REJECT_DUPLICATES, &e);
	if (value && json_is_object(value))
		return value;
	if (value)
		why = "are not a JSON object";
	else if (json_error_code(&e) == json_error_duplicate_key)
		why = "have a name twice";
	else if (json_error_code(&e) == json_error_numeric_overflow)
		why = "have a number that is out of range";
	else if (json_error_code(&e) == json_error_null_character ||
		 json_error_code(&e) == json_error_null_byte_in_key)
		why = "have a NUL character";
	else if (json_error_code(&e) == json_error_stack_overflow)
		why = "are nested too deeply";
	json_decref(value);
	error_set(err, ERROR_CONFIG, "%s %s", what, why);
	return NULL;
}

/* --- headers --- */

static int convert(amqp_field_value_t *out, json_t *value, int depth, amqp_pool_t *pool,
		   struct error *err);

static int convert_array(amqp_array_t *out, json_t *array, int depth, amqp_pool_t *pool,
			 struct error *err)
{
	size_t count = json_array_size(array);

	out->num_entries = (int)count;
	out->entries = pool_alloc(pool, count * sizeof(*out->entries));
	for (size_t i = 0; i < count; i++) {
		if (convert(&out->entries[i], json_array_get(array, i), depth, pool,
			    err) < 0)
			return -1;
	}
	return 0;
}

static int convert_object(amqp_table_t *out, json_t *object, int depth, amqp_pool_t *pool,
			  struct error *err)
{
	const char *name;
	json_t *value;
	amqp_table_entry_t *entry;

	out->num_entries = (int)json_object_size(object);
	out->entries = pool_alloc(pool, (size_t)out->num_entries * sizeof(*out->entries));
	entry = out->entries;
	json_object_foreach(object, name, value)
	{
		size_t size = strlen(name);

		if (size > SHORT_STRING_MAX)
			return refuse(err, "header", name,
				      "has a name of more than 255 bytes");
		entry->key = pool_copy(pool, name, size);
		if (convert(&entry->value, value, depth, pool, err) < 0)
			return -1;
		entry++;
	}
	return 0;
}

static int convert(amqp_field_value_t *out, json_t *value, int depth, amqp_pool_t *pool,
		   struct error *err)
{
	if (depth > DEPTH_MAX)
		return error_set(err, ERROR_CONFIG,
				 "headers are nested more than %d deep", DEPTH_MAX);
	switch (json_typeof(value)) {
	case JSON_OBJECT:
		out->kind = AMQP_FIELD_KIND_TABLE;
		return convert_object(&out->value.table, value, depth + 1, pool, err);
	case JSON_ARRAY:
		out->kind = AMQP_FIELD_KIND_ARRAY;
		return convert_array(&out->value.array, value, depth + 1, pool, err);
	case JSON_STRING:
		out->kind = AMQP_FIELD_KIND_UTF8;
		out->value.bytes = pool_copy(pool, json_string_value(value),
					     json_string_length(value));
		return 0;
	case JSON_INTEGER:
		out->kind = AMQP_FIELD_KIND_I64;
		out->value.i64 = json_integer_value(value);
		return 0;
	case JSON_REAL:
		out->kind = AMQP_FIELD_KIND_F64;
		out->value.f64 = json_real_value(value);
		return 0;
	case JSON_TRUE:
	case JSON_FALSE:
		out->kind = AMQP_FIELD_KIND_BOOLEAN;
		out->value.boolean = json_is_true(value);
		return 0;
	case JSON_NULL:
		break;
	}
	out->kind = AMQP_FIELD_KIND_VOID;
	return 0;
}

static bool is_reserved(const char *name)
{
	return strcmp(name, "CC") == 0 || strcmp(name, "BCC") == 0 ||
	       strncasecmp(name, "x-", 2) == 0;
}

static bool is_allowed(const char *name, const struct string_list *allowed)
{
	for (size_t i = 0; i < allowed->count; i++) {
		const char *pattern = allowed->items[i];
		size_t size = strlen(pattern);

		if (size > 0 && pattern[size - 1] == '*' &&
		    strncmp(name, pattern, size - 1) == 0)
			return true;
		if (strcmp(name, pattern) == 0)
			return true;
	}
	return false;
}

static int check_names(json_t *object, const struct string_list *allowed,
		       struct error *err)
{
	const char *name;
	json_t *value;

	json_object_foreach(object, name, value)
	{
		if (is_reserved(name) && !is_allowed(name, allowed))
			return refuse(
				err, "header", name,
				"steers the broker and is not in broker.allowed_headers");
	}
	return 0;
}

int rabbitmq_table_headers(amqp_table_t *out, struct slice json,
			   const struct string_list *allowed, amqp_pool_t *pool,
			   struct error *err)
{
	json_t *object = parse(json, "headers", err);
	amqp_table_t table;
	int result;

	if (!object)
		return -1;
	result = check_names(object, allowed, err);
	if (result == 0)
		result = convert_object(&table, object, 1, pool, err);
	if (result == 0)
		*out = table;
	json_decref(object);
	return result;
}

/* --- properties --- */

enum property_kind {
	PROPERTY_STRING,
	PROPERTY_BYTE,
	PROPERTY_SECONDS,
	PROPERTY_EXPIRATION
};

static const struct property {
	const char *name;
	enum property_kind kind;
	amqp_flags_t flag;
	size_t offset;
	int min, max; /* BYTE */
} properties[] = {
#define PROPERTY(member) offsetof(amqp_basic_properties_t, member)
	{"content_encoding", PROPERTY_STRING, AMQP_BASIC_CONTENT_ENCODING_FLAG,
	 PROPERTY(content_encoding), 0, 0},
	{"delivery_mode", PROPERTY_BYTE, AMQP_BASIC_DELIVERY_MODE_FLAG,
	 PROPERTY(delivery_mode), 2, 2},
	{"priority", PROPERTY_BYTE, AMQP_BASIC_PRIORITY_FLAG, PROPERTY(priority), 0, 255},
	{"correlation_id", PROPERTY_STRING, AMQP_BASIC_CORRELATION_ID_FLAG,
	 PROPERTY(correlation_id), 0, 0},
	{"reply_to", PROPERTY_STRING, AMQP_BASIC_REPLY_TO_FLAG, PROPERTY(reply_to), 0, 0},
	{"expiration", PROPERTY_EXPIRATION, AMQP_BASIC_EXPIRATION_FLAG,
	 PROPERTY(expiration), 0, 0},
	{"timestamp", PROPERTY_SECONDS, AMQP_BASIC_TIMESTAMP_FLAG, PROPERTY(timestamp), 0,
	 0},
	{"type", PROPERTY_STRING, AMQP_BASIC_TYPE_FLAG, PROPERTY(type), 0, 0},
	{"user_id", PROPERTY_STRING, AMQP_BASIC_USER_ID_FLAG, PROPERTY(user_id), 0, 0},
	{"app_id", PROPERTY_STRING, AMQP_BASIC_APP_ID_FLAG, PROPERTY(app_id), 0, 0},
	{"cluster_id", PROPERTY_STRING, AMQP_BASIC_CLUSTER_ID_FLAG, PROPERTY(cluster_id),
	 0, 0},
};

static const struct property *find_property(const char *name)
{
	for (size_t i = 0; i < sizeof(properties) / sizeof(properties[0]); i++) {
		if (strcmp(properties[i].name, name) == 0)
			return &properties[i];
	}
	return NULL;
}

static int set_string(const struct property *p, amqp_bytes_t *out, json_t *value,
		      amqp_pool_t *pool, struct error *err)
{
	if (!json_is_string(value))
		return refuse(err, "property", p->name, "must be a string");
	if (json_string_length(value) > SHORT_STRING_MAX)
		return refuse(err, "property", p->name, "has more than 255 bytes");
	*out = pool_copy(pool, json_string_value(value), json_string_length(value));
	return 0;
}

/* Digits only, and at most as many as the largest value has. */
static bool parse_digits(const char *text, json_int_t *out)
{
	size_t size = strlen(text);

	if (size == 0 || size > 12 || strspn(text, "0123456789") != size)
		return false;
	*out = strtoll(text, NULL, 10);
	return true;
}

static int set_expiration(const struct property *p, amqp_bytes_t *out, json_t *value,
			  amqp_pool_t *pool, struct error *err)
{
	json_int_t ms = -1;
	char digits[24];

	if (json_is_integer(value))
		ms = json_integer_value(value);
	else if (json_is_string(value) && !parse_digits(json_string_value(value), &ms))
		ms = -1;
	if (ms < 0 || ms > EXPIRATION_MAX_MS)
		return refuse(err, "property", p->name,
			      "must be whole milliseconds, at most 10 years of them");
	snprintf(digits, sizeof(digits), "%lld", (long long)ms);
	*out = pool_copy(pool, digits, strlen(digits));
	return 0;
}

static int set_byte(const struct property *p, uint8_t *out, json_t *value,
		    struct error *err)
{
	json_int_t number = json_integer_value(value);
	char why[64];

	if (!json_is_integer(value) || number < p->min || number > p->max) {
		snprintf(why, sizeof(why), "must be %d to %d", p->min, p->max);
		return refuse(err, "property", p->name,
			      p->min == p->max
				      ? "must be 2: messages are always persistent"
				      : why);
	}
	*out = (uint8_t)number;
	return 0;
}

static int set_seconds(const struct property *p, uint64_t *out, json_t *value,
		       struct error *err)
{
	if (!json_is_integer(value) || json_integer_value(value) < 0)
		return refuse(err, "property", p->name,
			      "must be whole seconds since 1970");
	*out = (uint64_t)json_integer_value(value);
	return 0;
}

static int set_property(amqp_basic_properties_t *out, const struct property *p,
			json_t *value, amqp_pool_t *pool, struct error *err)
{
	void *member = (char *)out + p->offset;

	out->_flags |= p->flag;
	switch (p->kind) {
	case PROPERTY_STRING:
		return set_string(p, member, value, pool, err);
	case PROPERTY_EXPIRATION:
		return set_expiration(p, member, value, pool, err);
	case PROPERTY_BYTE:
		return set_byte(p, member, value, err);
	case PROPERTY_SECONDS:
		return set_seconds(p, member, value, err);
	}
	return 0;
}

static int set_properties(amqp_basic_properties_t *out, json_t *object, amqp_pool_t *pool,
			  struct error *err)
{
	const char *name;
	json_t *value;

	json_object_foreach(object, name, value)
	{
		const struct property *p = find_property(name);

		if (!p)
			return refuse(err, "property", name, "is not known");
		if (!json_is_null(value) && set_property(out, p, value, pool, err) < 0)
			return -1;
	}
	return 0;
}

int rabbitmq_table_properties(amqp_basic_properties_t *out, struct slice json,
			      amqp_pool_t *pool, struct error *err)
{
	json_t *object = parse(json, "properties", err);
	amqp_basic_properties_t set = *out;
	int result;

	if (!object)
		return -1;
	result = set_properties(&set, object, pool, err);
	if (result == 0)
		*out = set;
	json_decref(object);
	return result;
}

/* --- arguments of declarations --- */

static amqp_table_entry_t *grow(amqp_table_t *table, int more, amqp_pool_t *pool)
{
	int count = table->num_entries;
	amqp_table_entry_t *entries =
		pool_alloc(pool, (size_t)(count + more) * sizeof(*entries));

	if (count)
		memcpy(entries, table->entries, (size_t)count * sizeof(*entries));
	table->entries = entries;
	table->num_entries = count + more;
	return entries + count;
}

void rabbitmq_table_add(amqp_table_t *table, const char *name, const char *value,
			amqp_pool_t *pool)
{
	amqp_table_entry_t *entry = grow(table, 1, pool);

	entry->key = amqp_cstring_bytes(name);
	entry->value.kind = AMQP_FIELD_KIND_UTF8;
	entry->value.value.bytes = amqp_cstring_bytes(value);
}

void rabbitmq_table_settings(amqp_table_t *out, const struct setting_map *settings,
			     amqp_pool_t *pool)
{
	amqp_table_t table = {0};
	amqp_table_entry_t *entry = grow(&table, (int)settings->count, pool);

	for (size_t i = 0; i < settings->count; i++, entry++) {
		const struct setting *s = &settings->items[i];

		entry->key = amqp_cstring_bytes(s->name);
		switch (s->kind) {
		case SETTING_STRING:
			entry->value.kind = AMQP_FIELD_KIND_UTF8;
			entry->value.value.bytes = amqp_cstring_bytes(s->text);
			break;
		case SETTING_INT:
			entry->value.kind = AMQP_FIELD_KIND_I64;
			entry->value.value.i64 = s->number;
			break;
		case SETTING_BOOL:
			entry->value.kind = AMQP_FIELD_KIND_BOOLEAN;
			entry->value.value.boolean = s->number != 0;
			break;
		}
	}
	*out = table;
}

const char *rabbitmq_table_library(void)
{
	return jansson_version_str();
}
