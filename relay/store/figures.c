#include "figures.h"

#include "store/operate_sql.h"

static void take_overview(const struct overview *v, struct figures *out)
{
	*out = (struct figures){
		.due = v->due,
		.scheduled = v->scheduled,
		.failed = v->failed,
		.sent = v->sent,
		.oldest_due_ms = v->oldest_due_ms > 0 ? v->oldest_due_ms : 0,
		.table_bytes = v->table_bytes,
		.index_bytes = v->index_bytes,
		.claims = v->claim_count,
	};
	for (int i = 0; i < v->relay_count; i++)
		out->relays_connected += v->relays[i].is_connected;
	for (int i = 0; i < v->claim_count; i++)
		out->dead_claims += v->claims[i].is_dead;
}

int figures_read(struct operate *o, struct figures *out, struct error *err)
{
	struct overview v;
	const struct pg_result *r;
	int index;
	int rc = overview_read(o, &v, err);

	if (rc == 0)
		take_overview(&v, out);
	overview_release(&v);
	if (rc < 0)
		return -1;
	operate_begin(o);
	index = operate_add(o, OPERATE_VACUUM);
	if (operate_run(o, err) < 0)
		return -1;
	r = operate_result(o, index);
	out->dead_rows = pg_int(r, 0, 0);
	out->dead_claim_rows = pg_int(r, 0, 1);
	out->oldest_xmin_age = pg_int(r, 0, 2);
	return 0;
}
