#include "stop.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

static volatile sig_atomic_t stop_count;
static volatile sig_atomic_t reload;
static volatile sig_atomic_t is_readable;
static int wake_pipe[2] = {-1, -1};

static void on_signal(int signal)
{
	int saved = errno;

	if (signal == SIGHUP)
		reload = 1;
	else if (stop_count++)
		_exit(128 + signal);
	is_readable = 1;
	/* A full pipe is readable already. */
	if (write(wake_pipe[1], "", 1) < 0)
		errno = 0;
	errno = saved;
}

void stop_setup(void)
{
	static const int signals[] = {SIGTERM, SIGINT, SIGHUP};
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};

	if (pipe2(wake_pipe, O_CLOEXEC | O_NONBLOCK) < 0)
		abort();
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaction(signals[i], &action, NULL);
	stop_ignore_broken_pipes();
}

void stop_ignore_broken_pipes(void)
{
	struct sigaction action = {.sa_handler = SIG_IGN};

	sigaction(SIGPIPE, &action, NULL);
}

bool stop_requested(void)
{
	return stop_count > 0;
}

bool stop_reload_requested(void)
{
	/* Cleared only where it was seen: it may be set at any moment. */
	if (!reload)
		return false;
	reload = 0;
	return true;
}

int stop_fd(void)
{
	return wake_pipe[0];
}

void stop_drain(void)
{
	char bytes[64];

	if (!is_readable)
		return;
	is_readable = 0;
	while (read(wake_pipe[0], bytes, sizeof(bytes)) > 0)
		;
}
