#include "turns.h"

#include <string.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"

/* Batches with rows still to be published or heard of: one at the broker, one behind it,
   and one on its way from the database, so that neither side waits for the other. */
#define OPEN_BATCHES_MAX 3
#define BATCHES_MAX      4

/* In a stall, so many rows at a time beyond that: they may be for the stuck queue, too. */
#define STALL_CLAIM 32

/* Dead relays are looked for at least this often while there is work. */
#define ADOPT_EVERY_MS 5000

/* Rows of transactions that began before the low-water mark and committed after it are
   found by reading from the beginning, this often under load and always before sleeping.
 */
#define FULL_READ_EVERY_MS 1000

/* Reading from the beginning passes every row that is left alone (a million of them, perhaps) and
   every dead index entry. When it takes longer than this, that is done for a small share of the
   time only. */
#define FULL_READ_CHEAP_MS     200
#define FULL_READ_SHARE        20
#define FULL_READ_PAUSE_MAX_MS 60000

/* When the bell cannot be had, or rings for nothing: look again after 1, 2, 4 … ms. */
#define PAUSE_MAX_MS 25
#define PAUSES_MAX   8
#define SHORT_PAUSES 3

/* Rows that somebody else has locked are tried again this often. */
#define CAREFUL_EVERY_MS 1000

/* Of the lease, while another relay's claim names a row: how often to look, and for an owner that
   has lost its session, to try to come back. Answers twice as far apart are a gap. */
#define WATCH_SHARE 4

/* Asleep on a bell that another relay holds. */
#define SHARED_SLEEP_MAX_MS 1000

void turns_init(struct turns *t, const struct turns_settings *settings,
		struct store *store, struct work *work, struct counts *counts,
		struct report *report)
{
	*t = (struct turns){.settings = *settings,
			    .store = store,
			    .work = work,
			    .counts = counts,
			    .report = report};
	batch_size_init(&t->batch_size, settings->batch_size);
	link_init(&t->link, "database");
}

/* --- the session --- */

/*
 * Somebody else owns these rows now: what is in flight cannot be called back, the rest is
 * not published. The batch ends when its last receipt is in; settling it will change
 * nothing.
 */
static void give_up_batch(struct batch *b)
{
	b->is_lost = true;
	batch_move_all(b, ROW_WAITING, ROW_SETTLED);
}

/* Somebody holds a lock on one of their rows, perhaps; being careful is right in any case. */
static void be_careful(struct store_turn *turn)
{
	for (int i = 0; i < turn->settle_count; i++)
		turn->settle[i]->is_careful = true;
	if (turn->name)
		turn->name->is_careful = true;
}

/* --- the watch --- */

static int64_t watch_ms(const struct turns *t)
{
	return t->settings.lease_ms / WATCH_SHARE;
}

/*
 * Who adopts a claim that names a row charges the row for its owner's death. But a lease runs out in
 * any outage that is longer, and then its owner lives and shall come back first: such a claim is
 * left alone until the database has answered for a whole lease, without a gap. (It need not be this
 * relay's session that breaks: a pooler keeps it, and so does a network that swallows for a while.)
 */
static bool has_watched(const struct turns *t)
{
	int64_t now_ms = clock_ms();

	return now_ms - t->answered_at_ms <= watch_ms(t) * 2 &&
	       now_ms - t->watched_since_ms >= t->settings.lease_ms;
}

static void watch_anew(struct turns *t)
{
	t->answered_at_ms = t->watched_since_ms = clock_ms();
}

static void watch_on(struct turns *t)
{
	if (clock_ms() - t->answered_at_ms > watch_ms(t) * 2)
		watch_anew(t);
	t->answered_at_ms = clock_ms();
}

static void went_down(struct turns *t, const struct error *err)
{
	link_down(&t->link, err);
	if (work_has_name(t->work))
		t->link.retry_at_ms =
			clock_min(t->link.retry_at_ms, clock_ms() + watch_ms(t));
}

static void lost(struct turns *t, const struct error *err)
{
	store_close(t->store);
	t->has_bell = false;
	went_down(t, err);
}

void turns_open(struct turns *t, int timeout_ms, int stop_fd)
{
	bool gone[WORK_BATCHES_MAX] = {false};
	struct error err;

	if (!link_is_due(&t->link, clock_ms()))
		return;
	if (store_open(t->store, t->work->batches, t->work->count, gone, timeout_ms,
		       stop_fd, &err) < 0) {
		if (err.kind != ERROR_STOPPED)
			went_down(t, &err);
		return;
	}
	watch_anew(t);
	link_up(&t->link, store_peer(t->store));
	for (int i = 0; i < t->work->count; i++) {
		struct batch *b = t->work->batches[i];

		b->is_settling = false;
		if (gone[i])
			give_up_batch(b);
	}
	FAILPOINT_IF(t->work->count, taken_over);
	t->counts->connects++;
	t->appetite = APPETITE_AWAKE;
	t->full_read = true;
	t->adopt_at_ms = 0;
	t->pauses = 0;
}

void turns_close(struct turns *t)
{
	store_close(t->store);
	t->link.is_up = false;
	t->has_bell = false;
}

/* --- planning --- */

/* From batches without trouble: one row that gets no confirm tells nothing of the others. */
static void learn(struct turns *t, struct batch *b, int64_t now_ms)
{
	bool is_plain = b->claimed_ms > 0;

	for (int i = 0; i < b->count && is_plain; i++)
		is_plain = b->rows[i].decision.fate == FATE_SENT;
	if (is_plain)
		batch_size_learn(&t->batch_size, b->count, now_ms - b->claimed_ms);
	b->claimed_ms = 0;
}

static void plan_settle(struct turns *t, bool release, int64_t now_ms)
{
	struct store_turn *turn = &t->turn;

	for (int i = 0; i < t->work->count; i++) {
		struct batch *b = t->work->batches[i];

		if (b->is_careful && now_ms < b->settle_at_ms)
			continue;
		if (batch_open_rows(b) == 0)
			learn(t, b, now_ms);
		if (batch_open_rows(b) == 0 || release)
			turn->settle[turn->settle_count++] = b;
	}
}

static bool is_done(const struct batch *b, int64_t id)
{
	for (int i = 0; i < b->count; i++) {
		if (b->rows[i].id == id)
			return b->rows[i].state >= ROW_DECIDED;
	}
	return false;
}

/* A claim that still names a row whose fate is known, while others have their turn, would have it
   blamed for a death that is none of its business. */
static void plan_unname(struct turns *t)
{
	for (int i = 0; i < t->work->count; i++) {
		struct batch *b = t->work->batches[i];

		if (batch_open_rows(b) && b->publishing_id &&
		    (t->is_stalled || is_done(b, b->publishing_id)))
			t->turn.name = b;
	}
}

static void plan_renew(struct turns *t, int64_t now_ms)
{
	for (int i = 0; i < t->work->count; i++) {
		int64_t left_ms = t->work->batches[i]->lease_deadline_ms - now_ms;

		if (left_ms <= t->settings.lease_ms * 2 / 3)
			t->turn.renew = true;
	}
}

/* What is about to be settled makes room, but for batches that may have to stay. */
static int leaving(const struct store_turn *turn)
{
	int count = 0;

	for (int i = 0; i < turn->settle_count; i++)
		count += !turn->settle[i]->is_careful;
	return count;
}

/* Batches whose rows go alone are in hand for long: beside them there is room for one more. */
static bool has_room(const struct turns *t, int leave)
{
	int open = OPEN_BATCHES_MAX + work_has_alone(t->work);

	if (t->is_stalled)
		return t->work->count - leave < WORK_BATCHES_MAX;
	return t->work->count - leave < BATCHES_MAX && work_open_batches(t->work) < open;
}

static void plan_probe(struct turns *t)
{
	struct store_turn *turn = &t->turn;

	/* What goes alone comes one batch at a time, and leaves the others their room. */
	if (work_has_alone(t->work) || !parking_next_probe(&t->work->parking, &t->probe))
		return;
	turn->probe = &t->probe.destination;
	turn->probe_newest = t->probe.is_newest;
	turn->probe_attempts = t->settings.policy.max_attempts - 1;
}

static void plan_claim(struct turns *t, int64_t now_ms)
{
	struct store_turn *turn = &t->turn;

	turn->around = parking_list(&t->work->parking);
	turn->around_count = t->work->parking.count;

	if (t->appetite == APPETITE_ASLEEP && now_ms >= t->sleep_until_ms) {
		t->appetite = t->expects_rows ? APPETITE_AWAKE : APPETITE_DROWSY;
		if (t->has_bell) /* a whole sleep without a ring */
			t->pauses = 0;
	}
	/* With nothing to claim, the peek of each poll tells. */
	if (t->appetite == APPETITE_AWAKE && now_ms >= t->adopt_at_ms &&
	    !work_has_alone(t->work)) {
		turn->adopt = true;
		turn->with_named = has_watched(t);
		return;
	}
	if (t->appetite == APPETITE_AWAKE) {
		turn->claim_limit = t->batch_size.rows;
		if (t->is_stalled && turn->claim_limit > STALL_CLAIM)
			turn->claim_limit = STALL_CLAIM;
		turn->full_read = t->full_read || now_ms >= t->full_read_at_ms;
	} else if (t->appetite == APPETITE_DROWSY &&
		   !(t->settings.until_empty && t->work->count)) {
		turn->peek = true;
		turn->with_named = has_watched(t);
		turn->full_read = now_ms >= t->full_peek_at_ms || t->asks_parked;
		if (t->asks_parked)
			turn->around_count = 0;
		turn->sleep = t->settings.wants_bell;
	}
}

/* Writers shall not ring for a relay that is awake, or could not send anyway. */
static void plan_wake(struct turns *t)
{
	if (!t->may_claim)
		t->appetite = APPETITE_AWAKE;
	if (t->appetite != APPETITE_AWAKE)
		return;
	t->has_bell = false;
	t->turn.wake = store_has_bell(t->store);
}

static bool has_anything(const struct store_turn *turn)
{
	return turn->settle_count || turn->name || turn->renew || turn->adopt ||
	       turn->claim_limit || turn->probe || turn->peek || turn->wake;
}

/* Rows that were passed by lie before the low-water mark. */
static void look_for_resumed(struct turns *t)
{
	if (t->resumed == t->work->parking.resumed)
		return;
	t->resumed = t->work->parking.resumed;
	t->appetite = APPETITE_AWAKE;
	t->full_read = true;
}

void turns_begin(struct turns *t, bool may_claim, bool release,
		 struct batch *unnamed_batch, const struct row *unnamed)
{
	int64_t now_ms = clock_ms();

	if (!t->link.is_up || store_turn_is_busy(t->store))
		return;
	t->turn = (struct store_turn){0};
	t->may_claim = may_claim && !release;
	plan_settle(t, release, now_ms);
	if (unnamed && !release) {
		t->turn.name = unnamed_batch;
		t->turn.publishing_id = unnamed->id;
	} else if (!release) {
		plan_unname(t);
	}
	plan_renew(t, now_ms);
	look_for_resumed(t);
	if (t->may_claim && has_room(t, leaving(&t->turn)))
		plan_probe(t);
	if (t->may_claim && has_room(t, leaving(&t->turn)) && !t->turn.probe)
		plan_claim(t, now_ms);
	plan_wake(t);
	if (!has_anything(&t->turn))
		return;
	t->turn_began_ms = now_ms;
	FAILPOINT_IF(t->turn.settle_count, before_settle);
	FAILPOINT_IF(t->turn.name, before_name);
	FAILPOINT_IF(t->turn.renew, before_renew);
	FAILPOINT_IF(t->turn.adopt, before_adopt);
	FAILPOINT_IF(t->turn.claim_limit, before_claim);
	FAILPOINT_IF(t->turn.probe, before_probe);
	FAILPOINT_IF(t->turn.sleep, before_bell);
	store_turn_begin(t->store, &t->turn);
	FAILPOINT_IF(release && t->turn.settle_count, release_sent);
}

/* --- answers --- */

static void claim_lost(struct turns *t, const struct batch *b)
{
	t->counts->claims_lost++;
	log_warn("claim lost", LOG_INT("claim_id", b->claim_id),
		 LOG_INT("rows", b->count),
		 LOG_STR("reason", "settled before the connection broke, or adopted"));
}

/* The rows whose settlement just came in; a batch settled before has them SETTLED
 * already. */
static void count_settled(struct turns *t, struct batch *b)
{
	for (int i = 0; i < b->count; i++) {
		struct row *row = &b->rows[i];

		if (row->state != ROW_SETTLED || row->is_counted)
			continue;
		row->is_counted = true;
		if (row->decision.fate == FATE_SENT)
			t->counts->sent++;
		else if (row->decision.fate == FATE_FAILED)
			t->counts->failed++;
		else
			t->counts->retried++;
		if (row->decision.fate != FATE_SENT)
			report_settled(t->report, row);
	}
}

/* Round the locked rows it went; the rest later, and then the claim. */
static void stay_careful(struct batch *b)
{
	if (b->in_state[ROW_DECIDED] && !b->settle_at_ms)
		log_warn("rows locked by another session",
			 LOG_INT("rows", b->in_state[ROW_DECIDED]),
			 LOG_INT("claim_id", b->claim_id));
	b->is_careful = b->in_state[ROW_DECIDED] > 0;
	b->settle_at_ms = clock_ms() + CAREFUL_EVERY_MS;
}

static void take_settled_batch(struct turns *t, struct batch *b, bool is_ours,
			       bool closed)
{
	/* The broker still borrows what is in flight; the batch ends when that has its receipts. */
	if (!is_ours && b->in_state[ROW_IN_FLIGHT]) {
		give_up_batch(b);
		return;
	}
	if (!is_ours) {
		claim_lost(t, b);
		work_remove(t->work, b);
		return;
	}
	count_settled(t, b);
	if (b->is_careful)
		stay_careful(b);
	else if (closed)
		work_remove(t->work, b);
}

static void take_settled(struct turns *t)
{
	struct store_turn *turn = &t->turn;

	for (int i = 0; i < turn->settle_count; i++)
		take_settled_batch(t, turn->settle[i], turn->settled[i], true);
	if (turn->name)
		take_settled_batch(t, turn->name, turn->named, false);
}

static bool is_renewed(const struct store_turn *turn, int64_t claim_id)
{
	for (int i = 0; i < turn->renewed_count; i++) {
		if (turn->renewed[i] == claim_id)
			return true;
	}
	return false;
}

static void take_renewed(struct turns *t)
{
	for (int i = 0; i < t->work->count; i++) {
		struct batch *b = t->work->batches[i];

		b->lease_deadline_ms = t->turn_began_ms + t->settings.lease_ms;
		if (!is_renewed(&t->turn, b->claim_id))
			give_up_batch(b);
	}
}

static void fall_asleep(struct turns *t, int64_t until_ms, bool has_bell)
{
	t->appetite = APPETITE_ASLEEP;
	t->sleep_until_ms = until_ms;
	t->has_bell = has_bell;
	t->expects_rows = false;
}

static void pause_shortly(struct turns *t)
{
	int64_t pause_ms = 1 << t->pauses;

	if (t->pauses < PAUSES_MAX)
		t->pauses++;
	fall_asleep(t, clock_ms() + clock_min(pause_ms, PAUSE_MAX_MS), false);
}

/* How long reading from the beginning is to be left off, after this turn did so. */
static int64_t full_read_pause_ms(const struct turns *t)
{
	int64_t took_ms = clock_ms() - t->turn_began_ms;

	if (took_ms <= FULL_READ_CHEAP_MS)
		return 0;
	return clock_min(took_ms * FULL_READ_SHARE, FULL_READ_PAUSE_MAX_MS);
}

static void take_claimed(struct turns *t)
{
	struct store_turn *turn = &t->turn;
	bool has_more = turn->claimed && (turn->due >= turn->claim_limit ||
					  turn->due > turn->claimed->count);

	if (turn->full_read) {
		t->full_read = false;
		t->full_read_at_ms =
			clock_ms() + FULL_READ_EVERY_MS + full_read_pause_ms(t);
	}
	if (turn->claimed) {
		t->counts->claimed += (uint64_t)turn->claimed->count;
		histogram_add(&t->counts->batch_rows, turn->claimed->count);
		turn->claimed->claimed_ms = t->turn_began_ms;
		work_add(t->work, turn->claimed);
		t->pauses = 0;
	}
	/* Rung for nothing: rows for later, or another relay was faster. Writers shall
	   not pay for a NOTIFY each time, so stay off the bell for a moment. */
	if (!turn->claimed && t->was_rung)
		pause_shortly(t);
	else
		t->appetite = has_more ? APPETITE_AWAKE : APPETITE_DROWSY;
	t->was_rung = false;
}

static void take_probe(struct turns *t)
{
	struct batch *b = t->turn.claimed;

	if (!b)
		return; /* nothing is due there */
	for (int i = 0; i < b->count; i++) {
		b->rows[i].is_probe = true;
		if (t->probe.goes_alone)
			batch_set_alone(b, &b->rows[i]);
	}
	t->counts->claimed += (uint64_t)b->count;
	work_add(t->work, b);
}

/* The row that the dead owner was publishing alone is charged for its death. */
static void blame_named(struct turns *t, struct batch *b)
{
	struct decision decision;

	for (int i = 0; i < b->count; i++) {
		struct row *row = &b->rows[i];

		if (row->id != b->publishing_id)
			continue;
		t->counts->verdicts[VERDICT_CRASHED]++;
		policy_decide(&t->settings.policy, VERDICT_CRASHED, row->try_count,
			      backoff_random(), &decision);
		batch_decide(b, row, decision,
			     "a relay died while publishing this message alone");
	}
}

/*
 * A claim of ours can come back to us: its lease ran out unnoticed, another relay adopted it and
 * died. The batch that we still have of it must not pass for the adopted one.
 */
static void disown(struct turns *t, int64_t claim_id)
{
	for (int i = 0; i < t->work->count; i++) {
		struct batch *b = t->work->batches[i];

		if (b->claim_id != claim_id)
			continue;
		give_up_batch(b);
		b->claim_id = 0;
	}
}

static void take_adopted(struct turns *t)
{
	struct batch *b = t->turn.claimed;

	if (!b) {
		t->adopt_at_ms = clock_ms() + ADOPT_EVERY_MS;
		return;
	}
	log_warn("claim adopted from a dead relay", LOG_INT("claim_id", b->claim_id),
		 LOG_INT("rows", b->count), LOG_INT("was_publishing", b->publishing_id));
	t->counts->claims_adopted++;
	t->counts->claimed += (uint64_t)b->count;
	disown(t, b->claim_id);
	blame_named(t, b);
	work_add(t->work, b);
}

/* Before a run ends because nothing is due: not even for a parked destination? */
static bool asks_for_parked(struct turns *t)
{
	t->asks_parked =
		t->settings.until_empty && t->work->parking.count && t->work->count == 0;
	return t->asks_parked;
}

static void take_last_look(struct turns *t)
{
	t->asks_parked = false;
	t->has_parked = t->turn.next_due_ms == 0;
	t->is_empty = true;
}

static void take_peek(struct turns *t)
{
	const struct store_turn *turn = &t->turn;
	int64_t now_ms = clock_ms();
	int64_t until_ms = now_ms + t->settings.poll_interval_ms;
	bool adopts = turn->has_dead && !work_has_alone(t->work);

	if (turn->full_read)
		t->full_peek_at_ms = now_ms + full_read_pause_ms(t);
	if (turn->has_dead)
		t->adopt_at_ms = 0;
	if (adopts || turn->next_due_ms == 0) {
		t->appetite = APPETITE_AWAKE;
		t->full_read = t->full_read || turn->full_read;
		return;
	}
	if (turn->named_left_ms != 0 && asks_for_parked(t))
		return;
	t->is_empty = t->work->count == 0 && turn->named_left_ms != 0;
	if (turn->bell == STORE_BELL_WRITERS) {
		pause_shortly(t);
		/* Their rows come soon, and looking first would be a round trip more. But a
		   transaction that goes on for long is looked at: that takes no lock. */
		t->expects_rows = t->pauses <= SHORT_PAUSES;
		return;
	}
	/* Its owner may die, and then nobody rings. */
	if (turn->bell == STORE_BELL_SHARED)
		until_ms = clock_min(until_ms, now_ms + SHARED_SLEEP_MAX_MS);
	if (turn->next_due_ms > 0)
		until_ms = clock_min(until_ms, now_ms + turn->next_due_ms);
	if (turn->named_left_ms >= 0)
		until_ms = clock_min(until_ms, now_ms + watch_ms(t));
	/* It may have passed by what was committed late, and nobody rings twice. */
	if (!turn->full_read)
		until_ms = clock_min(until_ms, t->full_peek_at_ms);
	fall_asleep(t, until_ms, turn->bell != STORE_BELL_NONE);
}

static void take_answers(struct turns *t)
{
	FAILPOINT_IF(t->turn.settle_count, settled);
	FAILPOINT_IF(t->turn.name, named);
	FAILPOINT_IF(t->turn.renew, renewed);
	FAILPOINT_IF(t->turn.adopt && t->turn.claimed, adopted);
	FAILPOINT_IF(t->turn.claim_limit && t->turn.claimed, claimed);
	FAILPOINT_IF(t->turn.probe && t->turn.claimed, probed);
	FAILPOINT_IF(t->turn.sleep && t->turn.bell == STORE_BELL_TAKEN, bell_taken);
	take_settled(t);
	if (t->turn.renew)
		take_renewed(t);
	if (t->turn.adopt)
		take_adopted(t);
	if (t->turn.claim_limit)
		take_claimed(t);
	if (t->turn.probe)
		take_probe(t);
	if (t->turn.peek && t->asks_parked)
		take_last_look(t);
	else if (t->turn.peek)
		take_peek(t);
}

static void listen(struct turns *t)
{
	struct error err;
	int rc = store_listen(t->store, &err);

	if (rc < 0) {
		lost(t, &err);
		return;
	}
	/* A ring that comes while we are awake was for what we are about to see
	   anyway. */
	if (rc > 0 && t->has_bell) {
		t->has_bell = false;
		t->appetite = APPETITE_AWAKE;
		t->was_rung = true;
		FAILPOINT(rung);
	}
}

void turns_collect(struct turns *t)
{
	struct error err;
	int rc;

	if (!t->link.is_up)
		return;
	if (store_turn_is_busy(t->store)) {
		rc = store_turn_poll(t->store, &err);
		if (rc < 0 && err.kind == ERROR_TIMEOUT)
			be_careful(&t->turn);
		if (rc < 0)
			lost(t, &err);
		if (rc <= 0)
			return;
		watch_on(t);
		take_answers(t);
	}
	listen(t);
}

int64_t turns_due_ms(const struct turns *t)
{
	int64_t due_ms = CLOCK_NEVER;

	if (!t->link.is_up)
		return t->link.retry_at_ms;
	if (store_turn_is_busy(t->store))
		return store_deadline_ms(t->store);
	for (int i = 0; i < t->work->count; i++) {
		const struct batch *b = t->work->batches[i];

		due_ms = clock_min(due_ms,
				   b->lease_deadline_ms - t->settings.lease_ms * 2 / 3);
		if (b->is_careful && batch_open_rows(b) == 0)
			due_ms = clock_min(due_ms, b->settle_at_ms);
	}
	if (!t->may_claim || !has_room(t, 0))
		return due_ms;
	if (t->appetite == APPETITE_ASLEEP)
		due_ms = clock_min(due_ms, t->sleep_until_ms);
	if (!work_has_alone(t->work))
		due_ms = clock_min(due_ms, parking_due_ms(&t->work->parking));
	return due_ms;
}
