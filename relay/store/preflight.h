#ifndef STORE_PREFLIGHT_H
#define STORE_PREFLIGHT_H

#include <stdbool.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/tls.h"
#include "store/pg.h"

/*
 * What `outbox-relay check` looks at in the database: everything a relay will need, found
 * and named before it runs. Reads only.
 */
struct preflight {
	const char *url;
	const char *password;
	const struct tls_options *tls; /* see pg_tls.h */
	const char *schema;
	int connect_timeout_ms;
	bool wants_bell;
	bool deletes_sent; /* at once, or after retention.sent */
	void (*report)(void *context, const char *check, bool is_ok, const char *detail);
	void *context;
};

/*
 * Reports one line a check. Exchanges that unsent rows want (of the first thousand) are
 * added to `exchanges`, each followed by a NUL. Returns -1 when the database cannot be
 * asked at all; that is reported, too.
 */
int preflight_database(const struct preflight *p, struct buffer *exchanges);

#endif
