#ifndef ENGINE_TURNS_H
#define ENGINE_TURNS_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/batch_size.h"
#include "engine/counts.h"
#include "engine/link.h"
#include "engine/policy.h"
#include "engine/report.h"
#include "engine/work.h"
#include "store/store.h"

/*
 * The database's half of the relay: keeps the session, and decides what to ask of it
 * next: settle what has its fate, renew leases, adopt what dead relays left, claim more,
 * or sleep until the bell rings. One turn is under way at a time, while the sender
 * publishes.
 *
 * turns_open() blocks, bounded; nothing else does.
 */
struct turns_settings {
	int64_t poll_interval_ms;
	int64_t lease_ms;
	int batch_size; /* at most; see batch_size.h */
	bool wants_bell;
	bool until_empty;     /* do not sleep while there is work in hand: say is_empty
			   soon */
	struct policy policy; /* for rows that killed their relay */
};

/* How much this half wants to claim. */
enum appetite {
	APPETITE_AWAKE,  /* claim: there is, or may be, more */
	APPETITE_DROWSY, /* the last claim took all there was: look once more, then
			  sleep */
	APPETITE_ASLEEP, /* until the bell, or sleep_until_ms */
};

struct turns {
	struct turns_settings settings;
	struct store *store;
	struct work *work;
	struct counts *counts;
	struct report *report;
	struct link link;

	struct store_turn turn; /* under way, or the last one */
	int64_t turn_began_ms;
	struct batch_size batch_size;
	enum appetite appetite;
	int64_t sleep_until_ms;
	bool has_bell;     /* asleep on it: writers ring */
	int pauses;        /* short ones in a row: writers under way, rings for nothing */
	bool expects_rows; /* when it wakes: claims at once, without looking first */
	bool was_rung;     /* the claim under way was asked for by the bell */
	bool is_trickle;   /* the last claim took a row or two: they come one by one */
	int64_t looked_at_ms;
	int64_t gather_until_ms;     /* batches that are done wait for others */
	bool full_read;              /* the next claim's */
	int64_t look_back_at_ms;     /* not before this */
	int64_t claims_look_at_ms;   /* with a claim not before this */
	int64_t look_rests_until_ms; /* nor before this, unless something rings */
	int64_t hurry_at_ms;         /* and not before this again because of a ring */
	bool is_amid_look_back;      /* pieces of it are to come */
	bool may_have_missed; /* rows that were committed late since its first piece */
	struct probe probe;   /* under way, or the last one */
	uint64_t resumed;     /* destinations whose rows were looked for again */
	int64_t adopt_at_ms;
	int64_t answered_at_ms;   /* the database's last answer */
	int64_t watched_since_ms; /* without a gap between answers; see has_watched() */
	bool was_interrupted;     /* a session broke; see turns_may_adopt() */
	bool may_claim;
	bool is_stalled; /* set by the caller: see sender_is_stalled() */
	bool is_empty;   /* at the last look nothing was due, in hand, or left by a dead
			  relay */
	bool has_parked; /* until_empty and is_empty: but for rows of parked destinations */
	bool asks_parked; /* the look under way is for those */
};

void turns_init(struct turns *t, const struct turns_settings *settings,
		struct store *store, struct work *work, struct counts *counts,
		struct report *report);

/* Opens when it is due, in timeout_ms at most; batches whose claim is gone are given up. */
void turns_open(struct turns *t, int timeout_ms, int stop_fd);

void turns_close(struct turns *t);

/*
 * Begins the next turn if none is under way and there is something to do. `may_claim`:
 * the broker takes messages. `release`: settle every batch as it stands, rows without a
 * fate are free. `unnamed`, in `unnamed_batch`: see sender_unnamed().
 */
void turns_begin(struct turns *t, bool may_claim, bool release,
		 struct batch *unnamed_batch, const struct row *unnamed);

/* Takes what the database has to say. */
void turns_collect(struct turns *t);

int64_t turns_due_ms(const struct turns *t);

#endif
