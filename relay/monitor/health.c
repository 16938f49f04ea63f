#include "health.h"

bool health_is_live(const struct status *s, int64_t now_ms)
{
	return now_ms - s->at_ms <= HEALTH_LIVE_MS;
}

static json_t *seconds(int64_t ms)
{
	return json_real((double)ms / 1000);
}

static json_t *describe_side(const struct status_side *side, int64_t now_ms)
{
	json_t *o = json_object();

	json_object_set_new(o, "up", json_boolean(side->is_up));
	json_object_set_new(o, "seconds", seconds(now_ms - side->since_ms));
	if (side->is_up)
		return o;
	json_object_set_new(o, "failed_tries", json_integer(side->failed_tries));
	json_object_set_new(o, "error", json_string(side->error));
	return o;
}

static json_t *describe_parked(const struct status *s, int64_t now_ms)
{
	json_t *list = json_array();

	for (int i = 0; i < s->parked_count; i++) {
		const struct status_parked *p = &s->parked[i];
		json_t *o = json_object();

		json_object_set_new(o, "exchange", json_string(p->exchange));
		json_object_set_new(o, "routing_key",
				    p->has_key ? json_string(p->routing_key)
					       : json_null());
		json_object_set_new(o, "error", json_string(p->reply));
		json_object_set_new(o, "seconds", seconds(now_ms - p->since_ms));
		json_object_set_new(o, "probes", json_integer(p->probes));
		json_array_append_new(list, o);
	}
	return list;
}

static json_t *find_reasons(const struct status *s, int64_t now_ms)
{
	json_t *reasons = json_array();

	if (!health_is_live(s, now_ms))
		json_array_append_new(reasons, json_string("the loop does not turn"));
	if (!s->database.is_up)
		json_array_append_new(reasons, json_string("the database is down"));
	if (!s->broker.is_up)
		json_array_append_new(reasons, json_string("the broker is down"));
	if (s->block_reason[0])
		json_array_append_new(reasons,
				      json_string("the broker takes no messages"));
	if (now_ms - s->progress_at_ms > HEALTH_PROGRESS_MS)
		json_array_append_new(reasons,
				      json_string("rows in hand make no progress"));
	return reasons;
}

json_t *health_describe(const struct status *s, int64_t now_ms, bool *is_ready)
{
	json_t *o = json_object();
	json_t *reasons = find_reasons(s, now_ms);

	*is_ready = json_array_size(reasons) == 0;
	json_object_set_new(o, "ready", json_boolean(*is_ready));
	json_object_set_new(o, "reasons", reasons);
	json_object_set_new(o, "database", describe_side(&s->database, now_ms));
	json_object_set_new(o, "broker", describe_side(&s->broker, now_ms));
	json_object_set_new(o, "blocked",
			    s->block_reason[0] ? json_string(s->block_reason)
					       : json_null());
	json_object_set_new(o, "rows_in_hand", json_integer(s->rows_in_hand));
	json_object_set_new(o, "parked", describe_parked(s, now_ms));
	return o;
}

char *health_ready(const struct status *s, int64_t now_ms, bool *is_ready)
{
	json_t *o = health_describe(s, now_ms, is_ready);
	char *text = json_dumps(o, JSON_INDENT(2) | JSON_REAL_PRECISION(6));

	json_decref(o);
	return text;
}
