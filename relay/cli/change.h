#ifndef CLI_CHANGE_H
#define CLI_CHANGE_H

#include "cli/cli.h"
#include "store/change.h"

/*
 * What requeue, purge and replay have in common: which rows; looking first (--dry-run, or before
 * the question on a terminal); then step by step, with a line of progress on a terminal. SIGINT
 * and SIGTERM end it after the step under way. Returns the exit code.
 */

/* How the three differ in words. */
struct change_words {
	const char *infinitive; /* "requeue" */
	const char *past;       /* "requeued" */
};

/* `change` has kind and filter.status; the rest is filled in. */
int change_command(const struct cli *cli, struct change *change,
		   const struct change_words *words);

#endif
