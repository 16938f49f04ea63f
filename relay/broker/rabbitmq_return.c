#include "rabbitmq_return.h"

#include <stddef.h>

/* Class, weight, body size, flags (AMQP 0-9-1 section 4.2.6.1). */
#define HEADER_MIN 14

void rabbitmq_return_reset(struct rabbitmq_return *r)
{
	r->expects = RETURN_NONE;
}

bool rabbitmq_return_is_open(const struct rabbitmq_return *r)
{
	return r->expects != RETURN_NONE;
}

void rabbitmq_return_begin(struct rabbitmq_return *r, const amqp_basic_return_t *method)
{
	frames_reason(r->reason, sizeof(r->reason), method->reply_code,
		      method->reply_text);
	r->expects = RETURN_HEADER;
}

static uint64_t get_number(const unsigned char *p, size_t size)
{
	uint64_t value = 0;

	for (size_t i = 0; i < size; i++)
		value = value << 8 | p[i];
	return value;
}

/* Bytes that a property takes in front of its content, and how its length is written. */
static const struct property {
	unsigned int flag;
	size_t length_size; /* 0: the content is one byte */
} before_message_id[] = {
	{AMQP_BASIC_CONTENT_TYPE_FLAG, 1}, {AMQP_BASIC_CONTENT_ENCODING_FLAG, 1},
	{AMQP_BASIC_HEADERS_FLAG, 4},      {AMQP_BASIC_DELIVERY_MODE_FLAG, 0},
	{AMQP_BASIC_PRIORITY_FLAG, 0},     {AMQP_BASIC_CORRELATION_ID_FLAG, 1},
	{AMQP_BASIC_REPLY_TO_FLAG, 1},     {AMQP_BASIC_EXPIRATION_FLAG, 1},
};

/*
 * Steps over what stands in front of the message_id. amqp_decode_properties() would build
 * the whole table of headers for each return, to any depth that the bytes ask for.
 */
static int find_message_id(const unsigned char *p, const unsigned char *end,
			   struct slice *id)
{
	unsigned int flags = (unsigned int)get_number(p - 2, 2);

	for (size_t i = 0; i < sizeof(before_message_id) / sizeof(before_message_id[0]);
	     i++) {
		const struct property *skip = &before_message_id[i];
		size_t size = 1;

		if (!(flags & skip->flag))
			continue;
		if (skip->length_size > (size_t)(end - p))
			return -1;
		if (skip->length_size)
			size = skip->length_size + get_number(p, skip->length_size);
		if (size > (size_t)(end - p))
			return -1;
		p += size;
	}
	*id = (struct slice){.data = "", .size = 0};
	if (!(flags & AMQP_BASIC_MESSAGE_ID_FLAG))
		return 0;
	if (p == end || *p > end - p - 1)
		return -1;
	*id = (struct slice){.data = (const char *)p + 1, .size = *p};
	return 0;
}

static int misplaced(struct error *err)
{
	return error_set(err, ERROR_LOST, "the server sent content where none belongs");
}

static int take_header(struct rabbitmq_return *r, amqp_bytes_t payload, struct slice *id,
		       struct error *err)
{
	const unsigned char *p = payload.bytes;

	if (r->expects != RETURN_HEADER)
		return misplaced(err);
	if (payload.len < HEADER_MIN ||
	    find_message_id(p + HEADER_MIN, p + payload.len, id) < 0)
		return error_set(err, ERROR_LOST,
				 "the server sent a broken content header");
	r->left = get_number(p + 4, 8);
	r->expects = r->left > 0 ? RETURN_BODY : RETURN_NONE;
	return 1;
}

int rabbitmq_return_take(struct rabbitmq_return *r, const struct frame *frame,
			 struct slice *id, struct error *err)
{
	if (frame->type == AMQP_FRAME_HEADER)
		return take_header(r, frame->payload, id, err);
	if (r->expects != RETURN_BODY || frame->payload.len > r->left)
		return misplaced(err);
	r->left -= frame->payload.len;
	if (r->left == 0)
		r->expects = RETURN_NONE;
	return 0;
}
