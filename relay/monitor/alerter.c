#include "alerter.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/thread.h"
#include "base/tls.h"
#include "monitor/alert_format.h"
#include "monitor/alerts.h"

#define LOOK_MS 500

/* Both clocks are read one after the other: less is not worth telling another moment for. */
#define WALL_JUMP_MS 1000

struct alerter {
	struct alerts *alerts;
	struct webhook *webhook;
	struct status_board *board;
	struct upkeep_board *upkeep;
	int64_t oldest_due_ms;  /* how long a row may be due */
	int64_t wall_offset_ms; /* from clock_ms() to wall time */
	struct status status;   /* as looked at last */
	enum alerts_format format;
	char *relay;
	pthread_t thread;
	_Atomic bool is_in_hurry;
	_Atomic bool is_ending;
	_Atomic int64_t end_at_ms;
};

/* --- configuration --- */

static const char *url_of(const struct config_webhook *c)
{
	return c->url_file.text ? c->url_file.text : c->url;
}

int alerter_check(const struct config_alerts *c, struct error *err)
{
	const struct config_webhook *w = &c->webhook;
	const struct tls_options tls = {.ca_file = w->ca_file, .verify = true};
	bool is_exposed;

	if (!url_of(w))
		return 0;
	if (webhook_check(url_of(w), w->allow_http, &is_exposed, err) < 0)
		return error_wrap(err, w->url_file.text ? "alerts.webhook.url_file"
							: "alerts.webhook.url");
	return tls_check(&tls, err) < 0 ? error_wrap(err, "alerts.webhook.tls") : 0;
}

const char *alerter_warning(const struct config_alerts *c)
{
	const struct config_webhook *w = &c->webhook;
	bool is_exposed = false;
	struct error ignored; /* it was checked when the file was loaded */

	if (url_of(w))
		webhook_check(url_of(w), w->allow_http, &is_exposed, &ignored);
	return is_exposed ? "the webhook's URL is http://: alerts go in plain text, and "
			    "anybody in between can read and change them"
			  : NULL;
}

static bool is_same_text(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool is_same_webhook(const struct config_webhook *a,
			    const struct config_webhook *b)
{
	return is_same_text(url_of(a), url_of(b)) &&
	       is_same_text(a->secret.text, b->secret.text) &&
	       is_same_text(a->ca_file, b->ca_file) && a->format == b->format &&
	       a->allow_http == b->allow_http && a->timeout_ms == b->timeout_ms &&
	       a->retry_for_ms == b->retry_for_ms;
}

bool alerter_is_same(const struct config *a, const struct config *b)
{
	const struct config_alerts *x = &a->alerts, *y = &b->alerts;

	return is_same_webhook(&x->webhook, &y->webhook) &&
	       is_same_text(a->relay.name, b->relay.name) &&
	       x->oldest_due_ms == y->oldest_due_ms && x->down_ms == y->down_ms &&
	       x->group_wait_ms == y->group_wait_ms &&
	       x->group_interval_ms == y->group_interval_ms &&
	       x->repeat_interval_ms == y->repeat_interval_ms;
}

/* --- the thread --- */

/* Of the table, by the last reading: what is not known now has not changed. */
static int64_t overdue_since(struct alerter *a)
{
	struct upkeep_status u;

	upkeep_get(a->upkeep, &u);
	if (!u.read_at_ms || u.figures.oldest_due_ms < a->oldest_due_ms)
		return CLOCK_NEVER;
	return u.read_at_ms - u.figures.oldest_due_ms;
}

static void look(struct alerter *a)
{
	status_get(a->board, &a->status);
	alerts_look(a->alerts, &a->status, overdue_since(a), clock_ms());
}

/* The moment at which something began is the same in every message, unless the clock was set. */
static int64_t wall_of(struct alerter *a, int64_t ms)
{
	int64_t offset_ms = clock_wall_ms() - clock_ms();

	if (llabs(offset_ms - a->wall_offset_ms) > WALL_JUMP_MS)
		a->wall_offset_ms = offset_ms;
	return ms + a->wall_offset_ms;
}

/* True: there was something. */
static bool tell(struct alerter *a)
{
	const struct alert_message *m = alerts_take(a->alerts, clock_ms());

	if (m->count)
		webhook_send(a->webhook, alert_format_write(a->format, m, a->relay,
							    wall_of(a, m->at_ms)));
	return m->count > 0;
}

static bool is_due(const struct alerter *a)
{
	int64_t due_ms = alerts_due_ms(a->alerts);

	return due_ms != CLOCK_NEVER && (a->is_in_hurry || due_ms <= clock_ms());
}

static void deliver_the_rest(struct alerter *a)
{
	look(a);
	while (!webhook_is_idle(a->webhook) || tell(a)) {
		if (clock_ms() >= a->end_at_ms)
			return;
		webhook_run(a->webhook, a->end_at_ms);
	}
}

static void *run(void *context)
{
	struct alerter *a = context;

	while (!a->is_ending) {
		look(a);
		if (webhook_is_idle(a->webhook) && is_due(a))
			tell(a);
		webhook_run(a->webhook, clock_ms() + LOOK_MS);
	}
	deliver_the_rest(a);
	return NULL;
}

/* --- life --- */

static void release(struct alerter *a)
{
	webhook_close(a->webhook);
	alerts_free(a->alerts);
	free(a->relay);
	free(a);
}

static struct alerts *make_alerts(const struct config_alerts *c, uint64_t failed)
{
	return alerts_new(
		&(struct alerts_settings){
			.oldest_due_ms = c->oldest_due_ms,
			.down_ms = c->down_ms,
			.group_wait_ms = c->group_wait_ms,
			.group_interval_ms = c->group_interval_ms,
			.repeat_interval_ms = c->webhook.format == ALERTS_ALERTMANAGER
						      ? ALERT_FORMAT_REPEAT_MS
						      : c->repeat_interval_ms,
		},
		failed);
}

static int open_webhook(const struct config_webhook *c, struct webhook_counts *counts,
			struct webhook **out, struct error *err)
{
	return webhook_open(
		&(struct webhook_settings){
			.url = url_of(c),
			.secret = c->secret.text,
			.ca_file = c->ca_file,
			.allow_http = c->allow_http,
			.timeout_ms = (int)c->timeout_ms,
			.retry_for_ms = c->retry_for_ms,
			.counts = counts,
		},
		out, err);
}

int alerter_start(const struct config *c, struct status_board *board,
		  struct upkeep_board *upkeep, struct webhook_counts *counts,
		  struct alerter **out, struct error *err)
{
	struct alerter *a;

	if (!url_of(&c->alerts.webhook)) {
		*out = NULL;
		return 0;
	}
	a = xcalloc(1, sizeof(*a));
	a->board = board;
	a->upkeep = upkeep;
	a->oldest_due_ms = c->alerts.oldest_due_ms;
	a->relay = xstrdup(c->relay.name);
	a->format = (enum alerts_format)c->alerts.webhook.format;
	status_get(board, &a->status);
	a->alerts = make_alerts(&c->alerts, a->status.counts.failed);
	if (open_webhook(&c->alerts.webhook, counts, &a->webhook, err) < 0) {
		release(a);
		return -1;
	}
	if (thread_start(&a->thread, run, a) == 0) {
		*out = a;
		return 0;
	}
	release(a);
	return error_set(err, ERROR_MEMORY, "cannot start a thread");
}

void alerter_hurry(struct alerter *a)
{
	if (a)
		a->is_in_hurry = true;
}

void alerter_stop(struct alerter *a, int64_t within_ms)
{
	if (!a)
		return;
	a->end_at_ms = clock_ms() + within_ms;
	a->is_ending = true;
	webhook_wake(a->webhook);
	pthread_join(a->thread, NULL);
	release(a);
}
