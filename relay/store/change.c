#include "change.h"

#include <stdlib.h>

#include "store/operate_sql.h"

/* One name a statement: few are given by hand. */
int change_resolve(struct operate *o, char *const *names, int count, int64_t *ids,
		   struct error *err)
{
	for (int i = 0; i < count; i++) {
		const struct pg_result *r;
		int index;

		operate_begin(o);
		pg_params_int8(operate_params(o), rows_id(names[i]));
		pg_params_text(operate_params(o), names[i]);
		index = operate_add(o, OPERATE_RESOLVE);
		if (operate_run(o, err) < 0)
			return -1;
		r = operate_result(o, index);
		if (pg_is_null(r, 0, 0))
			return i;
		ids[i] = pg_int(r, 0, 0);
	}
	return count;
}

int change_begin(struct operate *o, struct change_walk *walk, struct error *err)
{
	int index;

	operate_begin(o);
	index = operate_add(o, OPERATE_LAST_ID);
	if (operate_run(o, err) < 0)
		return -1;
	*walk = (struct change_walk){.upto_id = pg_int(operate_result(o, index), 0, 0)};
	return 0;
}

static void add_ids(struct operate *o, const struct change *c)
{
	struct pg_params *p = operate_params(o);

	pg_params_int8_array(p, (size_t)c->id_count);
	for (int i = 0; i < c->id_count; i++)
		pg_params_element_int8(p, c->ids[i]);
	pg_params_array_end(p);
}

static int walk_on(struct operate *o, const struct change *c, const char *action,
		   int rows, struct change_walk *walk, struct error *err)
{
	const char *condition = "false";
	const struct pg_result *r;
	char *sql;
	int index, rc;

	rows_status(c->filter.status, &condition);
	sql = xasprintf(OPERATE_WALK, condition, c->id_count ? OPERATE_WALK_IDS : "",
			c->kind == CHANGE_REPLAY ? OPERATE_WALK_ORIGINALS : "", action);
	operate_begin(o);
	rows_add_filter(o, &c->filter);
	pg_params_int8(operate_params(o), walk->after_id);
	pg_params_int8(operate_params(o), walk->upto_id);
	pg_params_int8(operate_params(o), CHANGE_WALK);
	pg_params_int8(operate_params(o), rows);
	add_ids(o, c);
	pg_params_text(operate_params(o), c->label ? c->label : "");
	index = operate_add(o, sql);
	rc = operate_run(o, err);
	free(sql);
	if (rc < 0)
		return -1;
	r = operate_result(o, index);
	walk->is_done = pg_is_null(r, 0, 0);
	if (!walk->is_done)
		walk->after_id = pg_int(r, 0, 0);
	walk->matched += pg_int(r, 0, 1);
	walk->changed += pg_int(r, 0, 2);
	return 0;
}

int change_step(struct operate *o, const struct change *c, int rows,
		struct change_walk *walk, struct error *err)
{
	static const char *const actions[] = {
		[CHANGE_REQUEUE] = OPERATE_REQUEUE,
		[CHANGE_PURGE] = OPERATE_PURGE,
		[CHANGE_REPLAY] = OPERATE_REPLAY,
	};
	const char *condition = "false";
	char *action;
	int rc;

	rows_status(c->filter.status, &condition);
	action = xasprintf(OPERATE_LOCK "%s", condition, actions[c->kind]);
	rc = walk_on(o, c, action, rows, walk, err);
	free(action);
	return rc;
}

int change_look(struct operate *o, const struct change *c, struct change_walk *walk,
		struct error *err)
{
	return walk_on(o, c, OPERATE_LOOK, CHANGE_WALK, walk, err);
}
