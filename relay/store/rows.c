#include "rows.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/operate_sql.h"

int rows_status(const char *status, const char **condition)
{
	static const struct {
		const char *name, *condition;
	} known[] = {
		{"sending", "m.status = 'sending'"},
		{"sent", "m.status = 'sent'"},
		{"failed", "m.status = 'failed'"},
	};

	if (!status) {
		*condition = "true";
		return 0;
	}
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (strcmp(status, known[i].name) == 0) {
			*condition = known[i].condition;
			return 0;
		}
	}
	return -1;
}

void rows_add_filter(struct operate *o, const struct rows_filter *f)
{
	struct pg_params *p = operate_params(o);

	pg_params_text(p, f->exchange);
	pg_params_text(p, f->routing_key);
	pg_params_text(p, f->error);
	pg_params_int8(p, f->older_ms);
	pg_params_int8(p, f->newer_ms);
}

static void read_row(const struct pg_result *r, int i, struct rows_entry *row)
{
	*row = (struct rows_entry){
		.id = pg_int(r, i, 0),
		.message_id = pg_slice(r, i, 1),
		.status = pg_slice(r, i, 2),
		.exchange = pg_slice(r, i, 3),
		.routing_key = pg_slice(r, i, 4),
		.content_type = pg_slice(r, i, 5),
		.last_error = pg_slice(r, i, 6),
		.try_count = pg_int(r, i, 7),
		.body_bytes = pg_int(r, i, 8),
		.created_at = pg_slice(r, i, 9),
		.updated_at = pg_slice(r, i, 10),
		.next_retry = pg_slice(r, i, 11),
		.created_ms = pg_int(r, i, 12),
		.updated_ms = pg_int(r, i, 13),
		.next_retry_ms = pg_int(r, i, 14),
	};
}

int rows_list(struct operate *o, const struct rows_filter *f, int64_t after_id, int limit,
	      struct rows_entry **out, struct error *err)
{
	const char *condition = "false";
	const struct pg_result *r;
	char *sql;
	int index, rc;

	rows_status(f->status, &condition);
	/* The index of what waits is not by id. Sorting by an expression keeps the server from
	   walking the primary key through millions of sent rows instead. */
	sql = xasprintf(OPERATE_LIST, condition,
			f->status && strcmp(f->status, "sending") == 0 ? "m.id + 0"
								       : "m.id");
	operate_begin(o);
	rows_add_filter(o, f);
	pg_params_int8(operate_params(o), after_id > 0 ? after_id : INT64_MAX);
	pg_params_int8(operate_params(o), limit);
	index = operate_add(o, sql);
	rc = operate_run(o, err);
	free(sql);
	if (rc < 0)
		return -1;
	r = operate_result(o, index);
	*out = xcalloc((size_t)pg_rows(r) + 1, sizeof(**out));
	for (int i = 0; i < pg_rows(r); i++)
		read_row(r, i, &(*out)[i]);
	return pg_rows(r);
}

int64_t rows_id(const char *name)
{
	char *end;
	long long id;

	if (*name < '1' || *name > '9')
		return 0;
	errno = 0;
	id = strtoll(name, &end, 10);
	return errno || *end ? 0 : id;
}

static void read_attempts(const struct pg_result *r, struct rows_detail *out)
{
	out->attempt_count = pg_rows(r);
	for (int i = 0; i < pg_rows(r); i++)
		out->attempts[i] = (struct rows_attempt){
			.at = pg_slice(r, i, 0),
			.at_ms = pg_int(r, i, 1),
			.relay_name = pg_slice(r, i, 2),
			.verdict = pg_slice(r, i, 3),
			.is_charged = pg_bool(r, i, 4),
			.reason = pg_slice(r, i, 5),
			.latency_ms = pg_is_null(r, i, 6) ? -1 : pg_int(r, i, 6),
		};
}

static int add_named(struct operate *o, const char *sql, const char *name)
{
	pg_params_int8(operate_params(o), rows_id(name));
	pg_params_text(operate_params(o), name);
	return operate_add(o, sql);
}

int rows_find(struct operate *o, const char *name, enum rows_body body,
	      struct rows_detail *out, struct error *err)
{
	static const char *const bodies[] = {
		[ROWS_BODY_WHOLE] = OPERATE_BODY_WHOLE,
		[ROWS_BODY_BEGINNING] = OPERATE_BODY_BEGINNING,
		[ROWS_BODY_BASE64] = OPERATE_BODY_BASE64,
	};
	char *sql = xasprintf(OPERATE_SHOW, bodies[body]);
	const struct pg_result *r;
	int index, attempts, rc;

	operate_begin(o);
	index = add_named(o, sql, name);
	attempts = add_named(o, OPERATE_ATTEMPTS, name);
	rc = operate_run(o, err);
	free(sql);
	if (rc < 0)
		return -1;
	r = operate_result(o, index);
	if (pg_rows(r) == 0)
		return 0;
	read_attempts(operate_result(o, attempts), out);
	read_row(r, 0, &out->row);
	out->headers = pg_slice(r, 0, 15);
	out->properties = pg_slice(r, 0, 16);
	out->body = pg_slice(r, 0, 17);
	out->claim_id = pg_is_null(r, 0, 18) ? 0 : pg_int(r, 0, 18);
	out->claimed_by = pg_slice(r, 0, 19);
	return 1;
}
