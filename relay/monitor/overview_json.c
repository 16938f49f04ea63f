#include "overview_json.h"

#include <string.h>

#include "base/human.h"

json_t *overview_count_json(const struct overview_count *c)
{
	return json_pack("{s:I, s:b}", "rows", (json_int_t)c->rows, "estimate",
			 c->is_estimate || c->is_unknown);
}

static json_t *pack_flow(const struct overview_flow *f)
{
	return json_pack("{s:I, s:f, s:f}", "rows", (json_int_t)f->rows, "seconds",
			 (double)f->over_ms / 1000, "per_second", overview_rate(f));
}

/* NULL where there is none. */
static json_t *pack_seconds(int64_t ms)
{
	return ms < 0 ? json_null() : json_real((double)ms / 1000);
}

static json_t *pack_relays(const struct overview *v)
{
	json_t *all = json_array();

	for (int i = 0; i < v->relay_count; i++) {
		const struct overview_relay *r = &v->relays[i];

		json_array_append_new(
			all,
			json_pack("{s:I, s:o, s:b, s:o, s:o, s:I, s:I}", "relay_id",
				  (json_int_t)r->relay_id, "name",
				  human_json(r->name, strlen(r->name)), "connected",
				  r->is_connected, "pid",
				  r->is_connected ? json_integer(r->pid) : json_null(),
				  "connected_seconds", pack_seconds(r->connected_ms),
				  "claims", (json_int_t)r->claims, "rows_in_hand",
				  (json_int_t)r->rows));
	}
	return all;
}

static json_t *pack_claims(const struct overview *v)
{
	json_t *all = json_array();

	for (int i = 0; i < v->claim_count; i++) {
		const struct overview_claim *c = &v->claims[i];

		json_array_append_new(
			all, json_pack("{s:I, s:I, s:o, s:I, s:f, s:b, s:b, s:o}",
				       "claim_id", (json_int_t)c->claim_id, "relay_id",
				       (json_int_t)c->relay_id, "relay_name",
				       human_json(c->relay_name, strlen(c->relay_name)),
				       "rows", (json_int_t)c->rows, "lease_seconds",
				       (double)c->lease_ms / 1000, "adopted",
				       c->is_adopted, "dead", c->is_dead, "publishing_id",
				       c->publishing_id ? json_integer(c->publishing_id)
							: json_null()));
	}
	return all;
}

json_t *overview_json(const struct overview *v)
{
	return json_pack(
		"{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:I, s:o, s:o}",
		"at", v->at, "due", overview_count_json(&v->due), "scheduled",
		overview_count_json(&v->scheduled), "failed",
		overview_count_json(&v->failed), "sent", overview_count_json(&v->sent),
		"oldest_due_seconds", pack_seconds(v->oldest_due_ms), "next_due_seconds",
		pack_seconds(v->next_due_ms), "last_failed_seconds",
		pack_seconds(v->last_failed_ms), "came", pack_flow(&v->came),
		"sent_lately", pack_flow(&v->sent_lately), "table_bytes",
		(json_int_t)v->table_bytes, "index_bytes", (json_int_t)v->index_bytes,
		"relays", pack_relays(v), "claims", pack_claims(v));
}
