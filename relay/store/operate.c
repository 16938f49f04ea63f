#include "operate.h"

#include <stdlib.h>
#include <string.h>

#include "store/operate_sql.h"
#include "store/session.h"
#include "store/sql.h"

/* On top of what the server's own timeouts allow, for the way there and back. */
#define GRACE_MS 5000

struct operate {
	struct operate_settings settings;
	char *search_path;
	struct pg *pg;
	struct pg_params params;
	int statements;
};

static int stop_fd(const struct operate *o)
{
	return o->settings.stop_fd ? *o->settings.stop_fd : -1;
}

struct operate *operate_open(const struct operate_settings *settings, struct error *err)
{
	struct operate *o = xcalloc(1, sizeof(*o));
	char *name = xasprintf("outbox-relay %s", settings->command);

	o->settings = *settings;
	o->search_path = session_search_path(settings->schema);
	o->pg = pg_new(&(struct pg_settings){.url = settings->url,
					     .password = settings->password,
					     .tls = settings->tls,
					     .application_name = name,
					     .any_server = !settings->writes});
	free(name);
	if (pg_open(o->pg, settings->connect_timeout_ms, stop_fd(o), err) == 0)
		return o;
	operate_close(o);
	return NULL;
}

void operate_close(struct operate *o)
{
	if (!o)
		return;
	pg_free(o->pg);
	pg_params_release(&o->params);
	free(o->search_path);
	free(o);
}

struct pg_params *operate_params(struct operate *o)
{
	return &o->params;
}

void operate_begin(struct operate *o)
{
	const struct session_settings settings = {
		.search_path = o->search_path,
		.statement_timeout_ms = o->settings.statement_timeout_ms,
		.lock_timeout_ms = o->settings.lock_timeout_ms,
		.for_transaction = true,
	};

	o->statements = 0;
	pg_begin(o->pg);
	operate_add(o, SQL_BEGIN);
	session_params(&o->params, &settings);
	operate_add(o, SQL_SETTINGS);
}

int operate_add(struct operate *o, const char *sql)
{
	int index = pg_add(o->pg, sql, &o->params);

	pg_params_clear(&o->params);
	o->statements++;
	return index;
}

static int explain(struct operate *o, struct error *err)
{
	const char *state = pg_sqlstate(o->pg);

	if (strcmp(state, "42P01") == 0)
		return error_wrap(err, "schema %s (run `outbox-relay migrate`)",
				  o->settings.schema);
	if (strcmp(state, "42501") == 0)
		return error_wrap(err,
				  "connect as somebody with more rights by --database");
	if (strcmp(state, "57014") == 0)
		return error_wrap(
			err,
			"not within database.statement_timeout: narrow it down, or raise that");
	return -1;
}

int operate_run(struct operate *o, struct error *err)
{
	operate_add(o, SQL_COMMIT);
	pg_sync(o->pg);
	if (pg_run_or_stop(o->pg,
			   o->settings.statement_timeout_ms * o->statements + GRACE_MS,
			   stop_fd(o), err) == 0)
		return 0;
	explain(o, err);
	pg_close(o->pg);
	return -1;
}

const struct pg_result *operate_result(const struct operate *o, int index)
{
	return pg_result(o->pg, index);
}

const char *operate_peer(const struct operate *o)
{
	return pg_peer(o->pg);
}
