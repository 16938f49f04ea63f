#include "rows_json.h"

#include <string.h>

#include "base/human.h"

static json_t *text(struct slice s)
{
	return s.data ? human_json(s.data, s.size) : json_null();
}

json_t *rows_json(const struct rows_entry *row)
{
	return json_pack("{s:I, s:o, s:o, s:o, s:o, s:o, s:I, s:o, s:o, s:o, s:o, s:I}",
			 "id", (json_int_t)row->id, "message_id", text(row->message_id),
			 "status", text(row->status), "exchange", text(row->exchange),
			 "routing_key", text(row->routing_key), "content_type",
			 text(row->content_type), "try_count", (json_int_t)row->try_count,
			 "last_error", text(row->last_error), "next_retry",
			 text(row->next_retry), "created_at", text(row->created_at),
			 "updated_at", text(row->updated_at), "payload_bytes",
			 (json_int_t)row->body_bytes);
}

static json_t *pack_attempt(const struct rows_attempt *a)
{
	return json_pack("{s:o, s:o, s:o, s:b, s:o, s:o}", "at", text(a->at), "relay",
			 text(a->relay_name), "verdict", text(a->verdict), "charged",
			 a->is_charged, "latency_ms",
			 a->latency_ms < 0 ? json_null() : json_integer(a->latency_ms),
			 "reason", text(a->reason));
}

/* Numbers that jansson cannot hold leave it a text. */
static json_t *object(struct slice s)
{
	json_t *j = s.data ? json_loadb(s.data, s.size, 0, NULL) : json_null();

	return j ? j : human_json(s.data, s.size);
}

json_t *rows_detail_json(const struct rows_detail *d)
{
	json_t *j = rows_json(&d->row);
	json_t *attempts = json_array();

	for (int i = 0; i < d->attempt_count; i++)
		json_array_append_new(attempts, pack_attempt(&d->attempts[i]));
	json_object_set_new(j, "headers", object(d->headers));
	json_object_set_new(j, "properties", object(d->properties));
	json_object_set_new(j, "attempts", attempts);
	json_object_set_new(j, "claim_id",
			    d->claim_id ? json_integer(d->claim_id) : json_null());
	return j;
}

static bool is_json(struct slice s)
{
	json_t *j;

	if (s.size == 0 || !strchr("{[", s.data[0]))
		return false;
	/* So that integers of any size are JSON. */
	j = json_loadb(s.data, s.size, JSON_DECODE_INT_AS_REAL, NULL);
	json_decref(j);
	return j != NULL;
}

const char *rows_body_kind(struct slice *body, bool is_cut)
{
	struct slice whole = *body;

	for (int i = 0; i < 4 && whole.size > 0; i++) {
		if (human_is_text(whole.data, whole.size) || !is_cut)
			break;
		whole.size--;
	}
	if (!human_is_text(whole.data, whole.size))
		return "binary";
	*body = whole;
	return is_json(whole) ? "json" : "text";
}
