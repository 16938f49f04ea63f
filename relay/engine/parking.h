#ifndef ENGINE_PARKING_H
#define ENGINE_PARKING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/message.h"

/*
 * Destinations that refuse row after row. One bad deploy (an exchange gone, a right withdrawn, the
 * last binding removed) must not use up the attempts of a whole table: after enough refusals in a
 * row with the same reply, and not one message taken in between, a destination is parked. Its rows
 * stay as they are, uncharged; single rows probe it after a growing delay, and the first message it
 * takes ends that.
 *
 * A destination is an exchange with one routing key while all that was refused had the same key, so
 * that a mistyped key does not hold up its neighbours. Else, and where the broker broke off over
 * the messages (no such exchange, no right to write to it), it is the whole exchange.
 *
 * A probe is an attempt like any other and is charged like one; the store picks rows that have
 * attempts to spare.
 *
 *   each verdict:   parking_sent() or parking_refused()
 *   publishing:     parking_holds(): leave the row to the database
 *   claiming:       around parking_list(); at parking_due_ms(): parking_next_probe()
 *
 * In memory only: a new process finds out anew, for a few rows' single attempts. All zero is
 * empty. Nothing here blocks; every change of state is logged, a parked destination once a minute.
 */

/* Further destinations are not parked; their rows are charged as usual. */
#define PARKING_MAX 32

/* Refusals in a row that park a destination. Where the broker broke off, each one was found by
   publishing the row alone, and costs a channel. */
#define PARKING_AFTER_REFUSED  10
#define PARKING_AFTER_RETURNED 100

/* Each costs others part of a confirm timeout. */
#define PARKING_AFTER_OVERDUE 10

struct parked {
	char exchange[256], routing_key[256];
	char reply[256]; /* the latest, in full */
	bool goes_alone; /* see struct probe */
	int refused;     /* probes */
	int probes;      /* begun */
	int64_t since_ms;
	int64_t said_at_ms;
	int64_t probe_at_ms;
};

/* Refusals of one exchange in a row. */
struct refusals {
	char exchange[256], routing_key[256];
	char reply[64]; /* without its details, which may name the row's key */
	bool has_many_keys;
	int count;
};

struct parking {
	/* Side by side; `list` points into `parked`. */
	struct destination list[PARKING_MAX];
	struct parked parked[PARKING_MAX];
	int count;
	uint64_t resumed; /* destinations, so far: their rows are to be looked for */

	struct refusals runs[PARKING_MAX];
	int run_count;
	int next_run; /* to be forgotten when there is no room */
};

/* The broker took a message for this destination. */
void parking_sent(struct parking *p, const struct message *msg);

/* It was charged for a refusal: RETURNED, NACKED, REFUSED or OVERDUE. True: parked just now. */
bool parking_refused(struct parking *p, const struct message *msg, enum verdict verdict,
		     const char *reply, bool is_probe);

/* Is this message's destination parked? */
bool parking_holds(const struct parking *p, const struct message *msg);

/* `count` destinations; valid until the next verdict. */
const struct destination *parking_list(const struct parking *p);

/* When the next probe is due; CLOCK_NEVER: nothing is parked. */
int64_t parking_due_ms(const struct parking *p);

struct probe {
	struct destination destination;
	bool goes_alone; /* the broker breaks off over messages for it */
	bool is_newest; /* the oldest rows may be the bad ones: every other probe is young */
};

/* True: `probe` is due, and put off until its answer or the same delay again. */
bool parking_next_probe(struct parking *p, struct probe *probe);

#endif
