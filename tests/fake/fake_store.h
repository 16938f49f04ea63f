#ifndef FAKE_STORE_H
#define FAKE_STORE_H

#include "store/store.h"

/*
 * relay/store/store.h over a table in memory: the same symbols, so link it in front of the
 * library. It does with rows and claims what the statements of sql.h do, holds its caller to
 * the contract of store.h, and breaks on demand, before a commit or after it.
 *
 * There is one database for all stores of the process; it is the test's to look at.
 */

#define FAKE_ROWS_MAX   4096
#define FAKE_CLAIMS_MAX 32
#define FAKE_CLAIM_ROWS 512

/* Another relay, which lives: a claim that is given this relay_id has been adopted by it. */
#define FAKE_OTHER_RELAY 100000

enum fake_status { FAKE_SENDING, FAKE_SENT, FAKE_FAILED };

struct fake_row {
	int64_t id;
	enum fake_status status;
	int64_t try_count;
	int64_t next_retry_ms;
	int64_t body_size;
	char last_error[256];
	const char *exchange;    /* NULL: FAKE_EXCHANGE */
	const char *routing_key; /* NULL: FAKE_ROUTING_KEY */
	bool is_locked; /* another session holds it: settling waits, and then times out */
	bool was_held;  /* a careful settlement went round it */
};

struct fake_claim {
	int64_t claim_id;
	int32_t relay_id;
	int64_t ids[FAKE_CLAIM_ROWS];
	int count;
	int64_t publishing_id;
	int64_t lease_until_ms;
	bool is_adopted;
};

/* When the session of a turn breaks. */
enum fake_loss {
	FAKE_LOSS_NONE,
	FAKE_LOSS_BEFORE_COMMIT,
	FAKE_LOSS_AFTER_COMMIT,
	FAKE_LOSS_OF_MEMORY, /* after the commit: no room for the answer */
};

struct fake_database {
	struct fake_row rows[FAKE_ROWS_MAX];
	int row_count;
	struct fake_claim claims[FAKE_CLAIMS_MAX];
	int claim_count;
	int64_t last_claim_id;
	int32_t last_relay_id;

	/* Behaviour; the test sets it at any time. */
	int64_t answer_ms;    /* how long a turn takes */
	int64_t read_us;      /* how long it reads from the beginning, or looks back */
	int look_back_pieces; /* it reaches the beginning each so many times; 0: always */
	bool finds_late_next; /* when it looks back */
	int fail_opens;       /* this many more; -1: all */
	enum error_kind open_error;
	bool loses_next_open; /* it has begun a session then */
	int64_t open_takes_ms;
	enum fake_loss loses_next_turn;
	bool hangs_next_turn; /* no answer until the deadline */
	bool loses_next_listen;
	enum store_bell bell;            /* what taking it brings */
	bool (*may_be_sent)(int64_t id); /* called for each row that is settled as sent */

	/* Ledger. */
	struct store_turn last; /* what the last turn asked for */
	int turns;
	int opens;
	int open_timeout_ms; /* as given to the last store_open() */
	int fetches_less;    /* calls of store_fetch_less() */
	bool is_rung;
	int pieces; /* of the look back under way */
};

extern struct fake_database fake_database;

/* Empty, well-behaved, answers in 1 ms. */
void fake_database_reset(void);

/* Rows first_id … that are due at `next_retry_ms`; rings as the trigger would. */
void fake_database_insert(int64_t first_id, int count, int64_t next_retry_ms);

/* Rings whoever listens. */
void fake_database_ring(void);

struct fake_row *fake_database_row(int64_t id);

/* A claim of a relay that died, over rows that are there already. */
struct fake_claim *fake_database_dead_claim(int64_t first_id, int count,
					    int64_t publishing_id);

struct fake_claim *fake_database_claim(int64_t claim_id); /* or NULL */

int fake_database_count(enum fake_status status);

#endif
