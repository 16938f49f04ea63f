/* stream and tls against a TLS server in a thread, with certificates made on the spot. */

#include "base/stream.h"

#include <arpa/inet.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "unit/unit.h"

static const char *folder;
static char ca_file[64], other_ca_file[64], client_file[64];

struct identity {
	EVP_PKEY *key;
	X509 *certificate;
};

static struct identity ca, other_ca;

/* --- certificates --- */

static void add_extension(X509 *x, int nid, const char *value)
{
	X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

	ck_assert_ptr_nonnull(e);
	X509_add_ext(x, e, -1);
	X509_EXTENSION_free(e);
}

/* Valid from a day ago for `days`; self-signed without an issuer. */
static struct identity make(const char *name, const char *names, int days,
			    const struct identity *issuer)
{
	struct identity i = {.key = EVP_EC_gen("P-256"), .certificate = X509_new()};
	X509_NAME *subject = X509_get_subject_name(i.certificate);

	X509_set_version(i.certificate, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(i.certificate), 1 + rand());
	X509_gmtime_adj(X509_getm_notBefore(i.certificate), -86400 * 3);
	X509_gmtime_adj(X509_getm_notAfter(i.certificate), 86400 * days);
	X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
				   (const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(i.certificate,
			     issuer ? X509_get_subject_name(issuer->certificate)
				    : subject);
	X509_set_pubkey(i.certificate, i.key);
	if (names)
		add_extension(i.certificate, NID_subject_alt_name, names);
	else
		add_extension(i.certificate, NID_basic_constraints, "critical,CA:TRUE");
	ck_assert_int_gt(X509_sign(i.certificate, issuer ? issuer->key : i.key,
				   EVP_sha256()),
			 0);
	return i;
}

static void drop(struct identity *i)
{
	EVP_PKEY_free(i->key);
	X509_free(i->certificate);
}

static void save(char *path, size_t size, const char *name, const struct identity *i,
		 bool with_key)
{
	FILE *f;

	snprintf(path, size, "%s/%s", folder, name);
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	PEM_write_X509(f, i->certificate);
	if (with_key)
		PEM_write_PrivateKey(f, i->key, NULL, NULL, 0, NULL, NULL);
	fclose(f);
}

/* --- the server --- */

static struct {
	struct identity identity;
	const char *names;
	int days;
	int listener, port, max_version;
	bool is_plain, asks_client;
	pthread_t thread;
} server;

static void echo(SSL *ssl)
{
	static char data[64 * 1024];
	int got;

	while ((got = SSL_read(ssl, data, sizeof(data))) > 0)
		ck_assert_int_eq(SSL_write(ssl, data, got), got);
}

static void *serve(void *unused)
{
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());
	int fd = accept(server.listener, NULL, NULL);
	SSL *ssl;

	if (server.is_plain) {
		ck_assert_int_eq(send(fd, "AMQP\0\0\11\1", 8, MSG_NOSIGNAL), 8);
		shutdown(fd, SHUT_WR);
		while (recv(fd, &(char){0}, 1, 0) > 0)
			;
	}
	SSL_CTX_set_min_proto_version(context, TLS1_VERSION);
	SSL_CTX_set_max_proto_version(context, server.max_version);
	SSL_CTX_set_security_level(context, 0);
	SSL_CTX_use_certificate(context, server.identity.certificate);
	SSL_CTX_use_PrivateKey(context, server.identity.key);
	if (server.asks_client) {
		SSL_CTX_load_verify_locations(context, ca_file, NULL);
		SSL_CTX_set_verify(context,
				   SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
				   NULL);
	}
	ssl = SSL_new(context);
	SSL_set_fd(ssl, fd);
	if (!server.is_plain && SSL_accept(ssl) == 1)
		echo(ssl);
	SSL_free(ssl);
	SSL_CTX_free(context);
	close(fd);
	return unused;
}

static void start_server(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t size = sizeof(address);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	server.identity = make("server", server.names, server.days, &ca);
	server.listener = socket(AF_INET, SOCK_STREAM, 0);
	ck_assert_int_eq(bind(server.listener, (struct sockaddr *)&address, size), 0);
	ck_assert_int_eq(listen(server.listener, 1), 0);
	getsockname(server.listener, (struct sockaddr *)&address, &size);
	server.port = ntohs(address.sin_port);
	ck_assert_int_eq(pthread_create(&server.thread, NULL, serve, NULL), 0);
}

static void stop_server(void)
{
	pthread_join(server.thread, NULL);
	close(server.listener);
	drop(&server.identity);
}

/* --- the client --- */

static struct stream stream;
static struct tls_options options;
static struct error err;

static int connect_to(const char *host)
{
	const struct stream_target target = {.host = host,
					     .port = server.port,
					     .tls = &options};
	const struct stream_wait wait = {.deadline_ms = clock_ms() + 30000,
					 .stop_fd = -1};

	stream_init(&stream);
	return stream_connect(&stream, &target, &wait, &err);
}

static void expect_refusal(const char *host, const char *why)
{
	start_server();
	ck_assert_int_eq(connect_to(host), -1);
	ck_assert_int_eq(err.kind, ERROR_REFUSED);
	ck_assert_msg(strstr(err.text, why) != NULL, "%s", err.text);
	ck_assert_int_eq(stream.fd, -1);
	stop_server();
}

/* Connects, sends a megabyte and reads it back. */
static void expect_echo(const char *host)
{
	static char data[1 << 20], back[1 << 20];
	const struct stream_wait wait = {.deadline_ms = clock_ms() + 30000,
					 .stop_fd = -1};
	size_t sent = 0, got = 0;

	start_server();
	ck_assert_msg(connect_to(host) == 0, "%s", err.text);
	ck_assert_str_eq(tls_version(stream.tls), "TLSv1.3");
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (char)(i * 13);
	while (got < sizeof(data)) {
		short events = sent < sizeof(data) ? POLLIN | POLLOUT : POLLIN;
		ssize_t n = 0;

		if (sent < sizeof(data))
			n = stream_write(&stream, data + sent, sizeof(data) - sent, &err);
		ck_assert_msg(n >= 0, "%s", err.text);
		sent += (size_t)n;
		n = stream_read(&stream, back + got, sizeof(back) - got, &err);
		ck_assert_msg(n >= 0, "%s", err.text);
		got += (size_t)n;
		if (n == 0)
			ck_assert_int_eq(stream_poll(&stream, events, &wait, &err), 0);
	}
	ck_assert_mem_eq(data, back, sizeof(data));
	stream_close(&stream);
	stop_server();
}

/* --- tests: each changes one thing of a pair that gets on well --- */

static void setup(void)
{
	struct identity client;

	signal(SIGPIPE, SIG_IGN);
	folder = unit_folder();
	ca = make("one CA", NULL, 30, NULL);
	other_ca = make("other CA", NULL, 30, NULL);
	client = make("client", "DNS:client", 30, &ca);
	save(ca_file, sizeof(ca_file), "ca.pem", &ca, false);
	save(other_ca_file, sizeof(other_ca_file), "other.pem", &other_ca, false);
	save(client_file, sizeof(client_file), "client.pem", &client, true);
	drop(&client);
	memset(&server, 0, sizeof(server));
	server.names = "DNS:localhost";
	server.days = 30;
	options = (struct tls_options){.ca_file = ca_file, .verify = true};
}

static void teardown(void)
{
	drop(&ca);
	drop(&other_ca);
	unlink(ca_file);
	unlink(other_ca_file);
	unlink(client_file);
	rmdir(folder);
}

START_TEST(a_certificate_for_the_host_is_accepted_and_bytes_pass)
{
	expect_echo("localhost");
}
END_TEST

START_TEST(a_certificate_for_the_address_is_accepted)
{
	server.names = "IP:127.0.0.1";
	expect_echo("127.0.0.1");
}
END_TEST

START_TEST(the_expected_name_may_be_another_than_the_host)
{
	options.server_name = "broker.example";
	server.names = "DNS:broker.example";
	expect_echo("127.0.0.1");
}
END_TEST

START_TEST(an_empty_name_expects_none)
{
	options.server_name = "";
	server.names = "DNS:elsewhere";
	expect_echo("localhost");
}
END_TEST

START_TEST(a_client_certificate_is_shown)
{
	options.cert_file = client_file;
	server.asks_client = true;
	expect_echo("localhost");
}
END_TEST

START_TEST(without_verification_any_certificate_will_do)
{
	options.ca_file = other_ca_file;
	options.verify = false;
	server.names = "DNS:elsewhere";
	server.days = -1;
	expect_echo("localhost");
}
END_TEST

START_TEST(a_certificate_for_another_host_is_refused)
{
	server.names = "DNS:elsewhere";
	expect_refusal("localhost", "certificate is not for localhost");
}
END_TEST

START_TEST(a_certificate_without_the_address_is_refused)
{
	expect_refusal("127.0.0.1", "certificate is not for 127.0.0.1");
}
END_TEST

START_TEST(an_expired_certificate_is_refused)
{
	server.days = -1;
	expect_refusal("localhost", "has expired: renew it");
}
END_TEST

START_TEST(an_unknown_authority_is_refused)
{
	options.ca_file = other_ca_file;
	expect_refusal("localhost", "unknown authority: name the right one");
}
END_TEST

START_TEST(the_systems_authorities_do_not_know_a_private_one)
{
	options.ca_file = NULL;
	expect_refusal("localhost", "unknown authority");
}
END_TEST

START_TEST(a_server_without_tls_is_refused_and_never_spoken_to_in_plain)
{
	server.is_plain = true;
	expect_refusal("localhost", "does not speak TLS on this port");
}
END_TEST

START_TEST(versions_before_tls_1_2_are_refused)
{
	server.max_version = TLS1_1_VERSION;
	expect_refusal("localhost", "does not offer TLS 1.2 or newer");
}
END_TEST

START_TEST(a_server_that_wants_a_certificate_says_so)
{
	const struct stream_wait wait = {.deadline_ms = clock_ms() + 30000,
					 .stop_fd = -1};
	char byte;
	ssize_t n = 0;

	server.asks_client = true;
	start_server();
	/* With TLS 1.3 the client is done before the server looks at its certificate. */
	ck_assert_msg(connect_to("localhost") == 0, "%s", err.text);
	while (n == 0) {
		ck_assert_int_eq(stream_poll(&stream, POLLIN, &wait, &err), 0);
		n = stream_read(&stream, &byte, 1, &err);
	}
	ck_assert_int_eq(n, -1);
	ck_assert_int_eq(err.kind, ERROR_REFUSED);
	ck_assert_ptr_nonnull(strstr(err.text, "certificate required"));
	stream_close(&stream);
	stop_server();
}
END_TEST

START_TEST(a_server_that_wants_a_certificate_says_so_to_one_who_only_writes)
{
	server.asks_client = true;
	start_server();
	ck_assert_msg(connect_to("localhost") == 0, "%s", err.text);
	stop_server(); /* its alert has come, and its end; nobody has read them */
	while (stream_write(&stream, "hello", 5, &err) >= 0)
		;
	ck_assert_int_eq(err.kind, ERROR_REFUSED);
	ck_assert_ptr_nonnull(strstr(err.text, "certificate required"));
	stream_close(&stream);
}
END_TEST

START_TEST(a_key_that_does_not_fit_or_needs_a_passphrase_is_a_wrong_configuration)
{
	struct identity locked = make("locked", "DNS:x", 30, &ca);
	char path[64];
	FILE *f;

	options.cert_file = client_file;
	options.key_file = ca_file;
	ck_assert_int_eq(tls_check(&options, &err), -1);
	ck_assert_int_eq(err.kind, ERROR_CONFIG);
	save(path, sizeof(path), "locked.pem", &locked, false);
	f = fopen(path, "a");
	PEM_write_PrivateKey(f, locked.key, EVP_aes_128_cbc(),
			     (const unsigned char *)"pass", 4, NULL, NULL);
	fclose(f);
	options.cert_file = path;
	options.key_file = NULL;
	ck_assert_int_eq(tls_check(&options, &err), -1);
	ck_assert_ptr_nonnull(strstr(err.text, "key file"));
	unlink(path);
	drop(&locked);
}
END_TEST

/* To open such a file for reading takes until somebody writes to it. */
START_TEST(the_systems_authorities_are_not_read_for_a_check)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/authorities", folder);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	setenv("SSL_CERT_FILE", path, 1);
	options.ca_file = options.cert_file = options.key_file = NULL;
	ck_assert_int_eq(tls_check(&options, &err), 0);
	unlink(path);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("tls");
	TCase *cases = tcase_create("tls");

	tcase_add_checked_fixture(cases, setup, teardown);
	tcase_set_timeout(cases, 20);
	tcase_add_test(cases, a_certificate_for_the_host_is_accepted_and_bytes_pass);
	tcase_add_test(cases, a_certificate_for_the_address_is_accepted);
	tcase_add_test(cases, the_expected_name_may_be_another_than_the_host);
	tcase_add_test(cases, an_empty_name_expects_none);
	tcase_add_test(cases, a_client_certificate_is_shown);
	tcase_add_test(cases, without_verification_any_certificate_will_do);
	tcase_add_test(cases, a_certificate_for_another_host_is_refused);
	tcase_add_test(cases, a_certificate_without_the_address_is_refused);
	tcase_add_test(cases, an_expired_certificate_is_refused);
	tcase_add_test(cases, an_unknown_authority_is_refused);
	tcase_add_test(cases, the_systems_authorities_do_not_know_a_private_one);
	tcase_add_test(cases,
		       a_server_without_tls_is_refused_and_never_spoken_to_in_plain);
	tcase_add_test(cases, versions_before_tls_1_2_are_refused);
	tcase_add_test(cases, a_server_that_wants_a_certificate_says_so);
	tcase_add_test(cases,
		       a_server_that_wants_a_certificate_says_so_to_one_who_only_writes);
	tcase_add_test(
		cases,
		a_key_that_does_not_fit_or_needs_a_passphrase_is_a_wrong_configuration);
	tcase_add_test(cases, the_systems_authorities_are_not_read_for_a_check);
	suite_add_tcase(suite, cases);
	return suite;
}
