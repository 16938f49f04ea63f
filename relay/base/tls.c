#include "tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"

struct tls {
	SSL_CTX *context;
	SSL *ssl;
	char *name; /* the server name to expect */
};

/* OpenSSL could not allocate, and may not be of use any more in this process. At the start
   that would pass for a mistake in the configuration. */
static void out_of_memory(void)
{
	if (!memory_is_short())
		memory_spare();
}

/* The oldest queued reason, which is the cause; the queue is empty afterwards. */
static const char *reason(void)
{
	unsigned long code = ERR_peek_error();
	const char *text = ERR_reason_error_string(code);

	/* Whatever else it led to. */
	if (ERR_GET_REASON(code) == ERR_R_MALLOC_FAILURE)
		out_of_memory();
	ERR_clear_error();
	return text ? text : "unknown reason";
}

/* OpenSSL would ask for a passphrase on the terminal, and wait for it. */
static int no_passphrase(char *out, int size, int is_writing, void *context)
{
	(void)out;
	(void)size;
	(void)is_writing;
	(void)context;
	return -1;
}

static int load_authorities(SSL_CTX *c, const struct tls_options *o, struct error *err)
{
	if (!o->ca_file) {
		if (SSL_CTX_set_default_verify_paths(c) != 1)
			return error_set(err, ERROR_REFUSED, "system CA paths: %s",
					 reason());
		return 0;
	}
	if (SSL_CTX_load_verify_locations(c, o->ca_file, NULL) != 1)
		return error_set(err, ERROR_REFUSED, "CA file %s: %s", o->ca_file,
				 reason());
	return 0;
}

static int load_certificate(SSL_CTX *c, const struct tls_options *o, struct error *err)
{
	const char *key = o->key_file ? o->key_file : o->cert_file;

	if (!o->cert_file && !o->key_file)
		return 0;
	if (!o->cert_file)
		return error_set(err, ERROR_REFUSED,
				 "key file %s without a certificate file", o->key_file);
	if (SSL_CTX_use_certificate_chain_file(c, o->cert_file) != 1)
		return error_set(err, ERROR_REFUSED, "certificate file %s: %s",
				 o->cert_file, reason());
	if (SSL_CTX_use_PrivateKey_file(c, key, SSL_FILETYPE_PEM) != 1)
		return error_set(err, ERROR_REFUSED, "key file %s: %s", key, reason());
	return 0;
}

static SSL_CTX *new_context(const struct tls_options *o, struct error *err)
{
	SSL_CTX *c;

	ERR_clear_error();
	c = SSL_CTX_new(TLS_client_method());
	if (!c) {
		out_of_memory(); /* nothing else makes it fail, but it seldom says so */
		error_set(err, ERROR_REFUSED, "OpenSSL: %s", reason());
		return NULL;
	}
	SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION);
	/* A write never waits for a read then, nor the other way round. */
	SSL_CTX_set_options(c, SSL_OP_NO_RENEGOTIATION);
	/* The output buffer moves and grows between two tries of the same write. */
	SSL_CTX_set_mode(c, SSL_MODE_ENABLE_PARTIAL_WRITE |
				    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				    SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_default_passwd_cb(c, no_passphrase);
	SSL_CTX_set_verify(c, o->verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
	if (load_authorities(c, o, err) < 0 || load_certificate(c, o, err) < 0) {
		SSL_CTX_free(c);
		return NULL;
	}
	return c;
}

int tls_check(const struct tls_options *o, struct error *err)
{
	SSL_CTX *c;

	/* The system's authorities would be a tenth of a second of work, and are never refused. */
	if (!o->ca_file && !o->cert_file && !o->key_file)
		return 0;
	c = new_context(o, err);
	if (!c) {
		err->kind = ERROR_CONFIG;
		return -1;
	}
	SSL_CTX_free(c);
	return 0;
}

/* An address is checked against the certificate's addresses, a name against its names;
   only names are sent along (RFC 6066 section 3). */
static bool expect_name(SSL *ssl, const char *name)
{
	unsigned char address[sizeof(struct in6_addr)];

	if (!*name)
		return true;
	if (inet_pton(AF_INET, name, address) == 1 ||
	    inet_pton(AF_INET6, name, address) == 1)
		return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1;
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return SSL_set1_host(ssl, name) == 1 && SSL_set_tlsext_host_name(ssl, name) == 1;
}

struct tls *tls_new(const struct tls_options *o, const char *host, int fd,
		    struct error *err)
{
	struct tls *t;
	SSL_CTX *context = new_context(o, err);

	if (!context)
		return NULL;
	t = xcalloc(1, sizeof(*t));
	t->context = context;
	t->name = xstrdup(o->server_name ? o->server_name : host);
	t->ssl = SSL_new(context);
	if (!t->ssl || !expect_name(t->ssl, t->name) || SSL_set_fd(t->ssl, fd) != 1) {
		error_set(err, ERROR_REFUSED, "TLS to %s: %s", t->name, reason());
		tls_free(t);
		return NULL;
	}
	return t;
}

void tls_free(struct tls *t)
{
	if (!t)
		return;
	SSL_free(t->ssl);
	SSL_CTX_free(t->context);
	free(t->name);
	free(t);
}

/* The reasons that somebody can mend, and how. */
static const struct {
	long result;
	const char *text;
} unverified_texts[] = {
	{X509_V_ERR_CERT_HAS_EXPIRED,
	 "the server's certificate, or that of its CA, has expired: renew it there"},
	{X509_V_ERR_CERT_NOT_YET_VALID,
	 "the server's certificate is not valid yet: compare the clocks"},
#define UNKNOWN                                                               \
	"the server's certificate comes from an unknown authority: name the " \
	"right one in tls.ca_file"
	{X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, UNKNOWN},
	{X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, UNKNOWN},
	{X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE, UNKNOWN},
	{X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, UNKNOWN},
	{X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, UNKNOWN},
};

static int unverified(const struct tls *t, long result, struct error *err)
{
	const char *said = X509_verify_cert_error_string(result);

	if (result == X509_V_ERR_HOSTNAME_MISMATCH ||
	    result == X509_V_ERR_IP_ADDRESS_MISMATCH)
		return error_set(err, ERROR_REFUSED,
				 "the server's certificate is not for %s: connect by a "
				 "name that it has, or set tls.server_name",
				 t->name);
	for (size_t i = 0; i < sizeof(unverified_texts) / sizeof(unverified_texts[0]);
	     i++) {
		if (unverified_texts[i].result == result)
			return error_set(err, ERROR_REFUSED, "%s (%s)",
					 unverified_texts[i].text, said);
	}
	return error_set(err, ERROR_REFUSED,
			 "the server's certificate was not accepted: %s", said);
}

/* What a failed call that wants neither reading nor writing means. */
static int failed(const struct tls *t, int kind, struct error *err)
{
	int why = ERR_GET_REASON(ERR_peek_error());
	long result = SSL_get_verify_result(t->ssl);

	if (kind == SSL_ERROR_ZERO_RETURN || why == SSL_R_UNEXPECTED_EOF_WHILE_READING ||
	    (kind == SSL_ERROR_SYSCALL && errno == 0))
		return error_set(err, ERROR_LOST, "the server closed the connection");
	if (kind == SSL_ERROR_SYSCALL)
		return error_set(err, ERROR_LOST, "TLS: %m");
	if (why == SSL_R_CERTIFICATE_VERIFY_FAILED && result != X509_V_OK)
		return unverified(t, result, err);
	if (why == SSL_R_WRONG_VERSION_NUMBER || why == SSL_R_PACKET_LENGTH_TOO_LONG)
		return error_set(err, ERROR_REFUSED,
				 "the server does not speak TLS on this port: is it "
				 "the one for plain text?");
	if (why == SSL_R_UNSUPPORTED_PROTOCOL ||
	    why == SSL_R_TLSV1_ALERT_PROTOCOL_VERSION)
		return error_set(err, ERROR_REFUSED,
				 "the server does not offer TLS 1.2 or newer, and "
				 "nothing older is used");
	/* An alert is the server refusing us, with its reason: our certificate,
	   mostly. */
	if (why > SSL_AD_REASON_OFFSET)
		return error_set(err, ERROR_REFUSED, "TLS: the server says: %s",
				 reason());
	return error_set(err, ERROR_LOST, "TLS: %s", reason());
}

int tls_handshake(struct tls *t, short *events, struct error *err)
{
	int result, kind;

	ERR_clear_error();
	errno = 0;
	result = SSL_connect(t->ssl);
	if (result == 1)
		return 1;
	kind = SSL_get_error(t->ssl, result);
	if (kind != SSL_ERROR_WANT_READ && kind != SSL_ERROR_WANT_WRITE)
		return failed(t, kind, err);
	*events = kind == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT;
	return 0;
}

/* The common end of a read and a write that did nothing. */
static ssize_t nothing(const struct tls *t, int result, struct error *err)
{
	int kind = SSL_get_error(t->ssl, result);

	if (kind == SSL_ERROR_WANT_READ || kind == SSL_ERROR_WANT_WRITE)
		return 0;
	return failed(t, kind, err);
}

ssize_t tls_read(struct tls *t, void *data, size_t size, struct error *err)
{
	size_t done = 0;
	int result;

	ERR_clear_error();
	errno = 0;
	result = SSL_read_ex(t->ssl, data, size, &done);
	return result == 1 ? (ssize_t)done : nothing(t, result, err);
}

ssize_t tls_write(struct tls *t, const void *data, size_t size, struct error *err)
{
	struct error reason;
	size_t done = 0;
	int result;

	ERR_clear_error();
	errno = 0;
	result = SSL_write_ex(t->ssl, data, size, &done);
	if (result == 1)
		return (ssize_t)done;
	if (nothing(t, result, err) == 0)
		return 0;
	/* A server that hung up may have said why before, and nobody has read it yet. */
	if (err->kind == ERROR_LOST && tls_read(t, &(char){0}, 1, &reason) < 0 &&
	    reason.kind == ERROR_REFUSED)
		*err = reason;
	return -1;
}

void tls_shutdown(struct tls *t)
{
	ERR_clear_error();
	/* After a failed handshake OpenSSL refuses this, and there is nothing to say. */
	SSL_shutdown(t->ssl);
	ERR_clear_error();
}

const char *tls_version(const struct tls *t)
{
	return SSL_get_version(t->ssl);
}

const char *tls_library(void)
{
	return OpenSSL_version(OPENSSL_VERSION_STRING);
}
