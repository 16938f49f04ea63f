#ifndef BASE_TLS_H
#define BASE_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"

/*
 * TLS over a connected, non-blocking socket: OpenSSL, and nothing of it outside tls.c.
 *
 * At least TLS 1.2. The server's certificate must be valid, issued by a known authority
 * and made for the host we wanted, unless `verify` is false; then the connection is
 * private only against those who can listen but not interfere.
 */
struct tls;

struct tls_options {
	const char *ca_file;     /* PEM; NULL: the system's authorities */
	const char *cert_file;   /* PEM chain with our certificate; NULL: none */
	const char *key_file;    /* PEM; NULL: inside cert_file */
	const char *server_name; /* to expect and to ask for; NULL: the host of the URL;
				    "": any */
	bool verify;
};

/* Can the files be loaded, and do they belong together? -1 and ERROR_CONFIG if not. Reads none
   that the options do not name. */
int tls_check(const struct tls_options *o, struct error *err);

/*
 * The files are read anew at each connection, so renewed certificates are taken up by
 * themselves. `fd` stays the caller's. NULL and ERROR_REFUSED when they cannot be used.
 */
struct tls *tls_new(const struct tls_options *o, const char *host, int fd,
		    struct error *err);
void tls_free(struct tls *t); /* NULL is legal */

/* 1: done; 0: call again when one of *events shows; -1: LOST, or REFUSED with what did
   not check. */
int tls_handshake(struct tls *t, short *events, struct error *err);

/* As stream_read() and stream_write(). */
ssize_t tls_read(struct tls *t, void *data, size_t size, struct error *err);
ssize_t tls_write(struct tls *t, const void *data, size_t size, struct error *err);

/* Says goodbye if that does not block. */
void tls_shutdown(struct tls *t);

/* "TLSv1.3"; after the handshake. */
const char *tls_version(const struct tls *t);

/* OpenSSL's run-time version. */
const char *tls_library(void);

#endif
