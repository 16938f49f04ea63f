#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * One line per event on standard error, logfmt or JSON, with stable field names:
 *
 *   log_info("broker connected", LOG_STR("peer", peer), LOG_INT("after_ms", ms));
 *   ts=2026-01-31T23:59:59.123Z level=info event="broker connected" peer=… after_ms=12
 *
 * Never a payload, never a secret; callers see to that. Values are escaped. A line longer
 * than LOG_LINE_MAX is cut. Writing never blocks: when standard error takes no more (a
 * stopped reader, a full disk), lines are dropped and counted, and the next line that
 * passes says how many (dropped=…). Any thread may write.
 */

#define LOG_LINE_MAX 4000 /* below PIPE_BUF: a line is written whole or not at all */

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };
enum log_format { LOG_FORMAT_LOGFMT, LOG_FORMAT_JSON };

struct log_field {
	const char *key;  /* NULL: skipped */
	const char *text; /* NULL: the number counts */
	int64_t number;
};

#define LOG_STR(name, value) ((struct log_field){.key = (name), .text = (value)})
#define LOG_INT(name, value) ((struct log_field){.key = (name), .number = (value)})

void log_setup(enum log_level level, enum log_format format);

/* Lines that could not be written so far. */
uint64_t log_dropped(void);

void log_write(enum log_level level, const char *event, const struct log_field *fields,
	       size_t count);

/* The first element is there so that an event without fields is valid C, too. */
#define LOG_FIELDS_(...) ((struct log_field[]){{0}, ##__VA_ARGS__})
#define LOG_EVENT_(level, event, ...)                     \
	log_write(level, event, LOG_FIELDS_(__VA_ARGS__), \
		  sizeof(LOG_FIELDS_(__VA_ARGS__)) / sizeof(struct log_field))

#define log_debug(event, ...) LOG_EVENT_(LOG_LEVEL_DEBUG, event, ##__VA_ARGS__)
#define log_info(event, ...)  LOG_EVENT_(LOG_LEVEL_INFO, event, ##__VA_ARGS__)
#define log_warn(event, ...)  LOG_EVENT_(LOG_LEVEL_WARN, event, ##__VA_ARGS__)
#define log_error(event, ...) LOG_EVENT_(LOG_LEVEL_ERROR, event, ##__VA_ARGS__)

#endif
