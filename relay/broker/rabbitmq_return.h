#ifndef BROKER_RABBITMQ_RETURN_H
#define BROKER_RABBITMQ_RETURN_H

#include <amqp.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/message.h"
#include "broker/frames.h"

/*
 * A message that comes back: basic.return, a content header, and as many body frames as
 * its body takes, none if it is empty. Only the reason and the message_id are of use; the
 * body is counted and dropped.
 */
struct rabbitmq_return {
	enum { RETURN_NONE, RETURN_HEADER, RETURN_BODY } expects;
	uint64_t left; /* body bytes still to come */
	char reason[256];
};

/* Forgets a half-read message: the channel is new. */
void rabbitmq_return_reset(struct rabbitmq_return *r);

/* Between basic.return and the last byte of its body no other method may come. */
bool rabbitmq_return_is_open(const struct rabbitmq_return *r);

void rabbitmq_return_begin(struct rabbitmq_return *r, const amqp_basic_return_t *method);

/*
 * Takes a header or body frame: 1 when it was the header, with the message_id (borrowed
 * from the frame; empty if there is none) in *id; 0 for a body; -1 and ERROR_LOST when
 * the frame has no place here.
 */
int rabbitmq_return_take(struct rabbitmq_return *r, const struct frame *frame,
			 struct slice *id, struct error *err);

#endif
