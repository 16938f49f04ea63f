#include "base/stop.h"

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include "unit/unit.h"

/* The flags belong to the process: these tests need Check's fork, so do not run them with
   CK_FORK=no. */

static bool is_readable(void)
{
	struct pollfd p = {.fd = stop_fd(), .events = POLLIN};

	return poll(&p, 1, 0) == 1;
}

START_TEST(there_is_no_descriptor_before_setup)
{
	ck_assert_int_eq(stop_fd(), -1);
	ck_assert(!stop_requested());
	stop_setup();
	ck_assert_int_ge(stop_fd(), 0);
	ck_assert(!is_readable());
}
END_TEST

static const int stopping[] = {SIGTERM, SIGINT};

START_TEST(a_signal_asks_to_stop_and_wakes_poll_until_drained)
{
	stop_setup();
	raise(stopping[_i]);
	ck_assert(stop_requested());
	ck_assert(!stop_reload_requested());
	ck_assert(is_readable());
	stop_drain();
	ck_assert(!is_readable());
	ck_assert(stop_requested());
}
END_TEST

START_TEST(the_second_signal_ends_the_process_at_once)
{
	stop_setup();
	raise(SIGTERM);
	raise(SIGINT);
}
END_TEST

START_TEST(a_hangup_asks_to_reload_once_and_never_to_stop)
{
	stop_setup();
	for (int i = 0; i < 3; i++)
		raise(SIGHUP);
	ck_assert(is_readable());
	ck_assert(stop_reload_requested());
	ck_assert(!stop_reload_requested());
	ck_assert(!stop_requested());
	raise(SIGHUP);
	ck_assert(stop_reload_requested());
}
END_TEST

#define HANGUPS unit_rounds(5000)

/* Another process sends the next one when the last was seen. */
static void send_hangups(int seen, int count)
{
	char byte;

	while (count-- > 0) {
		kill(getppid(), SIGHUP);
		if (read(seen, &byte, 1) != 1)
			_exit(1);
	}
	_exit(0);
}

START_TEST(a_hangup_is_seen_whenever_it_comes)
{
	int seen[2];

	stop_setup();
	ck_assert_int_eq(pipe(seen), 0);
	if (fork() == 0)
		send_hangups(seen[0], HANGUPS);
	for (int i = 0; i < HANGUPS; i++) {
		/* The thread sanitizer delivers signals at calls only. */
		for (int spins = 0; !stop_reload_requested(); spins++) {
			if (spins % 10000 == 9999)
				is_readable();
		}
		ck_assert_int_eq(write(seen[1], "", 1), 1);
	}
	close(seen[0]);
	close(seen[1]);
}
END_TEST

START_TEST(a_storm_of_hangups_fills_the_pipe_and_blocks_nobody)
{
	stop_setup();
	for (int i = 0; i < 100000; i++)
		raise(SIGHUP);
	ck_assert(is_readable());
	stop_drain();
	ck_assert(!is_readable());
	ck_assert(stop_reload_requested());
}
END_TEST

START_TEST(writing_to_a_broken_pipe_is_an_error_not_the_end)
{
	int fds[2];

	stop_setup();
	ck_assert_int_eq(pipe(fds), 0);
	close(fds[0]);
	ck_assert_int_eq(write(fds[1], "x", 1), -1);
	close(fds[1]);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("stop");
	TCase *tc = tcase_create("stop");

	tcase_add_test(tc, there_is_no_descriptor_before_setup);
	tcase_add_loop_test(tc, a_signal_asks_to_stop_and_wakes_poll_until_drained, 0, 2);
	tcase_add_exit_test(tc, the_second_signal_ends_the_process_at_once, 128 + SIGINT);
	tcase_add_test(tc, a_hangup_asks_to_reload_once_and_never_to_stop);
	tcase_add_test(tc, a_hangup_is_seen_whenever_it_comes);
	tcase_add_test(tc, a_storm_of_hangups_fills_the_pipe_and_blocks_nobody);
	tcase_add_test(tc, writing_to_a_broken_pipe_is_an_error_not_the_end);
	suite_add_tcase(suite, tc);
	return suite;
}
