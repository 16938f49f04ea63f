#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/notify.h"
#include "base/stop.h"
#include "cli/setup.h"
#include "cli/versions.h"
#include "engine/relay.h"
#include "monitor/alerter.h"
#include "monitor/console.h"
#include "monitor/http.h"
#include "monitor/listen.h"
#include "monitor/upkeep.h"

/* Well below any sensible WatchdogSec. */
#define WATCHDOG_MS 2000

/* Longest wait for the last alerts, within shutdown_timeout; when others are to be told, or
   otherwise, from now on. */
#define LAST_ALERTS_MS    2000
#define ALERTS_CHANGED_MS 1000

struct run {
	const struct cli *cli;
	struct config *config;
	struct config *next; /* loaded on SIGHUP, to be used after the drain */
	int64_t watchdog_at_ms;
	int64_t stop_at_ms;   /* when asked to stop; 0: not yet */
	struct counts counts; /* over all reloads */
	struct status_board *board;
	struct http *http;
	struct console *console;
	struct upkeep_board *upkeep_board;
	struct upkeep *upkeep;
	struct alerter *alerter;
	struct webhook_counts alert_counts;
};

/* --- logging the configuration --- */

/* One line a section: its keys are the fields. */
#define FIELDS_MAX 48

struct section {
	char name[32];
	struct log_field fields[FIELDS_MAX];
	size_t count;
};

static void flush_section(struct section *s)
{
	if (s->count > 1)
		log_write(LOG_LEVEL_INFO, "configuration", s->fields, s->count);
	for (size_t i = 1; i < s->count; i++) {
		free((char *)s->fields[i].key);
		free((char *)s->fields[i].text);
	}
	s->count = 0;
}

static void add_key(void *context, const char *key, const char *value)
{
	struct section *s = context;
	const char *dot = strchr(key, '.');
	size_t size = dot ? (size_t)(dot - key) : 0;

	if (!dot || size >= sizeof(s->name))
		return;
	if (s->count == FIELDS_MAX || strncmp(s->name, key, size) != 0 || s->name[size])
		flush_section(s);
	if (s->count == 0) {
		snprintf(s->name, sizeof(s->name), "%.*s", (int)size, key);
		s->fields[s->count++] = LOG_STR("section", s->name);
	}
	s->fields[s->count++] = LOG_STR(xstrdup(dot + 1), xstrdup(value));
}

static void log_config(const struct config *c)
{
	struct section s = {.count = 0};

	config_print(c, add_key, &s);
	flush_section(&s);
}

static void log_warning(void *context, const char *side, const char *reason)
{
	(void)context;
	log_warn("not protected", LOG_STR("side", side), LOG_STR("reason", reason));
}

static void log_start(const struct run *run)
{
	char libraries[256];

	versions_describe(libraries, sizeof(libraries));
	log_info("starting", LOG_STR("version", VERSION), LOG_STR("libraries", libraries),
		 LOG_STR("config", run->cli->config_path));
	log_config(run->config);
	setup_warnings(run->config, log_warning, NULL);
}

static void log_counts(const char *event, const struct counts *c)
{
	log_info(event, LOG_INT("sent", (int64_t)c->sent),
		 LOG_INT("failed", (int64_t)c->failed),
		 LOG_INT("retried", (int64_t)c->retried),
		 LOG_INT("published", (int64_t)c->published),
		 LOG_INT("interrupted", (int64_t)c->interrupted),
		 LOG_INT("claimed", (int64_t)c->claimed),
		 LOG_INT("parked", (int64_t)c->parked),
		 LOG_INT("claims_adopted", (int64_t)c->claims_adopted),
		 LOG_INT("claims_lost", (int64_t)c->claims_lost),
		 LOG_INT("connects", (int64_t)c->connects),
		 LOG_INT("log_lines_dropped", (int64_t)log_dropped()));
}

/* --- hooks --- */

static bool reload(void *context)
{
	struct run *run = context;
	struct error err;

	run->next = setup_config(run->cli, &err);
	if (!run->next)
		log_error("configuration refused, the old one stays",
			  LOG_STR("error", err.text));
	return run->next != NULL;
}

static void tick(void *context)
{
	struct run *run = context;
	int64_t now_ms = clock_ms();

	if (stop_requested() && !run->stop_at_ms) {
		run->stop_at_ms = now_ms;
		alerter_hurry(run->alerter);
	}
	if (now_ms < run->watchdog_at_ms)
		return;
	notify_state("WATCHDOG=1");
	run->watchdog_at_ms = now_ms + WATCHDOG_MS;
}

/* --- health and metrics --- */

static bool has_console(const struct config *c)
{
	return c->http.console == CONSOLE_ON || (c->http.console == CONSOLE_LOOPBACK &&
						 listen_is_loopback(c->http.listen));
}

static int start_http(struct run *run, struct http **http)
{
	const struct config_http *c = &run->config->http;
	char libraries[256];
	struct error err;

	versions_describe(libraries, sizeof(libraries));
	if (http_start(&(struct http_settings){.listen = c->listen,
					       .token = c->token.text,
					       .relay_name = run->config->relay.name,
					       .libraries = libraries,
					       .board = run->board,
					       .upkeep = run->upkeep_board,
					       .alerts = &run->alert_counts,
					       .console = has_console(run->config)
								  ? run->console
								  : NULL},
		       http, &err) == 0) {
		if (*http)
			log_info("serving health and metrics",
				 LOG_STR("listen", c->listen));
		return 0;
	}
	log_error("cannot serve health and metrics", LOG_STR("error", err.text));
	return -1;
}

static bool is_same(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

/* After a reload. An address that cannot be had leaves the old one served. */
static void restart_http(struct run *run, const struct config *old)
{
	bool stays = is_same(old->http.listen, run->config->http.listen);
	struct http *next;

	if (run->cli->until_empty)
		return;
	if (stays && is_same(old->http.token.text, run->config->http.token.text) &&
	    old->http.console == run->config->http.console &&
	    is_same(old->relay.name, run->config->relay.name))
		return;
	if (stays) {
		http_stop(run->http);
		run->http = NULL;
	}
	if (start_http(run, &next) < 0)
		return;
	http_stop(run->http);
	run->http = next;
}

/* --- console --- */

static void start_console(struct run *run)
{
	const struct operate_settings database =
		setup_session(run->config, "console", true);

	if (run->http && has_console(run->config))
		console_start(run->console, &database);
}

/* --- upkeep --- */

/* Where nobody asks for figures and nothing is deleted, there is nothing to do. */
static void start_upkeep(struct run *run)
{
	const struct config *c = run->config;

	if (run->cli->until_empty ||
	    (!run->http && !run->alerter && !c->retention.sent_ms))
		return;
	run->upkeep = upkeep_start(
		&(struct upkeep_settings){.database = setup_session(c, "upkeep", true),
					  .keep_sent_ms = c->retention.sent_ms,
					  .board = run->upkeep_board});
}

static void stop_upkeep(struct run *run)
{
	upkeep_stop(run->upkeep);
	run->upkeep = NULL;
}

/* --- alerts --- */

static int start_alerter(struct run *run)
{
	struct error err;

	if (alerter_start(run->config, run->board, run->upkeep_board, &run->alert_counts,
			  &run->alerter, &err) == 0)
		return 0;
	log_error("cannot send alerts", LOG_STR("error", err.text));
	run->alerter = NULL;
	return -1;
}

/* After a reload. */
static void restart_alerter(struct run *run, const struct config *old)
{
	if (alerter_is_same(old, run->config))
		return;
	alerter_stop(run->alerter, ALERTS_CHANGED_MS);
	start_alerter(run);
}

/* What is left of shutdown_timeout bounds it. */
static void stop_alerter(struct run *run)
{
	int64_t end_ms =
		run->stop_at_ms ? run->stop_at_ms + run->config->relay.shutdown_timeout_ms
				: CLOCK_NEVER;
	int64_t left_ms = end_ms - clock_ms();

	alerter_stop(run->alerter, left_ms < 0 ? 0 : clock_min(left_ms, LAST_ALERTS_MS));
}

/* --- the command --- */

static enum relay_end run_once(struct run *run, const struct relay_hooks *hooks)
{
	struct config *c = run->config;
	struct relay *relay;
	enum relay_end end;

	log_setup(c->log.level, c->log.format);
	log_start(run);
	relay = relay_new(c, setup_driver(c)->create(c->driver_config),
			  run->cli->until_empty, hooks);
	notify_state("READY=1");
	end = relay_run(relay);
	log_counts(end == RELAY_RELOAD ? "drained" : "stopped", relay_counts(relay));
	relay_free(relay);
	return end;
}

static void use_next(struct run *run)
{
	struct config *old = run->config;

	stop_upkeep(run);
	console_stop(run->console);
	run->config = run->next;
	run->next = NULL;
	restart_http(run, old);
	restart_alerter(run, old);
	start_console(run);
	start_upkeep(run);
	config_free(old);
}

static enum relay_end run_all(struct run *run)
{
	struct relay_hooks hooks = {.reload = reload,
				    .tick = tick,
				    .context = run,
				    .counts = &run->counts,
				    .board = run->board};
	enum relay_end end;

	start_console(run);
	start_upkeep(run);
	while ((end = run_once(run, &hooks)) == RELAY_RELOAD)
		use_next(run);
	notify_state("STOPPING=1");
	console_stop(run->console);
	stop_upkeep(run);
	return end;
}

int cmd_run(const struct cli *cli)
{
	static const int codes[] = {
		[RELAY_STOPPED] = EX_OK,
		[RELAY_CUT_SHORT] = EX_TEMPFAIL,
		[RELAY_OUT_OF_MEMORY] = EX_OSERR,
		[RELAY_UNAVAILABLE] = EX_UNAVAILABLE,
	};
	struct run run = {.cli = cli, .config = setup_config_or_say(cli)};
	int code = EX_UNAVAILABLE;

	if (!run.config)
		return memory_is_short() ? EX_OSERR : EX_CONFIG;
	stop_setup();
	log_setup(run.config->log.level, run.config->log.format);
	counts_init(&run.counts);
	run.board = status_board_new();
	run.upkeep_board = upkeep_board_new();
	run.console = console_new();
	/* A job beside a relay that serves already must not fail over the address. */
	if (start_alerter(&run) == 0 &&
	    (cli->until_empty || start_http(&run, &run.http) == 0))
		code = codes[run_all(&run)];
	stop_alerter(&run);
	http_stop(run.http);
	console_free(run.console);
	status_board_free(run.board);
	upkeep_board_free(run.upkeep_board);
	config_free(run.config);
	config_free(run.next);
	return code;
}
