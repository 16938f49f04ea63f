#include "redact.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "base/buffer.h"

#define MASK          "***"
#define PARAMETER_MAX 63
#define PARAMETER_CHARACTERS \
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_"

/* password, sslpassword, passwd, oauth_client_secret, …; what cannot be read is secret,
 * too. */
static bool is_secret_name(const char *name, size_t size)
{
	char copy[PARAMETER_MAX + 1];

	if (size > PARAMETER_MAX || memchr(name, '%', size))
		return true;
	memcpy(copy, name, size);
	copy[size] = '\0';
	/* The name of a file is none. */
	if (strcasecmp(copy, "passfile") == 0)
		return false;
	return strcasestr(copy, "pass") || strcasestr(copy, "secret") ||
	       strcasestr(copy, "token");
}

/* The length of "scheme://", or 0. */
static size_t scheme_size(const char *text)
{
	size_t size = 0;

	while (isalnum((unsigned char)text[size]) ||
	       (text[size] && strchr("+.-", text[size])))
		size++;
	return size > 0 && strncmp(text + size, "://", 3) == 0 ? size + 3 : 0;
}

/* host:port,[::1]:port: with anything but a number for a port it may be user:password. */
static bool is_host_list(const char *text, size_t size)
{
	bool in_port = false;
	bool in_brackets = false;

	for (size_t i = 0; i < size; i++) {
		if (text[i] == '[')
			in_brackets = true;
		else if (text[i] == ']')
			in_brackets = false;
		else if (in_brackets)
			continue;
		else if (text[i] == ',')
			in_port = false;
		else if (in_port && !isdigit((unsigned char)text[i]))
			return false;
		else if (text[i] == ':')
			in_port = true;
	}
	return true;
}

/* A second "=" may be a parameter behind a separator that we do not know (";"). */
static bool is_secret_value(const char *value, size_t size)
{
	return memchr(value, '=', size) || memmem(value, size, "://", 3);
}

static void put_mask(struct buffer *out)
{
	buffer_append(out, MASK, strlen(MASK));
}

static void put_query(struct buffer *out, const char *text)
{
	while (*text) {
		size_t size = strcspn(text, "&");
		size_t name = strcspn(text, "=&");
		size_t start = name < size ? name + 1 : 0;

		if (start && !is_secret_name(text, name) &&
		    !is_secret_value(text + start, size - start)) {
			buffer_append(out, text, size);
		} else {
			buffer_append(out, text, start);
			put_mask(out);
		}
		text += size;
		if (*text)
			buffer_append(out, text++, 1);
	}
}

static void put_url(struct buffer *out, const char *text)
{
	size_t scheme = scheme_size(text);
	const char *authority = text + scheme;
	size_t size = strcspn(authority, "/?#");
	const char *at = memrchr(authority, '@', size);
	const char *host = at ? at + 1 : authority;
	const char *colon = at ? memchr(authority, ':', (size_t)(at - authority)) : NULL;
	const char *end = authority + size;
	size_t path = strcspn(end, "?");

	buffer_append(out, text, scheme);
	/* A password with an unescaped "/", "?" or "#" moves the "@" out of the
	 * authority. */
	if (strchr(end, '@') || memchr(end, '=', path) ||
	    !is_host_list(host, (size_t)(end - host))) {
		put_mask(out);
		return;
	}
	if (colon) {
		buffer_append(out, authority, (size_t)(colon + 1 - authority));
		put_mask(out);
		buffer_append(out, "@", 1);
	} else {
		buffer_append(out, authority, (size_t)(host - authority));
	}
	buffer_append(out, host, (size_t)(end - host) + path);
	if (end[path]) {
		buffer_append(out, "?", 1);
		put_query(out, end + path + 1);
	}
}

/* The end of a value in libpq's syntax, or NULL when its quote is never closed. */
static const char *value_end(const char *text)
{
	bool is_quoted = *text == '\'';

	for (text += is_quoted; *text; text++) {
		if (*text == '\\' && text[1])
			text++;
		else if (is_quoted && *text == '\'')
			return text + 1;
		else if (!is_quoted && isspace((unsigned char)*text))
			return text;
	}
	return is_quoted ? NULL : text;
}

static const char *skip_space(const char *text)
{
	while (isspace((unsigned char)*text))
		text++;
	return text;
}

/* libpq's key = value. False when it is not that: the caller masks everything. */
static bool put_settings(struct buffer *out, const char *text)
{
	for (text = skip_space(text); *text; text = skip_space(text)) {
		size_t name = strspn(text, PARAMETER_CHARACTERS);
		const char *equals = skip_space(text + name);
		const char *value, *end;

		if (*equals != '=' || name == 0)
			return false;
		value = skip_space(equals + 1);
		end = value_end(value);
		if (!end)
			return false;
		buffer_printf(out, "%s%.*s=", buffer_size(out) ? " " : "", (int)name,
			      text);
		/* dbname may be a connection string of its own. */
		if (is_secret_name(text, name) ||
		    is_secret_value(value, (size_t)(end - value)))
			put_mask(out);
		else
			buffer_append(out, value, (size_t)(end - value));
		text = end;
	}
	return true;
}

char *redact_url(const char *text)
{
	struct buffer out = {0};

	if (scheme_size(text)) {
		put_url(&out, text);
	} else if (!put_settings(&out, text)) {
		buffer_clear(&out);
		put_mask(&out);
	}
	buffer_text(&out);
	return out.data;
}

char *redact_path(const char *text)
{
	size_t scheme = scheme_size(text);
	const char *host = text + scheme;
	size_t size = strcspn(host, "/?#");

	/* An "@" anywhere: what is before it may be a password. */
	if (!scheme || strpbrk(host, "@\\") || !is_host_list(host, size))
		size = 0;
	return xasprintf("%.*s%.*s%s" MASK, (int)scheme, text, (int)size, host,
			 size ? "/" : "");
}

/* It may be that of a webhook. */
static bool is_http(const char *text)
{
	return strncasecmp(text, "http://", 7) == 0 ||
	       strncasecmp(text, "https://", 8) == 0;
}

char *redact_value(const char *text)
{
	if (is_http(text))
		return redact_path(text);
	return strpbrk(text, "@=") || strstr(text, "://") ? redact_url(text)
							  : xstrdup(text);
}
