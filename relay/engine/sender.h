#ifndef ENGINE_SENDER_H
#define ENGINE_SENDER_H

#include <stdbool.h>
#include <stdint.h>

#include "broker/broker.h"
#include "engine/counts.h"
#include "engine/link.h"
#include "engine/policy.h"
#include "engine/work.h"

/*
 * The broker's half of the relay: keeps the connection, publishes what waits, and turns
 * receipts, silence and losses into fates of rows. Knows nothing of the database.
 *
 * sender_open() blocks, bounded; nothing else does. The loop calls publish, then polls
 * the broker's descriptor, then collect.
 */
struct sender_settings {
	struct policy policy;
	int connect_timeout_ms;
	int64_t confirm_timeout_ms;
	int max_in_flight;
	int64_t lease_margin_ms; /* rows of a claim with less lease left are not
				  published */
	int64_t max_message_bytes;
};

struct sender {
	struct sender_settings settings;
	struct broker *broker;
	struct work *work;
	struct counts *counts;
	struct link link;

	uint64_t sequence;          /* of the last publish */
	uint64_t answered_sequence; /* the latest publish that has a receipt */
	int64_t answered_at_ms;     /* when the last receipt came */
	int64_t published_at_ms;    /* when the last message went out */
	uint64_t receipts;          /* since the connection was opened */
	int64_t silent_from_ms;     /* no silence counts from before */
	bool is_blocked;
	int64_t blocked_since_ms;
	bool is_others_turn; /* while rows must go alone; see next_row() */
	int64_t turn_ends_at_ms;
	bool is_alone_out;    /* what is in flight must have nothing beside it */
	bool is_named_next;   /* a row that is being named in its claim is the next one */
	int64_t expire_at_ms; /* when to look for overdue confirms next */
};

void sender_init(struct sender *s, const struct sender_settings *settings,
		 struct broker *broker, struct work *work, struct counts *counts);

/* Opens when it is due. */
void sender_open(struct sender *s, int stop_fd);

/* Rows in flight are WAITING again afterwards: they are in doubt, and free to be
 * released. */
void sender_close(struct sender *s);

/* Can rows be published now? */
bool sender_is_ready(const struct sender *s);

void sender_publish(struct sender *s);
void sender_collect(struct sender *s);

/*
 * Has nothing come or gone for a while, with messages in flight? Their queue may be stuck (a quorum
 * queue without its majority) or the broker: a few other messages tell, if they are confirmed.
 */
bool sender_is_stalled(const struct sender *s);

/* Looks for confirms that are overdue, now and then. */
void sender_expire(struct sender *s);

/* When this half wants to be called again at the latest. */
int64_t sender_due_ms(const struct sender *s);

/* The row stands alone in an adopted claim and must be named there first; or NULL. */
struct row *sender_unnamed(struct sender *s, struct batch **batch);

#endif
