#include "alert_format.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"

/* Slack shows 4000 characters; "&" is five of them. */
#define SLACK_TEXT_MAX 3500

/* Told again three times before Alertmanager forgets it. */
#define ENDS_AFTER_MS (4 * ALERT_FORMAT_REPEAT_MS)

struct kind {
	const char *name;
	const char *alertname; /* of Alertmanager */
	const char *severity;
};

static const struct kind kinds[] = {
	[ALERT_ROWS_FAILED] = {"rows_failed", "OutboxRelayRowsFailed", "critical"},
	[ALERT_OLDEST_DUE] = {"oldest_due", "OutboxRelayOldestDue", "warning"},
	[ALERT_DATABASE_DOWN] = {"database_down", "OutboxRelayDatabaseDown", "critical"},
	[ALERT_BROKER_DOWN] = {"broker_down", "OutboxRelayBrokerDown", "critical"},
	[ALERT_BROKER_BLOCKED] = {"broker_blocked", "OutboxRelayBrokerBlocked",
				  "critical"},
	[ALERT_DESTINATION_PARKED] = {"destination_parked",
				      "OutboxRelayDestinationParked", "critical"},
};

/* --- words --- */

struct text {
	char *data;
	size_t size, used;
};

static void add(struct text *t, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* What does not fit is cut. */
static void add(struct text *t, const char *format, ...)
{
	va_list args;
	int size;

	va_start(args, format);
	size = vsnprintf(t->data + t->used, t->size - t->used, format, args);
	va_end(args);
	t->used += size < 0 ? 0 : (size_t)size;
	if (t->used >= t->size)
		t->used = t->size - 1;
}

static void add_duration(struct text *t, int64_t ms)
{
	long long seconds = ms > 0 ? ms / 1000 : 0;

	if (seconds < 120)
		add(t, "%lld s", seconds);
	else if (seconds < 120 * 60)
		add(t, "%lld min", seconds / 60);
	else
		add(t, "%lld h", seconds / 3600);
}

static void describe_failed(struct text *t, const struct alert *a)
{
	unsigned long long rows = a->rows, total = a->rows_total;

	if (!rows)
		add(t, "no more rows fail; %llu did", total);
	else
		add(t, "%llu row%s failed", rows, rows == 1 ? "" : "s");
	if (rows && total > rows)
		add(t, ", %llu in all", total);
}

static void describe_side(struct text *t, const struct alert *a, int64_t now_ms)
{
	const char *side = a->kind == ALERT_DATABASE_DOWN ? "database" : "broker";
	const char *bad = a->kind == ALERT_BROKER_BLOCKED ? "has taken no messages"
							  : "has been down";
	const char *good =
		a->kind == ALERT_BROKER_BLOCKED ? "takes messages again" : "is up again";

	add(t, "the %s %s %s ", side, a->is_firing ? bad : good,
	    a->is_firing ? "for" : "after");
	add_duration(t, (a->is_firing ? now_ms : a->until_ms) - a->since_ms);
	if (a->is_firing && a->error[0])
		add(t, ": %s", a->error);
}

static void describe_due(struct text *t, const struct alert *a, int64_t now_ms)
{
	if (!a->is_firing) {
		add(t, "no row is overdue any more");
		return;
	}
	add(t, "a row has been due for ");
	add_duration(t, now_ms - a->since_ms);
}

static void describe_parked(struct text *t, const struct alert *a)
{
	add(t, "%s, %s%s, ", *a->exchange ? a->exchange : "(default exchange)",
	    a->has_key ? "routing key " : "any routing key",
	    a->has_key ? a->routing_key : "");
	if (a->is_firing) {
		add(t, "is parked: %s", a->error);
		return;
	}
	add(t, "is no longer parked, after ");
	add_duration(t, a->until_ms - a->since_ms);
}

static void describe(struct text *t, const struct alert *a, int64_t now_ms)
{
	switch (a->kind) {
	case ALERT_ROWS_FAILED:
		describe_failed(t, a);
		break;
	case ALERT_OLDEST_DUE:
		describe_due(t, a, now_ms);
		break;
	case ALERT_DESTINATION_PARKED:
		describe_parked(t, a);
		break;
	default:
		describe_side(t, a, now_ms);
	}
}

static void describe_row(struct text *t, const struct report_row *row)
{
	add(t, "id %lld, message-id %s, to %s", (long long)row->id, row->message_id,
	    *row->exchange ? row->exchange : "(default exchange)");
	if (*row->routing_key)
		add(t, " with %s", row->routing_key);
	add(t, ": %s", row->reason);
}

/* A row that failed in a moment is news even when no more do. */
static const char *status_of(const struct alert *a)
{
	return a->is_firing || a->rows ? "firing" : "resolved";
}

/* --- JSON --- */

struct output {
	const struct alert_message *m;
	const char *relay;
	int64_t wall_ms; /* of m->at_ms */
};

/* Names need not be UTF-8: what is not ASCII is shown as "?" then. */
static json_t *string(const char *text)
{
	json_t *s = json_string(text);
	char ascii[2048];
	size_t i;

	if (s)
		return s;
	for (i = 0; i < sizeof(ascii) - 1 && text[i]; i++)
		ascii[i] = (char)(text[i] & 0x80 ? '?' : text[i]);
	ascii[i] = '\0';
	return json_string(ascii);
}

static json_t *number(uint64_t value)
{
	return json_integer((json_int_t)value);
}

static json_t *moment(const struct output *o, int64_t ms)
{
	char text[40];

	clock_print_at(o->wall_ms - (o->m->at_ms - ms), text, sizeof(text));
	return json_string(text);
}

static json_t *summary(const struct output *o, const struct alert *a)
{
	char data[1300];
	struct text t = {.data = data, .size = sizeof(data)};

	describe(&t, a, o->m->at_ms);
	return string(data);
}

/* --- generic --- */

static json_t *list_examples(const struct output *o)
{
	json_t *list = json_array();

	for (int i = 0; i < o->m->example_count; i++) {
		const struct report_row *row = &o->m->examples[i];
		json_t *e = json_object();

		json_object_set_new(e, "id", json_integer(row->id));
		json_object_set_new(e, "message_id", string(row->message_id));
		json_object_set_new(e, "exchange", string(row->exchange));
		json_object_set_new(e, "routing_key", string(row->routing_key));
		json_object_set_new(e, "attempts", json_integer(row->try_count));
		json_object_set_new(e, "error", string(row->reason));
		json_array_append_new(list, e);
	}
	return list;
}

static void add_details(const struct output *o, const struct alert *a, json_t *to)
{
	if (a->kind == ALERT_ROWS_FAILED) {
		json_object_set_new(to, "rows", number(a->rows));
		json_object_set_new(to, "rows_total", number(a->rows_total));
		json_object_set_new(to, "examples", list_examples(o));
	} else if (a->kind == ALERT_DESTINATION_PARKED) {
		json_object_set_new(to, "exchange", string(a->exchange));
		json_object_set_new(to, "routing_key",
				    a->has_key ? string(a->routing_key) : json_null());
	}
	if (a->error[0])
		json_object_set_new(to, "error", string(a->error));
}

static json_t *generic_alert(const struct output *o, const struct alert *a)
{
	json_t *to = json_object();

	json_object_set_new(to, "alert", json_string(kinds[a->kind].name));
	json_object_set_new(to, "status", json_string(status_of(a)));
	json_object_set_new(to, "severity", json_string(kinds[a->kind].severity));
	json_object_set_new(to, "summary", summary(o, a));
	json_object_set_new(to, "since", moment(o, a->since_ms));
	if (!a->is_firing)
		json_object_set_new(to, "until", moment(o, a->until_ms));
	add_details(o, a, to);
	return to;
}

static json_t *write_generic(const struct output *o)
{
	json_t *body = json_object(), *list = json_array();
	const char *status = "resolved";

	for (int i = 0; i < o->m->count; i++) {
		const struct alert *a = &o->m->alerts[i];

		json_array_append_new(list, generic_alert(o, a));
		if (strcmp(status_of(a), "firing") == 0)
			status = "firing";
	}
	json_object_set_new(body, "version", json_integer(1));
	json_object_set_new(body, "relay", string(o->relay));
	json_object_set_new(body, "at", moment(o, o->m->at_ms));
	json_object_set_new(body, "status", json_string(status));
	json_object_set_new(body, "alerts", list);
	return body;
}

/* --- Slack --- */

/* Names could else mention a channel, or make a link. */
static void add_escaped(struct text *t, const char *text)
{
	for (; *text; text++) {
		const char *entity = *text == '&'   ? "&amp;"
				     : *text == '<' ? "&lt;"
				     : *text == '>' ? "&gt;"
						    : NULL;

		/* An entity is added whole or not, and "and 7 more" has room, too. */
		if (t->size - t->used <= 32)
			return;
		if (entity)
			add(t, "%s", entity);
		else
			add(t, "%c", *text);
	}
}

static void add_line(struct text *t, const char *head, const struct text *line)
{
	add(t, "\n%s", head);
	add_escaped(t, line->data);
}

static json_t *write_slack(const struct output *o)
{
	char data[SLACK_TEXT_MAX], line_data[1300];
	struct text t = {.data = data, .size = sizeof(data)};
	struct text line = {.data = line_data, .size = sizeof(line_data)};
	json_t *body = json_object();
	int i;

	add(&t, "outbox-relay ");
	add_escaped(&t, o->relay);
	for (i = 0; i < o->m->count && t.used < SLACK_TEXT_MAX / 2; i++) {
		const struct alert *a = &o->m->alerts[i];
		bool has_failed = a->kind == ALERT_ROWS_FAILED && a->rows;

		line.used = 0;
		describe(&line, a, o->m->at_ms);
		add_line(&t,
			 strcmp(status_of(a), "firing") == 0 ? "FIRING: " : "resolved: ",
			 &line);
		for (int n = 0;
		     has_failed && n < o->m->example_count && t.used < SLACK_TEXT_MAX / 2;
		     n++) {
			line.used = 0;
			describe_row(&line, &o->m->examples[n]);
			add_line(&t, "    ", &line);
		}
	}
	if (i < o->m->count)
		add(&t, "\nand %d more", o->m->count - i);
	json_object_set_new(body, "text", string(data));
	return body;
}

/* --- Alertmanager --- */

static json_t *labels_of(const struct output *o, const struct alert *a)
{
	json_t *labels = json_object();

	json_object_set_new(labels, "alertname", json_string(kinds[a->kind].alertname));
	json_object_set_new(labels, "relay", string(o->relay));
	json_object_set_new(labels, "severity", json_string(kinds[a->kind].severity));
	if (a->kind != ALERT_DESTINATION_PARKED)
		return labels;
	json_object_set_new(labels, "exchange",
			    string(*a->exchange ? a->exchange : "(default)"));
	if (a->has_key)
		json_object_set_new(labels, "routing_key", string(a->routing_key));
	return labels;
}

static json_t *annotations_of(const struct output *o, const struct alert *a)
{
	char data[REPORT_LATEST * 1300] = "";
	struct text t = {.data = data, .size = sizeof(data)};
	json_t *annotations = json_object();

	json_object_set_new(annotations, "summary", summary(o, a));
	if (a->kind != ALERT_ROWS_FAILED || !o->m->example_count)
		return annotations;
	for (int i = 0; i < o->m->example_count; i++) {
		describe_row(&t, &o->m->examples[i]);
		add(&t, "\n");
	}
	json_object_set_new(annotations, "description", string(data));
	return annotations;
}

static json_t *write_alertmanager(const struct output *o)
{
	json_t *list = json_array();

	for (int i = 0; i < o->m->count; i++) {
		const struct alert *a = &o->m->alerts[i];
		json_t *to = json_object();

		json_object_set_new(to, "labels", labels_of(o, a));
		json_object_set_new(to, "annotations", annotations_of(o, a));
		json_object_set_new(to, "startsAt", moment(o, a->since_ms));
		json_object_set_new(to, "endsAt",
				    moment(o, a->is_firing ? o->m->at_ms + ENDS_AFTER_MS
							   : a->until_ms));
		json_array_append_new(list, to);
	}
	return list;
}

/* --- all --- */

char *alert_format_write(enum alerts_format format, const struct alert_message *m,
			 const char *relay, int64_t wall_ms)
{
	static json_t *(*const writers[])(const struct output *o) = {
		[ALERTS_GENERIC] = write_generic,
		[ALERTS_SLACK] = write_slack,
		[ALERTS_ALERTMANAGER] = write_alertmanager,
	};
	struct output o = {.m = m, .relay = relay, .wall_ms = wall_ms};
	json_t *body = writers[format](&o);
	char *text = json_dumps(body, JSON_COMPACT);

	json_decref(body);
	return text;
}
