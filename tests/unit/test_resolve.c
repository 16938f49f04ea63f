/* resolve against name servers that answer, do not, or answer late. */

#include "base/resolve.h"

#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "fake/fake_resolver.h"
#include "unit/unit.h"

static struct addrinfo *list;
static struct error err;
static int stop_pipe[2];

static void setup(void)
{
	ck_assert_int_eq(pipe(stop_pipe), 0);
}

/* What was left to itself must come to its end before the leak check looks. */
static void teardown(void)
{
	fake_resolver_release();
	while (fake_resolver_waiting() > 0)
		usleep(1000);
	close(stop_pipe[0]);
	close(stop_pipe[1]);
}

static int ask(const char *host, int timeout_ms)
{
	const struct stream_wait wait = {.deadline_ms = clock_ms() + timeout_ms,
					 .stop_fd = stop_pipe[0]};

	return resolve(host, 5672, &wait, &list, &err);
}

static void assert_address(const struct addrinfo *a, const char *expected)
{
	char host[NI_MAXHOST], port[16];

	ck_assert_int_eq(getnameinfo(a->ai_addr, a->ai_addrlen, host, sizeof(host), port,
				     sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV),
			 0);
	ck_assert_str_eq(host, expected);
	ck_assert_str_eq(port, "5672");
}

START_TEST(an_address_in_digits_asks_nobody)
{
	ck_assert_int_eq(ask("127.0.0.1", 0), 0);
	assert_address(list, "127.0.0.1");
	freeaddrinfo(list);
	ck_assert_int_eq(ask("::1", 0), 0);
	assert_address(list, "::1");
	freeaddrinfo(list);
	ck_assert_int_eq(fake_resolver_asked(), 0);
}
END_TEST

START_TEST(a_name_has_all_its_addresses)
{
	ck_assert_int_eq(ask("two", 30000), 0);
	assert_address(list, "10.0.0.2");
	assert_address(list->ai_next, "fd00::2");
	ck_assert_ptr_null(list->ai_next->ai_next);
	freeaddrinfo(list);
}
END_TEST

START_TEST(a_name_that_nobody_knows_is_lost)
{
	ck_assert_int_eq(ask("nobody", 30000), -1);
	ck_assert_int_eq(err.kind, ERROR_LOST);
	ck_assert_str_eq(err.text, "cannot resolve: Name or service not known");
}
END_TEST

START_TEST(name_servers_that_do_not_answer_are_not_waited_for)
{
	fake_resolver_hold();
	ck_assert_int_eq(ask("slow", 50), -1);
	ck_assert_int_eq(err.kind, ERROR_TIMEOUT);
	ck_assert_ptr_nonnull(strstr(err.text, "do not answer"));
	ck_assert_int_eq(ask("one", 30000), 0); /* somebody else's name */
	freeaddrinfo(list);
	fake_resolver_release();
	ck_assert_int_eq(ask("slow", 30000), 0);
	assert_address(list, "10.0.0.3");
	freeaddrinfo(list);
}
END_TEST

START_TEST(a_signal_ends_the_wait)
{
	fake_resolver_hold();
	ck_assert_int_eq(write(stop_pipe[1], "x", 1), 1);
	ck_assert_int_eq(ask("slow", 30000), -1);
	ck_assert_int_eq(err.kind, ERROR_STOPPED);
}
END_TEST

START_TEST(few_questions_are_open_at_a_time)
{
	fake_resolver_hold();
	for (int i = 0; i < 20; i++) {
		ck_assert_int_eq(ask("slow", 1), -1);
		ck_assert_int_eq(err.kind, ERROR_TIMEOUT);
		ck_assert_int_le(fake_resolver_waiting(), 4);
	}
	ck_assert_ptr_nonnull(strstr(err.text, "earlier questions"));
	ck_assert_int_eq(ask("127.0.0.1", 0), 0);
	freeaddrinfo(list);
	fake_resolver_release();
	while (ask("slow", 30000) < 0) /* until the first of them has come to its end */
		ck_assert_ptr_nonnull(strstr(err.text, "earlier questions"));
	assert_address(list, "10.0.0.3");
	freeaddrinfo(list);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("resolve");
	TCase *tc = tcase_create("resolve");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, an_address_in_digits_asks_nobody);
	tcase_add_test(tc, a_name_has_all_its_addresses);
	tcase_add_test(tc, a_name_that_nobody_knows_is_lost);
	tcase_add_test(tc, name_servers_that_do_not_answer_are_not_waited_for);
	tcase_add_test(tc, a_signal_ends_the_wait);
	tcase_add_test(tc, few_questions_are_open_at_a_time);
	suite_add_tcase(suite, tc);
	return suite;
}
