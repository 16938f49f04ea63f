#include "alerts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/clock.h"

struct slot {
	struct alert alert; /* as it is now */
	bool is_used;       /* PARKED: else free */
	bool is_told;       /* what people believe: that it fires */
	bool is_there;      /* PARKED: in the status that is looked at */
	int64_t told_at_ms;
	int64_t gone_since_ms; /* its cause; CLOCK_NEVER: it is there */
};

struct alerts {
	struct alerts_settings settings;
	uint64_t failed; /* of counts.failed, as seen last */
	int64_t failed_at_ms;
	int64_t news_since_ms; /* CLOCK_NEVER: none */
	int64_t told_at_ms;
	struct slot slots[ALERTS_MAX];             /* by kind; the parked ones behind */
	struct report_row examples[REPORT_LATEST]; /* for the next message */
	int example_count;
	struct alert_message message; /* the last one */
};

struct alerts *alerts_new(const struct alerts_settings *settings, uint64_t failed)
{
	struct alerts *a = xcalloc(1, sizeof(*a));

	a->settings = *settings;
	a->failed = failed;
	a->news_since_ms = CLOCK_NEVER;
	a->told_at_ms = INT64_MIN / 2;
	for (int i = 0; i < ALERTS_MAX; i++) {
		a->slots[i].alert.kind = (enum alert_kind)(
			i < ALERT_DESTINATION_PARKED ? i : ALERT_DESTINATION_PARKED);
		a->slots[i].gone_since_ms = CLOCK_NEVER;
	}
	return a;
}

void alerts_free(struct alerts *a)
{
	free(a);
}

/* --- firing and resolving --- */

static void observe_cause(struct slot *s, int64_t since_ms)
{
	s->gone_since_ms = CLOCK_NEVER;
	if (s->alert.is_firing)
		return;
	s->alert.is_firing = true;
	s->alert.since_ms = since_ms;
}

static void observe_none(struct slot *s, int64_t wait_ms, int64_t now_ms)
{
	if (!s->alert.is_firing)
		return;
	s->gone_since_ms = clock_min(s->gone_since_ms, now_ms);
	if (s->is_told && now_ms - s->gone_since_ms < wait_ms)
		return;
	s->alert.is_firing = false;
	s->alert.until_ms = s->gone_since_ms;
}

/* Something that counts only when it has lasted. */
static void observe_lasting(struct alerts *a, enum alert_kind kind, bool is_there,
			    int64_t since_ms, const char *error, int64_t now_ms)
{
	struct slot *s = &a->slots[kind];

	if (!is_there) {
		observe_none(s, a->settings.group_wait_ms, now_ms);
		return;
	}
	s->gone_since_ms = CLOCK_NEVER;
	if (now_ms - since_ms >= a->settings.down_ms)
		observe_cause(s, since_ms);
	snprintf(s->alert.error, sizeof(s->alert.error), "%s", error);
}

static void observe_sides(struct alerts *a, const struct status *s, int64_t now_ms)
{
	observe_lasting(a, ALERT_DATABASE_DOWN, !s->database.is_up, s->database.since_ms,
			s->database.error, now_ms);
	observe_lasting(a, ALERT_BROKER_DOWN, !s->broker.is_up, s->broker.since_ms,
			s->broker.error, now_ms);
	observe_lasting(a, ALERT_BROKER_BLOCKED, s->block_reason[0] != 0,
			s->blocked_since_ms, s->block_reason, now_ms);
}

static void observe_due(struct alerts *a, const struct status *s, int64_t since_ms,
			int64_t now_ms)
{
	struct slot *slot = &a->slots[ALERT_OLDEST_DUE];

	if (s->oldest_due_ms != CLOCK_NEVER &&
	    now_ms - s->oldest_due_ms >= a->settings.oldest_due_ms)
		since_ms = clock_min(since_ms, s->oldest_due_ms);
	if (since_ms != CLOCK_NEVER)
		observe_cause(slot, since_ms);
	else
		observe_none(slot, a->settings.group_wait_ms, now_ms);
}

/* --- failed rows --- */

static void keep_examples(struct alerts *a, const struct report_row *rows, int count)
{
	int kept = a->example_count;

	if (kept > REPORT_LATEST - count)
		kept = REPORT_LATEST - count;
	memmove(a->examples + count, a->examples, (size_t)kept * sizeof(*rows));
	memcpy(a->examples, rows, (size_t)count * sizeof(*rows));
	a->example_count = count + kept;
}

static void observe_failed(struct alerts *a, const struct status *s, int64_t now_ms)
{
	int64_t quiet_ms = ALERTS_QUIET_INTERVALS * a->settings.group_interval_ms;
	struct slot *slot = &a->slots[ALERT_ROWS_FAILED];
	uint64_t more = s->counts.failed - a->failed;

	if (!more) {
		if (now_ms - a->failed_at_ms >= quiet_ms)
			observe_none(slot, 0, a->failed_at_ms);
		return;
	}
	if (!slot->alert.is_firing)
		slot->alert.rows_total = 0;
	slot->alert.rows += more;
	slot->alert.rows_total += more;
	observe_cause(slot, now_ms);
	a->failed = s->counts.failed;
	a->failed_at_ms = now_ms;
	keep_examples(a, s->failed,
		      more < (uint64_t)s->failed_count ? (int)more : s->failed_count);
}

/* --- parked destinations --- */

static bool is_for(const struct slot *s, const struct status_parked *p)
{
	return s->is_used && s->alert.has_key == p->has_key &&
	       strcmp(s->alert.exchange, p->exchange) == 0 &&
	       (!p->has_key || strcmp(s->alert.routing_key, p->routing_key) == 0);
}

/* NULL: there is no room until something was told. */
static struct slot *find_parked(struct alerts *a, const struct status_parked *p)
{
	struct slot *unused = NULL;

	for (int i = ALERT_DESTINATION_PARKED; i < ALERTS_MAX; i++) {
		if (is_for(&a->slots[i], p))
			return &a->slots[i];
		if (!a->slots[i].is_used)
			unused = &a->slots[i];
	}
	if (!unused)
		return NULL;
	unused->is_used = true;
	unused->alert.has_key = p->has_key;
	memcpy(unused->alert.exchange, p->exchange, sizeof(p->exchange));
	memcpy(unused->alert.routing_key, p->routing_key, sizeof(p->routing_key));
	return unused;
}

static void observe_parked(struct alerts *a, const struct status *s, int64_t now_ms)
{
	for (int i = ALERT_DESTINATION_PARKED; i < ALERTS_MAX; i++)
		a->slots[i].is_there = false;
	for (int i = 0; i < s->parked_count; i++) {
		const struct status_parked *p = &s->parked[i];
		struct slot *slot = find_parked(a, p);

		if (!slot)
			continue;
		slot->is_there = true;
		observe_cause(slot, p->since_ms);
		snprintf(slot->alert.error, sizeof(slot->alert.error), "%s", p->reply);
	}
	for (int i = ALERT_DESTINATION_PARKED; i < ALERTS_MAX; i++) {
		struct slot *slot = &a->slots[i];

		if (!slot->is_there)
			observe_none(slot, a->settings.group_wait_ms, now_ms);
		slot->is_used = slot->alert.is_firing || slot->is_told;
	}
}

/* --- telling --- */

static bool is_news(const struct alerts *a, const struct slot *s, int64_t now_ms)
{
	return s->alert.is_firing != s->is_told || s->alert.rows ||
	       (s->is_told && now_ms - s->told_at_ms >= a->settings.repeat_interval_ms);
}

static bool has_news(const struct alerts *a, int64_t now_ms)
{
	for (int i = 0; i < ALERTS_MAX; i++) {
		if (is_news(a, &a->slots[i], now_ms))
			return true;
	}
	return false;
}

void alerts_look(struct alerts *a, const struct status *s, int64_t overdue_since_ms,
		 int64_t now_ms)
{
	observe_failed(a, s, now_ms);
	if (!s->is_ending) {
		observe_due(a, s, overdue_since_ms, now_ms);
		observe_sides(a, s, now_ms);
		observe_parked(a, s, now_ms);
	}
	a->news_since_ms =
		has_news(a, now_ms) ? clock_min(a->news_since_ms, now_ms) : CLOCK_NEVER;
}

int64_t alerts_due_ms(const struct alerts *a)
{
	int64_t wait_ms, interval_ms;

	if (a->news_since_ms == CLOCK_NEVER)
		return CLOCK_NEVER;
	wait_ms = a->news_since_ms + a->settings.group_wait_ms;
	interval_ms = a->told_at_ms + a->settings.group_interval_ms;
	return wait_ms > interval_ms ? wait_ms : interval_ms;
}

static void tell(struct alert_message *m, struct slot *s, int64_t now_ms)
{
	m->alerts[m->count++] = s->alert;
	s->is_told = s->alert.is_firing;
	s->told_at_ms = now_ms;
	s->alert.rows = 0;
}

const struct alert_message *alerts_take(struct alerts *a, int64_t now_ms)
{
	struct alert_message *m = &a->message;

	m->at_ms = now_ms;
	m->count = 0;
	for (int i = 0; i < ALERTS_MAX; i++) {
		if (is_news(a, &a->slots[i], now_ms))
			tell(m, &a->slots[i], now_ms);
	}
	memcpy(m->examples, a->examples, sizeof(m->examples));
	m->example_count = a->example_count;
	a->example_count = 0;
	a->told_at_ms = m->count ? now_ms : a->told_at_ms;
	a->news_since_ms = CLOCK_NEVER;
	return m;
}
