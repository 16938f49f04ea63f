#ifndef STORE_BATCH_H
#define STORE_BATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/message.h"

/*
 * One claim in memory: its rows with their bodies, and what became of each. A batch owns
 * the query result that its messages point into; batch_free() is the only free. Nothing
 * is copied.
 */

enum row_state {
	ROW_WAITING,   /* to be published */
	ROW_IN_FLIGHT, /* published, no receipt yet */
	ROW_DECIDED,   /* its fate is known here, not yet in the database */
	ROW_SETTLING,  /* on its way to the database: DECIDED again if that fails */
	ROW_SETTLED,   /* the database knows */
};

enum fate { FATE_SENT, FATE_RETRY, FATE_FAILED };

/* What the database shall be told of a row. */
struct decision {
	enum fate fate;
	int charge;       /* attempts to add: 0 or 1 */
	int64_t delay_ms; /* RETRY: from the moment of settling */
};

struct row {
	int64_t id;
	struct message message; /* body.data is NULL: too large to be fetched */
	int64_t body_size;      /* as in the table */
	int64_t try_count;      /* attempts charged before this one */
	enum row_state state;
	bool has_history;     /* earlier attempts failed, or an operator sends it again */
	bool is_alone;        /* to be published with nothing else in flight */
	bool is_probe;        /* of a parked destination; see engine/parking.h */
	int64_t due_ms;       /* since when, on the local clock; 0: not known */
	int64_t published_ms; /* 0: not yet */
	enum verdict verdict; /* the latest, for the row's history */
	int64_t latency_ms;   /* from publish to verdict, where that was not `sent` at the
				 first attempt; -1: it was not published */
	uint64_t sequence;    /* order of publishing, over all batches */
	struct decision decision;
	char *reason;    /* of RETRY and FAILED; owned */
	bool is_counted; /* SETTLED, and reported; or released */
};

/*
 * How last_error begins where the broker broke off over the message. Such a row is published
 * alone when it is tried again: with others in flight it would cost them their verdicts, too.
 */
#define BATCH_REFUSED "refused: "

struct pg_result;

struct batch {
	uint32_t turn; /* names the batch within this process */
	int64_t claim_id;
	bool is_adopted; /* taken over from a dead relay: its rows go one at a time, each
			    named in the claim before it is published */
	bool is_careful; /* a settlement ran into somebody's row lock: go round locked rows */
	int64_t settle_at_ms; /* careful: try the rest again then */
	int64_t done_at_ms; /* every row has its fate since then; 0: not, or not noticed */
	bool is_settling;   /* its claim is being closed, or was, if the answer is
				 missing: nothing of it is published */
	bool is_lost;    /* its claim is somebody else's, or one anew for what has a fate:
			     what is in flight is waited for, nothing is published (again) */
	bool has_unsent; /* a row was decided otherwise than sent */
	int64_t first_receipt_ms, last_receipt_ms; /* for engine/batch_size.h; 0: none */
	int64_t publishing_id;     /* adopted: the row that the claim names; 0: none */
	int64_t lease_deadline_ms; /* on the local clock, counted from before the
				    request */
	int count;
	struct row *rows;
	struct pg_result *result;

	/* Kept by batch_set_state(), so that nobody has to walk the rows. */
	int in_state[ROW_SETTLED + 1];
	int first_waiting; /* no row before it is WAITING */
	int first_other;   /* no row before it is WAITING without is_alone */
	int alone;         /* rows with is_alone and without a fate */
	int alone_waiting; /* those of them that are WAITING */
};

void batch_free(struct batch *b); /* NULL is legal */

/* Of a batch without open rows, all sent, as most are: only ids and fates are wanted from here on. Its
   messages point nowhere then. Any other is left as it is: who reports a row names its message. */
void batch_drop_bodies(struct batch *b);

/* The one place where a row changes its state. */
void batch_set_state(struct batch *b, struct row *row, enum row_state state);

/* Moves to DECIDED; `reason` is copied and cut to printable ASCII; NULL: none. */
void batch_decide(struct batch *b, struct row *row, struct decision decision,
		  const char *reason);

/* A row that waits is let go: the database learns nothing of it, and with the claim's end
   it is free again. */
void batch_let_go(struct batch *b, struct row *row);

/* From now on this row (without a fate yet) is published alone. */
void batch_set_alone(struct batch *b, struct row *row);

/* Every row in `from` to `to`. */
void batch_move_all(struct batch *b, enum row_state from, enum row_state to);

/* Rows without a fate: WAITING or IN_FLIGHT. */
int batch_open_rows(const struct batch *b);

#endif
