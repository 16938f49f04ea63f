#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/buffer.h"
#include "base/stop.h"
#include "cli/setup.h"
#include "store/preflight.h"

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

static void report_weakness(void *context, const char *side, const char *reason)
{
	char check[32];

	snprintf(check, sizeof(check), "%s TLS", side);
	report(context, check, true, reason);
}

static void check_exchange(struct findings *f, struct broker *b, const char *name,
			   int timeout_ms)
{
	struct error err;
	char check[300];

	snprintf(check, sizeof(check), "exchange %s", *name ? name : "(default)");
	if (b->driver->probe(b, name, timeout_ms, &err) < 0)
		report(f, check, false, err.text);
	else
		report(f, check, true, "is there");
}

/* The first address that answers will do; err says why the last one did not. */
static int open_any(struct broker *b, size_t addresses, int timeout_ms, struct error *err)
{
	for (size_t i = 0; i < addresses; i++) {
		if (b->driver->open(b, timeout_ms, -1, err) == 0)
			return 0;
	}
	return -1;
}

static void check_broker(struct findings *f, const struct config *c,
			 const struct buffer *exchanges)
{
	const struct broker_driver *driver = setup_driver(c);
	struct broker *b = driver->create(c->driver_config);
	int timeout_ms = (int)c->broker.connect_timeout_ms;
	const char *end = exchanges->data ? exchanges->data + exchanges->end : NULL;
	struct error err;

	if (open_any(b, driver->addresses(c->driver_config), timeout_ms, &err) < 0) {
		report(f, "broker", false, err.text);
	} else {
		report(f, "broker", true, driver->peer(b));
		for (const char *name = exchanges->data; name && name < end;
		     name += strlen(name) + 1)
			check_exchange(f, b, name, timeout_ms);
	}
	driver->free(b);
}

int cmd_check(const struct cli *cli)
{
	struct findings f = {.is_json = cli->is_json};
	struct buffer exchanges = {0};
	struct error err;
	struct config *c = setup_config(cli, &err);

	if (!c) {
		report(&f, "configuration", false, err.text);
		return EX_CONFIG;
	}
	stop_ignore_broken_pipes(); /* a server may hang up while we write */
	report(&f, "configuration", true, cli->config_path);
	setup_warnings(c, report_weakness, &f);
	preflight_database(
		&(struct preflight){
			.url = c->database.url,
			.password = c->database.password.text,
			.tls = &c->database.tls,
			.schema = c->database.schema,
			.connect_timeout_ms = (int)c->database.connect_timeout_ms,
			.wants_bell = c->relay.wake == WAKE_DOORBELL,
			.deletes_sent = c->relay.on_sent == ON_SENT_DELETE,
			.report = report,
			.context = &f,
		},
		&exchanges);
	check_broker(&f, c, &exchanges);
	buffer_release(&exchanges);
	config_free(c);
	return f.bad ? EX_UNAVAILABLE : EX_OK;
}
