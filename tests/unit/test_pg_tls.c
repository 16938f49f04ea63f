#include "store/pg_tls.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unit/unit.h"

static const char *folder;
static char service_file[64];
static struct error err;

static void setup(void)
{
	static const char *const variables[] = {
		"PGHOST",       "PGHOSTADDR",
		"PGPORT",       "PGSERVICE",
		"PGSSLMODE",    "PGSSLROOTCERT",
		"PGREQUIRESSL", "PGSSLMINPROTOCOLVERSION",
		"PGGSSENCMODE",
	};
	FILE *f;

	for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++)
		unsetenv(variables[i]);
	folder = unit_folder();
	snprintf(service_file, sizeof(service_file), "%s/services", folder);
	f = fopen(service_file, "w");
	ck_assert_ptr_nonnull(f);
	fputs("[far]\nhost=db.example\n"
	      "[checked]\nhost=db.example\nsslmode=verify-ca\n"
	      "[near]\nhost=/run/pg\n",
	      f);
	fclose(f);
	setenv("PGSERVICEFILE", service_file, 1);
	setenv("PGSYSCONFDIR", "/nonexistent", 1);
	setenv("HOME", "/nonexistent", 1);
	setenv("SSL_CERT_FILE", "/system/ca", 1);
}

static void teardown(void)
{
	unlink(service_file);
	rmdir(folder);
}

static void assert_word(const char *word, const char *expected)
{
	if (expected)
		ck_assert_str_eq(word, expected);
	else
		ck_assert_ptr_null(word);
}

static const struct tls_options with_ca = {.ca_file = "/our/ca", .verify = true};
static const struct tls_options with_cert = {.cert_file = "/our/cert", .verify = true};
static const struct tls_options with_key = {.cert_file = "/our/cert",
					    .key_file = "/our/key",
					    .verify = true};
static const struct tls_options plain = {.verify = true};
static const struct tls_options careless = {.verify = false};

#define PLAIN   "whoever is in between"
#define FALLS   "falls back to plain text"
#define NO_FILE "/dev/null/none"

/* --- the mode --- */

/* mode and root: what libpq is told, NULL for nothing; warning: a part of it. */
static const struct {
	const char *url, *variable; /* PGSSLMODE */
	const struct tls_options *files;
	const char *mode, *root, *warning;
} choices[] = {
	/* nothing said: by where the server is */
	{NULL, NULL, NULL, "disable", NULL, NULL},
	{"dbname=shop", NULL, &plain, "disable", NULL, NULL},
	{"host=/run/postgresql", NULL, &plain, "disable", NULL, NULL},
	{"host=@socket", NULL, &plain, "disable", NULL, NULL},
	{"postgresql://localhost/shop", NULL, &plain, "disable", NULL, NULL},
	{"postgresql://127.0.0.1/shop", NULL, &plain, "disable", NULL, NULL},
	{"postgresql://127.8.9.1:5433/shop", NULL, &plain, "disable", NULL, NULL},
	{"postgresql://[::1]/shop", NULL, &plain, "disable", NULL, NULL},
	{"postgresql://[2001:db8::1]/shop", NULL, &plain, "verify-full", "/system/ca",
	 NULL},
	{"host=db.example hostaddr=127.0.0.1", NULL, &plain, "disable", NULL, NULL},
	{"host=localhost hostaddr=10.0.0.1", NULL, &plain, "verify-full", "/system/ca",
	 NULL},
	{"hostaddr=10.0.0.1", NULL, &plain, "verify-full", "/system/ca", NULL},
	{"postgresql://db.example/shop", NULL, NULL, "verify-full", "/system/ca", NULL},
	{"postgresql://db.example/shop", NULL, &plain, "verify-full", "/system/ca", NULL},
	{"postgresql://128.0.0.1/shop", NULL, &plain, "verify-full", "/system/ca", NULL},
	{"postgresql://localhost.example/shop", NULL, &plain, "verify-full", "/system/ca",
	 NULL},
	{"postgresql://localhost,db.example/shop", NULL, &plain, "verify-full",
	 "/system/ca", NULL},
	{"postgresql://db.example,localhost/shop", NULL, &plain, "verify-full",
	 "/system/ca", NULL},
	{"postgresql://localhost,127.0.0.1/shop", NULL, &plain, "disable", NULL, NULL},
	{"host=a,b hostaddr=127.0.0.1,", NULL, &plain, "verify-full", "/system/ca", NULL},
	{"service=far", NULL, &plain, "verify-full", "/system/ca", NULL},
	{"service=near", NULL, &plain, "disable", NULL, NULL},
	{"service=missing", NULL, &plain, "verify-full", NULL, NULL},
	/* our files: TLS is wanted, wherever the server is */
	{"postgresql://db.example/shop", NULL, &with_ca, "verify-full", "/our/ca", NULL},
	{"postgresql://localhost/shop", NULL, &with_ca, "verify-full", "/our/ca", NULL},
	{"postgresql://localhost/shop", NULL, &with_cert, "verify-full", "/system/ca",
	 NULL},
	{"postgresql://db.example/shop?sslrootcert=/their/ca", NULL, &plain,
	 "verify-full", NULL, NULL},
	{"postgresql://db.example/shop?sslrootcert=/their/ca", NULL, &with_ca,
	 "verify-full", "/our/ca", NULL},
	{"postgresql://db.example/shop", NULL, &careless, "require", NO_FILE, PLAIN},
	{"postgresql://localhost/shop", NULL, &careless, "require", NO_FILE, NULL},
	/* somebody's word stands, with a warning where it is weak */
	{"postgresql://db.example/shop?sslmode=disable", NULL, &plain, NULL, NULL, PLAIN},
	{"postgresql://db.example/shop?sslmode=allow", NULL, &plain, NULL, NULL, FALLS},
	{"postgresql://db.example/shop?sslmode=prefer", NULL, &plain, NULL, NULL, FALLS},
	{"postgresql://db.example/shop?sslmode=require", NULL, &plain, NULL, NULL, PLAIN},
	{"postgresql://db.example/shop?sslmode=require&sslrootcert=/x", NULL, &plain,
	 NULL, NULL, NULL},
	{"postgresql://db.example/shop?sslmode=require", NULL, &with_ca, NULL, "/our/ca",
	 NULL},
	{"postgresql://db.example/shop?sslmode=require", NULL, &careless, NULL, NO_FILE,
	 PLAIN},
	{"postgresql://db.example/shop?sslmode=verify-ca", NULL, &plain, NULL, NULL,
	 NULL},
	{"postgresql://db.example/shop?sslmode=verify-full", NULL, &plain, NULL,
	 "/system/ca", NULL},
	{"postgresql://localhost/shop?sslmode=prefer", NULL, &plain, NULL, NULL, NULL},
	{"postgresql://localhost/shop?sslmode=verify-full", NULL, &with_ca, NULL,
	 "/our/ca", NULL},
	{"postgresql://db.example/shop", "prefer", &plain, NULL, NULL, FALLS},
	{"postgresql://db.example/shop", "disable", &plain, NULL, NULL, PLAIN},
	{"postgresql://db.example/shop?sslmode=verify-full", "disable", &plain, NULL,
	 "/system/ca", NULL},
	{"service=checked", NULL, &plain, NULL, NULL, NULL},
};

START_TEST(what_nobody_has_said_is_decided_by_where_the_server_is)
{
	struct pg_tls t;

	if (choices[_i].variable)
		setenv("PGSSLMODE", choices[_i].variable, 1);
	ck_assert_int_eq(pg_tls_choose(&t, choices[_i].url, choices[_i].files, &err), 0);
	assert_word(t.sslmode, choices[_i].mode);
	assert_word(t.sslrootcert, choices[_i].root);
	if (choices[_i].warning)
		ck_assert_ptr_nonnull(strstr(t.warning, choices[_i].warning));
	else
		ck_assert_ptr_null(t.warning);
}
END_TEST

/* --- the rest --- */

START_TEST(a_certificate_of_our_own_is_shown_with_its_key)
{
	struct pg_tls t;

	ck_assert_int_eq(pg_tls_choose(&t, NULL, &with_key, &err), 0);
	ck_assert_str_eq(t.sslcert, "/our/cert");
	ck_assert_str_eq(t.sslkey, "/our/key");
	ck_assert_int_eq(pg_tls_choose(&t, NULL, &with_cert, &err), 0);
	ck_assert_str_eq(t.sslkey, "/our/cert");
	ck_assert_int_eq(pg_tls_choose(&t, NULL, &plain, &err), 0);
	ck_assert_ptr_null(t.sslcert);
	ck_assert_ptr_null(t.sslkey);
}
END_TEST

START_TEST(an_authority_in_the_home_directory_is_left_to_libpq)
{
	char own[80], path[100];
	struct pg_tls t;
	FILE *f;

	snprintf(own, sizeof(own), "%s/.postgresql", folder);
	snprintf(path, sizeof(path), "%s/root.crt", own);
	ck_assert_int_eq(mkdir(own, 0700), 0);
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	fclose(f);
	setenv("HOME", folder, 1);
	ck_assert_int_eq(pg_tls_choose(&t, "host=db.example", &plain, &err), 0);
	ck_assert_str_eq(t.sslmode, "verify-full");
	ck_assert_ptr_null(t.sslrootcert);
	/* With it libpq verifies even where only "require" was said. */
	ck_assert_int_eq(pg_tls_choose(&t, "host=db.example sslmode=require", &plain,
				       &err),
			 0);
	ck_assert_ptr_null(t.warning);
	unlink(path);
	rmdir(own);
}
END_TEST

START_TEST(kerberos_encryption_is_off_unless_asked_for)
{
	struct pg_tls t;

	ck_assert_int_eq(pg_tls_choose(&t, "host=db.example", &plain, &err), 0);
	ck_assert_str_eq(t.gssencmode, "disable");
	ck_assert_int_eq(pg_tls_choose(&t, "host=db.example gssencmode=prefer", &plain,
				       &err),
			 0);
	ck_assert_ptr_null(t.gssencmode);
	setenv("PGGSSENCMODE", "require", 1);
	ck_assert_int_eq(pg_tls_choose(&t, "host=db.example", &plain, &err), 0);
	ck_assert_ptr_null(t.gssencmode);
}
END_TEST

static const struct {
	const char *url;
	const struct tls_options *files;
	const char *why;
} refused[] = {
	{"host=h ssl_min_protocol_version=TLSv1", &plain, "below TLSv1.2"},
	{"host=h ssl_min_protocol_version=TLSv1.1", &plain, "below TLSv1.2"},
	{"host=h ssl_min_protocol_version=''", &plain, "below TLSv1.2"},
	{"host=h sslmode=disable", &with_ca, "sslmode=disable contradicts"},
	{"host=h sslmode=allow", &with_cert, "sslmode=allow contradicts"},
	{"host=h sslmode=prefer", &careless, "sslmode=prefer contradicts"},
	{"host=h sslmode=verify-full", &careless, "contradicts database.tls.verify"},
};

START_TEST(words_that_do_not_fit_together_are_refused)
{
	struct pg_tls t;

	ck_assert_int_eq(pg_tls_choose(&t, refused[_i].url, refused[_i].files, &err), -1);
	ck_assert_int_eq(err.kind, ERROR_CONFIG);
	ck_assert_msg(strstr(err.text, refused[_i].why) != NULL, "%s", err.text);
}
END_TEST

START_TEST(tls_1_3_may_be_demanded)
{
	struct pg_tls t;

	ck_assert_int_eq(pg_tls_choose(&t, "host=h ssl_min_protocol_version=TLSv1.3",
				       &plain, &err),
			 0);
	setenv("PGSSLMINPROTOCOLVERSION", "TLSv1", 1);
	ck_assert_int_eq(pg_tls_choose(&t, "host=h", &plain, &err), -1);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("pg_tls");
	TCase *tc = tcase_create("pg_tls");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, what_nobody_has_said_is_decided_by_where_the_server_is, 0,
			    sizeof(choices) / sizeof(choices[0]));
	tcase_add_test(tc, a_certificate_of_our_own_is_shown_with_its_key);
	tcase_add_test(tc, an_authority_in_the_home_directory_is_left_to_libpq);
	tcase_add_test(tc, kerberos_encryption_is_off_unless_asked_for);
	tcase_add_loop_test(tc, words_that_do_not_fit_together_are_refused, 0,
			    sizeof(refused) / sizeof(refused[0]));
	tcase_add_test(tc, tls_1_3_may_be_demanded);
	suite_add_tcase(suite, tc);
	return suite;
}
