#ifndef SIMULATION_RABBIT_H
#define SIMULATION_RABBIT_H

#include <stdbool.h>
#include <stdint.h>

#include "broker/broker.h"

/*
 * RabbitMQ, one connection for each relay: it takes messages and confirms them late, several at a
 * time, in any order; returns and nacks what a row's nature asks for; closes the channel over a row,
 * and then nobody in flight learns what became of it; loses connections with messages on
 * their way; blocks; falls silent until the connection ends. Holds the relay to the contract of
 * broker.h.
 */

#define RABBIT_MAX 64

struct rabbit_message {
	uint64_t tag;
	const struct message *msg; /* borrowed */
	int64_t id;
	int64_t at_ms; /* its receipt comes */
	bool is_told;  /* the relay was woken for it */
	enum verdict verdict;
};

struct rabbit {
	struct broker base;
	struct task *task;
	bool is_open, is_lost;
	bool is_silent;      /* until it is closed */
	bool kills;          /* the last publish was the end of the process */
	int shared_refusals; /* in a row */
	size_t count;
	struct rabbit_message messages[RABBIT_MAX];
};

extern const struct broker_driver rabbit_driver;

/* Of a call that could fail: how many do, once in so many. */
struct rabbit_faults {
	int64_t lost_one_in, full_one_in, silent_one_in, late_one_in;
	bool is_blocked;
	int64_t down_until_ms;
	/* Of what comes for the shared destination: SENT, RETURNED, NACKED, or REFUSED, which closes
	   the channel. */
	enum verdict shared;
};
extern struct rabbit_faults rabbit_faults;

void rabbit_reset(void);

/* The connection breaks. */
void rabbit_break(struct rabbit *r);

/* When this connection has something to say; and says it. */
int64_t rabbit_due_ms(const struct rabbit *r);
void rabbit_run(struct rabbit *r);

#endif
