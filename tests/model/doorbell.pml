/*
 * Going to sleep and being woken: RELAYS relays and WRITERS writers around the bell, the advisory
 * lock K of schema/0003_doorbell.sql. Every step is what one statement of relay/store/sql.h or
 * one function of relay/engine/turns*.c does, and is labelled with its name:
 *
 *   message_log_ring   the trigger: a shared lock until the commit, or else NOTIFY
 *   SQL_BELL_RELEASE, SQL_CLAIM, SQL_BELL_TAKE, SQL_PEEK
 *                      statements, each with a snapshot of its own (store_turn.c: add_writes,
 *                      add_reads)
 *   take_claimed, take_peek, pause_shortly, listen
 *                      turns_answers.c and turns.c, when the answers are in
 *
 * Rows become visible at commit alone. There is no poll here: without it a row that is due must
 * be claimed while some relay lives. Timers that are left are the pause of a few milliseconds,
 * the earliest next_retry that SQL_PEEK saw (SCHEDULED: some rows are for later), and, where one
 * of the relays may die or have its broker block for good (CRASH), SHARED_SLEEP_MAX_MS, since who
 * sleeps on the bell of a relay that is gone is not rung for. Besides, after a claim that kept the
 * bell a look follows (TRICKLE_LOOK_MS), for what the claim missed. EXACT is without that timer,
 * and no claim misses anything: then the ring alone must do.
 *
 * The models that must go wrong: NO_SECOND_LOOK (sleeps as soon as it has the bell), PEEK_FIRST
 * (looks before it takes the bell), NO_SHARED_LOCK (writers look at the bell, but do not hold it
 * until they commit), DEAF (what rang during the peek is not heard), DEAF_CLAIM (or during a claim
 * that keeps the bell), NO_SHARED_TIMER.
 */
#ifndef RELAYS
#define RELAYS 2
#endif
#ifndef WRITERS
#define WRITERS 2
#endif
#ifndef COMMITS /* of each writer */
#define COMMITS 1
#endif

#define NOBODY 255
#define ROWS   (WRITERS * COMMITS)
#define ALL    ((1 << ROWS) - 1)

mtype = { TAKEN, SHARED, BUSY };

byte bell = NOBODY;  /* who holds K exclusively, for the session */
byte sharing;        /* transactions that hold K shared */
bool shares[RELAYS]; /* relays among them, for one statement */
bool rung[RELAYS];   /* a notification that the session has not read yet */
byte due, ahead;     /* committed rows, unclaimed: as bits */
bool ends[RELAYS];   /* it is gone */

#ifdef POLL
#define POLLS true
#else
#define POLLS false
#endif

#if defined(CRASH) && !defined(NO_SHARED_TIMER)
#define SHARED_TIMER true
#else
#define SHARED_TIMER false
#endif

#ifdef EXACT
#define LOOK_TIMER false
#else
#define LOOK_TIMER true
#endif

/* --- the application --- */

proctype writer(byte me)
{
	byte n;
	bool holds, rings;

	for (n : 0 .. COMMITS - 1) {
message_log_ring:
		atomic {
			holds = bell == NOBODY;
			rings = !holds;
#ifdef NO_SHARED_LOCK
			holds = false;
#endif
			sharing = sharing + holds
		}
COMMIT:
		if
		:: due = due | (1 << (me * COMMITS + n))
#ifdef SCHEDULED
		:: ahead = ahead | (1 << (me * COMMITS + n))
#endif
		fi;
		/* The transaction holds its lock, or it will notify; not both. */
		if
		:: rings ->
			rings = false;
			rung[0] = true;
			rung[RELAYS - 1] = true
		:: else ->
			sharing = sharing - holds;
			holds = false
		fi
	}
}

#ifdef SCHEDULED
/* Scheduled rows become due in time, in any order. */
active proctype time()
{
	byte row;

end:
	do
	:: atomic {
		ahead ->
		select(row : 0 .. ROWS - 1);
		if
		:: ahead & (1 << row) ->
			ahead = ahead & ~(1 << row);
			due = due | (1 << row)
		:: else
		fi;
		row = 0
	}
	od
}
#endif

/* --- the relay --- */

proctype relay(byte me)
{
	bool has_bell; /* turns.has_bell: somebody rings */
	bool was_rung, full_read = true, pauses, is_shared;
	bool keeps_bell; /* during the claim, and on the sleep that follows without a look */
	byte seen, scheduled;
	mtype answer;

awake:	{
	/* plan_claim, plan_wake: if rows come one by one */
	atomic {
		if
		:: was_rung && bell == me -> keeps_bell = true
		:: keeps_bell = false
		fi;
		has_bell = false
	};
SQL_BELL_RELEASE:
	atomic {
		if
		:: bell == me && !keeps_bell -> bell = NOBODY
		:: else
		fi
	};
SQL_CLAIM:
	/* Reading from the low-water mark it misses rows of transactions that began before. */
	atomic {
		if
		:: seen = due; due = 0
#ifndef EXACT
		:: !full_read
#endif
		fi;
		full_read = false
	};
take_claimed:
	atomic {
#ifdef DEAF_CLAIM
		rung[me] = false;
#else
		/* listen: for what we have seen, or are about to see */
		rung[me] = rung[me] && keeps_bell;
#endif
		pauses = !seen && was_rung && !keeps_bell;
		keeps_bell = keeps_bell && seen;
		has_bell = keeps_bell; /* sleep_on */
		was_rung = false;
		seen = 0;
		if
		:: pauses || keeps_bell -> goto asleep
		:: else -> goto drowsy
		fi
	};

drowsy:
#ifdef PEEK_FIRST
	atomic { seen = due; scheduled = ahead };
#endif
SQL_BELL_TAKE:
	atomic {
		if
		:: bell == me -> answer = TAKEN
		:: bell == NOBODY && sharing == 0 -> bell = me; answer = TAKEN
		:: else -> answer = BUSY
		fi
	};
	/* The second half of the statement; a shared lock for as long as it takes. */
	if
	:: atomic { answer == BUSY && bell == NOBODY -> sharing++; shares[me] = true };
	   atomic { sharing--; shares[me] = false }
	:: atomic { answer == BUSY && bell != NOBODY -> answer = SHARED }
	:: answer == TAKEN
	fi;
#ifdef DEAF
	rung[me] = false;
#endif
SQL_PEEK:
#ifdef NO_SECOND_LOOK
	atomic { seen = 0; scheduled = ahead };
#elif !defined(PEEK_FIRST)
	atomic { seen = due; scheduled = ahead };
#endif
take_peek:
#ifdef DEAF
	rung[me] = false;
#endif
	atomic {
		if
		:: seen -> full_read = true; answer = 0; goto heard
		:: else
		fi;
		pauses = answer == BUSY; /* pause_shortly */
		has_bell = !pauses;
		is_shared = answer == SHARED;
		answer = 0
	};

asleep:
	if
	:: rung[me] -> goto heard
	:: atomic { pauses || scheduled & ~ahead || is_shared && SHARED_TIMER || POLLS ||
		    keeps_bell && LOOK_TIMER ->
		pauses = false; is_shared = false; keeps_bell = false; scheduled = 0; goto drowsy }
	fi;

heard:	/* listen */
	atomic {
		if
		:: rung[me] && has_bell -> was_rung = true; rung[me] = false; seen = 1
		:: else -> rung[me] = false
		fi;
		if
		:: seen -> seen = 0; scheduled = 0; is_shared = false; goto awake
		:: else -> goto asleep
		fi
	}
	} unless { ends[me] };

	/* The server drops what the session held. */
	atomic {
		if
		:: bell == me -> bell = NOBODY
		:: else
		fi;
		sharing = sharing - shares[me];
		shares[me] = false;
		rung[me] = false;
		has_bell = false; was_rung = false; full_read = false; pauses = false;
		keeps_bell = false; is_shared = false; seen = 0; scheduled = 0; answer = 0
	}
}

#ifdef CRASH
active proctype crash()
{
	ends[0] = true
}
#endif

init {
	byte i;

	atomic {
		for (i : 0 .. RELAYS - 1) {
			run relay(i)
		};
		for (i : 0 .. WRITERS - 1) {
			run writer(i)
		}
	}
}

/* --- what must hold --- */

/* Nobody can take another step, and a row is left: who sleeps was not woken. */
active proctype nobody_sleeps_on_a_due_row()
{
end:
	timeout -> assert(due == 0)
}

/* Nor do they keep each other from it for ever, if each gets its turn. Writers come to an end. */
ltl all_rows_are_claimed { <> [] (due == 0) }
