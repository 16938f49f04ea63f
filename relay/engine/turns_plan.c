#include "turns_private.h"

#include "base/clock.h"

/* Batches with rows still to be published or heard of: so many that the broker has its window full
   (broker.max_in_flight, 4 batches of usual size) and one is on its way from the database, so that
   neither side waits for the other. A classic queue confirms late, in lots of several thousand: with
   three of them it was the window that bounded the rate, 0.82 to 0.86 times the bare publisher's, and
   with five 0.97. */
#define OPEN_BATCHES_MAX 5
#define BATCHES_MAX      6

/* In a stall, so many rows at a time beyond that: they may be for the stuck queue, too. */
#define STALL_CLAIM 32

/*
 * Settling a few rows costs the database about as much as settling many, and meanwhile the session
 * cannot claim. So batches that are done wait this long for others, or until there are so many
 * rows. (500 messages a second, most claimed alone: the backend took 15 % less processor.)
 */
#define GATHER_MS   10
#define GATHER_ROWS 64

/* From batches without trouble: one row that gets no confirm tells nothing of the others. */
static void learn(struct turns *t, struct batch *b)
{
	if (b->first_receipt_ms && !b->is_adopted && !b->has_unsent)
		batch_size_learn(&t->batch_size, b->count,
				 b->last_receipt_ms - b->first_receipt_ms);
	b->first_receipt_ms = 0;
}

static bool gathers(struct turns *t, int64_t now_ms)
{
	int64_t until_ms = CLOCK_NEVER;
	int rows = 0;

	if (!t->may_claim || t->settings.until_empty || t->work->count >= BATCHES_MAX - 1)
		return false;
	for (int i = 0; i < t->work->count; i++) {
		struct batch *b = t->work->batches[i];

		if (b->is_careful || batch_open_rows(b) > 0)
			continue;
		if (!b->done_at_ms)
			b->done_at_ms = now_ms;
		until_ms = clock_min(until_ms, b->done_at_ms + GATHER_MS);
		rows += b->count;
	}
	if (rows >= GATHER_ROWS || now_ms >= until_ms)
		return false;
	t->gather_until_ms = until_ms;
	return true;
}

static void plan_settle(struct turns *t, bool release, int64_t now_ms)
{
	struct store_turn *turn = &t->turn;
	bool waits = gathers(t, now_ms);

	for (int i = 0; i < t->work->count; i++) {
		struct batch *b = t->work->batches[i];

		if (b->is_careful ? now_ms < b->settle_at_ms : waits)
			continue;
		if (batch_open_rows(b) == 0) {
			learn(t, b);
			batch_drop_bodies(b);
		}
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
bool turns_has_room(const struct turns *t, int leave)
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

int64_t turns_look_back_ms(const struct turns *t)
{
	return clock_max(t->look_back_at_ms, t->look_rests_until_ms);
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
	    turns_may_adopt(t) && !work_has_alone(t->work)) {
		turn->adopt = true;
		turn->with_named = turns_has_watched(t);
		return;
	}
	if (t->appetite == APPETITE_AWAKE) {
		turn->claim_limit = t->batch_size.rows;
		if (t->is_stalled && turn->claim_limit > STALL_CLAIM)
			turn->claim_limit = STALL_CLAIM;
		turn->keeps_bell =
			t->was_rung && t->is_trickle && store_has_bell(t->store);
		turn->full_read = t->full_read;
		turn->look_back = !turn->full_read && !turn->keeps_bell &&
				  now_ms >= t->claims_look_at_ms;
	} else if (t->appetite == APPETITE_DROWSY &&
		   !(t->settings.until_empty && t->work->count)) {
		turn->peek = true;
		turn->with_named = turns_has_watched(t);
		/* What ends the run must not have passed by what was committed late. */
		turn->full_read = t->settings.until_empty;
		turn->look_back = !turn->full_read && now_ms >= turns_look_back_ms(t);
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
	t->turn.wake = store_has_bell(t->store) && !t->turn.keeps_bell;
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

/* Has the broker little left to do, and would settling take longer than a claim or two? */
static bool leaves_broker_idle(const struct turns *t)
{
	int open = 0, settled = 0;

	for (int i = 0; i < t->work->count; i++)
		open += batch_open_rows(t->work->batches[i]);
	for (int i = 0; i < t->turn.settle_count; i++)
		settled += t->turn.settle[i]->count;
	return open < t->turn.claim_limit && settled > 2 * t->turn.claim_limit;
}

/*
 * Settlements wait for the disk, a claim alone does not, and what rang shall not wait for them: they
 * follow in the next turn. Nor shall a broker that is about to be idle: a classic queue confirms
 * thousands at once, and marking them takes 30 ms. (A backlog there: 0.97 instead of 0.93 times the
 * bare publisher's rate.)
 */
static void claim_first(struct turns *t)
{
	if (t->turn.claim_limit && turns_has_room(t, 0) &&
	    (t->was_rung || leaves_broker_idle(t)))
		t->turn.settle_count = 0;
}

bool turns_plan(struct turns *t, bool release, struct batch *unnamed_batch,
		const struct row *unnamed, int64_t now_ms)
{
	t->turn = (struct store_turn){0};
	t->gather_until_ms = CLOCK_NEVER;
	plan_settle(t, release, now_ms);
	if (unnamed && !release) {
		t->turn.name = unnamed_batch;
		t->turn.publishing_id = unnamed->id;
	} else if (!release) {
		plan_unname(t);
	}
	plan_renew(t, now_ms);
	look_for_resumed(t);
	if (t->may_claim && turns_has_room(t, leaving(&t->turn)))
		plan_probe(t);
	if (t->may_claim && turns_has_room(t, leaving(&t->turn)) && !t->turn.probe)
		plan_claim(t, now_ms);
	claim_first(t);
	plan_wake(t);
	return has_anything(&t->turn);
}
