/*
 * Connection strings with their secrets taken out. The input holds the secret where the
 * marker byte 1 stands. Where libpq or librabbitmq read the string and find the secret in
 * a password, it must be gone; so it must from anything that they cannot read.
 */

#include <amqp.h>
#include <libpq-fe.h>
#include <stdbool.h>

#include "config/redact.h"
#include "fuzz/fuzz.h"

#define SECRET "hunter2hunter3"

/* With the first byte 1 replaced by the secret; NULL when there is none. */
static char *put_secret(const uint8_t *data, size_t size)
{
	const uint8_t *mark = memchr(data, 1, size);
	size_t before, after;
	char *text;

	if (!mark || memchr(data, 0, size))
		return NULL;
	before = (size_t)(mark - data);
	after = size - before - 1;
	text = malloc(size + sizeof(SECRET));
	memcpy(text, data, before);
	memcpy(text + before, SECRET, strlen(SECRET));
	memcpy(text + before + strlen(SECRET), mark + 1, after);
	text[before + strlen(SECRET) + after] = '\0';
	return text;
}

/* Elsewhere it may rightly be shown. */
static bool has_secret_once(const char *text)
{
	const char *found = strstr(text, SECRET);

	return found && !strstr(found + 1, SECRET);
}

/* Read by libpq, with the secret as (part of) a password? */
static bool is_pg_password(const char *text)
{
	PQconninfoOption *options = PQconninfoParse(text, NULL);
	bool found = false;

	for (PQconninfoOption *o = options; o && o->keyword; o++)
		found |= o->val && strstr(o->val, SECRET) &&
			 (strcmp(o->keyword, "password") == 0 ||
			  strcmp(o->keyword, "sslpassword") == 0);
	PQconninfoFree(options);
	return found;
}

static bool is_amqp_password(const char *text)
{
	char *copy = strdup(text);
	struct amqp_connection_info info;
	bool found;

	amqp_default_connection_info(&info);
	found = amqp_parse_url(copy, &info) == AMQP_STATUS_OK &&
		strstr(info.password, SECRET);
	free(copy);
	return found;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = put_secret(data, size);
	char *url, *value;

	if (!text)
		text = fuzz_text(data, size);
	url = redact_url(text);
	value = redact_value(text);
	if (has_secret_once(text) && (is_pg_password(text) || is_amqp_password(text))) {
		must(!strstr(url, SECRET));
		must(!strstr(value, SECRET));
	}
	free(value);
	free(url);
	free(text);
	return 0;
}
