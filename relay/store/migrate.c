#include "migrate.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "store/pg.h"

#define STATEMENT_TIMEOUT_MS (10 * 60 * 1000)
#define INDEX_TIMEOUT_MS     (12 * 60 * 60 * 1000)
#define LOCK_RETRY_MS        100

int migrate_newest(void)
{
	int newest = 0;

	for (const struct migration *m = schema_migrations; m->version; m++)
		newest = m->version;
	return newest;
}

static void print_prologue(struct buffer *out, const char *schema)
{
	char *quoted = pg_quote_identifier(schema);

	/* IF NOT EXISTS would ask for the right to create schemas even where there is
	 * one. */
	buffer_printf(out,
		      "DO $$BEGIN IF to_regnamespace($s$%s$s$) IS NULL THEN\n"
		      "CREATE SCHEMA %s; END IF; END$$;\n"
		      "SET LOCAL search_path = %s;\n",
		      quoted, quoted, quoted);
	free(quoted);
}

void migrate_print(struct buffer *out, const char *schema, bool with_roles)
{
	for (const struct migration *m = schema_migrations; m->version; m++) {
		buffer_printf(out, "BEGIN;\n");
		print_prologue(out, schema);
		buffer_append(out, m->sql, strlen(m->sql));
		buffer_printf(out, "COMMIT;\n\n");
	}
	if (!with_roles)
		return;
	buffer_printf(out, "BEGIN;\n");
	print_prologue(out, schema);
	buffer_append(out, schema_roles, strlen(schema_roles));
	buffer_printf(out, "COMMIT;\n");
}

/*
 * One transaction a script: lock, look, apply. The lock makes two runs at once take
 * turns, and the look happens inside, so the second finds the work done.
 */
static int run_script(struct pg *pg, const char *schema, const char *sql,
		      struct error *err)
{
	struct buffer script = {0};
	int rc;

	buffer_printf(&script, "BEGIN;\n");
	print_prologue(&script, schema);
	buffer_append(&script, sql, strlen(sql));
	buffer_printf(&script, "\nCOMMIT;\n");
	rc = pg_script(pg, buffer_text(&script), STATEMENT_TIMEOUT_MS, err);
	buffer_release(&script);
	if (rc < 0) {
		struct error ignored;

		pg_script(pg, "ROLLBACK", STATEMENT_TIMEOUT_MS, &ignored);
	}
	return rc;
}

/*
 * Session level, so that it covers all migrations of one run. Asked for again and again: a session
 * that waits in a statement has a snapshot, for whose end CREATE INDEX CONCURRENTLY would wait.
 */
static int lock(struct pg *pg, struct error *err)
{
	int64_t deadline_ms = clock_ms() + INDEX_TIMEOUT_MS;
	int taken;

	for (;;) {
		pg_begin(pg);
		taken = pg_add(pg,
			       "SELECT pg_try_advisory_lock(hashtextextended("
			       "'outbox-relay migrate', 0))",
			       NULL);
		pg_sync(pg);
		if (pg_run(pg, STATEMENT_TIMEOUT_MS, err) < 0)
			return -1;
		if (pg_bool(pg_result(pg, taken), 0, 0))
			return 0;
		if (clock_ms() >= deadline_ms)
			return error_set(err, ERROR_TIMEOUT,
					 "another migration does not come to its end");
		poll(NULL, 0, LOCK_RETRY_MS);
	}
}

static int current_version(struct pg *pg, const char *schema, int *version,
			   struct error *err)
{
	char *quoted = pg_quote_identifier(schema);
	char *table = xasprintf("%s.message_log_migration", quoted);
	char *sql = xasprintf("SELECT coalesce(max(version), 0) FROM %s", table);
	struct pg_params p = {0};
	int exists, found;
	int rc;

	pg_params_text(&p, table);
	pg_begin(pg);
	exists = pg_add(pg, "SELECT to_regclass($1) IS NOT NULL", &p);
	pg_sync(pg);
	rc = pg_run(pg, STATEMENT_TIMEOUT_MS, err);
	if (rc == 0 && !pg_bool(pg_result(pg, exists), 0, 0)) {
		*version = 0;
	} else if (rc == 0) {
		pg_begin(pg);
		found = pg_add(pg, sql, NULL);
		pg_sync(pg);
		rc = pg_run(pg, STATEMENT_TIMEOUT_MS, err);
		if (rc == 0)
			*version = (int)pg_int(pg_result(pg, found), 0, 0);
	}
	pg_params_release(&p);
	free(sql);
	free(table);
	free(quoted);
	return rc;
}

/*
 * Indexes of migrations that may meet a big table: built before the migration, which then finds
 * them there, and without keeping writers waiting.
 */
static const struct early_index {
	int version;
	const char *name, *on;
} early_indexes[] = {
	{5, "message_log_failed", "message_log (id) WHERE status = 'failed'"},
};

/* What an interrupted build has left is in the way, and of no use. */
static int drop_invalid(struct pg *pg, const char *index, struct error *err)
{
	struct pg_params p = {0};
	char *sql;
	int found, rc;

	pg_params_text(&p, index);
	pg_begin(pg);
	found = pg_add(pg,
		       "SELECT EXISTS (SELECT FROM pg_index WHERE NOT indisvalid"
		       " AND indexrelid = to_regclass($1))",
		       &p);
	pg_sync(pg);
	rc = pg_run(pg, STATEMENT_TIMEOUT_MS, err);
	pg_params_release(&p);
	if (rc < 0 || !pg_bool(pg_result(pg, found), 0, 0))
		return rc;
	sql = xasprintf("DROP INDEX CONCURRENTLY %s", index);
	rc = pg_script(pg, sql, INDEX_TIMEOUT_MS, err);
	free(sql);
	return rc;
}

static int build_early(struct pg *pg, const char *schema, const struct early_index *e,
		       struct error *err)
{
	char *quoted = pg_quote_identifier(schema);
	char *name = xasprintf("%s.%s", quoted, e->name);
	char *sql = xasprintf("CREATE INDEX CONCURRENTLY IF NOT EXISTS %s ON %s.%s",
			      e->name, quoted, e->on);
	int rc = drop_invalid(pg, name, err);

	if (rc == 0)
		rc = pg_script(pg, sql, INDEX_TIMEOUT_MS, err);
	free(sql);
	free(name);
	free(quoted);
	return rc;
}

static int build_early_indexes(struct pg *pg, const char *schema, int version,
			       struct error *err)
{
	for (size_t i = 0; i < sizeof(early_indexes) / sizeof(early_indexes[0]); i++) {
		if (early_indexes[i].version == version &&
		    build_early(pg, schema, &early_indexes[i], err) < 0)
			return -1;
	}
	return 0;
}

static int apply_missing(struct pg *pg, const struct migrate_settings *settings,
			 void (*applied)(void *context, const struct migration *m),
			 void *context, int *version, struct error *err)
{
	bool is_old;

	if (lock(pg, err) < 0 || current_version(pg, settings->schema, version, err) < 0)
		return -1;
	is_old = *version > 0;
	for (const struct migration *m = schema_migrations; m->version; m++) {
		if (m->version <= *version)
			continue;
		/* In a schema that is new in this run no table is big. */
		if ((is_old &&
		     build_early_indexes(pg, settings->schema, m->version, err) < 0) ||
		    run_script(pg, settings->schema, m->sql, err) < 0)
			return error_wrap(err, "migration %d (%s)", m->version, m->name);
		*version = m->version;
		applied(context, m);
	}
	if (settings->with_roles &&
	    run_script(pg, settings->schema, schema_roles, err) < 0)
		return error_wrap(err, "roles");
	return 0;
}

int migrate_apply(const struct migrate_settings *settings,
		  void (*applied)(void *context, const struct migration *m),
		  void *context, int *version, struct error *err)
{
	struct pg *pg =
		pg_new(&(struct pg_settings){.url = settings->url,
					     .password = settings->password,
					     .tls = settings->tls,
					     .application_name = "outbox-relay migrate"});
	int rc = pg_open(pg, settings->connect_timeout_ms, -1, err);

	if (rc == 0)
		rc = apply_missing(pg, settings, applied, context, version, err);
	pg_free(pg);
	return rc;
}
