#ifndef CLI_INSPECT_H
#define CLI_INSPECT_H

#include "cli/cli.h"
#include "config/config.h"
#include "store/operate.h"

/*
 * What a relay needs, as `check` and `doctor` look at it: the database by store/preflight.h, then
 * the broker with its login and the exchanges that unsent rows name. Declares the configured
 * topology, as `run` does, and changes nothing else. Blocks, by the configured timeouts.
 */

typedef void inspect_report(void *context, const char *check, bool is_ok,
			    const char *detail);

void inspect(const struct config *c, inspect_report *report, void *context);

#endif
