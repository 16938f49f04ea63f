#ifndef CLI_SETUP_H
#define CLI_SETUP_H

#include "broker/broker.h"
#include "cli/cli.h"
#include "config/config.h"
#include "store/operate.h"

/*
 * From arguments to a configuration and a broker. Apart from cli.h, because <getopt.h>
 * and config/option.h both have a struct option.
 */

/* NULL and ERROR_CONFIG when the file is refused. */
struct config *setup_config(const struct cli *cli, struct error *err);

/* The same, saying why on standard error. */
struct config *setup_config_or_say(const struct cli *cli);

/* Calls `say` for each side whose connections would not be protected on their way. */
void setup_warnings(const struct config *c,
		    void (*say)(void *context, const char *side, const char *reason),
		    void *context);

const struct broker_driver *setup_driver(const struct config *c);

/* A session with the configured database, beside the relay's own; it lives as long as `c`. */
struct operate_settings setup_session(const struct config *c, const char *command,
				      bool writes);

/*
 * The session of an operator's command, with --database or database.url; NULL after saying why not
 * on standard error. `c` outlives it.
 */
struct operate *setup_operate(const struct cli *cli, const struct config *c,
			      const char *command, bool writes);

/* Says an error of the session on standard error; returns the exit code. */
int setup_failed(const char *command, const struct error *err);

#endif
