#ifndef SIMULATION_DATABASE_H
#define SIMULATION_DATABASE_H

#include <stdbool.h>
#include <stdint.h>

/*
 * PostgreSQL as the relays see it: message_log and its claims, sessions whose advisory locks go with
 * them, the bell, and turns that are executed piece by piece while other sessions do the same.
 * Stands behind relay/store/store.h: the same symbols, what sql.h does with rows and claims, and the
 * same take-over after a reconnect. (tests/fake/fake_store.c is its scripted sibling: one turn,
 * one moment, and what the test says.)
 *
 * Each transaction of a turn is one moment here. Between its statements nothing could come that
 * row locks and the claim lock do not keep out. A session executes what it was sent even if its
 * client is gone, later, or stops anywhere in between, before or after a commit.
 *
 * A row has a destination of its own, or one that many share and that may refuse whatever comes:
 * that one gets parked. With relay.on_sent: delete the same would happen: to a relay a row that is
 * gone is what one is that was sent. Few rows at a time are never confirmed: as many of them as a
 * relay holds batches keep it from everything else, which is known.
 *
 * What it must never see ends the run, see sim_fail().
 */

#define ROWS_MAX    96
#define BATCH_MAX   8
#define MAX_RETRIES 3

enum db_status { SENDING, SENT, FAILED };

/* What a row is like, for as long as it lives. */
enum nature {
	HEALTHY,
	UNROUTABLE,
	NACKED,
	FICKLE,  /* at times returned, at times taken */
	CLOSES,  /* the channel */
	INVALID, /* on the wire */
	LARGE,
	SILENT, /* never confirmed, whatever the others are */
	KILLS,  /* its relay */
};

struct db_row {
	bool is_used, is_committed;
	int64_t id;
	enum db_status status;
	int64_t tries;
	int64_t next_retry_ms;
	bool was_refused;        /* last_error begins so */
	int64_t locked_until_ms; /* another session holds it */
	int64_t ended_ms;

	/* What only the simulation knows. */
	enum nature nature;
	bool is_shared;     /* its destination, with other healthy rows */
	enum db_status was; /* at the last look */
	int64_t published;
	int64_t acks;     /* that a relay was told of */
	int64_t refusals; /* that a rule charges for */
	int64_t excuses;  /* to publish it again: faults it was exposed to */
	bool by_application;
	const struct store *holder; /* who fetched it last */
};

/* Rows that are in one piece with the writer's transaction. */
struct db_row *database_row(int64_t id); /* or NULL */
bool database_is_probe(int64_t id);
extern struct db_row database_rows[ROWS_MAX];

void database_reset(void);

/* --- the application; false: no room --- */

/* Begins, inserts, and ends at end_ms. `ahead_ms`: from the beginning on. */
bool database_insert(int count, int64_t ahead_ms, int64_t end_ms, bool rolls_back,
		     bool healthy);

/* --- faults --- */

/* Of a turn: how many get one in so many. */
struct database_faults {
	int64_t lost_one_in, slow_one_in, hung_one_in, refused_one_in;
};
extern struct database_faults database_faults;

void database_restart(int64_t down_ms);
void database_break_one(void); /* some session */

/* Over all runs: rows that were claimed as probes, claims that a crash forgot, and such that were made
   anew for what was to be settled. */
extern uint64_t database_probes, database_forgotten, database_claims_anew;

/* --- running --- */

int64_t database_due_ms(void);
void database_run(void);

/* --- judging --- */

/* Every row may be published again that a relay's claims hold: it is gone, or was too slow. */
void database_excuse_all(int32_t relay_id);

void database_judge(void);
int database_open_rows(bool unhealthy); /* neither sent nor failed; those that ail */
int database_claims(void);

/* Prints what is open. */
void database_tell(void);

#endif
