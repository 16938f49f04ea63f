#include "setup.h"

#include <stdio.h>

#include "base/buffer.h"
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

static int check_database(const struct config *c, struct error *err)
{
	return pg_check_url(c->database.url, err) < 0 ? error_wrap(err, "database.url")
						      : 0;
}

struct config *setup_config(const struct cli *cli, struct error *err)
{
	return config_load(cli->config_path, config_drivers(), check_database, err);
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
