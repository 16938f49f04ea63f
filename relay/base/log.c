#include "log.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

static _Atomic enum log_level threshold = LOG_LEVEL_INFO;
static _Atomic enum log_format style = LOG_FORMAT_LOGFMT;
static _Atomic uint64_t dropped_total;

/* One line at a time, so that poll(2) speaks of the write that follows. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t dropped_unsaid;

struct line {
	char text[LOG_LINE_MAX];
	size_t size;
};

void log_setup(enum log_level level, enum log_format format)
{
	threshold = level;
	style = format;
}

uint64_t log_dropped(void)
{
	return dropped_total;
}

/* Keeps room for the closing brace and the newline. */
static void add(struct line *l, const char *text, size_t size)
{
	size_t room = sizeof(l->text) - 3 - l->size;

	if (size > room)
		size = room;
	memcpy(l->text + l->size, text, size);
	l->size += size;
}

static void add_text(struct line *l, const char *text)
{
	add(l, text, strlen(text));
}

/* JSON string escapes; logfmt readers understand them too. An escape is added whole or
 * not. */
static void add_quoted(struct line *l, const char *text)
{
	size_t closing = sizeof(l->text) - 10;

	add_text(l, "\"");
	for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
		char escape[8];

		if (l->size >= closing)
			break;
		if (*c == '"' || *c == '\\')
			snprintf(escape, sizeof(escape), "\\%c", *c);
		else if (*c < ' ' || *c == 127)
			snprintf(escape, sizeof(escape), "\\u%04x", *c);
		else
			snprintf(escape, sizeof(escape), "%c", *c);
		add_text(l, escape);
	}
	add_text(l, "\"");
}

static bool is_bare(const char *text)
{
	if (!*text)
		return false;
	for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
		if (*c <= ' ' || *c >= 127 || strchr("\"=\\", *c))
			return false;
	}
	return true;
}

static void add_field(struct line *l, const char *key, const char *text, int64_t number)
{
	char digits[24];

	if (l->size > sizeof(l->text) - 64)
		return; /* full: a cut line ends with its last whole field */
	if (style == LOG_FORMAT_JSON) {
		add_text(l, l->size ? "," : "{");
		add_quoted(l, key);
		add_text(l, ":");
	} else {
		add_text(l, l->size ? " " : "");
		add_text(l, key);
		add_text(l, "=");
	}
	if (!text) {
		snprintf(digits, sizeof(digits), "%lld", (long long)number);
		add_text(l, digits);
	} else if (style == LOG_FORMAT_LOGFMT && is_bare(text)) {
		add_text(l, text);
	} else {
		add_quoted(l, text);
	}
}

static void drop(void)
{
	dropped_total++;
	dropped_unsaid++;
}

static void write_line(const struct line *l)
{
	struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};

	/* A pipe that polls writable has room for PIPE_BUF bytes: this write cannot
	 * block. */
	if (poll(&p, 1, 0) != 1 || !(p.revents & POLLOUT) ||
	    write(STDERR_FILENO, l->text, l->size) != (ssize_t)l->size)
		drop();
	else
		dropped_unsaid = 0;
}

void log_write(enum log_level level, const char *event, const struct log_field *fields,
	       size_t count)
{
	static const char *const names[] = {"debug", "info", "warn", "error"};
	struct line l = {.size = 0};
	char now[40];

	if (level < threshold)
		return;
	pthread_mutex_lock(&lock);
	clock_print(now, sizeof(now));
	add_field(&l, "ts", now, 0);
	add_field(&l, "level", names[level], 0);
	add_field(&l, "event", event, 0);
	if (dropped_unsaid)
		add_field(&l, "dropped", NULL, (int64_t)dropped_unsaid);
	for (size_t i = 0; i < count; i++) {
		if (fields[i].key)
			add_field(&l, fields[i].key, fields[i].text, fields[i].number);
	}
	l.text[l.size++] = style == LOG_FORMAT_JSON ? '}' : '\n';
	if (style == LOG_FORMAT_JSON)
		l.text[l.size++] = '\n';
	write_line(&l);
	pthread_mutex_unlock(&lock);
}
