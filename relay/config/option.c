#include "option.h"

#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "config/file.h"
#include "config/redact.h"

#define FRACTION_DIGITS_MAX 9

struct unit {
	const char *name;
	int64_t factor;
};

/* From small to large: printing takes the largest that leaves no rest. */
static const struct unit durations[] = {
	{"ms", 1},
	{"s", 1000},
	{"m", 60 * 1000},
	{"h", 60 * 60 * 1000},
	{"d", 24 * 60 * 60 * 1000},
	{NULL, 0},
};

static const struct unit sizes[] = {
	{"B", 1},  {"KiB", 1024}, {"MiB", 1024 * 1024}, {"GiB", 1024 * 1024 * 1024},
	{NULL, 0},
};

static const struct unit *units_of(const struct option *o)
{
	return o->type == OPTION_DURATION ? durations : sizes;
}

static void *member(const struct option *o, const void *base)
{
	return (char *)base + o->offset;
}

/* The digits at *text, which moves behind them; too many give INT64_MAX. */
static bool take_digits(const char **text, int64_t *value)
{
	const char *start = *text;
	bool is_huge = false;

	*value = 0;
	for (; isdigit((unsigned char)**text); (*text)++)
		is_huge |= __builtin_mul_overflow(*value, 10, value) ||
			   __builtin_add_overflow(*value, **text - '0', value);
	if (is_huge)
		*value = INT64_MAX;
	/* Other readers take 010 for eight: refuse it rather than guess. */
	return *text > start && !(*start == '0' && *text > start + 1);
}

bool option_is_int(const char *text, int64_t *value)
{
	bool is_negative = *text == '-';

	text += is_negative;
	if (!take_digits(&text, value) || *text)
		return false;
	if (is_negative)
		*value = -*value;
	return true;
}

static bool is_real(const char *text, double *value)
{
	double scale = 1;
	int64_t whole;

	/* Not strtod(): that takes "1e3", "inf" and the decimal point of the locale. */
	if (!take_digits(&text, &whole))
		return false;
	*value = (double)whole;
	if (*text == '.') {
		const char *start = ++text;

		for (; isdigit((unsigned char)*text); text++) {
			scale /= 10;
			*value += scale * (*text - '0');
		}
		if (text == start || text - start > FRACTION_DIGITS_MAX)
			return false;
	}
	return !*text;
}

static bool is_quantity(const struct unit *units, const char *text, int64_t *value)
{
	if (!take_digits(&text, value))
		return false;
	for (; units->name; units++) {
		if (strcmp(units->name, text) != 0)
			continue;
		if (__builtin_mul_overflow(*value, units->factor, value))
			*value = INT64_MAX;
		return true;
	}
	return false;
}

static char *print_quantity(const struct unit *units, int64_t value)
{
	const struct unit *best = units;

	if (!value && units == durations)
		return xstrdup("0s");
	for (; value && units->name; units++) {
		if (value % units->factor == 0)
			best = units;
	}
	return xasprintf("%" PRId64 "%s", value / best->factor, best->name);
}

static char *print_number(const struct option *o, int64_t value)
{
	if (o->type == OPTION_DURATION || o->type == OPTION_SIZE)
		return print_quantity(units_of(o), value);
	return xasprintf("%" PRId64, value);
}

static int refuse_range(const struct option *o, struct error *err)
{
	char *min = print_number(o, o->min);
	char *max = print_number(o, o->max);

	error_set(err, ERROR_CONFIG, "is out of range %s to %s", min, max);
	free(min);
	free(max);
	return -1;
}

static int store_int(const struct option *o, int64_t value, void *base, struct error *err)
{
	if (value < o->min || value > o->max)
		return refuse_range(o, err);
	*(int64_t *)member(o, base) = value;
	return 0;
}

static int parse_int(const struct option *o, const char *text, void *base,
		     struct error *err)
{
	int64_t value;

	if (!option_is_int(text, &value))
		return error_set(err, ERROR_CONFIG, "is not a whole number");
	return store_int(o, value, base, err);
}

static int parse_quantity(const struct option *o, const char *text, void *base,
			  struct error *err)
{
	int64_t value;

	if (is_quantity(units_of(o), text, &value))
		return store_int(o, value, base, err);
	if (o->type == OPTION_DURATION)
		return error_set(err, ERROR_CONFIG,
				 "is not a duration such as 500ms, 5s, 2m, 1h or 7d");
	return error_set(err, ERROR_CONFIG,
			 "is not a size such as 512B, 64KiB, 4MiB or 1GiB");
}

static int parse_real(const struct option *o, const char *text, void *base,
		      struct error *err)
{
	double value;

	if (!is_real(text, &value))
		return error_set(err, ERROR_CONFIG, "is not a decimal number");
	if (value < (double)o->min || value > (double)o->max)
		return refuse_range(o, err);
	*(double *)member(o, base) = value;
	return 0;
}

static int parse_bool(const struct option *o, const char *text, void *base,
		      struct error *err)
{
	bool is_true = strcmp(text, "true") == 0;

	if (!is_true && strcmp(text, "false") != 0)
		return error_set(err, ERROR_CONFIG, "is neither true nor false");
	*(bool *)member(o, base) = is_true;
	return 0;
}

static int parse_enum(const struct option *o, const char *text, void *base,
		      struct error *err)
{
	struct buffer names = {0};

	for (int i = 0; o->names[i]; i++) {
		if (strcmp(o->names[i], text) == 0) {
			*(int *)member(o, base) = i;
			buffer_release(&names);
			return 0;
		}
		buffer_printf(&names, "%s%s", i ? ", " : "", o->names[i]);
	}
	error_set(err, ERROR_CONFIG, "is not one of %s", buffer_text(&names));
	buffer_release(&names);
	return -1;
}

static void wipe(const struct option *o, char *text)
{
	if (text && (o->flags & (OPTION_SECRET | OPTION_URL | OPTION_FILE)))
		explicit_bzero(text, strlen(text));
	free(text);
}

/* The char pointer of a STRING: of an OPTION_FILE, its path. */
static char **string_member(const struct option *o, const void *base)
{
	if (o->flags & OPTION_FILE)
		return &((struct secret_file *)member(o, base))->path;
	return member(o, base);
}

static int parse_string(const struct option *o, const char *text, void *base,
			struct error *err)
{
	int64_t size = (int64_t)strlen(text);
	char **string = string_member(o, base);

	if (size == 0 && (o->min > 0 || (o->flags & OPTION_REQUIRED)))
		return error_set(err, ERROR_CONFIG, "must not be empty");
	if (size < o->min || (o->max && size > o->max))
		return error_set(err, ERROR_CONFIG,
				 "must be %" PRId64 " to %" PRId64 " bytes long", o->min,
				 o->max);
	wipe(o, *string);
	*string = xstrdup(text);
	return 0;
}

int option_parse(const struct option *o, const char *text, void *base, struct error *err)
{
	switch (o->type) {
	case OPTION_BOOL:
		return parse_bool(o, text, base, err);
	case OPTION_INT:
		return parse_int(o, text, base, err);
	case OPTION_REAL:
		return parse_real(o, text, base, err);
	case OPTION_DURATION:
	case OPTION_SIZE:
		return parse_quantity(o, text, base, err);
	case OPTION_ENUM:
		return parse_enum(o, text, base, err);
	default:
		assert(o->type == OPTION_STRING);
		return parse_string(o, text, base, err);
	}
}

/* Cuts the content to its first line. */
static int first_line(struct buffer *content, struct error *err)
{
	char *text = content->data + content->start;
	size_t size = buffer_size(content);
	size_t line = 0;

	while (line < size && text[line] != '\n')
		line++;
	if (line > 0 && text[line - 1] == '\r')
		line--;
	if (line == 0)
		return error_set(err, ERROR_CONFIG, "the first line is empty");
	if (memchr(text, '\0', line))
		return error_set(err, ERROR_CONFIG, "the first line has a NUL byte");
	text[line] = '\0';
	return 0;
}

int option_read_file(const struct option *o, void *base, struct error *err)
{
	struct secret_file *secret = member(o, base);
	struct buffer content = {0};
	int result = file_read(secret->path, OPTION_FILE_MAX, &content, err);

	if (result == 0) {
		buffer_text(&content);
		result = first_line(&content, err);
	}
	if (result == 0) {
		wipe(o, secret->text);
		secret->text = xstrdup(content.data + content.start);
	}
	if (content.data)
		explicit_bzero(content.data, content.capacity);
	buffer_release(&content);
	return result;
}

static char *print_string(const struct option *o, const char *text)
{
	if (!text)
		return NULL;
	if (o->flags & OPTION_URL)
		return o->flags & OPTION_SECRET ? redact_path(text) : redact_url(text);
	if (o->flags & OPTION_SECRET)
		return xstrdup("***");
	return xstrdup(text);
}

static char *print_strings(const struct option *o, const struct string_list *list)
{
	struct buffer out = {0};

	buffer_printf(&out, "[");
	for (size_t i = 0; i < list->count; i++) {
		char *item = print_string(o, list->items[i]);

		buffer_printf(&out, "%s%s", i ? ", " : "", item);
		free(item);
	}
	buffer_printf(&out, "]");
	buffer_text(&out);
	return out.data;
}

char *option_print(const struct option *o, const void *base)
{
	const void *m = member(o, base);

	switch (o->type) {
	case OPTION_BOOL:
		return xstrdup(*(const bool *)m ? "true" : "false");
	case OPTION_INT:
	case OPTION_DURATION:
	case OPTION_SIZE:
		return print_number(o, *(const int64_t *)m);
	case OPTION_REAL:
		return xasprintf("%.12g", *(const double *)m);
	case OPTION_ENUM:
		return xstrdup(o->names[*(const int *)m]);
	case OPTION_STRING:
		return print_string(o, *string_member(o, base));
	case OPTION_STRINGS:
		return print_strings(o, m);
	default:
		return NULL;
	}
}

void option_defaults(const struct option *table, void *base)
{
	struct error err;

	for (const struct option *o = table; o->key; o++) {
		int result = 0;

		if (o->type < OPTION_STRINGS && o->fallback)
			result = option_parse(o, o->fallback, base, &err);
		assert(result == 0);
	}
}

static void release_strings(const struct option *o, struct string_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		wipe(o, list->items[i]);
	free(list->items);
	*list = (struct string_list){0};
}

static void release_map(struct setting_map *map)
{
	for (size_t i = 0; i < map->count; i++) {
		free(map->items[i].name);
		free(map->items[i].text);
	}
	free(map->items);
	*map = (struct setting_map){0};
}

static void release_rows(const struct option *o, struct row_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		option_release(o->rows, (char *)list->items + i * o->row_size);
	free(list->items);
	*list = (struct row_list){0};
}

static void release_string(const struct option *o, void *base)
{
	char **string = string_member(o, base);

	wipe(o, *string);
	*string = NULL;
	if (o->flags & OPTION_FILE) {
		struct secret_file *secret = member(o, base);

		wipe(o, secret->text);
		secret->text = NULL;
	}
}

void option_release(const struct option *table, void *base)
{
	for (const struct option *o = table; o->key; o++) {
		if (o->type == OPTION_STRING)
			release_string(o, base);
		else if (o->type == OPTION_STRINGS)
			release_strings(o, member(o, base));
		else if (o->type == OPTION_MAP)
			release_map(member(o, base));
		else if (o->type == OPTION_ROWS)
			release_rows(o, member(o, base));
	}
}
