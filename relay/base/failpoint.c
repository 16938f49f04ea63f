#include "failpoint.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

enum action { ACTION_KILL, ACTION_STOP, ACTION_PAUSE };

#define FAILPOINT_NAME(name) #name,
static const char *const names[] = {FAILPOINT_LIST(FAILPOINT_NAME)};

static enum failpoint chosen = FAILPOINT_COUNT; /* none */
static unsigned long act_at = 1;
static unsigned long passes;
static enum action action;
static long pause_ms;

static void refuse(const char *value)
{
	fprintf(stderr, "RELAY_FAILPOINT=%s: not NAME[@N]:kill|stop|pause=MS\n", value);
	exit(EX_USAGE);
}

static enum failpoint find(const char *name, size_t size)
{
	for (int i = 0; i < FAILPOINT_COUNT; i++) {
		if (strlen(names[i]) == size && memcmp(names[i], name, size) == 0)
			return (enum failpoint)i;
	}
	return FAILPOINT_COUNT;
}

static void parse_action(const char *text, const char *value)
{
	char *end;

	if (strcmp(text, "kill") == 0) {
		action = ACTION_KILL;
	} else if (strcmp(text, "stop") == 0) {
		action = ACTION_STOP;
	} else if (strncmp(text, "pause=", 6) == 0) {
		action = ACTION_PAUSE;
		pause_ms = strtol(text + 6, &end, 10);
		if (end == text + 6 || *end || pause_ms < 0)
			refuse(value);
	} else {
		refuse(value);
	}
}

static void parse(const char *value)
{
	size_t size = strcspn(value, "@:");
	char *rest = (char *)value + size;

	chosen = find(value, size);
	if (*rest == '@')
		act_at = strtoul(rest + 1, &rest, 10);
	if (chosen == FAILPOINT_COUNT || act_at == 0 || *rest != ':')
		refuse(value);
	parse_action(rest + 1, value);
}

/* Before main(): a wrong name shall not pass for a point that is never reached. */
__attribute__((constructor)) static void setup(void)
{
	const char *value = getenv("RELAY_FAILPOINT");

	if (!value)
		return;
	if (strcmp(value, "list") != 0) {
		parse(value);
		return;
	}
	for (int i = 0; i < FAILPOINT_COUNT; i++)
		puts(names[i]);
	exit(EX_OK);
}

bool failpoint_is_due(enum failpoint point)
{
	return point == chosen && passes + 1 == act_at;
}

static void pause_here(void)
{
	struct timespec left = {.tv_sec = pause_ms / 1000,
				.tv_nsec = pause_ms % 1000 * 1000000};

	while (nanosleep(&left, &left) < 0 && errno == EINTR)
		;
}

void failpoint_pass(enum failpoint point)
{
	if (point != chosen || ++passes != act_at)
		return;
	switch (action) {
	case ACTION_KILL:
		raise(SIGKILL);
		break;
	case ACTION_STOP:
		raise(SIGSTOP);
		break;
	case ACTION_PAUSE:
		pause_here();
		break;
	}
}
