#include "sender.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"

/* Receipts taken in one call: what a busy broker merges into a few acks. */
#define RECEIPTS_MAX 256

/* How often silence is looked for. Only lateness depends on it, not truth. */
#define EXPIRE_EVERY_MS 250

/* While there are rows that must go alone, one at a time, they and the others take turns of this
   length: a thousand of them take seconds, and new messages shall not wait for the last. */
#define TAKE_TURNS_MS 250

/* Of confirm_timeout: whoever looked away for so long (the process was stopped, a database took its
   time to say that it is not there) cannot say who was silent, nor since when a message has been on
   its way: it may have lain here. Time starts over for all of them. */
#define AWAY_SHARE 4

/* Of confirm_timeout: silence for so long, and a few other messages are sent to learn whose it
   is. Well before half of it, after which silence counts as the broker's. */
#define STALL_SHARE 8

/* Beyond max_in_flight, for those. */
#define STALL_ROOM 16

void sender_init(struct sender *s, const struct sender_settings *settings,
		 struct broker *broker, struct work *work, struct counts *counts)
{
	*s = (struct sender){.settings = *settings,
			     .broker = broker,
			     .work = work,
			     .counts = counts,
			     .expire_at_ms = CLOCK_NEVER,
			     .is_others_turn = true};
	link_init(&s->link, "broker");
}

static const struct broker_driver *driver(const struct sender *s)
{
	return s->broker->driver;
}

/* --- fates --- */

/* What last_error will say. The word in front is for the reader, and for SQL_FETCH. */
static const char *explain(char *out, size_t size, enum verdict verdict,
			   const char *reason)
{
	static const char *const words[VERDICT_COUNT] = {
		[VERDICT_RETURNED] = "returned: ",
		[VERDICT_REFUSED] = BATCH_REFUSED,
		[VERDICT_INVALID] = "invalid: ",
	};

	if (verdict == VERDICT_SENT)
		return NULL;
	snprintf(out, size, "%s%s", words[verdict] ? words[verdict] : "", reason);
	return out;
}

static void tell_parking(struct sender *s, const struct row *row, enum verdict verdict,
			 const char *reason)
{
	struct parking *p = &s->work->parking;

	if (verdict == VERDICT_SENT)
		parking_sent(p, &row->message);
	else if (verdict == VERDICT_RETURNED || verdict == VERDICT_NACKED ||
		 verdict == VERDICT_REFUSED || verdict == VERDICT_OVERDUE)
		s->counts->parked +=
			parking_refused(p, &row->message, verdict, reason, row->is_probe);
}

static void decide(struct sender *s, struct batch *b, struct row *row,
		   enum verdict verdict, const char *reason)
{
	/* Only delays are random: the common verdict must not pay for a system call. */
	uint32_t random = verdict == VERDICT_SENT ? 0 : backoff_random();
	char text[512];
	struct decision decision;
	enum policy_action action = policy_decide(&s->settings.policy, verdict,
						  row->try_count, random, &decision);

	s->counts->verdicts[verdict]++;
	row->verdict = verdict;
	if (verdict != VERDICT_SENT || row->has_history)
		row->latency_ms =
			row->state == ROW_IN_FLIGHT ? clock_ms() - row->published_ms : -1;
	if (action == POLICY_DECIDE) {
		batch_decide(b, row, decision,
			     explain(text, sizeof(text), verdict, reason));
		return;
	}
	s->counts->interrupted++;
	if (action == POLICY_ALONE)
		batch_set_alone(b, row);
	batch_set_state(b, row, ROW_WAITING);
}

/*
 * Rows in flight when a connection ends are in doubt. They are charged nothing and go
 * again; but a session that published and ended without a single receipt may have been
 * ended by one of them, so the next one publishes them one at a time, and a row that was
 * alone makes room for the others.
 */
static void doubt(struct sender *s, const char *why)
{
	bool was_fruitless = s->receipts == 0;

	for (int i = 0; i < s->work->count; i++) {
		struct batch *b = s->work->batches[i];

		for (int k = 0; k < b->count && b->in_state[ROW_IN_FLIGHT]; k++) {
			struct row *row = &b->rows[k];

			if (row->state != ROW_IN_FLIGHT)
				continue;
			decide(s, b, row, row->is_alone ? VERDICT_DEFERRED : VERDICT_NONE,
			       why);
			if (was_fruitless)
				batch_set_alone(b, row);
		}
	}
}

static void set_blocked(struct sender *s, bool is_blocked)
{
	int64_t now_ms = clock_ms();

	if (is_blocked)
		s->blocked_since_ms = now_ms;
	else if (s->is_blocked)
		s->counts->blocked_ms += (uint64_t)(now_ms - s->blocked_since_ms);
	s->is_blocked = is_blocked;
}

static void lost(struct sender *s, const struct error *err)
{
	doubt(s, err->text);
	driver(s)->close(s->broker);
	set_blocked(s, false);
	s->expire_at_ms = CLOCK_NEVER;
	link_down(&s->link, err);
}

/* --- the connection --- */

void sender_open(struct sender *s, int stop_fd)
{
	struct error err;

	if (!link_is_due(&s->link, clock_ms()))
		return;
	if (driver(s)->open(s->broker, s->settings.connect_timeout_ms, stop_fd, &err) <
	    0) {
		driver(s)->close(s->broker);
		if (err.kind != ERROR_STOPPED)
			link_down(&s->link, &err);
		return;
	}
	s->receipts = 0;
	s->counts->connects++;
	link_up(&s->link, driver(s)->peer(s->broker));
}

void sender_close(struct sender *s)
{
	for (int i = 0; i < s->work->count; i++) {
		struct batch *b = s->work->batches[i];

		s->counts->interrupted += (uint64_t)b->in_state[ROW_IN_FLIGHT];
		batch_move_all(b, ROW_IN_FLIGHT, ROW_WAITING);
	}
	driver(s)->close(s->broker);
	s->link.is_up = false;
	s->link.retry_at_ms = CLOCK_NEVER;
	s->expire_at_ms = CLOCK_NEVER;
}

bool sender_is_ready(const struct sender *s)
{
	return s->link.is_up && !s->is_blocked;
}

static void watch_blocked(struct sender *s)
{
	const char *why = driver(s)->blocked(s->broker);

	if ((why != NULL) == s->is_blocked)
		return;
	set_blocked(s, why != NULL);
	if (why) {
		log_warn("broker blocks publishing", LOG_STR("reason", why));
		return;
	}
	s->silent_from_ms = clock_ms();
	log_info("broker takes messages again");
}

/* --- publishing --- */

static bool must_be_named(const struct batch *b, const struct row *row)
{
	return b->is_adopted && b->publishing_id != row->id;
}

bool sender_is_stalled(const struct sender *s)
{
	int64_t patience_ms = s->settings.confirm_timeout_ms / STALL_SHARE;
	int64_t now_ms = clock_ms();

	return sender_is_ready(s) && work_in_flight(s->work) > 0 &&
	       now_ms - s->answered_at_ms > patience_ms &&
	       now_ms - s->published_at_ms > patience_ms;
}

static bool is_others_turn(struct sender *s)
{
	int64_t now_ms;

	if (!work_has_alone(s->work)) {
		s->is_named_next = false;
		s->is_others_turn = true; /* so that the first turn is not theirs */
		s->turn_ends_at_ms = 0;
		return true;
	}
	if (s->is_named_next || !work_has_others(s->work))
		return false;
	now_ms = clock_ms();
	if (now_ms >= s->turn_ends_at_ms) {
		s->is_others_turn = !s->is_others_turn;
		s->turn_ends_at_ms = now_ms + TAKE_TURNS_MS;
	}
	return s->is_others_turn;
}

static struct row *next_in_turn(struct sender *s, struct batch **batch)
{
	/* One that gets no answer is not worth everybody's wait; but while its claim names it,
	   it must be alone. */
	if (s->is_alone_out && (work_in_flight(s->work) == 0 ||
				(sender_is_stalled(s) && !work_has_name(s->work))))
		s->is_alone_out = false;
	if (s->is_alone_out)
		return NULL;
	return is_others_turn(s) ? work_next_other(s->work, batch)
				 : work_next_alone(s->work, batch);
}

/* Rows for a parked destination are let go on the way. */
static struct row *next_row(struct sender *s, struct batch **batch)
{
	struct row *row;

	while ((row = next_in_turn(s, batch)) && !row->is_probe &&
	       parking_holds(&s->work->parking, &row->message))
		batch_let_go(*batch, row);
	return row;
}

struct row *sender_unnamed(struct sender *s, struct batch **batch)
{
	struct row *row = sender_is_ready(s) ? next_row(s, batch) : NULL;

	if (!row || !must_be_named(*batch, row))
		return NULL;
	/* Were others published first, it would be blamed for what they do. */
	s->is_named_next = true;
	return row;
}

static void in_flight(struct sender *s, struct batch *b, struct row *row, int64_t now_ms)
{
	row->published_ms = s->published_at_ms = now_ms;
	row->sequence = ++s->sequence;
	s->counts->published++;
	s->is_alone_out = row->is_alone;
	s->is_named_next = false;
	batch_set_state(b, row, ROW_IN_FLIGHT);
	if (s->expire_at_ms == CLOCK_NEVER)
		s->expire_at_ms = row->published_ms + EXPIRE_EVERY_MS;
}

/* The store had no memory for it; others had. */
static void defer_size(struct sender *s, struct batch *b, struct row *row)
{
	char reason[128];

	snprintf(reason, sizeof(reason),
		 "not fetched: there is no memory for a payload of %lld bytes",
		 (long long)row->body_size);
	decide(s, b, row, VERDICT_DEFERRED, reason);
}

static void refuse_size(struct sender *s, struct batch *b, struct row *row)
{
	char reason[128];

	snprintf(reason, sizeof(reason),
		 "payload of %lld bytes is over relay.max_message_bytes (%lld)",
		 (long long)row->body_size, (long long)s->settings.max_message_bytes);
	decide(s, b, row, VERDICT_INVALID, reason);
}

/* True when the next row may follow at once. */
static bool publish_row(struct sender *s, struct batch *b, struct row *row,
			int64_t now_ms)
{
	struct error err;

	if (!row->message.body.data) {
		if (row->body_size > s->settings.max_message_bytes)
			refuse_size(s, b, row);
		else
			defer_size(s, b, row);
		return true;
	}
	FAILPOINT(before_publish);
	switch (driver(s)->publish(s->broker, work_tag(b, row), &row->message, &err)) {
	case PUBLISH_OK:
		FAILPOINT(published);
		in_flight(s, b, row, now_ms);
		return true;
	case PUBLISH_INVALID:
		decide(s, b, row, VERDICT_INVALID, err.text);
		return true;
	case PUBLISH_LOST:
		lost(s, &err);
		return false;
	case PUBLISH_FULL:
		break;
	}
	return false;
}

void sender_publish(struct sender *s)
{
	int64_t now_ms = clock_ms();
	int room = s->settings.max_in_flight - work_in_flight(s->work);
	bool is_stalled = sender_is_stalled(s);
	struct batch *b;
	struct row *row;

	if (is_stalled && room < STALL_ROOM)
		room = STALL_ROOM;
	while (sender_is_ready(s) && room-- > 0) {
		row = next_row(s, &b);
		if (!row || must_be_named(b, row) ||
		    now_ms >= b->lease_deadline_ms - s->settings.lease_margin_ms)
			return;
		if (!publish_row(s, b, row, now_ms))
			return;
	}
}

/* --- receipts --- */

static void time_confirm(struct sender *s, const struct row *row, int64_t now_ms)
{
	histogram_add(&s->counts->confirm_ms, now_ms - row->published_ms);
	if (row->due_ms && row->try_count == 0)
		histogram_add(&s->counts->delivery_ms, now_ms - row->due_ms);
}

static void take_receipt(struct sender *s, const struct receipt *receipt, int64_t now_ms)
{
	struct batch *b;
	struct row *row = work_find(s->work, receipt->tag, &b);

	s->receipts++;
	if (!row || row->state != ROW_IN_FLIGHT)
		return; /* given up on before */
	if (receipt->verdict != VERDICT_UNCLEAR) {
		s->answered_at_ms = now_ms;
		if (row->sequence > s->answered_sequence)
			s->answered_sequence = row->sequence;
	}
	if (!b->first_receipt_ms)
		b->first_receipt_ms = now_ms;
	b->last_receipt_ms = now_ms;
	if (receipt->verdict == VERDICT_SENT)
		time_confirm(s, row, now_ms);
	tell_parking(s, row, receipt->verdict, receipt->reason);
	decide(s, b, row, receipt->verdict, receipt->reason);
	FAILPOINT(receipt_taken);
}

void sender_collect(struct sender *s)
{
	struct receipt receipts[RECEIPTS_MAX];
	struct error err;
	int64_t now_ms;
	int n;

	if (!s->link.is_up)
		return;
	do {
		n = driver(s)->collect(s->broker, receipts, RECEIPTS_MAX, &err);
		now_ms = clock_ms();
		for (int i = 0; i < n; i++)
			take_receipt(s, &receipts[i], now_ms);
	} while (n == RECEIPTS_MAX);
	if (n < 0)
		lost(s, &err);
	else
		watch_blocked(s);
}

/* --- silence --- */

static bool is_overdue(const struct sender *s, const struct row *row, int64_t now_ms)
{
	int64_t since_ms = row->published_ms > s->silent_from_ms ? row->published_ms
								 : s->silent_from_ms;

	return row->state == ROW_IN_FLIGHT &&
	       now_ms - since_ms > s->settings.confirm_timeout_ms;
}

/*
 * Later messages were confirmed and this one was not: that is about the row, as long as the
 * broker still confirms anything. One that fell silent after it had confirmed some is an outage,
 * which charges nobody.
 */
static bool is_passed_over(const struct sender *s, const struct row *row, int64_t now_ms)
{
	return s->answered_sequence > row->sequence &&
	       now_ms - s->answered_at_ms <= s->settings.confirm_timeout_ms / 2;
}

static void give_up(struct sender *s, struct batch *b, struct row *row)
{
	char reason[96];

	snprintf(reason, sizeof(reason),
		 "no confirm within %lld ms, though later messages were confirmed",
		 (long long)s->settings.confirm_timeout_ms);
	driver(s)->forget(s->broker, work_tag(b, row));
	tell_parking(s, row, VERDICT_OVERDUE, reason);
	decide(s, b, row, VERDICT_OVERDUE, reason);
}

void sender_expire(struct sender *s)
{
	int64_t now_ms = clock_ms();
	bool silent = false;
	struct error err;

	if (now_ms < s->expire_at_ms)
		return;
	if (now_ms - s->expire_at_ms > s->settings.confirm_timeout_ms / AWAY_SHARE)
		s->silent_from_ms = now_ms;
	s->expire_at_ms =
		work_in_flight(s->work) ? now_ms + EXPIRE_EVERY_MS : CLOCK_NEVER;
	if (s->is_blocked)
		return;
	for (int i = 0; i < s->work->count; i++) {
		struct batch *b = s->work->batches[i];

		for (int k = 0; k < b->count; k++) {
			if (!is_overdue(s, &b->rows[k], now_ms))
				continue;
			if (is_passed_over(s, &b->rows[k], now_ms))
				give_up(s, b, &b->rows[k]);
			else
				silent = true;
		}
	}
	if (!silent)
		return;
	error_set(&err, ERROR_TIMEOUT, "no confirm for any message within %lld ms",
		  (long long)s->settings.confirm_timeout_ms);
	lost(s, &err);
}

int64_t sender_due_ms(const struct sender *s)
{
	if (!s->link.is_up)
		return s->link.retry_at_ms;
	return clock_min(s->expire_at_ms, driver(s)->due_ms(s->broker));
}
