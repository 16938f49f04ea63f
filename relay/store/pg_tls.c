#include "pg_tls.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buffer.h"
#include "store/pg_conninfo.h"

/* Where distributions keep the authorities they trust. */
static const char *system_authorities(void)
{
	static const char *const files[] = {
		"/etc/ssl/certs/ca-certificates.crt",                /* Debian, Alpine */
		"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", /* Fedora */
		"/etc/ssl/ca-bundle.pem",                            /* SUSE */
		"/etc/ssl/cert.pem",
	};
	const char *own = getenv("SSL_CERT_FILE"); /* OpenSSL's */

	if (own && *own)
		return own;
	if (PQlibVersion() >= 160000)
		return "system";
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		if (access(files[i], R_OK) == 0)
			return files[i];
	}
	return NULL;
}

/* --- what libpq would do --- */

static const char *value(const PQconninfoOption *options, const char *keyword)
{
	const char *said = pg_conninfo_value(options, keyword);

	return said ? said : "";
}

static bool is_default(const PQconninfoOption *options, const char *keyword)
{
	const PQconninfoOption *o = pg_conninfo_find(options, keyword);

	return !o || !o->val || !o->compiled || strcmp(o->val, o->compiled) == 0;
}

/* Has libpq got as far as its own defaults? */
static bool is_readable(const PQconninfoOption *options)
{
	const PQconninfoOption *o = pg_conninfo_find(options, "ssl_min_protocol_version");

	return o && o->val;
}

/* A service file's sslmode=prefer is the one word that cannot be told from silence. */
static bool was_said(const PQconninfoOption *all, const char *url, const char *keyword,
		     const char *variable)
{
	PQconninfoOption *own = url ? pg_conninfo_parse(url) : NULL;
	const char *environment = getenv(variable);
	bool said = *value(own, keyword) || (environment && *environment) ||
		    !is_default(all, keyword);

	PQconninfoFree(own);
	return said;
}

/* --- where the servers are --- */

static bool is_local(const char *host)
{
	struct in_addr v4;
	struct in6_addr v6;

	if (!*host || *host == '/' || *host == '@' || strcmp(host, "localhost") == 0)
		return true;
	if (inet_pton(AF_INET, host, &v4) == 1)
		return ntohl(v4.s_addr) >> 24 == 127;
	return inet_pton(AF_INET6, host, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

/* The next item of a comma list, cut to fit; longer ones are no addresses of ours. */
static const char *next_item(const char *list, char *out, size_t size)
{
	size_t length = strcspn(list, ",");

	snprintf(out, size, "%.*s", (int)length, list);
	return list[length] ? list + length + 1 : NULL;
}

/* hostaddr= decides where to connect to, and host= only where it is empty. */
static bool are_local(const PQconninfoOption *options)
{
	const char *hosts = value(options, "host");
	const char *addresses = value(options, "hostaddr");
	char host[300] = "", address[300] = "";

	while (hosts || addresses) {
		if (hosts)
			hosts = next_item(hosts, host, sizeof(host));
		if (addresses)
			addresses = next_item(addresses, address, sizeof(address));
		if (!is_local(*address ? address : host))
			return false;
	}
	return true;
}

/* --- the choice --- */

static bool is_one_of(const char *mode, const char *a, const char *b, const char *c)
{
	return strcmp(mode, a) == 0 || strcmp(mode, b) == 0 || strcmp(mode, c) == 0;
}

static bool has_files(const struct tls_options *o)
{
	return o && (o->ca_file || o->cert_file || o->key_file || !o->verify);
}

static const char *weakness(const char *mode, bool has_root)
{
	if (strcmp(mode, "disable") == 0)
		return "sslmode=disable: whoever is in between can read and change "
		       "everything";
	if (is_one_of(mode, "allow", "prefer", ""))
		return "sslmode falls back to plain text when the server offers no TLS, "
		       "and no certificate is checked: use verify-full";
	if (strcmp(mode, "require") == 0 && !has_root)
		return "the server's certificate is not checked: whoever is in between "
		       "can read and change everything";
	return NULL;
}

/* What libpq takes where nothing was said; the caller frees it. */
static char *own_root(void)
{
	const char *home = getenv("HOME");

	return xasprintf("%s/.postgresql/root.crt", home ? home : "");
}

static bool has_own_root(void)
{
	char *path = own_root();
	bool is_there = access(path, R_OK) == 0;

	free(path);
	return is_there;
}

static void choose_root(struct pg_tls *out, const PQconninfoOption *all,
			const struct tls_options *o, const char *mode)
{
	if (o && !o->verify) {
		/* libpq would verify if there were a ~/.postgresql/root.crt. */
		out->sslrootcert = "/dev/null/none";
		return;
	}
	if (o && o->ca_file) {
		out->sslrootcert = o->ca_file;
		return;
	}
	if (!*value(all, "sslrootcert") && !has_own_root() &&
	    strcmp(mode, "verify-full") == 0)
		out->sslrootcert = system_authorities();
}

static int choose(struct pg_tls *out, const PQconninfoOption *all, const char *url,
		  const struct tls_options *o, struct error *err)
{
	const char *least = value(all, "ssl_min_protocol_version");
	bool is_network = !are_local(all);
	const char *mode = value(all, "sslmode");

	/* Such as a service that there is not: connecting fails for the same reason. */
	if (!is_readable(all)) {
		out->sslmode = "verify-full";
		return 0;
	}
	if (is_one_of(least, "", "TLSv1", "TLSv1.1"))
		return error_set(err, ERROR_CONFIG,
				 "ssl_min_protocol_version is below TLSv1.2");
	if (!was_said(all, url, "sslmode", "PGSSLMODE")) {
		mode = has_files(o) || is_network ? "verify-full" : "disable";
		if (o && !o->verify)
			mode = "require";
		out->sslmode = mode;
	} else if (has_files(o) && is_one_of(mode, "disable", "allow", "prefer")) {
		return error_set(err, ERROR_CONFIG,
				 "sslmode=%s contradicts database.tls, which is set",
				 mode);
	} else if (o && !o->verify && strcmp(mode, "require") != 0) {
		return error_set(err, ERROR_CONFIG,
				 "sslmode=%s contradicts database.tls.verify: false",
				 mode);
	}
	choose_root(out, all, o, mode);
	if (o && o->cert_file) {
		out->sslcert = o->cert_file;
		out->sslkey = o->key_file ? o->key_file : o->cert_file;
	}
	/* Kerberos' encryption would take precedence over all this, and its library waits
	   for its servers without a deadline. */
	if (!was_said(all, url, "gssencmode", "PGGSSENCMODE"))
		out->gssencmode = "disable";
	if (is_network)
		out->warning =
			weakness(mode, (!o || o->verify) &&
					       (out->sslrootcert || has_own_root() ||
						*value(all, "sslrootcert")));
	return 0;
}

int pg_tls_choose(struct pg_tls *out, const char *url, const struct tls_options *files,
		  struct error *err)
{
	PQconninfoOption *all = pg_conninfo_effective(url);
	struct pg_tls choice = {0};
	int rc = choose(&choice, all, url, files, err);

	PQconninfoFree(all);
	if (rc == 0)
		*out = choice;
	return rc;
}

/* --- the probe --- */

/* PostgreSQL's protocol, "SSL Session Encryption": length, code; 'S' says yes. */
static int ask_for_tls(struct stream *s, const struct stream_wait *wait,
		       struct error *err)
{
	static const unsigned char request[8] = {0, 0, 0, 8, 4, 210, 22, 47};
	char answer = 0;
	ssize_t got = 0;

	if (stream_write(s, request, sizeof(request), err) != sizeof(request))
		return -1;
	while (got == 0) {
		if (stream_poll(s, POLLIN, wait, err) < 0)
			return -1;
		got = stream_read(s, &answer, 1, err);
	}
	return got == 1 && answer == 'S' ? 0 : -1;
}

/* Which CA file libpq has used; the caller frees it. NULL: the system's. */
static char *used_root(PGconn *connection)
{
	PQconninfoOption *all = PQconninfo(connection);
	const char *said = value(all, "sslrootcert");
	char *path = NULL;

	if (!*said)
		path = own_root();
	else if (strcmp(said, "system") != 0)
		path = xstrdup(said);
	PQconninfoFree(all);
	return path;
}

int pg_tls_probe(struct pg_conn *connection, const struct stream_wait *wait,
		 struct error *err)
{
	const struct stream_target server = {
		.host = PQhostaddr(connection),
		.port = (int)strtol(PQport(connection), NULL, 10),
	};
	char *root = used_root(connection);
	/* Names are checked by libpq, if asked to, in words of its own. */
	const struct tls_options o = {.ca_file = root, .server_name = "", .verify = true};
	struct error reason = {.kind = ERROR_NONE};
	struct stream s;
	int rc = 0;

	stream_init(&s);
	if (stream_connect(&s, &server, wait, &reason) == 0 &&
	    ask_for_tls(&s, wait, &reason) == 0 &&
	    stream_start_tls(&s, &o, server.host, wait, &reason) < 0 &&
	    reason.kind == ERROR_REFUSED)
		rc = -1;
	stream_close(&s);
	free(root);
	if (rc < 0)
		*err = reason;
	return rc;
}
