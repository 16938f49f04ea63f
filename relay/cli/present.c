#include "present.h"

#include <stdio.h>

#include "cli/human.h"
#include "cli/table.h"

/* What an infinite time comes as; see OPERATE_MS. */
#define CENTURY_MS (INT64_C(3155760000) * 1000)

const char *present_moment(int64_t ms, char *out, size_t size)
{
	char age[HUMAN_MAX];

	if (ms >= CENTURY_MS)
		snprintf(out, size, "never");
	else if (ms > 0)
		snprintf(out, size, "in %s", human_age(ms, age));
	else
		snprintf(out, size, "%s ago", human_age(-ms, age));
	return out;
}

static void add_row(struct table *t, const struct rows_entry *row)
{
	char text[HUMAN_MAX + 8];

	table_printf(t, "%lld", (long long)row->id);
	table_text(t, row->status.data, row->status.size);
	table_text(t, row->exchange.data, row->exchange.size);
	table_text(t, row->routing_key.data, row->routing_key.size);
	table_printf(t, "%lld", (long long)row->try_count);
	table_printf(t, "%s", present_moment(row->updated_ms, text, sizeof(text)));
	table_printf(t, "%s", human_bytes(row->body_bytes, text));
	table_text(t, row->last_error.data, row->last_error.size);
}

void present_rows(const struct rows_entry *rows, int count)
{
	struct table t;

	table_init(&t, "ID>|STATUS|EXCHANGE|ROUTING KEY|TRIES>|CHANGED>|SIZE>|ERROR*");
	for (int i = 0; i < count; i++)
		add_row(&t, &rows[i]);
	table_print(&t, stdout);
	table_release(&t);
}

static json_t *text(struct slice s)
{
	return s.data ? human_json(s.data, s.size) : json_null();
}

json_t *present_json(const struct rows_entry *row)
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

void present_attempts(const struct rows_attempt *attempts, int count)
{
	char text[HUMAN_MAX + 8];
	struct table t;

	table_init(&t, "WHEN>|RELAY|VERDICT|CHARGED|LATENCY>|REASON*");
	for (int i = 0; i < count; i++) {
		const struct rows_attempt *a = &attempts[i];

		table_printf(&t, "%s", present_moment(a->at_ms, text, sizeof(text)));
		table_text(&t, a->relay_name.data, a->relay_name.size);
		table_text(&t, a->verdict.data, a->verdict.size);
		table_printf(&t, "%s", a->is_charged ? "yes" : "no");
		if (a->latency_ms < 0)
			table_printf(&t, "-");
		else
			table_printf(&t, "%lld ms", (long long)a->latency_ms);
		table_text(&t, a->reason.data, a->reason.size);
	}
	table_print(&t, stdout);
	table_release(&t);
}

json_t *present_attempts_json(const struct rows_attempt *attempts, int count)
{
	json_t *list = json_array();

	for (int i = 0; i < count; i++) {
		const struct rows_attempt *a = &attempts[i];

		json_array_append_new(list,
				      json_pack("{s:o, s:o, s:o, s:b, s:o, s:o}", "at",
						text(a->at), "relay", text(a->relay_name),
						"verdict", text(a->verdict), "charged",
						a->is_charged, "latency_ms",
						a->latency_ms < 0
							? json_null()
							: json_integer(a->latency_ms),
						"reason", text(a->reason)));
	}
	return list;
}

void present_line(json_t *object)
{
	if (object)
		json_dumpf(object, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9));
	putchar('\n');
	json_decref(object);
}
