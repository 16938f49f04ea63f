#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/stop.h"
#include "cli/inspect.h"
#include "cli/setup.h"

struct findings {
	bool is_json;
	int bad;
};

static void report(void *context, const char *check, bool is_ok, const char *detail)
{
	struct findings *f = context;

	f->bad += !is_ok;
	if (!f->is_json) {
		printf("%-4s  %-18s %s\n", is_ok ? "ok" : "BAD", check, detail);
	} else {
		json_t *line = json_pack("{s:s, s:b, s:s%}", "check", check, "ok", is_ok,
					 "detail", detail, strlen(detail));

		if (line)
			json_dumpf(line, stdout, JSON_COMPACT);
		putchar('\n');
		json_decref(line);
	}
	fflush(stdout);
}

int cmd_check(const struct cli *cli)
{
	struct findings f = {.is_json = cli->is_json};
	struct error err;
	struct config *c = setup_config(cli, &err);

	if (!c) {
		report(&f, "configuration", false, err.text);
		return EX_CONFIG;
	}
	stop_ignore_broken_pipes(); /* a server may hang up while we write */
	report(&f, "configuration", true, cli->config_path);
	inspect(c, report, &f);
	config_free(c);
	return f.bad ? EX_UNAVAILABLE : EX_OK;
}
