#include "store/pg_hosts.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "fake/fake_resolver.h"
#include "unit/unit.h"

static struct pg_hosts h;
static struct error err;

static void setup(void)
{
	static const char *const variables[] = {"PGHOST", "PGHOSTADDR", "PGPORT",
						"PGSERVICE", "PGSERVICEFILE"};

	for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++)
		unsetenv(variables[i]);
	setenv("PGSYSCONFDIR", "/nonexistent", 1);
	setenv("HOME", "/nonexistent", 1);
}

static void teardown(void)
{
	pg_hosts_release(&h);
}

static void assert_list(const char *list, const char *expected)
{
	if (expected)
		ck_assert_str_eq(list, expected);
	else
		ck_assert_ptr_null(list);
}

/* libpq gives the hosts of a URI a port each, an empty one for the default. NULL: libpq's
   own reading of url and environment stands. */
static const struct {
	const char *url;
	int by;
	const char *host, *hostaddr, *port;
} cases[] = {
	{"postgresql://a,b,c/shop", 0, "a,b,c", NULL, ",,"},
	{"postgresql://a,b,c/shop", 1, "b,c,a", NULL, ",,"},
	{"postgresql://a,b,c/shop", 2, "c,a,b", NULL, ",,"},
	{"postgresql://a,b,c/shop", 3, "a,b,c", NULL, ",,"},
	{"postgresql://a,b,c/shop", 1000000007, "c,a,b", NULL, ",,"},
	{"postgresql://a:1,b:2/shop", 1, "b,a", NULL, "2,1"},
	{"postgresql://a,b:2/shop", 1, "b,a", NULL, "2,"},
	{"host=a,b port=5432", 1, "b,a", NULL, NULL}, /* one port for all */
	{"host=a,,c", 1, ",c,a", NULL, NULL},
	{"host=a,b hostaddr=10.0.0.1,10.0.0.2", 1, "b,a", "10.0.0.2,10.0.0.1", NULL},
	{"hostaddr=10.0.0.1,10.0.0.2", 1, NULL, "10.0.0.2,10.0.0.1", NULL},
	{"host='/run/x,/run/y'", 1, "/run/y,/run/x", NULL, NULL},
	{"host=a", 1, NULL, NULL, NULL},
	{"postgresql://app:a%2Fb%40c@a,b/shop", 1, "b,a", NULL, ","},
	{"postgresql://app@a,b/shop?application_name=x@y", 1, "b,a", NULL, ","},
	{"host=@a,@b password=x@y://z@", 1, "@b,@a", NULL, NULL},
	{"postgresql://a/shop", 5, NULL, NULL, NULL},
	{"dbname=shop", 1, NULL, NULL, NULL},
	{"host='' dbname=shop", 1, NULL, NULL, NULL},
	{NULL, 1, NULL, NULL, NULL},
};

START_TEST(each_list_begins_with_the_host_whose_turn_it_is)
{
	ck_assert_int_eq(pg_hosts_rotate(&h, cases[_i].url, cases[_i].by, &err), 0);
	assert_list(h.host, cases[_i].host);
	assert_list(h.hostaddr, cases[_i].hostaddr);
	assert_list(h.port, cases[_i].port);
}
END_TEST

START_TEST(the_environment_serves_where_the_url_says_nothing)
{
	setenv("PGHOST", "x,y", 1);
	setenv("PGPORT", "1,2", 1);
	ck_assert_int_eq(pg_hosts_rotate(&h, NULL, 1, &err), 0);
	assert_list(h.host, "y,x");
	assert_list(h.port, "2,1");
	pg_hosts_release(&h);
	ck_assert_int_eq(pg_hosts_rotate(&h, "host=a,b", 1, &err), 0);
	assert_list(h.host, "b,a");
	assert_list(h.port, "2,1");
}
END_TEST

/* The parser's own message quotes the string, and the string may hold a password. */
static const char *const malformed[] = {
	"postgresql://app:sesame@host/shop?nonsense=1",
	"postgresql://app:sesame@[::1/shop",
	"host=a password=sesame nonsense",
	/* read without a complaint, and parts of the password are host, port, database */
	"postgresql://app:sesame/x@host/shop",
	"postgresql://app:x/sesame@host/shop",
	"postgresql://app:x@sesame/x@host/shop",
	"postgresql://app:x@sesame@host/shop",
	"postgresql://app:sesame@host:port/shop",
	"host=a port=sesame",
	"sesame",
};

START_TEST(a_malformed_url_is_refused_without_quoting_it)
{
	ck_assert_int_eq(pg_hosts_rotate(&h, malformed[_i], 1, &err), -1);
	ck_assert_int_eq(err.kind, ERROR_CONFIG);
	ck_assert_ptr_null(strstr(err.text, "sesame"));
	ck_assert_ptr_null(h.host);
}
END_TEST

/* --- names to addresses --- */

static int resolve_hosts(const char *url, int by)
{
	const struct stream_wait wait = {.deadline_ms = clock_ms() + 30000,
					 .stop_fd = -1};

	ck_assert_int_eq(pg_hosts_rotate(&h, url, by, &err), 0);
	return pg_hosts_resolve(&h, url, &wait, &err);
}

static const struct {
	const char *url;
	int by;
	const char *host, *hostaddr, *port;
} names[] = {
	{"host=one", 0, "one", "10.0.0.1", "5432"},
	{"host=one port=7", 0, "one", "10.0.0.1", "7"},
	{"postgresql://one,two:8/shop", 0, "one,two,two", "10.0.0.1,10.0.0.2,fd00::2",
	 ",8,8"},
	{"postgresql://one,two:8/shop", 1, "two,two,one", "10.0.0.2,fd00::2,10.0.0.1",
	 "8,8,"},
	{"host=one,two,one port=7", 0, "one,two,two,one",
	 "10.0.0.1,10.0.0.2,fd00::2,10.0.0.1", "7,7,7,7"},
	{"host=nobody,one port=1,2", 0, "one", "10.0.0.1", "2"},
	{"host=/run/x,two,127.0.0.1 port=1,2,3", 0, "/run/x,two,two,127.0.0.1",
	 ",10.0.0.2,fd00::2,127.0.0.1", "1,2,2,3"},
	{"host=@x,one", 0, "@x,one", ",10.0.0.1", "5432,5432"},
	{"host=two,one hostaddr=10.9.9.9,", 0, "two,one", "10.9.9.9,10.0.0.1",
	 "5432,5432"},
	/* libpq's business */
	{"dbname=shop", 0, NULL, NULL, NULL},
	{"hostaddr=10.0.0.1", 0, NULL, NULL, NULL},
	{"service=shop", 0, NULL, NULL, NULL},
	{"host=one,two hostaddr=10.0.0.1", 0, "one,two", NULL, NULL},
	{"host=one,two port=1,2,3", 0, "one,two", NULL, "1,2,3"},
};

START_TEST(names_become_addresses)
{
	ck_assert_int_eq(resolve_hosts(names[_i].url, names[_i].by), 0);
	assert_list(h.host, names[_i].host);
	assert_list(h.hostaddr, names[_i].hostaddr);
	assert_list(h.port, names[_i].port);
}
END_TEST

START_TEST(a_service_in_the_url_comes_before_the_environment)
{
	setenv("PGHOST", "one,two", 1);
	ck_assert_int_eq(resolve_hosts("service=shop", 1), 0);
	ck_assert_ptr_null(h.host);
	ck_assert_ptr_null(h.hostaddr);
	pg_hosts_release(&h);
	ck_assert_int_eq(resolve_hosts("dbname=shop", 0), 0);
	ck_assert_str_eq(h.host, "one,two,two");
}
END_TEST

START_TEST(hosts_that_nobody_knows_are_an_error_that_names_one)
{
	ck_assert_int_eq(resolve_hosts("host=nobody,noone", 0), -1);
	ck_assert_int_eq(err.kind, ERROR_LOST);
	ck_assert_str_eq(err.text, "noone: cannot resolve: Name or service not known");
}
END_TEST

START_TEST(a_name_that_takes_long_leaves_time_for_the_next)
{
	const char *url = "host=slow,one port=1,2";
	const struct stream_wait wait = {.deadline_ms = clock_ms() + 2000, .stop_fd = -1};

	fake_resolver_hold();
	ck_assert_int_eq(pg_hosts_rotate(&h, url, 0, &err), 0);
	ck_assert_int_eq(pg_hosts_resolve(&h, url, &wait, &err), 0);
	ck_assert_str_eq(h.host, "one");
	ck_assert_str_eq(h.port, "2");
	fake_resolver_release();
	while (fake_resolver_waiting() > 0)
		usleep(1000);
}
END_TEST

START_TEST(a_signal_ends_the_resolving_of_all_hosts)
{
	int stop[2];
	struct stream_wait wait = {.deadline_ms = clock_ms() + 30000};

	ck_assert_int_eq(pipe(stop), 0);
	ck_assert_int_eq(write(stop[1], "x", 1), 1);
	wait.stop_fd = stop[0];
	fake_resolver_hold();
	ck_assert_int_eq(pg_hosts_resolve(&h, "host=slow,127.0.0.1", &wait, &err), -1);
	ck_assert_int_eq(err.kind, ERROR_STOPPED);
	fake_resolver_release();
	while (fake_resolver_waiting() > 0)
		usleep(1000);
	close(stop[0]);
	close(stop[1]);
}
END_TEST

START_TEST(releasing_twice_is_fine)
{
	pg_hosts_rotate(&h, "host=a,b port=1,2", 1, &err);
	pg_hosts_release(&h);
	ck_assert_ptr_null(h.host);
	ck_assert_ptr_null(h.port);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("pg_hosts");
	TCase *tc = tcase_create("pg_hosts");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, each_list_begins_with_the_host_whose_turn_it_is, 0,
			    sizeof(cases) / sizeof(cases[0]));
	tcase_add_test(tc, the_environment_serves_where_the_url_says_nothing);
	tcase_add_loop_test(tc, a_malformed_url_is_refused_without_quoting_it, 0,
			    sizeof(malformed) / sizeof(malformed[0]));
	tcase_add_loop_test(tc, names_become_addresses, 0,
			    sizeof(names) / sizeof(names[0]));
	tcase_add_test(tc, a_service_in_the_url_comes_before_the_environment);
	tcase_add_test(tc, hosts_that_nobody_knows_are_an_error_that_names_one);
	tcase_add_test(tc, a_name_that_takes_long_leaves_time_for_the_next);
	tcase_add_test(tc, a_signal_ends_the_resolving_of_all_hosts);
	tcase_add_test(tc, releasing_twice_is_fine);
	suite_add_tcase(suite, tc);
	return suite;
}
