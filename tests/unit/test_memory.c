#include "base/memory.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "fake/fake_malloc.h"
#include "unit/unit.h"

#define FOREVER 1000000

static void call_malloc(void)
{
	char *memory = xmalloc(10);

	memset(memory, 1, 10);
	free(memory);
}

static void call_calloc(void)
{
	char *memory = xcalloc(2, 5);

	ck_assert_int_eq(memory[9], 0);
	free(memory);
}

static void call_realloc(void)
{
	fake_malloc_fail(2, 1);
	char *memory = xmalloc(1);

	memory[0] = 'x';
	memory = xrealloc(memory, 100000);
	ck_assert_int_eq(memory[0], 'x');
	free(memory);
}

static void call_strdup(void)
{
	char *text = xstrdup("text");

	ck_assert_str_eq(text, "text");
	free(text);
}

static void (*const calls[])(void) = {call_malloc, call_calloc, call_realloc,
				      call_strdup};
#define CALLS (int)(sizeof(calls) / sizeof(calls[0]))

START_TEST(the_first_failure_is_met_from_the_reserve)
{
	memory_reserve();
	ck_assert(!memory_is_short());
	fake_malloc_fail(1, 1);
	calls[_i]();
	ck_assert(memory_is_short());
}
END_TEST

START_TEST(nothing_is_short_while_nothing_fails)
{
	memory_reserve();
	call_malloc();
	free(xasprintf("%d", 7));
	ck_assert(!memory_is_short());
}
END_TEST

START_TEST(a_failure_behind_the_reserve_ends_the_process)
{
	memory_reserve();
	fake_malloc_fail(1, FOREVER);
	call_malloc();
}
END_TEST

START_TEST(a_failure_without_a_reserve_ends_the_process)
{
	fake_malloc_fail(1, 1);
	call_malloc();
}
END_TEST

START_TEST(a_reserve_is_given_up_once)
{
	memory_reserve();
	memory_spare();
	memory_spare();
}
END_TEST

START_TEST(the_end_is_told_without_allocating)
{
	static const char expected[] = "outbox-relay: out of memory\n";
	int ends[2], status;
	char said[100] = "";

	ck_assert_int_eq(pipe(ends), 0);
	pid_t child = fork();
	if (child == 0) {
		dup2(ends[1], STDERR_FILENO);
		fake_malloc_fail(1, FOREVER);
		call_malloc();
		_exit(0);
	}
	close(ends[1]);
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), EX_OSERR);
	ck_assert_int_eq(read(ends[0], said, sizeof(said) - 1), sizeof(expected) - 1);
	ck_assert_str_eq(said, expected);
	close(ends[0]);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *s = suite_create("memory");
	TCase *tc = tcase_create("memory");

	tcase_add_loop_test(tc, the_first_failure_is_met_from_the_reserve, 0, CALLS);
	tcase_add_test(tc, nothing_is_short_while_nothing_fails);
	tcase_add_exit_test(tc, a_failure_behind_the_reserve_ends_the_process, EX_OSERR);
	tcase_add_exit_test(tc, a_failure_without_a_reserve_ends_the_process, EX_OSERR);
	tcase_add_exit_test(tc, a_reserve_is_given_up_once, EX_OSERR);
	tcase_add_test(tc, the_end_is_told_without_allocating);
	suite_add_tcase(s, tc);
	return s;
}
