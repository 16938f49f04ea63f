#include "pg_hosts.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/resolve.h"
#include "store/pg_conninfo.h"

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

/*
 * A "/" or "@" in a password that is not percent-encoded makes a host, a port or a
 * database of its rest, and libpq's messages would show that.
 */
static bool is_ambiguous(const char *url, const PQconninfoOption *options)
{
	const char *scheme = strstr(url, "://");
	const char *port = pg_conninfo_value(options, "port");
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

/* A service that the url names comes before the PG* variables, and we cannot see it. */
static bool names_service(const PQconninfoOption *url)
{
	return pg_conninfo_value(url, "service") != NULL;
}

static char *rotated(const PQconninfoOption *url, const PQconninfoOption *defaults,
		     const char *keyword, int by)
{
	const char *list = pg_conninfo_value(url, keyword);

	if (!list && !names_service(url))
		list = pg_conninfo_value(defaults, keyword);
	/* An empty string means the default to libpq, as does leaving the word out. */
	return list && strchr(list, ',') ? rotate(list, by) : NULL;
}

int pg_hosts_rotate(struct pg_hosts *out, const char *url, int by, struct error *err)
{
	PQconninfoOption *options = NULL;
	PQconninfoOption *defaults;

	*out = (struct pg_hosts){0};
	if (url) {
		options = pg_conninfo_parse(url);
		if (!options || is_ambiguous(url, options)) {
			PQconninfoFree(options);
			return error_set(err, ERROR_CONFIG,
					 "neither a PostgreSQL URI, with special "
					 "characters percent-encoded (/ is %%2F), nor a "
					 "key=value string");
		}
	}
	defaults = pg_conninfo_defaults();
	out->host = rotated(options, defaults, "host", by);
	out->hostaddr = rotated(options, defaults, "hostaddr", by);
	out->port = rotated(options, defaults, "port", by);
	PQconninfoFree(options);
	PQconninfoFree(defaults);
	return 0;
}

/* --- names to addresses --- */

/* The lists as they stand, and as they become. */
struct expansion {
	const char *host, *hostaddr,
		*port; /* what is left of them; NULL: there is none */
	int left;      /* items */
	struct buffer hosts, addresses, ports;
	int count;
};

/* The next item of a list, to be freed. A single port stands for all hosts. */
static char *next_item(const char **list, bool is_for_all)
{
	size_t size = *list ? strcspn(*list, ",") : 0;
	char *item = xasprintf("%.*s", (int)size, *list ? *list : "");

	if (*list && !is_for_all)
		*list += size + ((*list)[size] == ',');
	return item;
}

static void add(struct expansion *e, const char *host, const char *address,
		const char *port)
{
	const char *comma = e->count++ ? "," : "";

	buffer_printf(&e->hosts, "%s%s", comma, host);
	buffer_printf(&e->addresses, "%s%s", comma, address);
	buffer_printf(&e->ports, "%s%s", comma, port);
}

static void add_all(struct expansion *e, const char *host, const struct addrinfo *list,
		    const char *port)
{
	char address[NI_MAXHOST];

	for (; list; list = list->ai_next) {
		if (getnameinfo(list->ai_addr, list->ai_addrlen, address, sizeof(address),
				NULL, 0, NI_NUMERICHOST) == 0)
			add(e, host, address, port);
	}
}

/* Each name gets its share of the time that is left. */
static int expand_name(struct expansion *e, const char *host, const char *port,
		       const struct stream_wait *wait, struct error *err)
{
	int64_t now = clock_ms();
	struct stream_wait share = *wait;
	struct addrinfo *list;

	share.deadline_ms = now + (wait->deadline_ms - now) / e->left;
	if (resolve(host, 0, &share, &list, err) < 0)
		return error_wrap(err, "%s", host);
	add_all(e, host, list, port);
	freeaddrinfo(list);
	return 0;
}

static int expand_item(struct expansion *e, const struct stream_wait *wait,
		       struct error *err)
{
	char *host = next_item(&e->host, false);
	char *address = next_item(&e->hostaddr, false);
	char *port = next_item(&e->port, e->port && !strchr(e->port, ',') && e->left > 1);
	int rc = 0;

	if (*address || !*host || *host == '/' || *host == '@')
		add(e, host, address, port);
	else
		rc = expand_name(e, host, port, wait, err);
	free(host);
	free(address);
	free(port);
	return rc;
}

static int expand(struct expansion *e, const struct stream_wait *wait, struct error *err)
{
	for (; e->left > 0; e->left--) {
		if (expand_item(e, wait, err) < 0 && err->kind == ERROR_STOPPED)
			return -1;
	}
	return e->count > 0 ? 0 : -1;
}

/* libpq refuses lists of different lengths, but for a single port. */
static bool is_well_formed(const struct expansion *e)
{
	int ports = e->port ? count_items(e->port) : 1;

	return (ports == 1 || ports == e->left) &&
	       (!e->hostaddr || count_items(e->hostaddr) == e->left);
}

static const char *either(const char *own, const PQconninfoOption *url,
			  const PQconninfoOption *defaults, const char *keyword)
{
	const char *said = own ? own : pg_conninfo_value(url, keyword);

	return said ? said : pg_conninfo_value(defaults, keyword);
}

static void take(char **list, struct buffer *from)
{
	free(*list);
	*list = xstrdup(buffer_text(from));
}

int pg_hosts_resolve(struct pg_hosts *h, const char *url, const struct stream_wait *wait,
		     struct error *err)
{
	PQconninfoOption *options = url ? pg_conninfo_parse(url) : NULL;
	PQconninfoOption *defaults = pg_conninfo_defaults();
	struct expansion e = {
		.host = either(h->host, options, defaults, "host"),
		.hostaddr = either(h->hostaddr, options, defaults, "hostaddr"),
		.port = either(h->port, options, defaults, "port"),
	};
	int rc = 0;

	e.left = e.host && !names_service(options) ? count_items(e.host) : 0;
	if (e.left > 0 && is_well_formed(&e))
		rc = expand(&e, wait, err);
	if (rc == 0 && e.count > 0) {
		take(&h->host, &e.hosts);
		take(&h->hostaddr, &e.addresses);
		take(&h->port, &e.ports);
	}
	buffer_release(&e.hosts);
	buffer_release(&e.addresses);
	buffer_release(&e.ports);
	PQconninfoFree(options);
	PQconninfoFree(defaults);
	return rc;
}

void pg_hosts_release(struct pg_hosts *h)
{
	free(h->host);
	free(h->hostaddr);
	free(h->port);
	*h = (struct pg_hosts){0};
}
