#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/human.h"
#include "cli/present.h"
#include "cli/setup.h"
#include "monitor/rows_json.h"

/* --- for people --- */

static void field(const char *name, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void field(const char *name, const char *format, ...)
{
	va_list args;

	printf("%-12s  ", name);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
}

static void text_field(const char *name, struct slice s)
{
	struct buffer b = {0};

	if (s.data)
		human_escape(&b, s.data, s.size);
	field(name, "%s", s.data ? buffer_text(&b) : "-");
	buffer_release(&b);
}

static void moment_field(const char *name, struct slice at, int64_t ms)
{
	char text[HUMAN_MAX + 8];

	field(name, "%.*s (%s)", (int)at.size, at.data,
	      present_moment(ms, text, sizeof(text)));
}

/* Returns what it is called. */
static const char *print_body(struct slice s, const char *kind, struct buffer *out)
{
	struct buffer indented = {0};

	if (strcmp(kind, "json") == 0) {
		human_indent_json(&indented, s.data, s.size);
		human_escape_block(out, buffer_text(&indented), buffer_size(&indented));
		buffer_release(&indented);
		return "JSON";
	}
	if (strcmp(kind, "text") == 0)
		human_escape_block(out, s.data, s.size);
	else
		human_hex(out, s.data, s.size);
	return kind;
}

static void show_body(const struct rows_detail *d)
{
	struct buffer out = {0};
	bool is_cut = (int64_t)d->body.size < d->row.body_bytes;
	struct slice body = d->body;
	char size[HUMAN_MAX];
	const char *kind = rows_body_kind(&body, is_cut);

	field("payload", "%s, %s%s", print_body(body, kind, &out),
	      human_bytes(d->row.body_bytes, size),
	      is_cut ? ", of which the first 4 KiB (--raw writes all)" : "");
	if (body.size == 0)
		return;
	putchar('\n');
	fwrite(buffer_text(&out), 1, buffer_size(&out), stdout);
	if (out.data[out.end - 1] != '\n')
		putchar('\n');
	buffer_release(&out);
}

static void show(const struct rows_detail *d)
{
	const struct rows_entry *r = &d->row;

	field("id", "%lld", (long long)r->id);
	text_field("message_id", r->message_id);
	text_field("status", r->status);
	text_field("exchange", r->exchange);
	text_field("routing_key", r->routing_key);
	field("try_count", "%lld", (long long)r->try_count);
	text_field("last_error", r->last_error);
	moment_field("next_retry", r->next_retry, r->next_retry_ms);
	moment_field("created_at", r->created_at, r->created_ms);
	moment_field("updated_at", r->updated_at, r->updated_ms);
	if (d->claim_id) {
		struct buffer name = {0};

		human_escape(&name, d->claimed_by.data, d->claimed_by.size);
		field("in hand of", "%s, claim %lld", buffer_text(&name),
		      (long long)d->claim_id);
		buffer_release(&name);
	}
	text_field("content_type", r->content_type);
	text_field("headers", d->headers);
	text_field("properties", d->properties);
	if (d->attempt_count) {
		putchar('\n');
		present_attempts(d->attempts, d->attempt_count);
		putchar('\n');
	}
	show_body(d);
}

/* --- for programs --- */

static int show_json(const struct cli *cli, struct operate *o,
		     const struct rows_detail *d)
{
	json_t *j = rows_detail_json(d);
	struct rows_detail again;
	struct error err;
	bool is_text = human_is_text(d->body.data, d->body.size);
	char id[24];
	int rc = 1;

	if (is_text) {
		json_object_set_new(j, "payload",
				    json_stringn(d->body.data, d->body.size));
	} else {
		snprintf(id, sizeof(id), "%lld", (long long)d->row.id);
		rc = rows_find(o, id, ROWS_BODY_BASE64, &again, &err);
		if (rc > 0)
			json_object_set_new(j, "payload_base64",
					    json_stringn(again.body.data,
							 again.body.size));
	}
	if (rc < 0) {
		json_decref(j);
		return setup_failed(cli->program, &err);
	}
	present_line(j);
	return EX_OK;
}

/* --- the command --- */

static int find(const struct cli *cli, struct operate *o)
{
	bool wants_all = cli->raw || cli->is_json;
	struct rows_detail d;
	struct error err;
	int rc = rows_find(o, cli->operands[0],
			   wants_all ? ROWS_BODY_WHOLE : ROWS_BODY_BEGINNING, &d, &err);

	if (rc < 0)
		return setup_failed(cli->program, &err);
	if (rc == 0) {
		fprintf(stderr, "outbox-relay: show: no row has this id or message_id\n");
		return EX_NOINPUT;
	}
	if (cli->is_json)
		return show_json(cli, o, &d);
	if (cli->raw)
		fwrite(d.body.data, 1, d.body.size, stdout);
	else
		show(&d);
	return EX_OK;
}

int cmd_show(const struct cli *cli)
{
	struct config *c;
	struct operate *o;
	int code;

	if (cli->operand_count == 0)
		return cli_usage_error("show", "which row? Give its id or message_id");
	if (cli->raw && cli->is_json)
		return cli_usage_error("show", "--raw and --json exclude each other");
	c = setup_config_or_say(cli);
	if (!c)
		return EX_CONFIG;
	o = setup_operate(cli, c, cli->program, false);
	code = o ? find(cli, o) : EX_UNAVAILABLE;
	operate_close(o);
	config_free(c);
	return code;
}
