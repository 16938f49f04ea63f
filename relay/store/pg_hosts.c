#include "pg_hosts.h"

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"

static int count_items(const char *list)
{
	int count = 1;

	for (const char *c = list; *c; c++)
		count += *c == ',';
	return count;
}

/* "a,b,c" by 1 is "b,c,a". A single item stands for all and stays. */
static char *rotate(const char *list, int by)
{
	int count = count_items(list);
	const char *cut = list;

	for (int skip = by % count; skip > 0; skip--)
		cut = strchr(cut, ',') + 1;
	if (cut == list)
		return xstrdup(list);
	return xasprintf("%s,%.*s", cut, (int)(cut - list - 1), list);
}

static const char *find(const PQconninfoOption *options, const char *keyword)
{
	for (const PQconninfoOption *o = options; o && o->keyword; o++) {
		if (strcmp(o->keyword, keyword) == 0)
			return o->val && *o->val ? o->val : NULL;
	}
	return NULL;
}

/*
 * A "/" or "@" in a password that is not percent-encoded makes a host, a port or a
 * database of its rest, and libpq's messages would show that.
 */
static bool is_ambiguous(const char *url, const PQconninfoOption *options)
{
	const char *scheme = strstr(url, "://");
	const char *port = find(options, "port");
	const char *at;
	size_t size;

	if (port && port[strspn(port, "0123456789,")])
		return true;
	if (!scheme || scheme - url != (ptrdiff_t)strcspn(url, ":"))
		return false;
	url = scheme + 3;
	size = strcspn(url, "?");
	at = memchr(url, '@', size);
	if (!at)
		return false;
	return memchr(url, '/', (size_t)(at - url)) ||
	       memchr(at + 1, '@', size - (size_t)(at + 1 - url));
}

static char *rotated(const PQconninfoOption *url, const PQconninfoOption *defaults,
		     const char *keyword, int by)
{
	const char *list = find(url, keyword);

	if (!list)
		list = find(defaults, keyword);
	/* An empty string means the default to libpq, as does leaving the word out. */
	return list && strchr(list, ',') ? rotate(list, by) : NULL;
}

int pg_hosts_rotate(struct pg_hosts *out, const char *url, int by, struct error *err)
{
	PQconninfoOption *options = NULL;
	PQconninfoOption *defaults = PQconndefaults();
	char *problem = NULL;

	*out = (struct pg_hosts){0};
	if (url) {
		options = PQconninfoParse(url, &problem);
		if (!options || is_ambiguous(url, options)) {
			/* The problem may quote the string, and the string may hold a
			 * password. */
			PQfreemem(problem);
			PQconninfoFree(defaults);
			PQconninfoFree(options);
			return error_set(err, ERROR_CONFIG,
					 "neither a PostgreSQL URI, with special "
					 "characters percent-encoded (/ is %%2F), nor a "
					 "key=value string");
		}
	}
	out->host = rotated(options, defaults, "host", by);
	out->hostaddr = rotated(options, defaults, "hostaddr", by);
	out->port = rotated(options, defaults, "port", by);
	PQconninfoFree(options);
	PQconninfoFree(defaults);
	return 0;
}

void pg_hosts_release(struct pg_hosts *h)
{
	free(h->host);
	free(h->hostaddr);
	free(h->port);
	*h = (struct pg_hosts){0};
}
