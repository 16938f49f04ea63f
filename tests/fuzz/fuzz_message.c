/*
 * A whole message to frames, and the frames read back: what the server would see must be
 * what the row has, in frames of the negotiated size; a refused message leaves nothing.
 *
 * Byte 0 of the input: bit 0 selects frames of 131072 bytes instead of 4096; bits 1-7: how
 * often the body is repeated. Then exchange, routing key, message id, content type,
 * headers, properties and body with a byte 255 between them.
 */

#include <amqp.h>
#include <amqp_framing.h>
#include <stdbool.h>

#include "base/buffer.h"
#include "broker/frames.h"
#include "broker/rabbitmq_encode.h"
#include "fuzz/fuzz.h"

#define MARK 255

/* The part up to the next mark; NULL data where there is nothing more. */
static struct slice next_part(const uint8_t **at, const uint8_t *end)
{
	const uint8_t *from = *at;
	const uint8_t *mark = memchr(from, MARK, (size_t)(end - from));

	if (from == end)
		return (struct slice){0};
	*at = mark ? mark + 1 : end;
	return (struct slice){.data = (const char *)from,
			      .size = (size_t)((mark ? mark : end) - from)};
}

static bool is_same(amqp_bytes_t bytes, struct slice s)
{
	return bytes.len == s.size &&
	       (s.size == 0 || memcmp(bytes.bytes, s.data, s.size) == 0);
}

static uint64_t get_u64(const unsigned char *p)
{
	uint64_t value = 0;

	for (int i = 0; i < 8; i++)
		value = value << 8 | p[i];
	return value;
}

static void check_publish(struct frames *f, const struct message *m)
{
	struct frame frame;
	struct error err;
	const amqp_basic_publish_t *publish;

	must(frames_next(f, &frame, &err) == 1);
	must(frame.type == AMQP_FRAME_METHOD && frame.channel == 1);
	must(frame.method == AMQP_BASIC_PUBLISH_METHOD);
	publish = frame.decoded;
	must(publish->mandatory && !publish->immediate);
	must(is_same(publish->exchange, m->exchange));
	must(is_same(publish->routing_key, m->routing_key));
}

static void check_header(struct frames *f, const struct message *m)
{
	struct frame frame;
	struct error err;
	amqp_pool_t pool;
	amqp_bytes_t encoded;
	void *decoded;
	const amqp_basic_properties_t *p;

	must(frames_next(f, &frame, &err) == 1);
	must(frame.type == AMQP_FRAME_HEADER && frame.channel == 1);
	must(frame.payload.len >= 12);
	must(get_u64((unsigned char *)frame.payload.bytes + 4) == m->body.size);
	encoded.len = frame.payload.len - 12;
	encoded.bytes = (char *)frame.payload.bytes + 12;
	init_amqp_pool(&pool, 4096);
	must(amqp_decode_properties(AMQP_BASIC_CLASS, &pool, encoded, &decoded) >= 0);
	p = decoded;
	must(p->_flags & AMQP_BASIC_DELIVERY_MODE_FLAG && p->delivery_mode == 2);
	must(is_same(p->message_id, m->message_id));
	must(!(p->_flags & AMQP_BASIC_CONTENT_TYPE_FLAG) == !m->content_type.data);
	must(!m->content_type.data || is_same(p->content_type, m->content_type));
	must(!(p->_flags & AMQP_BASIC_HEADERS_FLAG) == !m->headers.data);
	empty_amqp_pool(&pool);
}

static void check_body(struct frames *f, struct slice body)
{
	struct frame frame;
	struct error err;

	while (body.size > 0) {
		must(frames_next(f, &frame, &err) == 1);
		must(frame.type == AMQP_FRAME_BODY && frame.channel == 1);
		must(frame.payload.len > 0 && frame.payload.len <= body.size);
		must(memcmp(frame.payload.bytes, body.data, frame.payload.len) == 0);
		body.data += frame.payload.len;
		body.size -= frame.payload.len;
	}
	must(frames_next(f, &frame, &err) == 0);
	must(buffer_size(&f->in) == 0);
}

static void try_message(const struct message *m, size_t frame_max)
{
	static const struct string_list none;
	struct rabbitmq_encode e;
	struct frames f; /* checks the sizes of frames by itself */
	struct error err = {.text = ""};

	frames_init(&f);
	f.frame_max = frame_max;
	rabbitmq_encode_init(&e, &none);
	rabbitmq_encode_start(&e, 1, frame_max);
	if (rabbitmq_encode_begin(&e, m, &f.in, &err) < 0) {
		must(err.kind == ERROR_CONFIG && err.text[0]);
		must(buffer_size(&f.in) == 0 && !e.is_busy);
	} else {
		while (e.is_busy)
			rabbitmq_encode_more(&e, &f.in, buffer_size(&f.in) + 1);
		check_publish(&f, m);
		check_header(&f, m);
		check_body(&f, m->body);
	}
	rabbitmq_encode_release(&e);
	frames_close(&f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *at = data + 1, *end = data + size;
	struct message m;
	struct buffer body = {0};

	if (size < 1)
		return 0;
	m.exchange = next_part(&at, end);
	m.routing_key = next_part(&at, end);
	m.message_id = next_part(&at, end);
	m.content_type = next_part(&at, end);
	m.headers = next_part(&at, end);
	m.properties = next_part(&at, end);
	m.body = (struct slice){.data = (const char *)at, .size = (size_t)(end - at)};
	for (int i = 0; i <= data[0] >> 1; i++)
		buffer_append(&body, m.body.data, m.body.size);
	m.body.data = buffer_text(&body);
	m.body.size = buffer_size(&body);
	/* A header that was expressed must be the row's; see fuzz_table.c for values. */
	try_message(&m, data[0] & 1 ? 131072 : 4096);
	buffer_release(&body);
	return 0;
}
