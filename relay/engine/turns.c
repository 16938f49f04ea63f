#include "turns_private.h"

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"

/* Of the lease, while another relay's claim names a row: how often to look, and for an owner that
   has lost its session, to try to come back. Answers twice as far apart are a gap. */
#define WATCH_SHARE 4

/* An owner tries as often as this at first: it has a second from when its absence is seen
   (SQL_ABSENCE_ENDS). */
#define RETURN_EVERY_MS 400
#define RETURN_FOR_MS   2000

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

void turns_give_up_batch(struct batch *b)
{
	b->is_lost = true;
	for (int i = 0; i < b->count; i++) {
		if (b->rows[i].state == ROW_WAITING)
			batch_let_go(b, &b->rows[i]);
	}
}

void turns_lose_claim(struct turns *t, struct batch *b)
{
	if (!b->claim_id)
		return;
	t->counts->claims_lost++;
	log_warn(
		"claim lost", LOG_INT("claim_id", b->claim_id), LOG_INT("rows", b->count),
		LOG_STR("reason",
			"settled before the connection broke, adopted, or forgotten in a "
			"crash"));
	b->claim_id = 0;
}

static void take_claim(struct turns *t, struct batch *b, enum store_claim claim)
{
	b->is_settling = false;
	if (claim == STORE_CLAIM_KEPT)
		return;
	turns_give_up_batch(b);
	if (claim == STORE_CLAIM_LOST)
		turns_lose_claim(t, b);
	else
		log_warn("claim gone, made anew for what is to be settled",
			 LOG_INT("claim_id", b->claim_id),
			 LOG_INT("rows", b->in_state[ROW_DECIDED]));
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

int64_t turns_watch_ms(const struct turns *t)
{
	return t->settings.lease_ms / WATCH_SHARE;
}

bool turns_has_watched(const struct turns *t)
{
	int64_t now_ms = clock_ms();

	return now_ms - t->answered_at_ms <= turns_watch_ms(t) * 2 &&
	       now_ms - t->watched_since_ms >= t->settings.lease_ms;
}

bool turns_may_adopt(const struct turns *t)
{
	return !t->was_interrupted || turns_has_watched(t);
}

static void watch_anew(struct turns *t)
{
	t->answered_at_ms = t->watched_since_ms = clock_ms();
}

static void watch_on(struct turns *t)
{
	if (clock_ms() - t->answered_at_ms > turns_watch_ms(t) * 2)
		watch_anew(t);
	t->answered_at_ms = clock_ms();
}

/* Claims in hand are waited for only so long, however slow the backoff has become. */
static void went_down(struct turns *t, const struct error *err)
{
	int64_t now_ms = clock_ms(), within_ms = turns_watch_ms(t);

	link_down(&t->link, err);
	if (now_ms - store_ended_ms(t->store) < RETURN_FOR_MS)
		within_ms = clock_min(within_ms, RETURN_EVERY_MS);
	if (t->work->count)
		t->link.retry_at_ms = clock_min(t->link.retry_at_ms, now_ms + within_ms);
}

static void lost(struct turns *t, const struct error *err)
{
	store_close(t->store);
	t->has_bell = false;
	t->was_interrupted = true;
	went_down(t, err);
}

void turns_open(struct turns *t, int timeout_ms, int stop_fd)
{
	enum store_claim claims[WORK_BATCHES_MAX];
	struct error err;

	if (!link_is_due(&t->link, clock_ms()))
		return;
	if (store_open(t->store, t->work->batches, t->work->count, claims, timeout_ms,
		       stop_fd, &err) < 0) {
		if (err.kind != ERROR_STOPPED)
			went_down(t, &err);
		return;
	}
	watch_anew(t);
	link_up(&t->link, store_peer(t->store));
	for (int i = 0; i < t->work->count; i++)
		take_claim(t, t->work->batches[i], claims[i]);
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
/* --- a turn --- */

void turns_begin(struct turns *t, bool may_claim, bool release,
		 struct batch *unnamed_batch, const struct row *unnamed)
{
	int64_t now_ms = clock_ms();

	if (!t->link.is_up || store_turn_is_busy(t->store))
		return;
	t->may_claim = may_claim && !release;
	if (!turns_plan(t, release, unnamed_batch, unnamed, now_ms))
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
		if (rc < 0 && err.kind == ERROR_MEMORY)
			log_warn("no memory for what was fetched: larger messages wait",
				 LOG_INT("bytes", store_fetch_less(t->store)));
		if (rc < 0)
			lost(t, &err);
		if (rc <= 0)
			return;
		watch_on(t);
		turns_take_answers(t);
	}
	listen(t);
}

int64_t turns_due_ms(const struct turns *t)
{
	int64_t due_ms = t->gather_until_ms;

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
	if (!t->may_claim || !turns_has_room(t, 0))
		return due_ms;
	if (t->appetite == APPETITE_ASLEEP)
		due_ms = clock_min(due_ms, t->sleep_until_ms);
	if (!work_has_alone(t->work))
		due_ms = clock_min(due_ms, parking_due_ms(&t->work->parking));
	return due_ms;
}
