#include "cli/inspect.h"

#include <stdio.h>
#include <string.h>

#include "base/buffer.h"
#include "cli/setup.h"
#include "store/preflight.h"

struct findings {
	inspect_report *report;
	void *context;
};

static void report(void *context, const char *check, bool is_ok, const char *detail)
{
	struct findings *f = context;

	f->report(f->context, check, is_ok, detail);
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

void inspect(const struct config *c, inspect_report *to, void *context)
{
	struct findings f = {.report = to, .context = context};
	struct buffer exchanges = {0};

	setup_warnings(c, report_weakness, &f);
	preflight_database(
		&(struct preflight){
			.url = c->database.url,
			.password = c->database.password.text,
			.tls = &c->database.tls,
			.schema = c->database.schema,
			.connect_timeout_ms = (int)c->database.connect_timeout_ms,
			.wants_bell = c->relay.wake == WAKE_DOORBELL,
			.deletes_sent = c->relay.on_sent == ON_SENT_DELETE ||
					c->retention.sent_ms,
			.report = report,
			.context = &f,
		},
		&exchanges);
	check_broker(&f, c, &exchanges);
	buffer_release(&exchanges);
}
