#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdbool.h>

/*
 * The command line: a table of subcommands, one file each. Options may stand before or
 * after the operands, as in git and psql. Exit codes are those of sysexits.h, listed in
 * README.md.
 */

/* What the options that every subcommand knows came to, and its own. */
struct cli {
	const char *program;     /* as called, for messages */
	const char *config_path; /* -c, $OUTBOX_RELAY_CONFIG or the default place */
	bool is_json;            /* --json */
	bool core_dumps;         /* --core-dumps; see base/core.h */
	/* run */
	bool until_empty;
	/* migrate */
	bool print;
	bool roles;
	/* migrate and the operator's commands */
	const char *database; /* --database: instead of database.url */
	/* status */
	bool watch;
	/* which rows */
	const char *status, *exchange, *key, *error, *older, *newer;
	/* list */
	const char *after, *limit;
	/* show */
	bool raw;
	/* requeue, purge, replay */
	bool all, dry_run, yes;
	const char *rate, *label;
	/* what is not an option, in order */
	char *const *operands;
	int operand_count;
};

struct command {
	const char *name;
	const char *operands; /* as the synopsis has them; "" for none */
	int operands_max;
	const char *summary; /* one line in the list of commands */
	const char *help;    /* what --help prints below the synopsis */
	const char *options; /* letters of the option table that it takes; see cli.c */
	int (*run)(const struct cli *cli);
};

int cli_main(int argc, char **argv);

/* "outbox-relay: problem: what" on standard error; returns EX_USAGE. */
int cli_usage_error(const char *problem, const char *what);

/* Each returns the exit code. */
int cmd_run(const struct cli *cli);
int cmd_check(const struct cli *cli);
int cmd_migrate(const struct cli *cli);
int cmd_status(const struct cli *cli);
int cmd_list(const struct cli *cli);
int cmd_show(const struct cli *cli);
int cmd_doctor(const struct cli *cli);
int cmd_requeue(const struct cli *cli);
int cmd_purge(const struct cli *cli);
int cmd_replay(const struct cli *cli);

#endif
