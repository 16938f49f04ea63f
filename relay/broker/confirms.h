#ifndef BROKER_CONFIRMS_H
#define BROKER_CONFIRMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broker/broker.h"

/*
 * Which publish a confirm speaks of. Pure bookkeeping, no I/O.
 *
 * The broker numbers the publishes of a channel 1, 2, 3, …; its confirms name such a
 * delivery tag, alone or with all before it (`multiple`). They come in any order and may
 * overlap: an "ack up to 3460" followed by a "nack up to 3459" has been seen in
 * production. So `multiple` means those still open, the first verdict on a publish
 * stands, and whatever names no open publish is ignored and counted.
 *
 * Calling order: add() for each publish, in the order in which they go out; settle(),
 * returned() and interrupt() as the broker speaks; take() until it gives nothing more.
 *
 * A publish given up by forget() gets no receipt, but stays a suspect: the broker still
 * owes a verdict on it, so open() counts it until then.
 */
struct confirms {
	struct confirm *ring; /* slot of sequence number s: s & (capacity - 1) */
	size_t capacity;      /* power of two; grows up to limit */
	size_t limit;         /* most slots */
	uint64_t head;        /* lowest number in use */
	uint64_t tail;        /* the next publish gets this number */
	uint64_t base;        /* sequence number = base + delivery tag */
	uint64_t settled;     /* all numbers below this have a verdict */
	uint64_t return_hint; /* where to look for the next returned message */
	uint64_t forget_hint;
	uint64_t queue_first,
		queue_last; /* verdicts not yet taken, linked; valid if queued */
	size_t queued;
	size_t open;      /* publishes without a verdict, forgotten ones included */
	size_t in_flight; /* publishes that are owed a receipt */
	uint64_t ignored; /* verdicts and returns that named no open publish */
};

/* `limit`, a power of two, bounds the distance between the oldest open publish and the
 * next. */
void confirms_init(struct confirms *c, size_t limit);
void confirms_release(struct confirms *c);

/* No room for another publish until older ones are settled and taken. */
bool confirms_full(const struct confirms *c);

/* Call only when not full. `id` is borrowed until the receipt is taken, or forget(). */
void confirms_add(struct confirms *c, uint64_t tag, struct slice id);

/* The broker's verdict on one delivery tag, or on all open ones up to it. SENT becomes
   RETURNED for a publish that was returned before. */
void confirms_settle(struct confirms *c, uint64_t delivery_tag, bool multiple,
		     enum verdict verdict);

/* The broker gave this message back; its ack or nack is yet to come. */
void confirms_returned(struct confirms *c, struct slice id, const char *reason);

/* The channel is gone: all open publishes get this verdict, and delivery tags start at
   1. */
void confirms_interrupt(struct confirms *c, enum verdict verdict, const char *reason);

/* Moves up to `capacity` receipts to `out`; returns their number. */
int confirms_take(struct confirms *c, struct receipt *out, int capacity);

void confirms_forget(struct confirms *c, uint64_t tag);

/* Back to the state after init(), keeping the memory. */
void confirms_clear(struct confirms *c);

#endif
