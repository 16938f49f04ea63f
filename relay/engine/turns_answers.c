#include "turns_private.h"

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"

/* Dead relays are looked for at least this often while there is work. The first look shortens the
   leases, a later one adopts. */
#define ADOPT_EVERY_MS 2000

/* Rows of transactions that began before the low-water mark and committed after it are
   found by looking back, this often under load and always before sleeping. */
#define LOOK_BACK_EVERY_MS 1000

/* Looking back passes every row that is left alone (a million of them, perhaps) and every dead index
   entry, which stay while somebody pins the vacuum horizon. When it takes longer than this, that is
   done for a small share of the time only. */
#define LOOK_BACK_CHEAP_US     500
#define LOOK_BACK_SHARE        20
#define LOOK_BACK_PAUSE_MAX_MS 60000

/* When that had to be done in pieces and found nothing, and nothing has rung since, neither will the
   next. */
#define LOOK_BACK_REST_MS 10000

/* A claim of so many rows tells that they keep coming: the next one follows without a look and
   without the bell, which would cost a round trip and the writers a NOTIFY. */
#define BUSY_CLAIM 16

/*
 * Rows that come one by one are claimed without giving the bell back: who holds it needs no look
 * before going on to sleep, since whatever the claim did not see rings. That is one turn a row
 * instead of two (at 500/s the backend took 10 % less processor), for a NOTIFY of each writer. When
 * more come they would pay too much for it. Rings tell nothing of rows that are scheduled ahead,
 * nor does a claim from the low-water mark of rows that were committed late, so a look follows all
 * the same, this long after the last one.
 */
#define TRICKLE_ROWS    2
#define TRICKLE_LOOK_MS 50

/* When the bell cannot be had, or rings for nothing: look again after 1, 2, 4 … ms. */
#define PAUSE_MAX_MS 25
#define PAUSES_MAX   8
#define SHORT_PAUSES 3

/* Rows that somebody else has locked are tried again this often. */
#define CAREFUL_EVERY_MS 1000

/* Asleep on a bell that another relay holds. */
#define SHARED_SLEEP_MAX_MS 1000

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
	if (!is_ours) {
		turns_lose_claim(t, b);
		turns_give_up_batch(b);
		if (!b->in_state[ROW_IN_FLIGHT])
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
			turns_give_up_batch(b);
	}
}

static void fall_asleep(struct turns *t, int64_t until_ms, bool has_bell)
{
	t->appetite = APPETITE_ASLEEP;
	t->sleep_until_ms = until_ms;
	t->has_bell = has_bell;
	t->expects_rows = false;
}

/* As the last look left it. */
static void sleep_on(struct turns *t)
{
	fall_asleep(t, clock_min(t->sleep_until_ms, t->looked_at_ms + TRICKLE_LOOK_MS),
		    true);
}

static void pause_shortly(struct turns *t)
{
	int64_t pause_ms = 1 << t->pauses;

	if (t->pauses < PAUSES_MAX)
		t->pauses++;
	fall_asleep(t, clock_ms() + clock_min(pause_ms, PAUSE_MAX_MS), false);
}

static void put_off_looks_back(struct turns *t)
{
	int64_t now_ms = clock_ms(), pause_ms = 0;

	if (t->turn.read_us > LOOK_BACK_CHEAP_US)
		pause_ms = clock_min(t->turn.read_us * LOOK_BACK_SHARE / 1000,
				     LOOK_BACK_PAUSE_MAX_MS);
	t->look_back_at_ms = t->claims_look_at_ms = now_ms + pause_ms;
	if (t->turn.has_reached_beginning)
		t->claims_look_at_ms += LOOK_BACK_EVERY_MS;
}

static bool will_be_rung(const struct store_turn *turn)
{
	return turn->bell == STORE_BELL_TAKEN || turn->bell == STORE_BELL_SHARED;
}

/*
 * If this turn read from the beginning, or looked back, all the way or a piece of it. True: nothing
 * is there. But what is committed late between two pieces may lie where it has looked already; if it
 * need not ring, or has rung and was not found, that was not the last time round.
 */
static bool take_look_back(struct turns *t)
{
	bool was_amid = t->is_amid_look_back;

	if (!t->turn.full_read && !t->turn.look_back)
		return false;
	put_off_looks_back(t);
	t->may_have_missed = was_amid && t->may_have_missed;
	t->is_amid_look_back = !t->turn.has_reached_beginning;
	if (t->is_amid_look_back || t->may_have_missed)
		return false;
	if (was_amid && will_be_rung(&t->turn))
		t->look_rests_until_ms = clock_ms() + LOOK_BACK_REST_MS;
	return true;
}

/* What rang and is not seen from the low-water mark on is of a long transaction, for later, or another
   relay's. A large load shall not wait until reading from the beginning, past all its rows while
   they were not committed, has its turn again; but for rings alone the share of time must not grow
   beyond twice what it is. */
static void look_for_what_rang(struct turns *t)
{
	int64_t now_ms = clock_ms();

	if (now_ms < t->hurry_at_ms)
		return;
	t->hurry_at_ms = t->look_back_at_ms;
	t->look_back_at_ms = now_ms;
}

static void take_claimed(struct turns *t)
{
	struct store_turn *turn = &t->turn;
	bool has_more = turn->found_late ||
			(turn->claimed && (turn->due >= turn->claim_limit ||
					   turn->due > turn->claimed->count ||
					   turn->claimed->count >= BUSY_CLAIM));
	bool has_looked_back = take_look_back(t);

	if (turn->full_read)
		t->full_read = false;
	t->may_have_missed = true;
	t->look_rests_until_ms = 0;
	if (turn->claimed) {
		t->counts->claimed += (uint64_t)turn->claimed->count;
		histogram_add(&t->counts->batch_rows, turn->claimed->count);
		work_add(t->work, turn->claimed);
		t->pauses = 0;
	}
	t->is_trickle = turn->claimed && turn->claimed->count <= TRICKLE_ROWS;
	if (!turn->claimed && t->was_rung && !has_looked_back)
		look_for_what_rang(t);
	/* Rung for nothing: rows for later, or another relay was faster. Writers shall
	   not pay for a NOTIFY each time, so stay off the bell for a moment. */
	if (!turn->claimed && t->was_rung && !turn->keeps_bell && !has_more)
		pause_shortly(t);
	else if (turn->claimed && turn->keeps_bell && !has_more)
		sleep_on(t);
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
		row->verdict = VERDICT_CRASHED;
		row->latency_ms = -1;
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
		turns_give_up_batch(b);
		turns_lose_claim(t, b);
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
	bool may_adopt = turn->dead_in_ms == 0 && turns_may_adopt(t);
	bool adopts = may_adopt && !work_has_alone(t->work);
	bool is_left = turn->named_left_ms == 0 || (turn->dead_in_ms >= 0 && !may_adopt);
	bool has_looked_back = take_look_back(t);

	t->looked_at_ms = now_ms;
	if (turn->bell == STORE_BELL_WRITERS)
		t->may_have_missed = true;
	if (may_adopt)
		t->adopt_at_ms = 0;
	if (adopts || turn->next_due_ms == 0 || turn->found_late) {
		t->appetite = APPETITE_AWAKE;
		return;
	}
	if (!is_left && asks_for_parked(t))
		return;
	t->is_empty = t->work->count == 0 && !is_left;
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
	if (turn->named_left_ms >= 0 || is_left)
		until_ms = clock_min(until_ms, now_ms + turns_watch_ms(t));
	if (turn->dead_in_ms > 0)
		until_ms = clock_min(until_ms, now_ms + turn->dead_in_ms);
	if (!has_looked_back)
		until_ms = clock_min(until_ms, turns_look_back_ms(t));
	fall_asleep(t, until_ms, turn->bell != STORE_BELL_NONE);
}

void turns_take_answers(struct turns *t)
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
