#include "cli.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/core.h"
#include "base/memory.h"
#include "cli/versions.h"

#define DEFAULT_CONFIG "/etc/outbox-relay/outbox-relay.yaml"

/* Every option there is; `letter` is what struct command names it by. */
static const struct option_row {
	char letter;
	bool is_short;
	const char *name;
	const char *argument; /* NULL: takes none */
	const char *help;
} option_rows[] = {
	{'c', true, "config", "FILE",
	 "the configuration (default: $OUTBOX_RELAY_CONFIG,\n"
	 "                         then " DEFAULT_CONFIG ")"},
	{'e', false, "until-empty", NULL, "exit 0 as soon as no row is due"},
	{'p', false, "print", NULL, "print the SQL and touch nothing"},
	{'r', false, "roles", NULL, "create the three group roles and their grants, too"},
	{'d', false, "database", "URL",
	 "connect here instead of database.url, e.g. as the\n"
	 "                         owner of the schema"},
	{'j', false, "json", NULL, "one JSON object a line"},
	{'k', false, "core-dumps", NULL,
	 "leave core files possible, for debugging; they hold\n"
	 "                         passwords and messages"},
	{'h', true, "help", NULL, "this text"},
};

#define OPTION_COUNT (sizeof(option_rows) / sizeof(option_rows[0]))

static const struct command commands[] = {
	{"run", "carry rows to the broker, until stopped",
	 "Runs in the foreground and logs to standard error. SIGTERM and SIGINT stop it: what\n"
	 "is in flight is waited for and settled, at most relay.shutdown_timeout long; a\n"
	 "second signal ends it at once. SIGHUP loads the configuration anew; an invalid file\n"
	 "changes nothing. Exits 71 when memory runs out and 75 when rows were left in hand.\n",
	 "cekh", cmd_run},
	{"check", "validate the configuration, then look at database and broker",
	 "Declares the configured topology, as run does, and changes nothing else. Exits 0 when\n"
	 "a relay would run, 78 when the configuration is wrong and 69 when anything else is\n"
	 "missing; each finding is a line.\n",
	 "cjkh", cmd_check},
	{"migrate", "create or upgrade the tables",
	 "Applies the migrations that are missing, each in a transaction; safe to run again\n"
	 "and by several at once. With --print, the SQL of all of them goes to standard\n"
	 "output, for psql or a migration tool.\n",
	 "cdprkh", cmd_migrate},
};

#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

/* --- help --- */

static void print_help(FILE *out)
{
	fputs("usage: outbox-relay COMMAND [OPTION]…\n\n"
	      "Carries the rows that applications commit in message_log to a message "
	      "broker:\n"
	      "confirmed, at least once, without the applications knowing of the "
	      "broker.\n\n",
	      out);
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].summary);
	fputs("\n`outbox-relay COMMAND --help` tells more; --version prints the "
	      "versions.\n",
	      out);
}

static void print_command_help(const struct command *command)
{
	printf("usage: outbox-relay %s [OPTION]…\n\n%s\n", command->name, command->help);
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const struct option_row *row = &option_rows[i];
		char left[40];

		if (!strchr(command->options, row->letter))
			continue;
		snprintf(left, sizeof(left), "%c%c%s --%s%s%s", row->is_short ? '-' : ' ',
			 row->is_short ? row->letter : ' ', row->is_short ? "," : " ",
			 row->name, row->argument ? " " : "",
			 row->argument ? row->argument : "");
		printf("  %-22s %s\n", left, row->help);
	}
}

static int usage_error(const char *problem, const char *what)
{
	fprintf(stderr, "outbox-relay: %s: %s\nTry `outbox-relay --help`.\n", problem,
		what);
	return EX_USAGE;
}

static void print_version(void)
{
	char libraries[256];

	versions_describe(libraries, sizeof(libraries));
	printf("outbox-relay %s (%s)\n", VERSION, libraries);
}

/* --- arguments --- */

static const char *default_config(void)
{
	const char *path = getenv("OUTBOX_RELAY_CONFIG");

	return path && *path ? path : DEFAULT_CONFIG;
}

static void take_option(struct cli *cli, int letter, const char *argument)
{
	switch (letter) {
	case 'c':
		cli->config_path = argument;
		break;
	case 'd':
		cli->database = argument;
		break;
	case 'e':
		cli->until_empty = true;
		break;
	case 'k':
		cli->core_dumps = true;
		break;
	case 'j':
		cli->is_json = true;
		break;
	case 'p':
		cli->print = true;
		break;
	case 'r':
		cli->roles = true;
		break;
	}
}

static int run_command(const struct command *command, int argc, char **argv)
{
	struct cli cli = {.program = argv[0], .config_path = default_config()};
	struct option names[OPTION_COUNT + 1] = {{0}};
	int count = 0;
	int letter;

	for (size_t i = 0; i < OPTION_COUNT; i++) {
		if (!strchr(command->options, option_rows[i].letter))
			continue;
		names[count++] = (struct option){.name = option_rows[i].name,
						 .has_arg = option_rows[i].argument
								    ? required_argument
								    : no_argument,
						 .val = option_rows[i].letter};
	}
	opterr = 0;
	/* The short options: -c takes an argument, -h does not. */
	while ((letter = getopt_long(argc, argv, ":c:h", names, NULL)) != -1) {
		if (letter == ':')
			return usage_error("this option wants an argument",
					   argv[optind - 1]);
		if (letter == '?')
			return usage_error("unknown option", argv[optind - 1]);
		if (letter == 'h') {
			print_command_help(command);
			return EX_OK;
		}
		take_option(&cli, letter, optarg);
	}
	if (optind < argc)
		return usage_error("unexpected argument", argv[optind]);
	if (!cli.core_dumps)
		core_forbid();
	return command->run(&cli);
}

int cli_main(int argc, char **argv)
{
	memory_reserve();
	if (argc < 2) {
		print_help(stderr);
		return EX_USAGE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
	    strcmp(argv[1], "help") == 0) {
		print_help(stdout);
		return EX_OK;
	}
	if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
		print_version();
		return EX_OK;
	}
	for (size_t i = 0; i < COMMAND_COUNT; i++) {
		if (strcmp(argv[1], commands[i].name) == 0)
			return run_command(&commands[i], argc - 1, argv + 1);
	}
	return usage_error(argv[1][0] == '-' ? "unknown option" : "unknown command",
			   argv[1]);
}
