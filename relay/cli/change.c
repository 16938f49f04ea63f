#include "cli/change.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/human.h"
#include "base/stop.h"
#include "cli/filter.h"
#include "cli/present.h"
#include "cli/setup.h"
#include "monitor/rows_json.h"

#define EXAMPLES 5
#define RATE_MAX 1000000

struct run {
	const struct cli *cli;
	struct change *change;
	const struct change_words *words;
	struct operate *o;
	int64_t rate;  /* rows a second; 0: as fast as it goes */
	int64_t total; /* counted beforehand; -1: not counted */
	bool has_progress;
};

/* --- which rows --- */

static int read_filter(struct run *run)
{
	const struct cli *cli = run->cli;
	struct rows_filter *f = &run->change->filter;
	const char *status = f->status;
	int code = filter_read(cli, f);

	f->status = status;
	if (code)
		return code;
	if (cli->operand_count == 0 && !filter_is_narrow(f) && !cli->all)
		return cli_usage_error(cli->program,
				       "which rows? Give ids, a filter, or --all");
	if (!cli->yes && !cli->dry_run && !isatty(STDIN_FILENO))
		return cli_usage_error(cli->program,
				       "nobody can be asked here: say --yes "
				       "to do it, or --dry-run to look");
	run->rate = filter_number("--rate wants 1 to 1000000", cli->rate, RATE_MAX, 0);
	return run->rate < 0 ? EX_USAGE : 0;
}

/* -1: go on. */
static int resolve(struct run *run, int64_t *ids)
{
	const struct cli *cli = run->cli;
	struct error err;
	int found = change_resolve(run->o, cli->operands, cli->operand_count, ids, &err);

	if (found < 0)
		return setup_failed(cli->program, &err);
	if (found < cli->operand_count) {
		fprintf(stderr,
			"outbox-relay: %s: no row has this id or message_id: %s\n",
			cli->program, cli->operands[found]);
		return EX_NOINPUT;
	}
	run->change->ids = ids;
	run->change->id_count = cli->operand_count;
	return -1;
}

/* --- looking --- */

static void say_progress(const struct run *run, const char *what, int64_t rows)
{
	char count[HUMAN_MAX], total[HUMAN_MAX];

	if (!run->has_progress)
		return;
	if (run->total > 0)
		fprintf(stderr, "\r%s %s of %s (%lld %%)\033[K", what,
			human_count(rows, count), human_plural(run->total, "row", total),
			(long long)(rows * 100 / run->total));
	else
		fprintf(stderr, "\r%s %s\033[K", what, human_plural(rows, "row", count));
}

static void end_progress(const struct run *run)
{
	if (run->has_progress)
		fputs("\r\033[K", stderr);
}

static int count(struct run *run, struct error *err)
{
	struct change_walk walk;

	if (change_begin(run->o, &walk, err) < 0)
		return -1;
	while (!walk.is_done && !stop_requested()) {
		if (change_look(run->o, run->change, &walk, err) < 0)
			return -1;
		say_progress(run, "counting:", walk.matched);
	}
	end_progress(run);
	run->total = walk.matched;
	return 0;
}

/* Of filters the newest rows are examples; of ids there are no surprises. */
static int examples(struct run *run, struct rows_entry **rows, struct error *err)
{
	if (run->change->id_count || run->total == 0)
		return 0;
	return rows_list(run->o, &run->change->filter, 0, EXAMPLES, rows, err);
}

static int look(struct run *run, struct error *err)
{
	struct rows_entry *rows = NULL;
	char text[HUMAN_MAX];
	json_t *list;
	int n;

	if (count(run, err) < 0 || (n = examples(run, &rows, err)) < 0)
		return -1;
	if (run->cli->dry_run && run->cli->is_json) {
		list = json_array();
		for (int i = 0; i < n; i++)
			json_array_append_new(list, rows_json(&rows[i]));
		present_line(json_pack("{s:s, s:b, s:I, s:o}", "command",
				       run->cli->program, "dry_run", 1, "rows",
				       (json_int_t)run->total, "examples", list));
	} else {
		printf("%s would be %s%s\n", human_plural(run->total, "row", text),
		       run->words->past, n ? ", for example:\n" : "");
		if (n)
			present_rows(rows, n);
	}
	free(rows);
	return 0;
}

static bool says_yes(const struct run *run)
{
	char text[HUMAN_MAX], line[16] = "";

	fflush(stdout);
	fprintf(stderr, "\n%s %s? [y/N] ", run->words->infinitive,
		human_plural(run->total, "row", text));
	if (!fgets(line, sizeof(line), stdin))
		return false;
	return line[0] == 'y' || line[0] == 'Y';
}

/* --- doing --- */

static void keep_rate(const struct run *run, const struct change_walk *walk,
		      int64_t start_ms)
{
	int64_t now_ms = clock_ms();
	int64_t due_ms = start_ms + (run->rate ? walk->matched * 1000 / run->rate : 0);
	struct pollfd p = {.fd = stop_fd(), .events = POLLIN};

	if (!walk->is_done && due_ms > now_ms)
		poll(&p, 1, clock_wait_ms(due_ms, now_ms));
}

static int apply(struct run *run, struct change_walk *walk, struct error *err)
{
	/* Four steps a second at least, where a rate makes them small. */
	int rows = run->rate && run->rate < 4 * CHANGE_ROWS ? (int)(run->rate + 3) / 4
							    : CHANGE_ROWS;
	int64_t start_ms;

	if (change_begin(run->o, walk, err) < 0)
		return -1;
	start_ms = clock_ms();
	while (!walk->is_done && !stop_requested()) {
		if (change_step(run->o, run->change, rows, walk, err) < 0)
			return -1;
		say_progress(run, run->words->past, walk->changed);
		keep_rate(run, walk, start_ms);
	}
	end_progress(run);
	return 0;
}

static void print_done(const struct run *run, const struct change_walk *walk)
{
	bool is_replay = run->change->kind == CHANGE_REPLAY;
	char text[HUMAN_MAX];

	if (run->cli->is_json) {
		present_line(json_pack("{s:s, s:b, s:I, s:I, s:b, s:o}", "command",
				       run->cli->program, "dry_run", 0, "rows",
				       (json_int_t)walk->changed, "left",
				       (json_int_t)(walk->matched - walk->changed),
				       "complete", walk->is_done, "label",
				       is_replay ? human_json(run->change->label,
							      strlen(run->change->label))
						 : json_null()));
		return;
	}
	printf("%s %s", run->words->past, human_plural(walk->changed, "row", text));
	if (is_replay)
		printf(", label %s", run->change->label);
	putchar('\n');
	if (walk->matched > walk->changed)
		printf("left alone: %s, %s\n",
		       human_plural(walk->matched - walk->changed, "row", text),
		       is_replay ? "copied before with this label"
				 : "which others have locked or changed");
	if (!walk->is_done)
		printf("stopped before the end; the same command goes on\n");
}

static int carry_out(struct run *run)
{
	struct change_walk walk = {0};
	struct error err;

	if (apply(run, &walk, &err) < 0) {
		end_progress(run);
		if (walk.changed > 0)
			print_done(run, &walk);
		return setup_failed(run->cli->program, &err);
	}
	print_done(run, &walk);
	if (!walk.is_done)
		return EX_TEMPFAIL;
	return run->change->kind == CHANGE_REPLAY || walk.matched == walk.changed
		       ? EX_OK
		       : EX_TEMPFAIL;
}

static int proceed(struct run *run)
{
	struct error err;

	if ((run->cli->dry_run || !run->cli->yes) && look(run, &err) < 0)
		return setup_failed(run->cli->program, &err);
	if (run->cli->dry_run || run->total == 0)
		return EX_OK;
	if (!run->cli->yes && !says_yes(run)) {
		printf("nothing was done\n");
		return EX_OK;
	}
	return carry_out(run);
}

int change_command(const struct cli *cli, struct change *change,
		   const struct change_words *words)
{
	struct run run = {.cli = cli,
			  .change = change,
			  .words = words,
			  .total = -1,
			  .has_progress = isatty(STDERR_FILENO)};
	int64_t *ids;
	struct config *c;
	int code = read_filter(&run);

	if (code)
		return code;
	c = setup_config_or_say(cli);
	if (!c)
		return EX_CONFIG;
	stop_setup();
	run.o = setup_operate(cli, c, cli->program, true);
	ids = xcalloc((size_t)cli->operand_count + 1, sizeof(*ids));
	code = run.o ? resolve(&run, ids) : EX_UNAVAILABLE;
	if (code < 0)
		code = proceed(&run);
	operate_close(run.o);
	free(ids);
	config_free(c);
	return code;
}
