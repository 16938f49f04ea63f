#ifndef BASE_FAILPOINT_H
#define BASE_FAILPOINT_H

/*
 * Places at which a test build ends or stops the process, one around each durable step, so
 * that tests can kill a relay at every one of them. `make FAILPOINTS=1` compiles them in; in
 * any other build nothing is left of them.
 *
 *   RELAY_FAILPOINT=claim_sent:kill        at the first pass
 *   RELAY_FAILPOINT=claim_sent@17:stop     at the 17th
 *   RELAY_FAILPOINT=list                   prints the names and exits
 *
 *   kill       SIGKILL
 *   stop       SIGSTOP, until somebody sends SIGCONT
 *   pause=MS   sleeps
 *
 * A wrong value ends the process at once with a message.
 */

#ifdef FAILPOINTS

#include <stdbool.h>

/* Named by what has just happened, or is about to; "sent" is on its way to the database,
   its answer not read. */
#define FAILPOINT_LIST(X)                                                            \
	/* a claim */                                                                \
	X(before_claim)                                                              \
	X(claim_sent)                                                                \
	X(fetch_unsent) /* the claim's COMMIT is sent, the fetch behind it is not */ \
	X(claimed)      /* and fetched */                                            \
	/* publishing */                                                             \
	X(before_publish)                                                            \
	X(published)  /* in the output buffer */                                     \
	X(half_frame) /* what waits is written up to the middle of a frame */        \
	X(written)                                                                   \
	/* the broker's word */                                                      \
	X(confirm_read) /* ack or nack, nothing was made of it */                    \
	X(return_read)                                                               \
	X(channel_closed)                                                            \
	X(receipt_taken)                                                             \
	/* settling */                                                               \
	X(before_settle)                                                             \
	X(settle_sent)                                                               \
	X(settled)                                                                   \
	/* any transaction that writes: all of it sent but COMMIT */                 \
	X(uncommitted)                                                               \
	/* renewing */                                                               \
	X(before_renew)                                                              \
	X(renew_sent)                                                                \
	X(renewed)                                                                   \
	/* adopting, and naming the row that goes alone */                           \
	X(before_adopt)                                                              \
	X(adopt_sent)                                                                \
	X(adopted)                                                                   \
	X(before_name)                                                               \
	X(name_sent)                                                                 \
	X(named)                                                                     \
	/* claiming a row that probes a parked destination */                        \
	X(before_probe)                                                              \
	X(probe_sent)                                                                \
	X(probed)                                                                    \
	/* sleeping and waking */                                                    \
	X(before_bell)                                                               \
	X(bell_sent)                                                                 \
	X(bell_taken)                                                                \
	X(rung)                                                                      \
	X(wake_sent)                                                                 \
	/* a new session with work in hand */                                        \
	X(take_over_uncommitted)                                                     \
	X(take_over_sent)                                                            \
	X(taken_over)                                                                \
	/* ending */                                                                 \
	X(stopping)                                                                  \
	X(broker_closed)                                                             \
	X(release_sent)                                                              \
	X(released)                                                                  \
	X(reloading)

#define FAILPOINT_ENUM(name) FAILPOINT_##name,
enum failpoint { FAILPOINT_LIST(FAILPOINT_ENUM) FAILPOINT_COUNT };

/* Is this pass the one to act at? */
bool failpoint_is_due(enum failpoint point);

/* Counts the pass; acts if it is the one. */
void failpoint_pass(enum failpoint point);

#define FAILPOINT(name) failpoint_pass(FAILPOINT_##name)

#define FAILPOINT_IF(condition, name)    \
	do {                             \
		if (condition)           \
			FAILPOINT(name); \
	} while (0)

/* With something to be done just before acting, and only then. */
#define FAILPOINT_AFTER(statement, name)                  \
	do {                                              \
		if (failpoint_is_due(FAILPOINT_##name)) { \
			statement;                        \
		}                                         \
		FAILPOINT(name);                          \
	} while (0)

#else

#define FAILPOINT(name)                  ((void)0)
#define FAILPOINT_IF(condition, name)    ((void)0)
#define FAILPOINT_AFTER(statement, name) ((void)0)

#endif

#endif
