#ifndef STORE_PG_TLS_H
#define STORE_PG_TLS_H

#include "base/error.h"
#include "base/stream.h"
#include "base/tls.h"

/*
 * How a session to PostgreSQL is protected on its way.
 *
 * libpq's own default, sslmode=prefer, looks at no certificate and falls back to plain
 * text without a word. So where nobody has said what he wants (url, service, PGSSLMODE),
 * servers on this machine (Unix sockets, loopback) are spoken to in plain text, and all
 * others only under TLS with a certificate that verifies and is made for the host:
 * sslmode=verify-full, with the CA given or the system's. With a file of ours given, or
 * `verify` false, TLS is wanted of local servers, too. What somebody has said stands;
 * where that is weak, there is a warning.
 */

struct pg_conn; /* libpq's PGconn */

/* Words for libpq, that override what it has read; NULL: that stands. */
struct pg_tls {
	const char *sslmode;
	const char *sslrootcert;
	const char *sslcert;
	const char *sslkey;
	const char *gssencmode;
	const char *warning; /* why this is not protected, or NULL: for the log */
};

/*
 * `url` (may be NULL) is well-formed. `files` may be NULL; server_name of it is not used,
 * as libpq has host= and hostaddr= for that. Points into *files and constants. -1 and
 * ERROR_CONFIG when what was said makes no sense together.
 */
int pg_tls_choose(struct pg_tls *out, const char *url, const struct tls_options *files,
		  struct error *err);

/*
 * Why the certificate of the server that `connection` (libpq's) has just refused does not
 * verify: libpq (15) tells an expired one, an unknown authority and all else in the same
 * words. Connects once more, as far as the certificate, and returns -1 with the reason in
 * *err; 0 when that found nothing wrong, or did not get so far.
 */
int pg_tls_probe(struct pg_conn *connection, const struct stream_wait *wait,
		 struct error *err);

#endif
