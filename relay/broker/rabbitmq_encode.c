#include "rabbitmq_encode.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "broker/frames.h"
#include "broker/rabbitmq_table.h"

#define POOL_PAGE 4096

/* The most that basic.publish takes: frame, method number, ticket, two short strings,
 * bits. */
#define PUBLISH_MAX (FRAMES_OVERHEAD + 4 + 2 + 2 * 256 + 1)

/* Class, weight, body size: what a content header has in front of the properties. */
#define CONTENT_FIXED 12

/* A header frame with message_id, content_type and delivery_mode only. */
#define PLAIN_HEADER_MAX (FRAMES_OVERHEAD + CONTENT_FIXED + 2 + 2 * 256 + 1)

void rabbitmq_encode_init(struct rabbitmq_encode *e,
			  const struct string_list *allowed_headers)
{
	*e = (struct rabbitmq_encode){.allowed_headers = allowed_headers};
	init_amqp_pool(&e->pool, POOL_PAGE);
}

void rabbitmq_encode_release(struct rabbitmq_encode *e)
{
	empty_amqp_pool(&e->pool);
}

void rabbitmq_encode_start(struct rabbitmq_encode *e, uint16_t channel, size_t frame_max)
{
	e->channel = channel;
	e->frame_max = frame_max;
	e->rest = (struct slice){0};
	e->is_busy = false;
}

static amqp_bytes_t bytes_of(struct slice s)
{
	return (amqp_bytes_t){.len = s.size, .bytes = (void *)s.data};
}

static int check_sizes(const struct message *msg, struct error *err)
{
	const struct {
		const char *name;
		size_t size;
	} short_strings[] = {
		{"exchange", msg->exchange.size},
		{"routing_key", msg->routing_key.size},
		{"message_id", msg->message_id.size},
		{"content_type", msg->content_type.size},
	};

	for (size_t i = 0; i < sizeof(short_strings) / sizeof(short_strings[0]); i++) {
		if (short_strings[i].size > 255)
			return error_set(err, ERROR_CONFIG,
					 "%s has %zu bytes; AMQP takes at most 255",
					 short_strings[i].name, short_strings[i].size);
	}
	return 0;
}

/* JSON takes at most some six bytes for one on the wire. What is far beyond cannot fit a frame,
   and parsing it would only cost memory. */
static int check_json(const struct rabbitmq_encode *e, const struct message *msg,
		      struct error *err)
{
	size_t most = 8 * e->frame_max;

	if (msg->headers.size <= most && msg->properties.size <= most)
		return 0;
	return error_set(err, ERROR_CONFIG,
			 "headers or properties have more than %zu bytes", most);
}

static int collect_properties(struct rabbitmq_encode *e, const struct message *msg,
			      amqp_basic_properties_t *out, struct error *err)
{
	out->_flags = AMQP_BASIC_DELIVERY_MODE_FLAG | AMQP_BASIC_MESSAGE_ID_FLAG;
	out->delivery_mode = AMQP_DELIVERY_PERSISTENT;
	out->message_id = bytes_of(msg->message_id);
	if (msg->content_type.data) {
		out->_flags |= AMQP_BASIC_CONTENT_TYPE_FLAG;
		out->content_type = bytes_of(msg->content_type);
	}
	if (!msg->headers.data && !msg->properties.data)
		return 0;
	recycle_amqp_pool(&e->pool);
	if (msg->properties.data &&
	    rabbitmq_table_properties(out, msg->properties, &e->pool, err) < 0)
		return -1;
	if (!msg->headers.data)
		return 0;
	out->_flags |= AMQP_BASIC_HEADERS_FLAG;
	return rabbitmq_table_headers(&out->headers, msg->headers, e->allowed_headers,
				      &e->pool, err);
}

static char *put_u16(char *out, unsigned int value)
{
	*out++ = (char)(value >> 8);
	*out++ = (char)value;
	return out;
}

static char *put_u32(char *out, uint32_t value)
{
	return put_u16(put_u16(out, value >> 16), value & 0xffff);
}

static char *put_frame_start(char *out, uint8_t type, uint16_t channel, size_t size)
{
	*out++ = (char)type;
	return put_u32(put_u16(out, channel), (uint32_t)size);
}

static char *put_publish(char *out, uint16_t channel, const struct message *msg)
{
	amqp_basic_publish_t publish = {
		.exchange = bytes_of(msg->exchange),
		.routing_key = bytes_of(msg->routing_key),
		.mandatory = 1,
	};
	amqp_bytes_t room = {.len = PUBLISH_MAX, .bytes = out + 11};
	int size = amqp_encode_method(AMQP_BASIC_PUBLISH_METHOD, &publish, room);

	assert(size > 0); /* lengths were checked */
	out = put_frame_start(out, AMQP_FRAME_METHOD, channel, (size_t)size + 4);
	out = put_u32(out, AMQP_BASIC_PUBLISH_METHOD) + size;
	*out++ = (char)AMQP_FRAME_END;
	return out;
}

/* NULL when it does not fit `limit` bytes. */
static char *put_header(char *out, uint16_t channel, amqp_basic_properties_t *properties,
			size_t body_size, size_t limit)
{
	amqp_bytes_t room = {
		.len = limit - FRAMES_OVERHEAD - CONTENT_FIXED,
		.bytes = out + 7 + CONTENT_FIXED,
	};
	int size = amqp_encode_properties(AMQP_BASIC_CLASS, properties, room);

	if (size < 0)
		return NULL;
	out = put_frame_start(out, AMQP_FRAME_HEADER, channel,
			      CONTENT_FIXED + (size_t)size);
	out = put_u16(put_u16(out, AMQP_BASIC_CLASS), 0);
	out = put_u32(out, (uint32_t)((uint64_t)body_size >> 32));
	out = put_u32(out, (uint32_t)body_size) + size;
	*out++ = (char)AMQP_FRAME_END;
	return out;
}

int rabbitmq_encode_begin(struct rabbitmq_encode *e, const struct message *msg,
			  struct buffer *out, struct error *err)
{
	amqp_basic_properties_t properties = {0};
	bool is_plain = !msg->headers.data && !msg->properties.data;
	size_t header_max = is_plain ? PLAIN_HEADER_MAX : e->frame_max;
	char *start, *end;

	assert(!e->is_busy);
	if (check_sizes(msg, err) < 0 || check_json(e, msg, err) < 0 ||
	    collect_properties(e, msg, &properties, err) < 0)
		return -1;
	start = buffer_reserve(out, PUBLISH_MAX + header_max);
	end = put_publish(start, e->channel, msg);
	end = put_header(end, e->channel, &properties, msg->body.size, header_max);
	if (!end)
		return error_set(err, ERROR_CONFIG,
				 "headers and properties do not fit a frame of %zu bytes",
				 e->frame_max);
	buffer_commit(out, (size_t)(end - start));
	e->rest = msg->body;
	e->is_busy = e->rest.size > 0;
	return 0;
}

static void put_body(struct rabbitmq_encode *e, struct buffer *out)
{
	size_t size = e->frame_max - FRAMES_OVERHEAD;
	char *to;

	if (size > e->rest.size)
		size = e->rest.size;
	to = buffer_reserve(out, size + FRAMES_OVERHEAD);
	to = put_frame_start(to, AMQP_FRAME_BODY, e->channel, size);
	memcpy(to, e->rest.data, size);
	to[size] = (char)AMQP_FRAME_END;
	buffer_commit(out, size + FRAMES_OVERHEAD);
	e->rest.data += size;
	e->rest.size -= size;
}

void rabbitmq_encode_more(struct rabbitmq_encode *e, struct buffer *out, size_t enough)
{
	while (e->rest.size > 0 && buffer_size(out) < enough)
		put_body(e, out);
	e->is_busy = e->rest.size > 0;
}
