/*
 * Claiming, publishing, settling, adopting: two relays and their sessions at the database, over
 * ROWS rows. What stands here is what the code does, under its names:
 *
 *   SQL_SETTLE, SQL_CLAIM_LOCK, SQL_CLAIM, SQL_ADOPT, COMMIT, SQL_FETCH, SQL_RENEW,
 *   SQL_DROP_UNKNOWN, SQL_RETAKE      the statements of a turn (store_turn.c: add_writes,
 *                                     add_reads) and of a new session (store_open.c: take_over),
 *                                     each of them a step of the session's backend
 *   turns_open, turns_begin, take_settled, take_claimed, take_adopted, blame_named, take_renewed,
 *   turns_give_up_batch               turns.c, turns_answers.c
 *   sender_publish, take_receipt, doubt
 *                                     sender.c
 *
 * A backend goes on with what it was sent when its client is gone: it commits, or not, at any
 * later time, perhaps after the client is back with a new session. Its session lock goes with it.
 * A crash leaves nothing of a relay but its session and its claims.
 *
 * Left out: that relays hold several batches, row locks of others (careful settlements), sizes, and
 * that a crash of the server forgets a claim (SQL_CLAIM_ANEW; tests/simulation has it).
 * Time is two bits: `later` of a row, `expired` of a claim; either may change at any moment. So the
 * second that a claim is left when its session has ended (SQL_ABSENCE_ENDS) may be over at once.
 *
 * The models that must go wrong: EARLY_SENT (sent when published), NO_CLAIM_CHECK (settling is
 * not bound to the claim), NO_CLAIM_LOCK, UNNAMED_BLAME (whoever was in an adopted claim is
 * charged), NO_ADOPTION.
 *
 * STRICT: a row is charged for a relay's death only if the relay did die. That goes wrong where a
 * claim is adopted as soon as its owner's session lock is free, even if it names a row (EAGER), and
 * where, after an outage of the database that outlasted all leases, whoever is back first adopts
 * such a claim (UNWATCHED) instead of watching for a lease (turns_has_watched): by then every relay
 * that lives is back and has its claims again.
 */
#ifndef ROWS
#define ROWS 1
#endif
#ifndef CRASHES /* of relays, which are started again */
#define CRASHES 0
#endif
#ifndef LOSSES /* of sessions */
#define LOSSES 0
#endif
#ifndef EXPIRIES /* leases that run out though their relay lives */
#define EXPIRIES 0
#endif
#ifndef OUTAGES /* of the database, for longer than a lease */
#define OUTAGES 0
#endif
#ifndef BREAKS /* connections to the broker */
#define BREAKS 0
#endif
#ifndef MAX_ATTEMPTS
#define MAX_ATTEMPTS 2
#endif
#define RELAYS       2
#define SESSIONS     (RELAYS + CRASHES + LOSSES + (RELAYS + 1) * OUTAGES + 1) /* counted from 1 */
#define CLAIMS       8
#define NOTHING      0

#ifdef POOLED /* database.pooling: transaction */
#define HAS_SESSION_LOCK false
#else
#define HAS_SESSION_LOCK true
#endif

mtype = { SENDING, SENT, FAILED };
mtype = { ABSENT, WAITING, IN_FLIGHT, DECIDED };
mtype = { FATE_SENT, FATE_RETRY, FATE_FAILED };
mtype = { TAKE_OVER, CLAIM, ADOPT, SETTLE };

/* --- the database --- */

mtype status[ROWS] = SENDING;
byte tries[ROWS];
bool later[ROWS];

typedef claim_row {
	byte relay_id; /* NOTHING: no such row */
	byte ids;
	byte publishing; /* row + 1 */
	byte locked;     /* by the transaction of this session */
	bool is_adopted, expired
};
claim_row claim[CLAIMS];
byte last_claim, claimed; /* claimed: rows that are in a claim */
byte claim_lock;

byte last_session;
bool alive[SESSIONS]; /* its advisory lock is held */

/* What a relay sent is answered, and a transaction commits, before an outage or never. */
#if OUTAGES
#define IS_UP !is_away
bool is_away;
byte noticed, backends; /* relays that know it; backends that have not ended */
byte back;              /* relays that have taken over, as bits */
bool watched[SESSIONS]; /* for a lease */
#else
#define IS_UP true
#endif

/* What a session was sent, and its answer. */
typedef turn_of {
	mtype what;
	bool renew, detached;
	byte settle, name; /* claim id; row + 1 */
	bool keep;
	byte known, former; /* of TAKE_OVER: a claim, sessions as bits */
	mtype fate[ROWS];   /* 0: not decided */
	bool charge[ROWS];
	byte seen[ROWS]; /* tries when the row was fetched */
	/* the answer */
	bool settled, retaken, renewed;
	byte claimed, fetched
};
turn_of turn[SESSIONS];

/* --- what only the prover knows --- */

bool acked[ROWS];
byte blame[ROWS]; /* events that the rules charge for */
byte owner[ROWS]; /* session that claimed, adopted or retook it last */
byte crashes, losses, expiries, outages, breaks;

inline settle_row(r, s)
{
	if
	:: turn[s].fate[r] == FATE_SENT && status[r] == SENDING ->
		assert(acked[r]);
		assert(owner[r] == s);
		status[r] = SENT
	:: turn[s].fate[r] && turn[s].fate[r] != FATE_SENT && status[r] == SENDING &&
	   tries[r] == turn[s].seen[r] ->
		assert(owner[r] == s);
		tries[r] = tries[r] + turn[s].charge[r];
		assert(tries[r] <= blame[r] && tries[r] <= MAX_ATTEMPTS);
		if
		:: turn[s].fate[r] == FATE_FAILED -> status[r] = FAILED; assert(tries[r] == MAX_ATTEMPTS)
		:: else -> later[r] = true
		fi
	:: else
	fi
}

/* A lost session is not a lost relay: a claim that names a row is left its lease. */
#ifdef EAGER
#define IS_OPEN_TO_ALL(c) true
#else
#define IS_OPEN_TO_ALL(c) (claim[c].publishing == 0)
#endif
#if OUTAGES && !defined(UNWATCHED)
#define WITH_NAMED(s) watched[s]
#else
#define WITH_NAMED(s) true
#endif
/* A row lock of another transaction is skipped. */
#define IS_DEAD(c, s) (claim[c].relay_id != NOTHING && claim[c].relay_id != s && \
	claim[c].locked == NOTHING && (claim[c].publishing == 0 || WITH_NAMED(s)) && \
	(claim[c].expired || \
	HAS_SESSION_LOCK && IS_OPEN_TO_ALL(c) && !alive[claim[c].relay_id]))
#define IS_FORMER(c, s) (claim[c].relay_id && turn[s].former & (1 << claim[c].relay_id))
#define IS_MINE(c, s) (claim[c].relay_id == s)

proctype backend(byte s)
{
	byte c, r, ids, found;
	bool mine;

	do
	:: turn[s].what ->
SQL_SETTLE:
		if
		:: turn[s].settle ->
			/* A row lock of another transaction is waited for. */
			atomic {
				claim[turn[s].settle].locked == NOTHING ->
				mine = IS_MINE(turn[s].settle, s);
#ifdef NO_CLAIM_CHECK
				mine = true;
#endif
				if
				:: mine -> claim[turn[s].settle].locked = s
				:: else
				fi
			}
		:: else
		fi;
SQL_CLAIM_LOCK:
		if
		:: turn[s].what == CLAIM || turn[s].what == ADOPT ->
#ifndef NO_CLAIM_LOCK
			atomic { claim_lock == NOTHING -> claim_lock = s };
#endif
			skip
		:: else
		fi;
		atomic {
			if
			:: turn[s].what == CLAIM ->
SQL_CLAIM:
				ids = (1 << ROWS) - 1;
				for (c : 1 .. last_claim) {
					if
					:: claim[c].relay_id && !(c == turn[s].settle && mine && !turn[s].keep) ->
						ids = ids & ~claim[c].ids
					:: else
					fi
				}
				/* What this very turn settles is settled by now. */
				for (r : 0 .. ROWS - 1) {
					if
					:: status[r] != SENDING || later[r] || (mine && turn[s].fate[r]) ->
						ids = ids & ~(1 << r)
					:: else
					fi
				}
			:: turn[s].what == ADOPT ->
SQL_ADOPT:
				for (c : 1 .. last_claim) {
					if
					:: found == 0 && IS_DEAD(c, s) ->
						found = c;
						claim[c].locked = s
					:: else
					fi
				}
			:: turn[s].what == TAKE_OVER ->
				/* Claims that another transaction changes are waited for. */
				for (c : 1 .. last_claim) {
					if
					:: IS_FORMER(c, s) && claim[c].locked -> found = 1
					:: else
					fi
				};
				if
				:: found -> found = 0; c = 0; goto SQL_CLAIM_LOCK
				:: else
				fi;
				for (c : 1 .. last_claim) {
					if
					:: IS_FORMER(c, s) -> claim[c].locked = s
					:: else
					fi
				}
			:: else
			fi;
			c = 0; r = 0
		};
COMMIT:
		atomic {
			if
			:: turn[s].detached -> mine = false; ids = 0; found = 0; turn[s].what = 0 /* ROLLBACK */
			:: IS_UP
			fi;
			if
			:: mine ->
				for (r : 0 .. ROWS - 1) {
					settle_row(r, s)
				};
				if
				:: turn[s].keep -> claim[turn[s].settle].publishing = turn[s].name
				:: else ->
					claim[turn[s].settle].relay_id = NOTHING;
					claim[turn[s].settle].ids = 0;
					claim[turn[s].settle].publishing = 0;
					claim[turn[s].settle].is_adopted = false;
					claim[turn[s].settle].expired = false
				fi
			:: else
			fi;
			turn[s].settled = mine;
			if
			:: turn[s].what && turn[s].renew ->
				for (c : 1 .. last_claim) {
					if
					:: IS_MINE(c, s) -> claim[c].expired = false; turn[s].renewed = true
					:: else
					fi
				}
			:: else
			fi;
			if
			:: ids ->
				last_claim++;
				assert(last_claim < CLAIMS);
				for (c : 1 .. last_claim) {
					assert((claim[c].ids & ids) == 0) /* one claim a row */
				};
				claim[last_claim].relay_id = s;
				claim[last_claim].ids = ids;
				found = last_claim
			:: else
			fi;
			if
			:: found && !ids ->
#ifndef STRICT
				/* blame_named: this relay will charge the row. */
				if
				:: claim[found].publishing -> blame[claim[found].publishing - 1]++
				:: else
				fi;
#endif
				claim[found].relay_id = s;
				claim[found].is_adopted = true;
				claim[found].expired = false
			:: else
			fi;
			if
			:: turn[s].what == TAKE_OVER ->
				for (c : 1 .. last_claim) {
					if
					:: IS_FORMER(c, s) && c == turn[s].known ->
						claim[c].relay_id = s; /* SQL_RETAKE */
						claim[c].expired = false;
						turn[s].retaken = true;
						found = c
					:: IS_FORMER(c, s) && c != turn[s].known && !claim[c].is_adopted ->
						claim[c].relay_id = NOTHING; /* SQL_DROP_UNKNOWN */
						claim[c].ids = 0;
						claim[c].publishing = 0;
						claim[c].expired = false
					:: else
					fi
				}
			:: else
			fi;
			for (c : 1 .. last_claim) {
				if
				:: claim[c].locked == s -> claim[c].locked = NOTHING
				:: else
				fi
			};
			for (r : 0 .. ROWS - 1) {
				if
				:: found && (claim[found].ids & (1 << r)) -> owner[r] = s
				:: else
				fi
			};
			if
			:: claim_lock == s -> claim_lock = NOTHING
			:: else
			fi;
			claimed = 0;
			for (c : 1 .. last_claim) {
				claimed = claimed | claim[c].ids
			};
			c = 0; r = 0; ids = 0; mine = false
		};
SQL_FETCH:
		atomic {
			if
			:: found && turn[s].what != TAKE_OVER ->
				turn[s].claimed = found;
				for (r : 0 .. ROWS - 1) {
					if
					:: IS_MINE(found, s) && (claim[found].ids & (1 << r)) && status[r] == SENDING &&
					   !later[r] ->
						turn[s].fetched = turn[s].fetched | (1 << r);
						turn[s].seen[r] = tries[r]
					:: else
					fi
				}
			:: else
			fi;
			found = 0; r = 0;
			turn[s].what = 0
		}
	:: turn[s].detached && !turn[s].what -> break
	od;
	atomic {
		alive[s] = false;
#if OUTAGES
		backends--;
#endif
		turn[s].renew = 0; turn[s].settle = 0; turn[s].name = 0; turn[s].keep = 0;
		turn[s].known = 0; turn[s].former = 0; turn[s].settled = 0; turn[s].retaken = 0;
		turn[s].renewed = 0; turn[s].claimed = 0; turn[s].fetched = 0; turn[s].detached = 0;
		for (r : 0 .. ROWS - 1) {
			turn[s].fate[r] = 0; turn[s].charge[r] = 0; turn[s].seen[r] = 0
		}
	}
}

/* --- a relay --- */

/* policy.c, for what is charged. */
inline refuse(r, is_charged)
{
	charge[r] = is_charged;
	fate[r] = (is_charged && tries_seen[r] + 1 >= MAX_ATTEMPTS -> FATE_FAILED : FATE_RETRY);
	state[r] = DECIDED
}

inline forget_batch()
{
	batch = NOTHING; is_adopted = false; is_lost = false; named = 0;
	for (r : 0 .. ROWS - 1) {
		state[r] = ABSENT; fate[r] = 0; charge[r] = 0; tries_seen[r] = 0
	}
	r = 0
}

/* What waits is not published any more; what is in flight is waited for. */
inline turns_give_up_batch()
{
	is_lost = true;
	for (r : 0 .. ROWS - 1) {
		if
		:: state[r] == WAITING -> state[r] = ABSENT
		:: else
		fi
	}
	r = 0
}

inline send_turn(kind)
{
	turn[s].settled = 0; turn[s].claimed = 0; turn[s].fetched = 0; turn[s].renewed = 0;
	turn[s].retaken = 0;
	for (r : 0 .. ROWS - 1) {
		turn[s].fate[r] = (state[r] == DECIDED && turn[s].settle -> fate[r] : 0);
		turn[s].charge[r] = (state[r] == DECIDED && turn[s].settle -> charge[r] : 0);
		turn[s].seen[r] = tries_seen[r]
	}
	r = 0;
	turn[s].what = kind
}

inline publish(n)
{
#ifdef EARLY_SENT
	fate[n] = FATE_SENT;
	state[n] = DECIDED
#else
	state[n] = IN_FLIGHT
#endif
}

#define IS_OPEN(n) (state[n] == WAITING || state[n] == IN_FLIGHT)
#define IS_DUE(n)  (status[n] == SENDING && !later[n] && !(claimed & (1 << n)))
#if ROWS > 1
#define IS_ANY_OPEN (IS_OPEN(0) || IS_OPEN(1))
#define IS_ANY_DUE  (IS_DUE(0) || IS_DUE(1))
#else
#define IS_ANY_OPEN IS_OPEN(0)
#define IS_ANY_DUE  IS_DUE(0)
#endif
#define IS_ANY_DEAD(s) (IS_DEAD(1, s) || IS_DEAD(2, s) || IS_DEAD(3, s) || IS_DEAD(4, s) || \
	IS_DEAD(5, s) || IS_DEAD(6, s) || IS_DEAD(7, s))

/* What waits alone in an adopted claim: one row after the other. */
#define MAY_PUBLISH(n) (state[n] == WAITING && !is_lost && (!is_adopted || named == n + 1))

#ifdef UNNAMED_BLAME
#define IS_BLAMED(n) true
#else
#define IS_BLAMED(n) (named == n + 1)
#endif

inline open_session()
{
	last_session++;
	s = last_session;
	assert(s < SESSIONS);
	alive[s] = true; /* SQL_LOCK_SELF */
#if OUTAGES
	backends++;
#endif
	run backend(s);
	turn[s].known = batch;
	turn[s].former = former;
	former = former | (1 << s);
	opens = true; has_turn = true;
	send_turn(TAKE_OVER)
}

proctype relay(byte me)
{
	byte s, former, batch, named, r, want;
	bool is_adopted, is_lost, has_turn, opens;
#if OUTAGES
	bool is_counted;
#endif
	mtype state[ROWS] = ABSENT, fate[ROWS];
	bool charge[ROWS];
	byte tries_seen[ROWS];

turns_open:
#if OUTAGES
	atomic { back = back & ~(1 << me); is_counted = false };
	do
	:: atomic { is_away && !is_counted -> noticed++; is_counted = true }
	:: atomic { IS_UP -> open_session(); break }
	od;
#else
	atomic { open_session() };
#endif

loop:
	do
	/* the answer */
	:: atomic { has_turn && !turn[s].what && IS_UP ->
		has_turn = false;
		if
		:: opens ->
			opens = false;
			former = 1 << s;
#if OUTAGES
			back = back | (1 << me);
#endif
			if
			:: batch && !turn[s].retaken -> turns_give_up_batch()
			:: else
			fi
		:: else ->
take_settled:
			if
			:: turn[s].settle && (!turn[s].keep || !turn[s].settled) -> forget_batch()
			:: turn[s].settle && turn[s].keep ->
				named = turn[s].name;
				for (r : 0 .. ROWS - 1) {
					if
					:: state[r] == DECIDED -> state[r] = ABSENT; fate[r] = 0; charge[r] = 0
					:: else
					fi
				}
				r = 0
			:: else
			fi;
			if
			:: turn[s].renew && batch && !turn[s].renewed -> turns_give_up_batch()
			:: else
			fi;
			if
			:: turn[s].claimed ->
take_claimed:
				batch = turn[s].claimed;
				is_adopted = want == ADOPT;
				named = (is_adopted -> claim[batch].publishing : 0);
				for (r : 0 .. ROWS - 1) {
					if
					:: turn[s].fetched & (1 << r) ->
						state[r] = WAITING;
						tries_seen[r] = turn[s].seen[r];
						if
						:: is_adopted && IS_BLAMED(r) -> refuse(r, true) /* blame_named */
						:: else
						fi
					:: else
					fi
				}
				r = 0
			:: else
			fi;
			turn[s].claimed = 0; turn[s].fetched = 0; turn[s].renewed = 0
		fi;
		turn[s].known = 0; turn[s].former = 0; turn[s].settle = 0; turn[s].keep = 0;
		turn[s].name = 0; turn[s].renew = 0; turn[s].settled = 0; turn[s].retaken = 0;
		want = 0
	}
	/* turns_begin, with nothing in hand. Idle turns are doorbell.pml's business. */
	:: atomic { IS_UP && !has_turn && !batch && IS_ANY_DUE -> want = CLAIM; has_turn = true; send_turn(CLAIM) }
#ifndef NO_ADOPTION
	:: atomic { IS_UP && !has_turn && !batch && IS_ANY_DEAD(s) ->
		want = ADOPT; has_turn = true; send_turn(ADOPT) }
#endif
	/* turns_begin: settle, and look for more in the same transaction or not */
	:: atomic { IS_UP && !has_turn && batch && !IS_ANY_OPEN ->
		turn[s].settle = batch;
		has_turn = true;
		if
		:: want = CLAIM
		:: want = SETTLE
		fi;
		send_turn(want)
	}
	/* sender_unnamed: a row that stands alone is named first, and that settles those before it */
	:: atomic { IS_UP && !has_turn && is_adopted && !is_lost && state[0] == WAITING && named != 1 ->
		turn[s].settle = batch; turn[s].keep = true; turn[s].name = 1;
		has_turn = true; want = SETTLE; send_turn(want)
	}
#if ROWS > 1
	:: atomic { IS_UP && !has_turn && is_adopted && !is_lost && !IS_OPEN(0) && state[1] == WAITING && named != 2 ->
		turn[s].settle = batch; turn[s].keep = true; turn[s].name = 2;
		has_turn = true; want = SETTLE; send_turn(want)
	}
#endif
	:: atomic { IS_UP && !has_turn && batch && IS_ANY_OPEN && !is_lost && claim[batch].expired ->
		turn[s].renew = true; has_turn = true; want = SETTLE; send_turn(want)
	}
	/* sender_publish */
	:: atomic { !has_turn && MAY_PUBLISH(0) -> publish(0) }
#if ROWS > 1
	:: atomic { !has_turn && MAY_PUBLISH(1) && !(is_adopted && IS_OPEN(0)) -> publish(1) }
#endif
	/* take_receipt */
	:: atomic { !has_turn && state[0] == IN_FLIGHT -> r = 0; goto receipt }
#if ROWS > 1
	:: atomic { !has_turn && state[1] == IN_FLIGHT -> r = 1; goto receipt }
#endif
	/* the session is lost: before the commit, after it, nobody knows */
	:: atomic { losses < LOSSES ->
		losses++;
		turn[s].detached = true;
		has_turn = false; opens = false; want = 0;
		goto turns_open
	}
#if OUTAGES
	:: atomic { is_away ->
		has_turn = false; opens = false; want = 0;
		goto turns_open
	}
#endif
	:: atomic { crashes < CRASHES ->
		crashes++;
#ifdef STRICT
		if
		:: is_adopted && claim[batch].publishing && (claim[batch].relay_id == s ||
		   former & (1 << claim[batch].relay_id)) ->
			blame[claim[batch].publishing - 1]++
		:: turn[s].what && turn[s].name -> blame[turn[s].name - 1]++ /* or is about to */
		:: else
		fi;
#endif
		turn[s].detached = true;
		has_turn = false; opens = false; want = 0; former = 0;
		forget_batch();
		goto turns_open
	}
	od;

receipt:
	atomic {
		if
		:: acked[r] = true; fate[r] = FATE_SENT; charge[r] = false; state[r] = DECIDED
		:: blame[r]++; refuse(r, true) /* returned, nacked, refused */
		:: breaks < BREAKS -> /* doubt */
			breaks++;
			if
			:: is_lost -> state[r] = ABSENT
			:: is_adopted && !is_lost -> refuse(r, false) /* DEFERRED */
			:: else -> state[r] = WAITING
			fi
		fi;
		r = 0;
		goto loop
	}
}

/* --- time --- */

#define IS_ORPHAN(c) (claim[c].relay_id && !alive[claim[c].relay_id] && !claim[c].expired)
#define IS_ANY_ORPHAN (IS_ORPHAN(1) || IS_ORPHAN(2) || IS_ORPHAN(3) || IS_ORPHAN(4) || \
	IS_ORPHAN(5) || IS_ORPHAN(6) || IS_ORPHAN(7))

active proctype time()
{
	byte c;

end:
	do
	:: atomic { later[0] -> later[0] = false }
#if ROWS > 1
	:: atomic { later[1] -> later[1] = false }
#endif
	:: atomic { IS_ANY_ORPHAN ->
		for (c : 1 .. last_claim) {
			if
			:: IS_ORPHAN(c) -> claim[c].expired = true
			:: else
			fi
		}
		c = 0
	}
	od
}

#if OUTAGES
/* No relay can renew anything meanwhile, and both open new sessions behind it. */
active proctype outage()
{
	byte c;

end:
	do
	:: atomic { outages < OUTAGES && (claim[1].publishing || claim[2].publishing) ->
		outages++;
		is_away = true;
		for (c : 1 .. last_session) {
			turn[c].detached = alive[c]
		}
		c = 0
	}
	:: atomic { is_away && noticed == RELAYS && backends == 0 ->
		for (c : 1 .. last_claim) {
			if
			:: claim[c].relay_id -> claim[c].expired = true
			:: else
			fi
		}
		c = 0; noticed = 0;
		is_away = false
	}
	/* A lease is longer than a relay that lives takes to come back. */
	:: atomic { IS_UP && back == 3 && last_session && alive[last_session] && !watched[last_session] ->
		watched[last_session] = true
	}
	:: atomic { IS_UP && back == 3 && last_session > 1 && alive[last_session - 1] && !watched[last_session - 1] ->
		watched[last_session - 1] = true
	}
	od
}
#endif

#if EXPIRIES
/* A relay that is too slow for its lease. */
active proctype slowness()
{
	byte c;

end:
	do
	:: atomic { expiries < EXPIRIES && claimed ->
		select(c : 1 .. last_claim);
		if
		:: claim[c].relay_id && !claim[c].expired -> claim[c].expired = true
		:: else
		fi;
		expiries++;
		c = 0
	}
	od
}
#endif

init {
	atomic {
#if OUTAGES
		/* What a relay left behind long ago: its adopter will name the rows in it. */
		last_claim = 1;
		claim[1].relay_id = SESSIONS - 1;
		claim[1].ids = (1 << ROWS) - 1;
		claim[1].expired = true;
		claimed = claim[1].ids;
#endif
		run relay(0);
		run relay(1)
	}
}

/* --- what must hold --- */

#if ROWS > 1
#define IS_DONE (status[0] != SENDING && status[1] != SENDING)
#else
#define IS_DONE (status[0] != SENDING)
#endif

/* And the assertions above. */
ltl every_row_ends { <> IS_DONE }
