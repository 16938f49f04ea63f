#include "present.h"

#include <stdio.h>

#include "base/human.h"
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

void present_line(json_t *object)
{
	if (object)
		json_dumpf(object, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9));
	putchar('\n');
	json_decref(object);
}
