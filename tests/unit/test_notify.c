#include "base/notify.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "unit/unit.h"

/* A manager that listens at `path`; '@' in front means the abstract namespace. */
static int listen_at(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);

	ck_assert_int_ge(fd, 0);
	memcpy(address.sun_path, path, strlen(path));
	if (path[0] == '@')
		address.sun_path[0] = '\0';
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address,
			      (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
					  strlen(path))),
			 0);
	setenv("NOTIFY_SOCKET", path, 1);
	return fd;
}

static void assert_hears(int fd, const char *state)
{
	char text[64];
	ssize_t size = recv(fd, text, sizeof(text), 0);

	ck_assert_int_eq(size, (ssize_t)strlen(state));
	ck_assert_mem_eq(text, state, (size_t)size);
}

START_TEST(a_state_is_one_datagram_to_the_socket_named)
{
	const char *folder = unit_folder();
	char path[256 + 8];
	int fd;

	snprintf(path, sizeof(path), "%s/notify", folder);
	fd = listen_at(path);
	notify_state("READY=1");
	notify_state("WATCHDOG=1");
	assert_hears(fd, "READY=1");
	assert_hears(fd, "WATCHDOG=1");
	/* The longest queue is full some time: dropped, not waited for. */
	for (int i = 0; i < 5000; i++)
		notify_state("WATCHDOG=1");
	close(fd);
	notify_state("STOPPING=1");
	unlink(path);
	rmdir(folder);
}
END_TEST

START_TEST(a_socket_in_the_abstract_namespace_is_found)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "@outbox-relay-test-%d", (int)getpid());
	fd = listen_at(path);
	notify_state("READY=1");
	assert_hears(fd, "READY=1");
	close(fd);
}
END_TEST

static const char *const nowhere[] = {
	NULL,
	"",
	"@",
	"/",
	"/nonexistent/notify",
	"/a/path/longer/than/an/address/may/be/"
	"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
};

START_TEST(without_a_manager_nothing_happens)
{
	if (nowhere[_i])
		setenv("NOTIFY_SOCKET", nowhere[_i], 1);
	else
		unsetenv("NOTIFY_SOCKET");
	notify_state("READY=1");
}
END_TEST

START_TEST(no_descriptor_is_left_open)
{
	char path[64];
	int fd, next;

	snprintf(path, sizeof(path), "@outbox-relay-test-%d", (int)getpid());
	fd = listen_at(path);
	next = dup(fd);
	close(next);
	for (int i = 0; i < 10; i++)
		notify_state("WATCHDOG=1");
	ck_assert_int_eq(dup(fd), next);
	close(next);
	close(fd);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("notify");
	TCase *tc = tcase_create("notify");

	tcase_add_test(tc, a_state_is_one_datagram_to_the_socket_named);
	tcase_add_test(tc, a_socket_in_the_abstract_namespace_is_found);
	tcase_add_loop_test(tc, without_a_manager_nothing_happens, 0,
			    sizeof(nowhere) / sizeof(nowhere[0]));
	tcase_add_test(tc, no_descriptor_is_left_open);
	suite_add_tcase(suite, tc);
	return suite;
}
