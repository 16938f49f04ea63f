#include "human.h"

#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <wchar.h>

#define AGE_MAX_MS (INT64_C(100) * 366 * 24 * 3600 * 1000)

/* --- numbers --- */

const char *human_age(int64_t ms, char out[HUMAN_MAX])
{
	static const struct {
		int64_t seconds;
		const char *name;
	} units[] = {{86400, "d"}, {3600, "h"}, {60, "min"}, {1, "s"}};
	int64_t s = ms / 1000;

	if (ms < 10000 && ms >= 0) {
		snprintf(out, HUMAN_MAX, "%lld.%lld s", (long long)s,
			 (long long)(ms % 1000 / 100));
		return out;
	}
	if (ms < 0)
		s = 0;
	for (size_t i = 0; i < 3; i++) {
		if (s < units[i].seconds)
			continue;
		snprintf(out, HUMAN_MAX, "%lld %s %lld %s",
			 (long long)(s / units[i].seconds), units[i].name,
			 (long long)(s % units[i].seconds / units[i + 1].seconds),
			 units[i + 1].name);
		return out;
	}
	snprintf(out, HUMAN_MAX, "%lld s", (long long)s);
	return out;
}

const char *human_count(int64_t n, char out[HUMAN_MAX])
{
	char digits[24];
	int count = snprintf(digits, sizeof(digits), "%lld", (long long)n);
	char *o = out;

	for (int i = 0; i < count; i++) {
		if (i > 0 && (count - i) % 3 == 0 && digits[i - 1] != '-')
			*o++ = ',';
		*o++ = digits[i];
	}
	*o = '\0';
	return out;
}

const char *human_bytes(int64_t bytes, char out[HUMAN_MAX])
{
	static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB"};
	double value = (double)bytes / 1024;
	size_t unit = 0;

	if (bytes < 1024) {
		snprintf(out, HUMAN_MAX, "%lld B", (long long)bytes);
		return out;
	}
	for (; value >= 1023.95 && unit + 1 < sizeof(units) / sizeof(units[0]); unit++)
		value /= 1024;
	snprintf(out, HUMAN_MAX, "%.1f %s", value, units[unit]);
	return out;
}

const char *human_plural(int64_t n, const char *noun, char out[HUMAN_MAX])
{
	char count[HUMAN_MAX];

	snprintf(out, HUMAN_MAX, "%s %s%s", human_count(n, count), noun,
		 n == 1 ? "" : "s");
	return out;
}

int64_t human_parse_age(const char *text)
{
	static const struct {
		char letter;
		int64_t ms;
	} units[] = {
		{'s', 1000},
		{'m', 60000},
		{'h', INT64_C(3600) * 1000},
		{'d', INT64_C(86400) * 1000},
		{'w', INT64_C(7) * 86400 * 1000},
	};
	int64_t n = 0;
	const char *c = text;

	for (; *c >= '0' && *c <= '9'; c++) {
		n = n * 10 + (*c - '0');
		if (n > AGE_MAX_MS)
			return -1;
	}
	for (size_t i = 0; c > text && i < sizeof(units) / sizeof(units[0]); i++) {
		if (*c == units[i].letter && !c[1])
			return n > AGE_MAX_MS / units[i].ms ? -1 : n * units[i].ms;
	}
	return -1;
}

/* --- text --- */

/* Of the character at `s`: its bytes and code point, or 1 and -1 where it is no UTF-8. */
static size_t decode(const unsigned char *s, size_t size, int32_t *point)
{
	static const int32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t length = *s < 0x80 ? 1 : *s < 0xc2 ? 0 : *s < 0xe0 ? 2 : *s < 0xf0 ? 3 : 4;
	int32_t value;

	*point = -1;
	if (length == 0 || *s > 0xf4 || length > size)
		return 1;
	value = length == 1 ? *s : *s & (0x7f >> length);
	for (size_t i = 1; i < length; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 1;
		value = value << 6 | (s[i] & 0x3f);
	}
	if (value < smallest[length] || value > 0x10ffff ||
	    (value >= 0xd800 && value <= 0xdfff))
		return 1;
	*point = value;
	return length;
}

/* Obeyed by terminals, or invisible and changing what is seen around it. */
static bool is_control(int32_t c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x061c || c == 0x200e ||
	       c == 0x200f || (c >= 0x2028 && c <= 0x202e) ||
	       (c >= 0x2066 && c <= 0x2069) || c == 0xfeff || c >= 0xe0000;
}

static void escape_one(struct buffer *out, int32_t c, unsigned char byte)
{
	if (c == '\n')
		buffer_printf(out, "\\n");
	else if (c == '\r')
		buffer_printf(out, "\\r");
	else if (c == '\t')
		buffer_printf(out, "\\t");
	else if (c < 0 || c < 0x80)
		buffer_printf(out, "\\x%02x", c < 0 ? byte : (unsigned)c);
	else
		buffer_printf(out, c > 0xffff ? "\\U%08x" : "\\u%04x", (unsigned)c);
}

static void escape(struct buffer *out, const char *data, size_t size, const char *keep)
{
	const unsigned char *s = (const unsigned char *)data;
	size_t length;
	int32_t c;

	for (size_t i = 0; i < size; i += length) {
		length = decode(s + i, size - i, &c);
		if (c > 0 && c < 0x80 && strchr(keep, c))
			buffer_append(out, data + i, 1);
		else if (c < 0 || is_control(c))
			escape_one(out, c, s[i]);
		else
			buffer_append(out, data + i, length);
	}
}

void human_escape(struct buffer *out, const char *data, size_t size)
{
	escape(out, data, size, "");
}

void human_escape_block(struct buffer *out, const char *data, size_t size)
{
	escape(out, data, size, "\n\t");
}

bool human_is_text(const char *data, size_t size)
{
	size_t length;
	int32_t c;

	for (size_t i = 0; i < size; i += length) {
		length = decode((const unsigned char *)data + i, size - i, &c);
		if (c < 0 ||
		    (is_control(c) && c != '\n' && c != '\t' && c != '\r' && c < 0x80))
			return false;
	}
	return true;
}

size_t human_width(const char *text)
{
	static locale_t utf8;
	locale_t before;
	size_t size = strlen(text);
	size_t width = 0, length;
	int32_t c;

	if (!utf8)
		utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
	before = utf8 ? uselocale(utf8) : (locale_t)0;
	for (size_t i = 0; i < size; i += length) {
		int columns;

		length = decode((const unsigned char *)text + i, size - i, &c);
		columns = c < 0x80 ? 1 : wcwidth((wchar_t)c);
		width += columns < 0 ? 1 : (size_t)columns;
	}
	if (utf8)
		uselocale(before);
	return width;
}

/* --- JSON --- */

json_t *human_json(const char *data, size_t size)
{
	struct buffer valid = {0};
	json_t *string;
	size_t length;
	int32_t c;

	for (size_t i = 0; i < size; i += length) {
		length = decode((const unsigned char *)data + i, size - i, &c);
		if (c < 0)
			buffer_append(&valid, "\xef\xbf\xbd", 3);
		else
			buffer_append(&valid, data + i, length);
	}
	string = json_stringn(buffer_text(&valid), buffer_size(&valid));
	buffer_release(&valid);
	return string;
}

static void new_line(struct buffer *out, int depth)
{
	buffer_append(out, "\n", 1);
	for (int i = 0; i < depth; i++)
		buffer_append(out, "  ", 2);
}

static size_t string_end(const char *data, size_t size, size_t i)
{
	for (i++; i < size && data[i] != '"'; i++)
		i += data[i] == '\\';
	return i < size ? i + 1 : size;
}

static size_t skip_space(const char *data, size_t size, size_t i)
{
	while (i < size && strchr(" \t\r\n", data[i]))
		i++;
	return i;
}

void human_indent_json(struct buffer *out, const char *data, size_t size)
{
	int depth = 0;
	size_t i = skip_space(data, size, 0);

	while (i < size) {
		size_t end = data[i] == '"' ? string_end(data, size, i) : i + 1;
		bool opens = data[i] == '{' || data[i] == '[';
		bool closes = data[i] == '}' || data[i] == ']';
		size_t next = skip_space(data, size, end);

		if (closes)
			new_line(out, --depth);
		buffer_append(out, data + i, end - i);
		if (opens && next < size && (data[next] == '}' || data[next] == ']')) {
			buffer_append(out, data + next, 1);
			next = skip_space(data, size, next + 1);
		} else if (opens) {
			new_line(out, ++depth);
		} else if (data[i] == ',') {
			new_line(out, depth);
		} else if (data[i] == ':') {
			buffer_append(out, " ", 1);
		}
		i = next;
	}
}

/* --- hex --- */

void human_hex(struct buffer *out, const char *data, size_t size)
{
	for (size_t line = 0; line < size; line += 16) {
		size_t count = size - line < 16 ? size - line : 16;

		buffer_printf(out, "%08zx ", line);
		for (size_t i = 0; i < 16; i++) {
			if (i < count)
				buffer_printf(out, "%s%02x", i == 8 ? "  " : " ",
					      (unsigned char)data[line + i]);
			else
				buffer_printf(out, "%s  ", i == 8 ? "  " : " ");
		}
		buffer_printf(out, "  |");
		for (size_t i = 0; i < count; i++) {
			unsigned char c = (unsigned char)data[line + i];

			buffer_put_u8(out, c < 0x20 || c > 0x7e ? '.' : c);
		}
		buffer_printf(out, "|\n");
	}
}
