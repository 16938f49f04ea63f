#include "setup.h"

#include <stdio.h>
#include <sysexits.h>

#include "base/buffer.h"
#include "base/stop.h"
#include "base/tls.h"
#include "monitor/alerter.h"
#include "monitor/listen.h"
#include "store/pg.h"

/* The drivers as the configuration wants to see them. Built once; the process owns it. */
static const struct config_driver *config_drivers(void)
{
	static struct config_driver *list;
	size_t count = 0;

	if (list)
		return list;
	while (broker_driver_at(count))
		count++;
	list = xcalloc(count + 1, sizeof(*list));
	for (size_t i = 0; i < count; i++) {
		const struct broker_driver *d = broker_driver_at(i);

		list[i] = (struct config_driver){.name = d->name,
						 .options = d->options,
						 .config_size = d->config_size,
						 .check = d->check};
	}
	return list;
}

static int check_others(const struct config *c, struct error *err)
{
	const struct tls_options *tls = &c->database.tls;
	const char *ignored;

	if (pg_check_url(c->database.url, tls, &ignored, err) < 0)
		return error_wrap(err, "database.url");
	if (tls_check(tls, err) < 0)
		return error_wrap(err, "database.tls");
	if (listen_check(c->http.listen, err) < 0)
		return error_wrap(err, "http.listen");
	if (c->http.console == CONSOLE_ON && !c->http.token.text &&
	    !listen_is_off(c->http.listen) && !listen_is_loopback(c->http.listen))
		return error_set(err, ERROR_CONFIG,
				 "http.console: on an address beyond loopback it wants "
				 "http.token_file");
	return alerter_check(&c->alerts, err);
}

void setup_warnings(const struct config *c,
		    void (*say)(void *context, const char *side, const char *reason),
		    void *context)
{
	const struct broker_driver *driver = setup_driver(c);
	const char *reason = NULL;
	struct error ignored; /* it was checked when the file was loaded */

	if (pg_check_url(c->database.url, &c->database.tls, &reason, &ignored) == 0 &&
	    reason)
		say(context, "database", reason);
	reason = driver->warning(c->driver_config);
	if (reason)
		say(context, "broker", reason);
	reason = alerter_warning(&c->alerts);
	if (reason)
		say(context, "alerts", reason);
}

struct config *setup_config(const struct cli *cli, struct error *err)
{
	return config_load(cli->config_path, config_drivers(), check_others, err);
}

struct config *setup_config_or_say(const struct cli *cli)
{
	struct error err;
	struct config *c = setup_config(cli, &err);

	if (!c)
		fprintf(stderr, "outbox-relay: %s\n", err.text);
	return c;
}

const struct broker_driver *setup_driver(const struct config *c)
{
	return broker_driver_at(c->driver);
}

int setup_failed(const char *command, const struct error *err)
{
	fprintf(stderr, "outbox-relay: %s: %s\n", command, err->text);
	return err->kind == ERROR_CONFIG ? EX_CONFIG : EX_UNAVAILABLE;
}

struct operate_settings setup_session(const struct config *c, const char *command,
				      bool writes)
{
	return (struct operate_settings){
		.url = c->database.url,
		.password = c->database.password.text,
		.tls = &c->database.tls,
		.schema = c->database.schema,
		.command = command,
		.writes = writes,
		.connect_timeout_ms = (int)c->database.connect_timeout_ms,
		.statement_timeout_ms = (int)c->database.statement_timeout_ms,
		.lock_timeout_ms = (int)c->database.lock_timeout_ms,
	};
}

struct operate *setup_operate(const struct cli *cli, const struct config *c,
			      const char *command, bool writes)
{
	/* Password and certificate belong to the configured url's user, not to another's. */
	static struct tls_options anonymous;
	struct operate_settings settings = setup_session(c, command, writes);
	struct operate *o;
	struct error err;

	anonymous = (struct tls_options){.ca_file = c->database.tls.ca_file,
					 .verify = c->database.tls.verify};
	stop_ignore_broken_pipes();
	if (cli->database) {
		settings.url = cli->database;
		settings.password = NULL;
		settings.tls = &anonymous;
	}
	o = operate_open(&settings, &err);
	if (!o)
		setup_failed(command, &err);
	return o;
}
