#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "base/human.h"
#include "base/stop.h"
#include "cli/filter.h"
#include "cli/inspect.h"
#include "cli/present.h"
#include "cli/setup.h"
#include "store/doctor.h"

#define PATIENCE_MS (5 * 60 * 1000)

struct findings {
	bool is_json;
	int bad;
};

static void print(enum doctor_level level, const char *check, const char *detail,
		  const char *advice)
{
	static const char *const words[] = {
		[DOCTOR_OK] = "ok", [DOCTOR_NOTE] = "note", [DOCTOR_BAD] = "BAD"};
	struct buffer name = {0}, text = {0};

	human_escape(&name, check, strlen(check));
	human_escape(&text, detail, strlen(detail));
	printf("%-4s  %-18s %s\n", words[level], buffer_text(&name), buffer_text(&text));
	if (advice)
		printf("%-24s → %s\n", "", advice);
	buffer_release(&name);
	buffer_release(&text);
}

static void print_json(enum doctor_level level, const char *check, const char *detail,
		       const char *advice)
{
	static const char *const words[] = {
		[DOCTOR_OK] = "ok", [DOCTOR_NOTE] = "note", [DOCTOR_BAD] = "bad"};

	present_line(json_pack("{s:s, s:o, s:o, s:s?}", "level", words[level], "check",
			       human_json(check, strlen(check)), "detail",
			       human_json(detail, strlen(detail)), "advice", advice));
}

static void report(void *context, enum doctor_level level, const char *check,
		   const char *detail, const char *advice)
{
	struct findings *f = context;

	f->bad += level == DOCTOR_BAD;
	if (f->is_json)
		print_json(level, check, detail, advice);
	else
		print(level, check, detail, advice);
	fflush(stdout);
}

static void report_check(void *context, const char *check, bool is_ok, const char *detail)
{
	report(context, is_ok ? DOCTOR_OK : DOCTOR_BAD, check, detail, NULL);
}

/* 0.14.0 is the first that bounds how deep the tables nest which it decodes. */
static void examine_library(struct findings *f, const struct broker_driver *driver)
{
	const char *version = strstr(driver->libraries(), "librabbitmq ");
	char detail[64];
	int major, minor;

	if (!version || sscanf(version, "librabbitmq %d.%d", &major, &minor) != 2)
		return;
	snprintf(detail, sizeof(detail), "librabbitmq %d.%d%s", major, minor,
		 major == 0 && minor < 14 ? " is older than 0.14" : "");
	if (major == 0 && minor < 14)
		report(f, DOCTOR_NOTE, "libraries", detail,
		       "upgrade when your system has a newer one: it decodes what the "
		       "broker says, and bounds it since 0.14");
	else
		report(f, DOCTOR_OK, "libraries", detail, NULL);
}

static void examine_rows(const struct cli *cli, const struct config *c,
			 struct findings *f, int64_t patience_ms)
{
	struct doctor doctor = {.patience_ms = patience_ms,
				.is_pooled = c->database.pooling == POOLING_TRANSACTION,
				.report = report,
				.context = f};
	struct operate *o = setup_operate(cli, c, cli->program, false);
	struct error err;

	if (!o || doctor_examine(o, &doctor, &err) < 0)
		report(f, DOCTOR_BAD, "rows", o ? err.text : "the database is not there",
		       NULL);
	operate_close(o);
}

int cmd_doctor(const struct cli *cli)
{
	struct findings f = {.is_json = cli->is_json};
	struct rows_filter filter;
	struct config *c;
	struct error err;
	int code = filter_read(cli, &filter);

	if (code)
		return code;
	c = setup_config(cli, &err);
	if (!c) {
		report(&f, DOCTOR_BAD, "configuration", err.text, NULL);
		return EX_CONFIG;
	}
	stop_ignore_broken_pipes();
	report(&f, DOCTOR_OK, "configuration", cli->config_path, NULL);
	inspect(c, report_check, &f);
	examine_rows(cli, c, &f, filter.older_ms >= 0 ? filter.older_ms : PATIENCE_MS);
	examine_library(&f, setup_driver(c));
	config_free(c);
	return f.bad ? EX_UNAVAILABLE : EX_OK;
}
