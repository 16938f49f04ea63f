#include "retention.h"

#include "store/operate_sql.h"

int retention_step(struct operate *o, int64_t keep_ms, struct retention_walk *walk,
		   struct error *err)
{
	const struct pg_result *r;
	int index;

	operate_begin(o);
	pg_params_int8(operate_params(o), walk->from_id);
	pg_params_int8(operate_params(o), RETENTION_WALK);
	pg_params_int8(operate_params(o), keep_ms);
	pg_params_int8(operate_params(o), RETENTION_ROWS);
	index = operate_add(o, OPERATE_RETENTION);
	if (operate_run(o, err) < 0)
		return -1;
	r = operate_result(o, index);
	walk->is_done = pg_is_null(r, 0, 0);
	if (!walk->is_done)
		walk->from_id = pg_int(r, 0, 0);
	walk->deleted += (uint64_t)pg_int(r, 0, 1);
	return 0;
}
