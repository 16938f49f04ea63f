#include <stdio.h>
#include <sysexits.h>

#include "base/buffer.h"
#include "cli/setup.h"
#include "store/migrate.h"

static void say_applied(void *context, const struct migration *m)
{
	(void)context;
	printf("applied %04d %s\n", m->version, m->name);
	fflush(stdout);
}

static int print(const struct config *c, bool with_roles)
{
	struct buffer sql = {0};
	size_t size;
	bool is_ok;

	migrate_print(&sql, c->database.schema, with_roles);
	size = buffer_size(&sql);
	is_ok = fwrite(buffer_text(&sql), 1, size, stdout) == size && fflush(stdout) == 0;
	buffer_release(&sql);
	if (is_ok)
		return EX_OK;
	perror("outbox-relay: migrate: standard output");
	return EX_IOERR;
}

static int apply(const struct cli *cli, const struct config *c)
{
	/* Password and certificate belong to the configured url's user, not to another's. */
	const struct tls_options anonymous = {.ca_file = c->database.tls.ca_file,
					      .verify = c->database.tls.verify};
	struct migrate_settings settings = {
		.url = cli->database ? cli->database : c->database.url,
		.password = cli->database ? NULL : c->database.password.text,
		.tls = cli->database ? &anonymous : &c->database.tls,
		.schema = c->database.schema,
		.with_roles = cli->roles,
		.connect_timeout_ms = (int)c->database.connect_timeout_ms,
	};
	struct error err;
	int version;

	if (migrate_apply(&settings, say_applied, NULL, &version, &err) < 0) {
		fprintf(stderr, "outbox-relay: migrate: %s\n", err.text);
		return err.kind == ERROR_CONFIG ? EX_CONFIG : EX_UNAVAILABLE;
	}
	printf("schema %s is at version %d\n", settings.schema, version);
	return EX_OK;
}

int cmd_migrate(const struct cli *cli)
{
	struct config *c = setup_config_or_say(cli);
	int code;

	if (!c)
		return EX_CONFIG;
	code = cli->print ? print(c, cli->roles) : apply(cli, c);
	config_free(c);
	return code;
}
