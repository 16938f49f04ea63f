#include "console_api.h"

#include <stdlib.h>
#include <string.h>

#include "base/human.h"
#include "monitor/overview_json.h"
#include "monitor/rows_json.h"
#include "store/change.h"

#define PAGE_ROWS     50
#define PAGE_ROWS_MAX 200
#define IDS_MAX       1000

static int bad(json_t **answer, const char *problem)
{
	*answer = json_pack("{s:s}", "error", problem);
	return 400;
}

/* --- arguments --- */

static const char *text(const json_t *arguments, const char *name)
{
	return json_string_value(json_object_get(arguments, name));
}

/* From a query it is a text, from a body a number. -1: it is neither, or below 0. */
static int64_t number(const json_t *arguments, const char *name, int64_t otherwise)
{
	const json_t *j = json_object_get(arguments, name);
	const char *digits = json_string_value(j);

	if (!j)
		return otherwise;
	if (json_is_integer(j))
		return json_integer_value(j) < 0 ? -1 : json_integer_value(j);
	return digits && rows_id(digits) ? rows_id(digits) : -1;
}

static int read_age(const json_t *arguments, const char *name, int64_t *ms)
{
	const char *age = text(arguments, name);

	*ms = age ? human_parse_age(age) : -1;
	return age && *ms < 0 ? -1 : 0;
}

/* NULL, or what is wrong with it. */
static const char *read_filter(const json_t *arguments, struct rows_filter *f)
{
	const char *condition;

	*f = (struct rows_filter){.status = text(arguments, "status"),
				  .exchange = text(arguments, "exchange"),
				  .routing_key = text(arguments, "routing_key"),
				  .error = text(arguments, "error")};
	if (rows_status(f->status, &condition) < 0)
		return "a status is sending, sent or failed";
	if (read_age(arguments, "older", &f->older_ms) < 0 ||
	    read_age(arguments, "newer", &f->newer_ms) < 0)
		return "an age is such as 90s, 5m, 12h, 7d or 2w";
	return NULL;
}

/* --- looking --- */

static int get_relays(struct operate *o, const json_t *arguments, json_t **answer,
		      struct error *err)
{
	struct overview v;
	int rc = overview_read(o, &v, err);

	(void)arguments;
	if (rc == 0)
		*answer = overview_json(&v);
	overview_release(&v);
	return rc < 0 ? -1 : 200;
}

static int get_rows(struct operate *o, const json_t *arguments, json_t **answer,
		    struct error *err)
{
	struct rows_filter filter;
	struct rows_entry *rows = NULL;
	const char *problem = read_filter(arguments, &filter);
	int64_t after = number(arguments, "after", 0);
	int64_t limit = number(arguments, "limit", PAGE_ROWS);
	json_t *list;
	int count;

	if (problem)
		return bad(answer, problem);
	if (after < 0 || limit < 1 || limit > PAGE_ROWS_MAX)
		return bad(answer, "after is an id, limit 1 to 200");
	/* One more tells whether there are more. */
	count = rows_list(o, &filter, after, (int)limit + 1, &rows, err);
	if (count < 0)
		return -1;
	list = json_array();
	for (int i = 0; i < count && i < limit; i++)
		json_array_append_new(list, rows_json(&rows[i]));
	free(rows);
	*answer = json_pack("{s:o, s:b}", "rows", list, "more", count > limit);
	return 200;
}

static json_t *pack_body(const struct rows_detail *d, const char **kind)
{
	struct slice body = d->body;
	struct buffer out = {0};
	json_t *shown;

	*kind = rows_body_kind(&body, (int64_t)body.size < d->row.body_bytes);
	if (strcmp(*kind, "text") == 0)
		return human_json(body.data, body.size);
	if (strcmp(*kind, "json") == 0)
		human_indent_json(&out, body.data, body.size);
	else
		human_hex(&out, body.data, body.size);
	shown = human_json(buffer_text(&out), buffer_size(&out));
	buffer_release(&out);
	return shown;
}

static int get_row(struct operate *o, const json_t *arguments, json_t **answer,
		   struct error *err)
{
	struct rows_detail d;
	const char *kind;
	json_t *body;
	int found = rows_find(o, text(arguments, "name"), ROWS_BODY_BEGINNING, &d, err);

	if (found < 0)
		return -1;
	if (found == 0) {
		*answer = json_pack("{s:s}", "error",
				    "no row has this id or message_id (any more)");
		return 404;
	}
	body = pack_body(&d, &kind);
	*answer = rows_detail_json(&d);
	json_object_set_new(*answer, "payload_kind", json_string(kind));
	json_object_set_new(*answer, "payload", body);
	return 200;
}

/* --- requeueing --- */

static const char *read_ids(const json_t *list, int64_t *ids, int *count)
{
	static const char problem[] = "ids are 1 to 1000 numbers";
	const json_t *id;
	size_t i;

	if (json_array_size(list) < 1 || json_array_size(list) > IDS_MAX)
		return problem;
	json_array_foreach(list, i, id)
	{
		ids[i] = json_integer_value(id);
		if (ids[i] < 1)
			return problem;
	}
	*count = (int)i;
	return NULL;
}

static const char *read_change(const json_t *arguments, struct change *c,
			       int64_t ids[IDS_MAX])
{
	const json_t *list = json_object_get(arguments, "ids");
	const json_t *filter = json_object_get(arguments, "filter");
	const char *problem;

	if (!list == !json_is_object(filter))
		return "which rows? Either ids or a filter says it";
	problem = read_filter(filter, &c->filter);
	c->filter.status = "failed";
	c->ids = ids;
	if (!problem && list)
		problem = read_ids(list, ids, &c->id_count);
	if (!problem &&
	    (number(arguments, "after_id", 0) < 0 || number(arguments, "upto_id", 0) < 0))
		problem = "after_id and upto_id are ids";
	return problem;
}

static int begin_or_go_on(struct operate *o, const json_t *arguments,
			  struct change_walk *walk, struct error *err)
{
	*walk = (struct change_walk){.after_id = number(arguments, "after_id", 0),
				     .upto_id = number(arguments, "upto_id", 0)};
	return walk->upto_id ? 0 : change_begin(o, walk, err);
}

static int post_requeue(struct operate *o, const json_t *arguments, json_t **answer,
			struct error *err)
{
	struct change change = {.kind = CHANGE_REQUEUE};
	int64_t ids[IDS_MAX];
	const char *problem = read_change(arguments, &change, ids);
	bool is_dry = json_is_true(json_object_get(arguments, "dry_run"));
	struct change_walk walk;
	int rc;

	if (problem)
		return bad(answer, problem);
	rc = begin_or_go_on(o, arguments, &walk, err);
	if (rc == 0 && is_dry)
		rc = change_look(o, &change, &walk, err);
	else if (rc == 0)
		rc = change_step(o, &change, CHANGE_ROWS, &walk, err);
	if (rc < 0)
		return -1;
	*answer = json_pack("{s:I, s:I, s:I, s:I, s:b}", "matched",
			    (json_int_t)walk.matched, "changed", (json_int_t)walk.changed,
			    "after_id", (json_int_t)walk.after_id, "upto_id",
			    (json_int_t)walk.upto_id, "done", walk.is_done);
	return 200;
}

/* --- the calls --- */

static const struct console_call calls[] = {
	{"/api/relays", false, false, get_relays},
	{"/api/rows", false, true, get_rows},
	{"/api/rows/", false, true, get_row},
	{"/api/requeue", true, true, post_requeue},
};

const struct console_call *console_find_call(const char *path, const char **name)
{
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		size_t size = strlen(calls[i].path);
		bool is_named = calls[i].path[size - 1] == '/';

		*name = is_named ? path + size : NULL;
		if (is_named ? strncmp(path, calls[i].path, size) == 0 && path[size]
			     : strcmp(path, calls[i].path) == 0)
			return &calls[i];
	}
	return NULL;
}
