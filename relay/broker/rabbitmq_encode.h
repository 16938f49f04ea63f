#ifndef BROKER_RABBITMQ_ENCODE_H
#define BROKER_RABBITMQ_ENCODE_H

#include <amqp.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/message.h"
#include "config/option.h"

/*
 * A message to AMQP frames: basic.publish, content header, body.
 *
 * Everything that could be wrong with a message is found before its first byte is in the
 * output, so a bad message leaves no trace on the connection. A body that is larger than
 * the room is added piece by piece while the output drains.
 *
 * Calling order: init, any number of (begin, more until not busy), release.
 */
struct rabbitmq_encode {
	const struct string_list *allowed_headers; /* borrowed */
	amqp_pool_t pool;                          /* of the message at hand */
	uint16_t channel;
	size_t frame_max;
	struct slice rest; /* of the body, still to be added; borrowed from the message */
	bool is_busy;      /* rest is not empty */
};

void rabbitmq_encode_init(struct rabbitmq_encode *e,
			  const struct string_list *allowed_headers);
void rabbitmq_encode_release(struct rabbitmq_encode *e);

/* For a new channel: nothing of an earlier message is left. */
void rabbitmq_encode_start(struct rabbitmq_encode *e, uint16_t channel, size_t frame_max);

/*
 * Adds the first two frames to `out`; call only when not busy. -1: the message cannot be
 * expressed, err->text says why, `out` is unchanged.
 */
int rabbitmq_encode_begin(struct rabbitmq_encode *e, const struct message *msg,
			  struct buffer *out, struct error *err);

/* Adds body frames while `out` holds fewer than `enough` bytes. */
void rabbitmq_encode_more(struct rabbitmq_encode *e, struct buffer *out, size_t enough);

#endif
