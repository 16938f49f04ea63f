#ifndef STORE_STORE_H
#define STORE_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/tls.h"
#include "store/batch.h"

/*
 * The verbs of message_log over one database session: settle, renew, adopt, claim, fetch,
 * sleep. Everything that is to happen at one moment goes into one struct store_turn and
 * one round trip; the broker works meanwhile.
 *
 *   store_open()                                       blocks, bounded
 *   store_turn_begin(&turn); until store_turn_poll() != 0: poll(2) store_fd()
 *   …the turn's answer…
 *   store_close()
 *
 * After any -1 the session is unusable: store_close(), wait, store_open(). Batches stay
 * valid over that: store_open() takes their claims over into the new session, and a
 * settlement whose answer was lost is simply sent again, since settling is bound to the
 * claim.
 *
 * Who owns what: batches belong to the caller. One thread.
 */

#define STORE_SETTLE_MAX 10

struct store_settings {
	const char *url;
	const char *password;
	const struct tls_options *tls; /* see pg_tls.h */
	const char *schema;
	const char *relay_name;
	bool transaction_pooling; /* behind a pooler: no session state at all */
	bool wants_bell;          /* LISTEN, and sleep on the bell */
	bool deletes_sent;
	int connect_timeout_ms;
	int statement_timeout_ms;
	int lock_timeout_ms;
	int lease_ms;
	int64_t batch_bytes; /* of a claim's bodies at most, if it has several; see SQL_CLAIM */
	int64_t max_message_bytes; /* larger bodies are not fetched */
};

enum store_bell {
	STORE_BELL_NONE,    /* not asked for */
	STORE_BELL_TAKEN,   /* writers will ring, until a claim that does not keep it */
	STORE_BELL_SHARED,  /* another relay sleeps on it; its ring wakes us, too */
	STORE_BELL_WRITERS, /* writers are under way, who will not ring */
};

struct store_turn {
	/* What to do, in this order. Asking for nothing is a bug. */

	/* Their DECIDED rows are settled and the claim goes; rows without a fate are free
	   then. Careful batches keep the claim, and rows that are locked stay DECIDED. */
	struct batch *settle[STORE_SETTLE_MAX];
	int settle_count;
	/* Adopted: settle its DECIDED rows, keep the claim, and name one row in it. */
	struct batch *name;
	int64_t publishing_id; /* 0: none */
	bool renew;            /* the lease of every claim we hold */

	/* One of these three at most. */
	bool adopt;                      /* one dead claim, if there is any */
	int claim_limit;                 /* rows; 0: no claim */
	const struct destination *probe; /* claim one row of it */

	bool probe_newest;  /* the one that is due last, not first */
	int probe_attempts; /* rows with fewer charged attempts than this come first */
	bool with_named;    /* adopt and peek: also claims that name a row */
	/* Claim and peek from the very beginning, not the low-water mark: see SQL_CLAIM. */
	bool full_read;
	/* Look for due rows before the mark, or at a piece of what is there: see look_back.h. The
	   first of them moves the mark back. */
	bool look_back;
	/* Claim, peek and look_back leave their rows out. */
	const struct destination *around;
	int around_count;
	bool wake;       /* give the bell back; a claim does so, too */
	bool keeps_bell; /* but not this one: writers go on ringing */
	bool peek;       /* look when the next row is due */
	bool sleep;      /* with peek: take the bell first */

	/* What came of it; valid when store_turn_poll() has returned 1. */

	bool settled[STORE_SETTLE_MAX]; /* false: the claim is gone, nothing changed */
	bool named;
	/* By claim, probe or adopt, and the caller's now; NULL: nothing. */
	struct batch *claimed;
	int due;         /* rows that the claim found, at most claim_limit */
	int64_t read_us; /* how long full_read or look_back took the database */
	/* Of full_read and look_back: the beginning was reached, and nothing is before the mark. */
	bool has_reached_beginning;
	bool found_late;     /* of look_back */
	int64_t next_due_ms; /* of peek: from now; -1: nothing is scheduled */
	/* Of peek: in how many ms to adopt a dead relay's claim, or to begin with it; -1: there is
	   none. */
	int64_t dead_in_ms;
	/* Of peek: what is left of the lease of another relay's claim that names a row; -1: there
	   is none. */
	int64_t named_left_ms;
	enum store_bell bell;
	int64_t *renewed; /* claim ids, until the next turn begins */
	int renewed_count;
};

struct store;

struct store *store_new(const struct store_settings *settings);
void store_free(struct store *s);

/* What became of a batch's claim while there was no session. */
enum store_claim {
	STORE_CLAIM_KEPT,
	/* It is gone, settled by a commit whose answer we never saw, or adopted, or forgotten when
	   the server crashed; but of its rows with a fate some are free, and batch->claim_id is the
	   id of a new claim of those, to be settled. Nothing of it may be published. */
	STORE_CLAIM_ANEW,
	STORE_CLAIM_LOST, /* gone, and there is nothing to settle */
};

/*
 * Connects, checks the schema's version, takes a fresh relay_id and moves the claims of
 * `batches` to it; claims[i] says what became of that of batches[i]. Blocks up to
 * connect_timeout_ms or timeout_ms, whichever is less.
 */
int store_open(struct store *s, struct batch *const *batches, int count,
	       enum store_claim *claims, int timeout_ms, int stop_fd, struct error *err);
void store_close(struct store *s);
bool store_is_open(const struct store *s);

/* When the last session ended, be it one that store_open() had only begun: others may find our claims
   without a session from then on. 0: there was none. */
int64_t store_ended_ms(const struct store *s);

void store_turn_begin(struct store *s, struct store_turn *turn);
bool store_turn_is_busy(const struct store *s);

/* 1: the turn is done; 0: not yet; -1: the session is unusable. Never blocks. */
int store_turn_poll(struct store *s, struct error *err);

/*
 * After ERROR_MEMORY: from now on only half as much is fetched at a time, and no body beyond that;
 * such a row comes without it, as one beyond max_message_bytes does. Doubles again with each
 * STORE_FETCH_LESS_MS without another. Returns how many bytes.
 */
#define STORE_FETCH_LESS_MS 60000
int64_t store_fetch_less(struct store *s);

/* Between turns: 1 when the bell rang, 0 when not, -1 when the connection is gone. */
int store_listen(struct store *s, struct error *err);

/* For poll(2). */
int store_fd(const struct store *s);
short store_events(const struct store *s);
int64_t store_deadline_ms(const struct store *s);

/* Do writers ring for us? Given back by `claim_limit` and `wake`. */
bool store_has_bell(const struct store *s);

const char *store_peer(const struct store *s);

#endif
