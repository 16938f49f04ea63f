#include "parking.h"

#include <stdio.h>
#include <string.h>

#include "base/backoff.h"
#include "base/clock.h"
#include "base/log.h"

#define REMIND_MS 60000

/* The cap is what a good row may have to wait for behind bad ones, twice the default
   broker.confirm_timeout; and what a mended destination costs at most. */
static const struct backoff probing = {1000, 2, 60000, 20};

static void copy(char *out, size_t size, struct slice s)
{
	snprintf(out, size, "%.*s", (int)s.size, s.data ? s.data : "");
}

static bool equals(struct slice s, const char *text)
{
	return s.size == strlen(text) && memcmp(s.data, text, s.size) == 0;
}

/* --- refusals in a row --- */

static struct refusals *find_run(struct parking *p, const struct message *msg)
{
	for (int i = 0; i < p->run_count; i++) {
		if (equals(msg->exchange, p->runs[i].exchange))
			return &p->runs[i];
	}
	return NULL;
}

static void end_run(struct parking *p, struct refusals *run)
{
	*run = p->runs[--p->run_count];
}

static struct refusals *begin_run(struct parking *p)
{
	if (p->run_count < PARKING_MAX)
		return &p->runs[p->run_count++];
	p->next_run = (p->next_run + 1) % PARKING_MAX;
	return &p->runs[p->next_run];
}

/* "404 NOT_FOUND - no exchange 'x'": up to the dash it is the same for every row. */
static struct slice without_details(const char *reply)
{
	const char *dash = strstr(reply, " - ");
	size_t size = dash ? (size_t)(dash - reply) : strlen(reply);
	size_t limit = sizeof(((struct refusals *)NULL)->reply) - 1;

	return (struct slice){reply, size < limit ? size : limit};
}

static struct refusals *count_refusal(struct parking *p, const struct message *msg,
				      const char *reply)
{
	struct refusals *run = find_run(p, msg);
	struct slice words = without_details(reply);

	if (!run)
		run = begin_run(p);
	else if (equals(words, run->reply)) {
		run->has_many_keys |= !equals(msg->routing_key, run->routing_key);
		run->count++;
		return run;
	}
	*run = (struct refusals){.count = 1};
	copy(run->exchange, sizeof(run->exchange), msg->exchange);
	copy(run->routing_key, sizeof(run->routing_key), msg->routing_key);
	copy(run->reply, sizeof(run->reply), words);
	return run;
}

/* --- parked --- */

static bool covers(const struct destination *d, const struct message *msg)
{
	return equals(msg->exchange, d->exchange) &&
	       (!d->routing_key || equals(msg->routing_key, d->routing_key));
}

static int find_parked(const struct parking *p, const struct message *msg)
{
	for (int i = 0; i < p->count; i++) {
		if (covers(&p->list[i], msg))
			return i;
	}
	return -1;
}

static const char *key_of(const struct parking *p, int i)
{
	return p->list[i].routing_key ? p->list[i].routing_key : "(any)";
}

static void say(struct parking *p, int i, const char *event, int64_t now_ms)
{
	struct parked *at = &p->parked[i];

	at->said_at_ms = now_ms;
	log_warn(event, LOG_STR("exchange", at->exchange),
		 LOG_STR("routing_key", key_of(p, i)), LOG_STR("error", at->reply),
		 LOG_INT("parked_ms", now_ms - at->since_ms),
		 LOG_INT("probes", at->probes),
		 LOG_INT("probe_in_ms", at->probe_at_ms - now_ms));
}

static void put_off(struct parked *at, int64_t now_ms)
{
	at->probe_at_ms = now_ms + backoff_ms(&probing, at->refused, backoff_random());
}

static void list(struct parking *p, int i, bool has_key)
{
	p->list[i].exchange = p->parked[i].exchange;
	p->list[i].routing_key = has_key ? p->parked[i].routing_key : NULL;
}

static void park(struct parking *p, const struct refusals *run, bool has_key,
		 const char *reply)
{
	int64_t now_ms = clock_ms();
	int i = p->count++;
	struct parked *at = &p->parked[i];

	*at = (struct parked){.since_ms = now_ms};
	memcpy(at->exchange, run->exchange, sizeof(at->exchange));
	memcpy(at->routing_key, run->routing_key, sizeof(at->routing_key));
	snprintf(at->reply, sizeof(at->reply), "%s", reply);
	list(p, i, has_key);
	put_off(at, now_ms);
	say(p, i, "destination parked", now_ms);
}

static void resume(struct parking *p, int i)
{
	const struct parked *at = &p->parked[i];
	int last = p->count - 1;
	bool has_key = p->list[last].routing_key != NULL;

	log_info("destination takes messages again", LOG_STR("exchange", at->exchange),
		 LOG_STR("routing_key", key_of(p, i)),
		 LOG_INT("parked_ms", clock_ms() - at->since_ms),
		 LOG_INT("probes", at->probes));
	p->resumed++;
	p->count--;
	if (i == last)
		return;
	p->parked[i] = p->parked[last];
	list(p, i, has_key);
}

static void probe_refused(struct parking *p, int i, const char *reply)
{
	struct parked *at = &p->parked[i];
	int64_t now_ms = clock_ms();

	snprintf(at->reply, sizeof(at->reply), "%s", reply);
	at->refused++;
	put_off(at, now_ms);
	if (now_ms - at->said_at_ms >= REMIND_MS)
		say(p, i, "destination still parked", now_ms);
}

/* --- verdicts --- */

void parking_sent(struct parking *p, const struct message *msg)
{
	struct refusals *run;
	int i;

	if (p->run_count == 0 && p->count == 0)
		return;
	run = find_run(p, msg);
	if (run)
		end_run(p, run);
	while ((i = find_parked(p, msg)) >= 0)
		resume(p, i);
}

static int most_refusals(enum verdict verdict)
{
	switch (verdict) {
	case VERDICT_REFUSED:
		return PARKING_AFTER_REFUSED;
	case VERDICT_OVERDUE:
		return PARKING_AFTER_OVERDUE;
	default:
		return PARKING_AFTER_RETURNED;
	}
}

bool parking_refused(struct parking *p, const struct message *msg, enum verdict verdict,
		     const char *reply, bool is_probe)
{
	int i = find_parked(p, msg);
	struct refusals *run;

	if (i >= 0) {
		/* Others were on their way when it was parked: they tell nothing new. */
		if (is_probe)
			probe_refused(p, i, reply);
		return false;
	}
	run = count_refusal(p, msg, reply);
	if (run->count < most_refusals(verdict) || p->count == PARKING_MAX)
		return false;
	park(p, run, verdict != VERDICT_REFUSED && !run->has_many_keys, reply);
	p->parked[p->count - 1].goes_alone = verdict == VERDICT_REFUSED;
	end_run(p, run);
	return true;
}

bool parking_holds(const struct parking *p, const struct message *msg)
{
	return p->count && find_parked(p, msg) >= 0;
}

/* --- claiming --- */

const struct destination *parking_list(const struct parking *p)
{
	return p->list;
}

int64_t parking_due_ms(const struct parking *p)
{
	int64_t due_ms = CLOCK_NEVER;

	for (int i = 0; i < p->count; i++)
		due_ms = clock_min(due_ms, p->parked[i].probe_at_ms);
	return due_ms;
}

bool parking_next_probe(struct parking *p, struct probe *probe)
{
	int64_t now_ms = clock_ms();

	for (int i = 0; i < p->count; i++) {
		struct parked *at = &p->parked[i];

		if (now_ms < at->probe_at_ms)
			continue;
		probe->destination = p->list[i];
		probe->goes_alone = at->goes_alone;
		probe->is_newest = at->probes % 2 != 0;
		at->probes++;
		put_off(at, now_ms);
		return true;
	}
	return false;
}
