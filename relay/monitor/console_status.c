#include "monitor/console_api.h"

#include "monitor/health.h"
#include "monitor/overview_json.h"

static json_t *seconds(int64_t ms)
{
	return json_real((double)ms / 1000);
}

static json_t *pack_counts(const struct counts *c)
{
	json_t *verdicts = json_object();

	for (int v = 0; v < VERDICT_COUNT; v++)
		json_object_set_new(verdicts, verdict_name((enum verdict)v),
				    json_integer((json_int_t)c->verdicts[v]));
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:o}", "published",
			 (json_int_t)c->published, "sent", (json_int_t)c->sent, "retried",
			 (json_int_t)c->retried, "failed", (json_int_t)c->failed,
			 "interrupted", (json_int_t)c->interrupted, "verdicts", verdicts);
}

/* The last count is of what exceeds all bounds. */
static json_t *pack_histogram(const struct histogram *h)
{
	json_t *bounds = json_array(), *counts = json_array();

	for (size_t i = 0; i <= h->bound_count; i++) {
		if (i < h->bound_count)
			json_array_append_new(bounds, json_integer(h->bounds[i]));
		json_array_append_new(counts, json_integer((json_int_t)h->counts[i]));
	}
	return json_pack("{s:o, s:o}", "bounds", bounds, "counts", counts);
}

/* null: not read yet */
static json_t *pack_table(const struct upkeep_status *u, int64_t now_ms)
{
	const struct figures *f = &u->figures;
	int64_t bytes = f->table_bytes + f->index_bytes;

	if (!u->read_at_ms)
		return json_null();
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:I, s:I}", "age_seconds",
			 seconds(now_ms - u->read_at_ms), "due",
			 overview_count_json(&f->due), "scheduled",
			 overview_count_json(&f->scheduled), "failed",
			 overview_count_json(&f->failed), "sent",
			 overview_count_json(&f->sent), "oldest_due_seconds",
			 seconds(f->oldest_due_ms), "bytes", (json_int_t)bytes,
			 "dead_rows", (json_int_t)f->dead_rows, "oldest_xmin_age",
			 (json_int_t)f->oldest_xmin_age);
}

json_t *console_status(const struct console_view *view, const struct status *s,
		       const struct upkeep_status *upkeep, int64_t now_ms)
{
	bool is_ready;
	json_t *j = health_describe(s, now_ms, &is_ready);

	json_object_set_new(j, "relay", json_string(view->relay_name));
	json_object_set_new(j, "version", json_string(VERSION));
	json_object_set_new(j, "shows_rows", json_boolean(view->has_token));
	json_object_set_new(j, "clock_ms", json_integer(now_ms));
	json_object_set_new(j, "messages_in_flight", json_integer(s->rows_in_flight));
	json_object_set_new(j, "claims_in_hand", json_integer(s->batches));
	json_object_set_new(j, "counts", pack_counts(&s->counts));
	json_object_set_new(j, "confirm_ms", pack_histogram(&s->counts.confirm_ms));
	json_object_set_new(j, "delivery_ms", pack_histogram(&s->counts.delivery_ms));
	json_object_set_new(j, "table", pack_table(upkeep, now_ms));
	return j;
}
