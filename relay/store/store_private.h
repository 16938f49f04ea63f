#ifndef STORE_STORE_PRIVATE_H
#define STORE_STORE_PRIVATE_H

#include "store/look_back.h"
#include "store/pg.h"
#include "store/settle.h"
#include "store/store.h"

/*
 * What the files behind store.h share; nobody else includes it.
 *
 *   store.c          life, and what every transaction begins and ends with
 *   store_open.c     store_open(): a session, and our claims taken over into it
 *   store_turn.c     the statements of a turn
 *   store_answers.c  what came of them
 */

/* Attempts to take claims over without an answer; the oldest are forgotten, and their
   claims, if there are any, are adopted like those of a dead relay. */
#define FORMER_IDS_MAX 16

struct store {
	struct store_settings settings;
	struct pg *pg;
	struct pg_params params;
	char *search_path;
	char *settle_sql[SETTLE_FORMS][2]; /* [][tells] */

	int64_t ended_ms;
	int32_t relay_id; /* of this session; 0: none yet */
	/* Ids that our claims may stand under: the last session's, and those of later
	   attempts whose take-over got no answer. */
	int32_t former_ids[FORMER_IDS_MAX];
	int former_count;
	int32_t lock_key;
	uint32_t turn_number; /* never repeats within this process */
	bool has_bell;

	int64_t fetch_bytes; /* see store_fetch_less() */
	int64_t fetch_more_at_ms;

	/* Low-water marks; see SQL_CLAIM. */
	struct due_place due_from;
	int64_t claims_from;
	struct look_back look_back;             /* before due_from */
	struct due_place look_from, look_until; /* the piece under way */

	struct store_turn *turn; /* under way */
	int64_t turn_began_ms;
	int64_t *renewed;

	/* Where the answers of the turn stand; -1: not asked for, or among `sent`. */
	struct {
		int sent, settle[STORE_SETTLE_MAX], name, renew, adopt, claim, probe,
			fetch, bell, peek, look_back;
	} at;
};

/* False behind a pooler: nothing outlasts a transaction. */
bool store_has_session(const struct store *s);

/* Each adds to the exchange under way; see pg_add(). Behind a pooler each transaction brings
   its settings along: BEGIN adds them. */
void store_add_settings(struct store *s);
void store_add_begin(struct store *s);
void store_add_commit(struct store *s);

/* What every claim begins with, see SQL_CLAIM_LOCK, and its owner's five parameters. */
void store_add_claim_lock(struct store *s, bool is_async);
void store_add_owner(struct store *s);

/* A turn whose answer will never come: its settlements are to be sent again. */
void store_turn_abandon(struct store *s);

/* All of the turn's answers are in: fills its lower half. */
void store_answers_take(struct store *s, struct store_turn *t);

#endif
