#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/human.h"
#include "base/stop.h"
#include "cli/present.h"
#include "cli/scrape.h"
#include "cli/setup.h"
#include "cli/table.h"
#include "monitor/overview_json.h"
#include "store/overview.h"

#define WATCH_MS 2000

struct look {
	const struct config *config;
	struct overview overview;
	struct scrape scrape;
	bool asks;    /* http.listen is not off */
	bool answers; /* the relay there told what it has parked */
	struct error silence;
};

/* --- for people --- */

static const char *count(const struct overview_count *c, char out[HUMAN_MAX + 1])
{
	out[0] = c->is_unknown ? '>' : '~';
	human_count(c->rows, out + 1);
	return c->is_unknown || c->is_estimate ? out : out + 1;
}

static void add_state(struct table *t, const char *name, const struct overview_count *c)
{
	char number[HUMAN_MAX + 1];

	table_printf(t, "%s", name);
	table_printf(t, "%s", count(c, number));
}

static void add_age(struct table *t, const char *before, int64_t ms, const char *after)
{
	char age[HUMAN_MAX];

	if (ms < 0)
		table_printf(t, "%s", "");
	else
		table_printf(t, "%s %s%s", before, human_age(ms, age), after);
}

static void print_states(const struct overview *v)
{
	struct table t;

	table_init(&t, "STATE|ROWS>|");
	add_state(&t, "due", &v->due);
	add_age(&t, "the oldest for", v->oldest_due_ms, "");
	add_state(&t, "scheduled", &v->scheduled);
	add_age(&t, "the next in", v->next_due_ms, "");
	add_state(&t, "failed", &v->failed);
	add_age(&t, "the newest", v->last_failed_ms, " ago");
	add_state(&t, "sent", &v->sent);
	add_age(&t, "", -1, "");
	table_print(&t, stdout);
	table_release(&t);
}

static void print_flow(const char *what, const struct overview_flow *f)
{
	char rows[HUMAN_MAX], age[HUMAN_MAX], speed[HUMAN_MAX];

	printf("%s %s in the last %s", what, human_plural(f->rows, "row", rows),
	       human_age(f->over_ms, age));
	if (f->rows == 0)
		putchar('\n');
	else if (overview_rate(f) >= 10)
		printf(", %s/s\n", human_count((int64_t)overview_rate(f), speed));
	else
		printf(", %.1f/s\n", overview_rate(f));
}

static void print_relays(const struct overview *v)
{
	char text[HUMAN_MAX];
	struct table t;

	if (v->relay_count == 0) {
		printf("\nno relay is connected\n");
		return;
	}
	putchar('\n');
	table_init(&t, "RELAY>|NAME|HOST|PID>|CONNECTED|CLAIMS>|ROWS IN HAND>");
	for (int i = 0; i < v->relay_count; i++) {
		const struct overview_relay *r = &v->relays[i];

		table_printf(&t, "%lld", (long long)r->relay_id);
		table_text(&t, r->name, strlen(r->name));
		table_text(&t, r->is_connected ? r->host : "-",
			   r->is_connected ? strlen(r->host) : 1);
		if (r->is_connected)
			table_printf(&t, "%lld", (long long)r->pid);
		else
			table_printf(&t, "-");
		if (r->is_connected && r->connected_ms >= 0)
			table_printf(&t, "%s", human_age(r->connected_ms, text));
		else
			table_printf(&t, "%s", r->is_connected ? "yes" : "no");
		table_printf(&t, "%lld", (long long)r->claims);
		table_printf(&t, "%s", human_count(r->rows, text));
	}
	table_print(&t, stdout);
	table_release(&t);
}

static void add_claim_note(struct table *t, const struct overview_claim *c)
{
	const char *dead = c->is_dead ? "its relay is dead" : "";
	const char *adopted = c->is_adopted ? "adopted" : "";
	const char *comma = c->is_dead && c->is_adopted ? ", " : "";

	if (c->publishing_id)
		table_printf(t, "%s%s%s%spublishing row %lld", dead, comma, adopted,
			     *dead || *adopted ? ", " : "", (long long)c->publishing_id);
	else
		table_printf(t, "%s%s%s", dead, comma, adopted);
}

static void print_claims(const struct overview *v)
{
	char text[HUMAN_MAX];
	struct table t;

	if (v->claim_count == 0)
		return;
	putchar('\n');
	table_init(&t, "CLAIM>|RELAY>|ROWS>|LEASE|");
	for (int i = 0; i < v->claim_count; i++) {
		const struct overview_claim *c = &v->claims[i];

		table_printf(&t, "%lld", (long long)c->claim_id);
		table_printf(&t, "%lld", (long long)c->relay_id);
		table_printf(&t, "%s", human_count(c->rows, text));
		if (c->lease_ms >= 0)
			table_printf(&t, "%s left", human_age(c->lease_ms, text));
		else
			table_printf(&t, "ran out %s ago", human_age(-c->lease_ms, text));
		add_claim_note(&t, c);
	}
	table_print(&t, stdout);
	table_release(&t);
}

static void print_parked(const struct look *l)
{
	char text[HUMAN_MAX];
	struct table t;

	if (!l->answers) {
		printf("\nparked destinations are not known: %s%s%s\n",
		       l->asks ? l->config->http.listen : "http.listen is off",
		       l->asks ? ": " : "", l->asks ? l->silence.text : "");
		return;
	}
	if (l->scrape.parked_count == 0) {
		printf("\nno destination is parked by the relay at %s\n",
		       l->config->http.listen);
		return;
	}
	putchar('\n');
	table_init(&t, "PARKED EXCHANGE|ROUTING KEY|FOR");
	for (int i = 0; i < l->scrape.parked_count; i++) {
		const struct scrape_parked *p = &l->scrape.parked[i];

		table_text(&t, p->exchange, strlen(p->exchange));
		if (*p->routing_key)
			table_text(&t, p->routing_key, strlen(p->routing_key));
		else
			table_printf(&t, "(any)");
		table_printf(&t, "%s", human_age((int64_t)(p->seconds * 1000), text));
	}
	table_print(&t, stdout);
	table_release(&t);
}

static void print_look(const struct look *l, const char *peer)
{
	const struct overview *v = &l->overview;
	char table[HUMAN_MAX], indexes[HUMAN_MAX];

	printf("schema %s at %s, %s UTC\n\n", l->config->database.schema, peer, v->at);
	print_states(v);
	putchar('\n');
	print_flow("came:", &v->came);
	if (l->config->relay.on_sent == ON_SENT_MARK)
		print_flow("sent:", &v->sent_lately);
	printf("size: table %s, indexes %s\n", human_bytes(v->table_bytes, table),
	       human_bytes(v->index_bytes, indexes));
	print_relays(v);
	print_claims(v);
	print_parked(l);
}

/* --- for programs --- */

/* null: not known */
static json_t *pack_parked(const struct look *l)
{
	json_t *all = l->answers ? json_array() : json_null();

	for (int i = 0; l->answers && i < l->scrape.parked_count; i++) {
		const struct scrape_parked *p = &l->scrape.parked[i];

		json_array_append_new(
			all,
			json_pack("{s:o, s:o, s:f}", "exchange",
				  human_json(p->exchange, strlen(p->exchange)),
				  "routing_key",
				  *p->routing_key ? human_json(p->routing_key,
							       strlen(p->routing_key))
						  : json_null(),
				  "seconds", p->seconds));
	}
	return all;
}

static void print_json(const struct look *l)
{
	json_t *j = overview_json(&l->overview);

	/* What was sent lately cannot be told from rows that are gone. */
	if (l->config->relay.on_sent != ON_SENT_MARK)
		json_object_set_new(j, "sent_lately", json_null());
	json_object_set_new(j, "parked", pack_parked(l));
	present_line(j);
}

/* --- the command --- */

static int look(struct look *l, struct operate *o, struct error *err)
{
	const struct config_http *http = &l->config->http;

	l->asks = strcmp(http->listen, "off") != 0;
	l->answers = l->asks && scrape_relay(http->listen, http->token.text, &l->scrape,
					     &l->silence) == 0;
	return overview_read(o, &l->overview, err);
}

static void show(const struct cli *cli, const struct look *l, const char *peer)
{
	/* Home and clear: redrawn in place where somebody looks. */
	if (cli->watch && !cli->is_json)
		fputs(isatty(STDOUT_FILENO) ? "\033[H\033[2J" : "\n", stdout);
	if (cli->is_json)
		print_json(l);
	else
		print_look(l, peer);
	fflush(stdout);
}

static int look_once(const struct cli *cli, const struct config *c)
{
	struct look l = {.config = c};
	struct operate *o = setup_operate(cli, c, cli->program, false);
	struct error err;
	int code = EX_OK;

	if (!o)
		return EX_UNAVAILABLE;
	if (look(&l, o, &err) < 0)
		code = setup_failed(cli->program, &err);
	else
		show(cli, &l, operate_peer(o));
	overview_release(&l.overview);
	operate_close(o);
	return code;
}

/* A new session each time, so that an outage does not end it. */
static int watch(const struct cli *cli, const struct config *c)
{
	stop_setup();
	while (!stop_requested() && !ferror(stdout)) {
		struct pollfd p = {.fd = stop_fd(), .events = POLLIN};

		look_once(cli, c);
		poll(&p, 1, WATCH_MS);
	}
	return EX_OK;
}

int cmd_status(const struct cli *cli)
{
	struct config *c = setup_config_or_say(cli);
	int code;

	if (!c)
		return EX_CONFIG;
	code = cli->watch ? watch(cli, c) : look_once(cli, c);
	config_free(c);
	return code;
}
