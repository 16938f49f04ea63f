#ifndef BASE_HUMAN_H
#define BASE_HUMAN_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"

/*
 * How things are shown to people, on a terminal or in JSON, and read from them. Pure.
 *
 * What stands in a row is somebody else's text: a terminal must not obey it. human_escape()
 * shows control characters, text that changes the direction of writing and bytes that are no
 * UTF-8 as \n, \x1b, \u202e; everything else stays as it is.
 */

/* Room for any of the numbers below. */
#define HUMAN_MAX 48

/* "0.4 s", "12 s", "5 min 3 s", "7 h 12 min", "3 d 4 h". */
const char *human_age(int64_t ms, char out[HUMAN_MAX]);

/* "1,234,567" */
const char *human_count(int64_t n, char out[HUMAN_MAX]);

/* "812 B", "1.5 KiB", "3.2 GiB" */
const char *human_bytes(int64_t bytes, char out[HUMAN_MAX]);

/* "1 row", "1,234 rows"; `noun` in the singular. */
const char *human_plural(int64_t n, const char *noun, char out[HUMAN_MAX]);

/* "90s", "5m", "12h", "7d", "2w" in milliseconds; -1 for anything else, and above 100 years. */
int64_t human_parse_age(const char *text);

/* Appends it fit for a terminal, on one line. */
void human_escape(struct buffer *out, const char *data, size_t size);

/* The same, but newlines and tabs stay: for text that is shown as a block. */
void human_escape_block(struct buffer *out, const char *data, size_t size);

/* Printable text in UTF-8, apart from newlines and tabs? */
bool human_is_text(const char *data, size_t size);

/* Columns of a terminal; `text` is UTF-8 without control characters. */
size_t human_width(const char *text);

/* A JSON string of bytes that may be no UTF-8: those become U+FFFD. The caller owns it. */
json_t *human_json(const char *data, size_t size);

/* Valid JSON with line breaks and indentation; not one byte of a value is changed. */
void human_indent_json(struct buffer *out, const char *data, size_t size);

/* Lines of offset, 16 bytes in hex, and the printable ones among them. */
void human_hex(struct buffer *out, const char *data, size_t size);

#endif
