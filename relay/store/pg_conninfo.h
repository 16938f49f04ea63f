#ifndef STORE_PG_CONNINFO_H
#define STORE_PG_CONNINFO_H

#include <libpq-fe.h>

/*
 * libpq's reading of connection strings, but that running out of memory never looks like
 * a mistake in the string, nor like a word that was not said: that could turn TLS off.
 * Each is freed by PQconninfoFree().
 */

/* What the string itself says. NULL: it is none. */
PQconninfoOption *pg_conninfo_parse(const char *url);

/* What holds where a string says nothing: environment, libpq's own. */
PQconninfoOption *pg_conninfo_defaults(void);

/* What is said for a word; NULL: nothing, or "", which means the same to libpq. `options` may be
   NULL, and then nothing is. */
const char *pg_conninfo_value(const PQconninfoOption *options, const char *keyword);

/* The whole entry, or NULL. */
const PQconninfoOption *pg_conninfo_find(const PQconninfoOption *options,
					 const char *keyword);

/*
 * All of libpq's reading of url (may be NULL), service file, environment and defaults,
 * without connecting.
 */
PQconninfoOption *pg_conninfo_effective(const char *url);

#endif
