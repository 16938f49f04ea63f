#include "relay.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/stop.h"
#include "engine/sender.h"
#include "engine/turns.h"

/* Of shutdown_timeout, what is kept for settling after the last confirm was waited
   for. */
#define SETTLE_SHARE 4

/* --until-empty gives up on a side after so many failed tries in a row. */
#define UNTIL_EMPTY_TRIES 5

/* After so many failed tries to reach the broker the claims are given back. */
#define RELEASE_AFTER_TRIES 2

/* The longest sleep: a supervisor wants to see the loop turn. */
#define TICK_MS 2000

/* Nobody looks at the status more often. */
#define STATUS_EVERY_MS 100

/*
 * With so many messages in flight no single confirm is waited for. For a while the loop takes no
 * notice of what comes, then it waits as always, and takes all that is there at once. One ms for each
 * NAP_SHARE of them: a broker that confirms 64,000 a second has half of them left by then, RabbitMQ
 * with its 20,000 from a quorum queue five sixths. (A backlog of 256-byte messages, at the same rate:
 * 0.4 us of processor a message less than with naps of 4 ms for any number.)
 */
#define NAP_IN_FLIGHT 1024
#define NAP_SHARE     128

enum phase {
	PHASE_RUNNING,
	PHASE_DRAINING,  /* no new rows: waiting for the confirms of what is in flight */
	PHASE_RELEASING, /* the broker is closed: settling what is known, giving back the
			    rest */
};

struct relay {
	bool until_empty;
	const struct relay_hooks *hooks;
	int64_t shutdown_timeout_ms;
	struct store *store;
	struct broker *broker;
	struct work work;
	struct counts own_counts;
	struct counts *counts; /* own_counts, or the hooks' */
	struct status status;  /* as put up last */
	struct report report;
	struct sender sender;
	struct turns turns;

	enum phase phase;
	enum relay_end end;       /* what the drain is for */
	int64_t drain_until_ms;   /* DRAINING ends */
	int64_t release_until_ms; /* RELEASING ends, done or not */
};

/* --- life --- */

static struct store *make_store(const struct config *c, bool wants_bell)
{
	return store_new(&(struct store_settings){
		.url = c->database.url,
		.password = c->database.password.text,
		.tls = &c->database.tls,
		.schema = c->database.schema,
		.relay_name = c->relay.name,
		.transaction_pooling = c->database.pooling == POOLING_TRANSACTION,
		.wants_bell = wants_bell,
		.deletes_sent = c->relay.on_sent == ON_SENT_DELETE,
		.connect_timeout_ms = (int)c->database.connect_timeout_ms,
		.statement_timeout_ms = (int)c->database.statement_timeout_ms,
		.lock_timeout_ms = (int)c->database.lock_timeout_ms,
		.lease_ms = (int)c->relay.lease_ms,
		.batch_bytes = c->relay.batch_bytes,
		.max_message_bytes = c->relay.max_message_bytes,
	});
}

static struct policy make_policy(const struct config *c)
{
	return (struct policy){
		.max_attempts = (int)c->retry.max_attempts,
		.counts_outages = c->retry.count_outages,
		.delay = {.first_ms = c->retry.first_delay_ms,
			  .multiplier = c->retry.multiplier,
			  .max_ms = c->retry.max_delay_ms,
			  .jitter_percent = (int)c->retry.jitter_percent},
	};
}

static void init_sender(struct relay *r, const struct config *c)
{
	struct sender_settings settings = {
		.policy = make_policy(c),
		.connect_timeout_ms = (int)c->broker.connect_timeout_ms,
		.confirm_timeout_ms = c->broker.confirm_timeout_ms,
		.max_in_flight = (int)c->broker.max_in_flight,
		.lease_margin_ms = c->relay.lease_ms / 6,
		.max_message_bytes = c->relay.max_message_bytes,
	};

	sender_init(&r->sender, &settings, r->broker, &r->work, r->counts);
}

struct relay *relay_new(const struct config *config, struct broker *broker,
			bool until_empty, const struct relay_hooks *hooks)
{
	struct relay *r = xcalloc(1, sizeof(*r));
	struct turns_settings settings = {
		.poll_interval_ms = config->relay.poll_interval_ms,
		.lease_ms = config->relay.lease_ms,
		.batch_size = (int)config->relay.batch_size,
		/* A run that ends when nothing is due has no use for being woken. */
		.wants_bell = config->relay.wake == WAKE_DOORBELL && !until_empty,
		.until_empty = until_empty,
		.policy = make_policy(config),
	};

	r->until_empty = until_empty;
	r->hooks = hooks;
	counts_init(&r->own_counts);
	r->counts = hooks->counts ? hooks->counts : &r->own_counts;
	r->shutdown_timeout_ms = config->relay.shutdown_timeout_ms;
	r->broker = broker;
	r->store = make_store(config, settings.wants_bell);
	init_sender(r, config);
	turns_init(&r->turns, &settings, r->store, &r->work, r->counts, &r->report);
	return r;
}

void relay_free(struct relay *r)
{
	if (!r)
		return;
	/* Bodies belong to the batches and are borrowed by the broker: it goes first. */
	r->broker->driver->free(r->broker);
	store_free(r->store);
	work_release(&r->work);
	free(r);
}

const struct counts *relay_counts(const struct relay *r)
{
	return r->counts;
}

/* --- ending --- */

static void begin_drain(struct relay *r, enum relay_end end)
{
	int64_t now_ms = clock_ms();

	r->phase = PHASE_DRAINING;
	r->end = end;
	r->release_until_ms = now_ms + r->shutdown_timeout_ms;
	r->drain_until_ms = r->release_until_ms - r->shutdown_timeout_ms / SETTLE_SHARE;
	log_info(end == RELAY_RELOAD ? "reloading" : "stopping",
		 LOG_INT("in_flight", work_in_flight(&r->work)));
	FAILPOINT_IF(end == RELAY_STOPPED, stopping);
}

static void watch_signals(struct relay *r)
{
	bool reloads;

	stop_drain();
	reloads = stop_reload_requested();
	if (stop_requested() && (r->phase == PHASE_RUNNING || r->end == RELAY_RELOAD))
		begin_drain(r, RELAY_STOPPED);
	else if (reloads && r->phase == PHASE_RUNNING) {
		if (r->hooks->reload(r->hooks->context))
			begin_drain(r, RELAY_RELOAD);
		else
			r->counts->reloads_refused++;
	}
}

/* On what memory_spare() gave back; a new process starts with an unbroken heap. */
static void watch_memory(struct relay *r)
{
	if (!memory_is_short() || (r->phase != PHASE_RUNNING && r->end != RELAY_RELOAD))
		return;
	log_error("out of memory, ending in good order");
	begin_drain(r, RELAY_OUT_OF_MEMORY);
}

static bool is_unavailable(const struct relay *r)
{
	return r->turns.link.failures >= UNTIL_EMPTY_TRIES ||
	       r->sender.link.failures >= UNTIL_EMPTY_TRIES;
}

static void advance_phase(struct relay *r)
{
	int64_t now_ms = clock_ms();

	watch_memory(r);
	if (r->phase == PHASE_RUNNING && r->until_empty) {
		/* Rows of a parked destination wait, and no one knows for how long. */
		if (r->turns.is_empty)
			begin_drain(r, r->turns.has_parked ? RELAY_UNAVAILABLE
							   : RELAY_STOPPED);
		else if (is_unavailable(r))
			begin_drain(r, RELAY_UNAVAILABLE);
	}
	if (r->phase == PHASE_DRAINING &&
	    (!r->sender.link.is_up || now_ms >= r->drain_until_ms ||
	     work_in_flight(&r->work) == 0)) {
		sender_close(&r->sender);
		FAILPOINT(broker_closed);
		r->phase = PHASE_RELEASING;
	}
}

static bool is_done(const struct relay *r)
{
	if (r->phase != PHASE_RELEASING)
		return false;
	return (r->work.count == 0 && !store_turn_is_busy(r->store)) ||
	       clock_ms() >= r->release_until_ms;
}

/* --- how it is --- */

static struct status_side side(const struct link *l)
{
	struct status_side side = {.is_up = l->is_up,
				   .since_ms =
					   l->is_up ? l->up_since_ms : l->down_since_ms,
				   .failed_tries = l->failures};

	snprintf(side.error, sizeof(side.error), "%s", l->said);
	return side;
}

static void describe_parked(struct status *s, const struct parking *p)
{
	s->parked_count = p->count;
	for (int i = 0; i < p->count; i++) {
		const struct parked *from = &p->parked[i];
		struct status_parked *to = &s->parked[i];

		to->has_key = p->list[i].routing_key != NULL;
		memcpy(to->exchange, from->exchange, sizeof(to->exchange));
		memcpy(to->routing_key, from->routing_key, sizeof(to->routing_key));
		memcpy(to->reply, from->reply, sizeof(to->reply));
		to->since_ms = from->since_ms;
		to->probes = from->probes;
	}
}

/* Rows are claimed in the order in which they are due. */
static void describe_work(struct status *s, const struct work *w)
{
	s->batches = w->count;
	s->rows_in_hand = 0;
	s->rows_in_flight = work_in_flight(w);
	s->oldest_due_ms = CLOCK_NEVER;
	for (int i = 0; i < w->count; i++) {
		const struct batch *b = w->batches[i];

		s->rows_in_hand += b->count - b->in_state[ROW_SETTLED];
		if (b->count && b->rows[0].due_ms)
			s->oldest_due_ms = clock_min(s->oldest_due_ms, b->rows[0].due_ms);
	}
}

static uint64_t settled(const struct counts *c)
{
	return c->sent + c->retried + c->failed;
}

static void describe(struct relay *r, int64_t now_ms)
{
	struct status *s = &r->status;
	const char *why =
		r->sender.link.is_up ? r->broker->driver->blocked(r->broker) : NULL;

	describe_work(s, &r->work);
	describe_parked(s, &r->work.parking);
	s->is_ending = r->phase != PHASE_RUNNING;
	s->database = side(&r->turns.link);
	s->broker = side(&r->sender.link);
	snprintf(s->block_reason, sizeof(s->block_reason), "%s", why ? why : "");
	s->blocked_since_ms = r->sender.blocked_since_ms;
	if (s->counts.failed != r->counts->failed)
		s->failed_count = report_latest(&r->report, s->failed);
	if (s->rows_in_hand == 0 || settled(r->counts) != settled(&s->counts))
		s->progress_at_ms = now_ms;
	s->counts = *r->counts;
	s->at_ms = now_ms;
}

static void put_up_status(struct relay *r)
{
	int64_t now_ms = clock_ms();

	if (!r->hooks->board || now_ms < r->status.at_ms + STATUS_EVERY_MS)
		return;
	describe(r, now_ms);
	status_put(r->hooks->board, &r->status);
}

static void put_up_last_status(struct relay *r)
{
	if (!r->hooks->board)
		return;
	describe(r, clock_ms());
	status_put_last(r->hooks->board, &r->status);
}

/* --- the loop --- */

static void keep_connected(struct relay *r)
{
	/* A signal that came already shall not keep a draining relay from its
	   database. */
	int watch = r->phase == PHASE_RUNNING ? stop_fd() : -1;

	int64_t until_ms = r->phase == PHASE_RUNNING ? CLOCK_NEVER : r->release_until_ms;

	if (r->phase != PHASE_RELEASING || r->work.count)
		turns_open(&r->turns, clock_wait_ms(until_ms, clock_ms()), watch);
	if (r->phase == PHASE_RUNNING)
		sender_open(&r->sender, watch);
}

static void begin_turn(struct relay *r)
{
	bool runs = r->phase == PHASE_RUNNING;
	bool release =
		r->phase == PHASE_RELEASING ||
		(!r->sender.link.is_up && r->sender.link.failures >= RELEASE_AFTER_TRIES);
	struct batch *batch = NULL;
	struct row *unnamed = runs ? sender_unnamed(&r->sender, &batch) : NULL;

	r->turns.is_stalled = sender_is_stalled(&r->sender);
	turns_begin(&r->turns, runs && sender_is_ready(&r->sender), release, batch,
		    unnamed);
}

static int64_t status_due_ms(const struct relay *r)
{
	const struct status *s = &r->status;
	bool is_old = s->database.is_up != r->turns.link.is_up ||
		      s->broker.is_up != r->sender.link.is_up ||
		      s->parked_count != r->work.parking.count ||
		      memcmp(&s->counts, r->counts, sizeof(s->counts)) != 0;

	return r->hooks->board && is_old ? s->at_ms + STATUS_EVERY_MS : CLOCK_NEVER;
}

static int64_t due_ms(const struct relay *r)
{
	int64_t due = clock_min(turns_due_ms(&r->turns), report_due_ms(&r->report));

	due = clock_min(due, status_due_ms(r));
	if (r->phase != PHASE_RELEASING)
		due = clock_min(due, sender_due_ms(&r->sender));
	if (r->phase == PHASE_DRAINING)
		due = clock_min(due, r->drain_until_ms);
	if (r->phase == PHASE_RELEASING)
		due = clock_min(due, r->release_until_ms);
	return clock_min(due, clock_ms() + TICK_MS);
}

static void wait_for_something(struct relay *r)
{
	const struct broker_driver *driver = r->broker->driver;
	struct pollfd p[] = {
		{.fd = stop_fd(), .events = POLLIN},
		{.fd = store_fd(r->store), .events = store_events(r->store)},
		{.fd = driver->fd(r->broker), .events = driver->events(r->broker)},
	};
	int64_t until_ms = due_ms(r);
	int in_flight = work_in_flight(&r->work);
	int64_t nap_ms =
		clock_min(in_flight / NAP_SHARE, clock_wait_ms(until_ms, clock_ms()));

	/* What is half written goes on as soon as there is room. */
	if (in_flight >= NAP_IN_FLIGHT && !((p[1].events | p[2].events) & POLLOUT))
		poll(p, 1, (int)nap_ms);
	poll(p, sizeof(p) / sizeof(p[0]), clock_wait_ms(until_ms, clock_ms()));
}

static enum relay_end how_it_ended(const struct relay *r)
{
	/* Claims in hand expire with their lease; a new relay adopts them. */
	if (r->work.count && r->end == RELAY_STOPPED)
		return RELAY_CUT_SHORT;
	return r->end;
}

enum relay_end relay_run(struct relay *r)
{
	while (!is_done(r)) {
		keep_connected(r);
		if (r->phase == PHASE_RUNNING)
			sender_publish(&r->sender);
		begin_turn(r);
		wait_for_something(r);
		sender_collect(&r->sender);
		turns_collect(&r->turns);
		sender_expire(&r->sender);
		report_say(&r->report, clock_ms(), false);
		watch_signals(r);
		advance_phase(r);
		put_up_status(r);
		r->hooks->tick(r->hooks->context);
	}
	FAILPOINT_IF(r->end == RELAY_STOPPED, released);
	FAILPOINT_IF(r->end == RELAY_RELOAD, reloading);
	report_say(&r->report, clock_ms(), true);
	put_up_last_status(r);
	return how_it_ended(r);
}
