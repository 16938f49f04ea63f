#include "cli.h"

#include <getopt.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/core.h"
#include "base/memory.h"
#include "cli/versions.h"

/* Ids on one command line; for more there are filters. */
#define OPERANDS_MAX 1000

#define DEFAULT_CONFIG "/etc/outbox-relay/outbox-relay.yaml"

/*
 * Every option there is; `letter` is what struct command names it by, and what the user may say
 * where is_short. An option with an argument fills a string, the others a bool.
 */
static const struct option_row {
	char letter;
	bool is_short;
	const char *name;
	const char *argument; /* NULL: takes none */
	size_t offset;        /* in struct cli */
	const char *help;
} option_rows[] = {
#define MEMBER(name) offsetof(struct cli, name)
	{'c', true, "config", "FILE", MEMBER(config_path),
	 "the configuration (default: $OUTBOX_RELAY_CONFIG,\n"
	 "                         then " DEFAULT_CONFIG ")"},
	{'d', false, "database", "URL", MEMBER(database),
	 "connect here instead of database.url, e.g. as the\n"
	 "                         owner of the schema"},
	{'e', false, "until-empty", NULL, MEMBER(until_empty),
	 "exit 0 as soon as no row is due"},
	{'p', false, "print", NULL, MEMBER(print), "print the SQL and touch nothing"},
	{'r', false, "roles", NULL, MEMBER(roles),
	 "create the three group roles and their grants, too"},
	{'w', true, "watch", NULL, MEMBER(watch), "look again every two seconds"},
	{'s', false, "status", "STATUS", MEMBER(status), "sending, sent or failed"},
	{'x', false, "exchange", "NAME", MEMBER(exchange), "this exchange only"},
	{'y', false, "key", "KEY", MEMBER(key), "this routing key only"},
	{'E', false, "error", "TEXT", MEMBER(error),
	 "last_error holds this, in whichever case"},
	{'o', false, "older", "AGE", MEMBER(older),
	 "changed last longer ago than 90s, 5m, 12h, 7d, 2w"},
	{'n', false, "newer", "AGE", MEMBER(newer), "changed last within that time"},
	{'a', false, "after", "ID", MEMBER(after), "go on behind this row"},
	{'l', false, "limit", "N", MEMBER(limit), "at most so many rows (default: 50)"},
	{'R', false, "raw", NULL, MEMBER(raw),
	 "write the bytes of the body and nothing else"},
	{'A', false, "all", NULL, MEMBER(all), "all there are, without a filter"},
	{'D', false, "dry-run", NULL, MEMBER(dry_run),
	 "count them, show examples, and touch nothing"},
	{'Y', false, "yes", NULL, MEMBER(yes), "do not ask"},
	{'t', false, "rate", "N", MEMBER(rate), "at most so many rows a second"},
	{'L', false, "label", "WORD", MEMBER(label),
	 "what is put behind each message_id (default: the\n"
	 "                         time); with the same one no row is copied twice"},
	{'j', false, "json", NULL, MEMBER(is_json), "one JSON object a line"},
	{'k', false, "core-dumps", NULL, MEMBER(core_dumps),
	 "leave core files possible, for debugging; they hold\n"
	 "                         passwords and messages"},
	{'h', true, "help", NULL, 0, "this text"},
#undef MEMBER
};

#define OPTION_COUNT (sizeof(option_rows) / sizeof(option_rows[0]))

static const struct command commands[] = {
	{"run", "", 0, "carry rows to the broker, until stopped",
	 "Runs in the foreground and logs to standard error. SIGTERM and SIGINT stop it: what\n"
	 "is in flight is waited for and settled, at most relay.shutdown_timeout long; a\n"
	 "second signal ends it at once. SIGHUP loads the configuration anew; an invalid file\n"
	 "changes nothing. Exits 71 when memory runs out and 75 when rows were left in hand.\n",
	 "cekh", cmd_run},
	{"check", "", 0, "validate the configuration, then look at database and broker",
	 "Declares the configured topology, as run does, and changes nothing else. Exits 0 when\n"
	 "a relay would run, 78 when the configuration is wrong and 69 when anything else is\n"
	 "missing; each finding is a line.\n",
	 "cjkh", cmd_check},
	{"migrate", "", 0, "create or upgrade the tables",
	 "Applies the migrations that are missing, each in a transaction; safe to run again\n"
	 "and by several at once. With --print, the SQL of all of them goes to standard\n"
	 "output, for psql or a migration tool.\n",
	 "cdprkh", cmd_migrate},
	{"status", "", 0, "how much waits, what failed, who is at work",
	 "Counts are exact up to 10,000 rows; beyond, figures with a ~ are estimates from\n"
	 "PostgreSQL's statistics, so that a big table is never read. Parked destinations are\n"
	 "known to the relay alone: the one at http.listen of this configuration is asked.\n",
	 "cdwjkh", cmd_status},
	{"list", "", 0, "rows, the newest first",
	 "Without a filter all rows. Prints where to go on when there are more.\n",
	 "cdsxyEonaljkh", cmd_list},
	{"show", "ID|MESSAGE_ID", 1, "one row with all it has",
	 "The body is shown as text, JSON or hex, as fits, up to 4 KiB; --raw writes all of it\n"
	 "as it is, --json has it whole, too. Exits 66 when there is no such row.\n",
	 "cdRjkh", cmd_show},
	{"doctor", "", 0, "what is wrong, and what to do about it",
	 "Looks at all that check does; then for rows that wait or failed, dead relays, VACUUM and\n"
	 "who hinders it (for longer than --older, 5m unless said), missing indexes, destinations\n"
	 "without a queue, and old libraries. Exits 69 when something is BAD, 0 otherwise.\n"
	 "--database is for the rows and VACUUM only.\n",
	 "cdojkh", cmd_doctor},
	{"requeue", "[ID|MESSAGE_ID]…", OPERANDS_MAX, "send failed rows again",
	 "They become `sending`, due now, with no attempt charged. Works in steps of 1,000 rows;\n"
	 "an interrupted one goes on where it is started again. Asks on a terminal; elsewhere it\n"
	 "wants --yes or --dry-run. Exits 75 when rows were left because others lock them.\n",
	 "cdxyEonADYtjkh", cmd_requeue},
	{"purge", "[ID|MESSAGE_ID]…", OPERANDS_MAX, "delete sent rows, or failed ones",
	 "Deletes `sent` rows; `failed` ones only with --status failed; never others. In steps, and\n"
	 "asks, as requeue does. Needs the right to DELETE: see --database.\n",
	 "cdsxyEonADYtjkh", cmd_purge},
	{"replay", "[ID|MESSAGE_ID]…", OPERANDS_MAX,
	 "send sent rows once more, as copies",
	 "Each copy is a new row. Its message_id is the old one with ~LABEL behind it, so that\n"
	 "consumers do not take it for a duplicate; its header replay_of has the old one. In\n"
	 "steps, and asks, as requeue does. Needs the right to INSERT: see --database.\n",
	 "cdxyEonADYtLjkh", cmd_replay},
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
	printf("usage: outbox-relay %s [OPTION]…%s%s\n\n%s\n", command->name,
	       *command->operands ? " " : "", command->operands, command->help);
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

int cli_usage_error(const char *problem, const char *what)
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
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		char *member = (char *)cli + option_rows[i].offset;

		if (option_rows[i].letter != letter)
			continue;
		if (option_rows[i].argument)
			memcpy(member, &argument, sizeof(argument));
		else
			*(bool *)member = true;
	}
}

/* For getopt: the long names that this command takes, and the short ones behind "-:". */
static void list_options(const struct command *command, struct option *names,
			 char *shorts)
{
	*shorts++ = ':';
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const struct option_row *row = &option_rows[i];

		if (!strchr(command->options, row->letter))
			continue;
		*names++ = (struct option){.name = row->name,
					   .has_arg = row->argument ? required_argument
								    : no_argument,
					   .val = row->letter};
		if (row->is_short)
			*shorts++ = row->letter;
		if (row->is_short && row->argument)
			*shorts++ = ':';
	}
	*shorts = '\0';
}

/* -1: go on. */
static int parse(const struct command *command, int argc, char **argv, struct cli *cli)
{
	struct option names[OPTION_COUNT + 1] = {{0}};
	char shorts[2 * OPTION_COUNT + 2];
	int letter;

	list_options(command, names, shorts);
	opterr = 0;
	while ((letter = getopt_long(argc, argv, shorts, names, NULL)) != -1) {
		if (letter == ':')
			return cli_usage_error("this option wants an argument",
					       argv[optind - 1]);
		if (letter == '?')
			return cli_usage_error("unknown option", argv[optind - 1]);
		if (letter == 'h') {
			print_command_help(command);
			return EX_OK;
		}
		take_option(cli, letter, optarg);
	}
	if (argc - optind > command->operands_max)
		return cli_usage_error("unexpected argument",
				       argv[optind + command->operands_max]);
	cli->operands = argv + optind;
	cli->operand_count = argc - optind;
	return -1;
}

/* Of a pipe. That is no error: `| head` has enough. */
static bool is_reader_gone(void)
{
	struct pollfd p = {.fd = STDOUT_FILENO, .events = POLLOUT};

	return poll(&p, 1, 0) > 0 && p.revents & (POLLERR | POLLHUP);
}

/* What could not be written was not done. */
static int finish(const struct command *command, int code)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return code;
	if (!is_reader_gone())
		fprintf(stderr,
			"outbox-relay: %s: standard output takes no more, what was written "
			"is cut\n",
			command->name);
	return code == EX_OK ? EX_IOERR : code;
}

static int run_command(const struct command *command, int argc, char **argv)
{
	struct cli cli = {.program = argv[0], .config_path = default_config()};
	int code = parse(command, argc, argv, &cli);

	if (code >= 0)
		return code;
	if (!cli.core_dumps)
		core_forbid();
	return finish(command, command->run(&cli));
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
	return cli_usage_error(argv[1][0] == '-' ? "unknown option" : "unknown command",
			       argv[1]);
}
