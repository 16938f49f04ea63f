#include "amqp_peer.h"

#include <arpa/inet.h>
#include <check.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define PATIENCE_S 10

struct frame_head {
	uint8_t type;
	uint16_t channel;
	size_t size;
};

/* --- the thread --- */

static void *run(void *context)
{
	struct amqp_peer *p = context;
	const struct timeval patience = {.tv_sec = PATIENCE_S};
	int one = 1;

	p->fd = accept(p->listener, NULL, NULL);
	ck_assert_int_ge(p->fd, 0);
	setsockopt(p->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(p->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	init_amqp_pool(&p->pool, 4096);
	p->script(p);
	empty_amqp_pool(&p->pool);
	close(p->fd);
	return NULL;
}

void amqp_peer_start(struct amqp_peer *p)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t size = sizeof(address);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	p->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(p->listener, (struct sockaddr *)&address, size), 0);
	ck_assert_int_eq(listen(p->listener, 1), 0);
	ck_assert_int_eq(getsockname(p->listener, (struct sockaddr *)&address, &size), 0);
	ck_assert_int_eq(pipe(p->hold), 0);
	p->port = ntohs(address.sin_port);
	ck_assert_int_eq(pthread_create(&p->thread, NULL, run, p), 0);
}

void amqp_peer_stop(struct amqp_peer *p)
{
	pthread_join(p->thread, NULL);
	close(p->listener);
	close(p->hold[0]);
	close(p->hold[1]);
}

void amqp_peer_release(struct amqp_peer *p)
{
	ck_assert_int_eq(write(p->hold[1], "", 1), 1);
}

void amqp_peer_hold(struct amqp_peer *p)
{
	char byte;

	ck_assert_int_eq(read(p->hold[0], &byte, 1), 1);
}

/* --- bytes and frames --- */

void amqp_peer_raw(struct amqp_peer *p, const void *data, size_t size)
{
	ck_assert_int_eq(send(p->fd, data, size, MSG_NOSIGNAL), (ssize_t)size);
}

static void get(struct amqp_peer *p, void *out, size_t size)
{
	ck_assert_int_eq(recv(p->fd, out, size, MSG_WAITALL), (ssize_t)size);
}

static uint32_t number(const unsigned char *p, size_t size)
{
	uint32_t value = 0;

	for (size_t i = 0; i < size; i++)
		value = value << 8 | p[i];
	return value;
}

static void put_number(unsigned char *out, uint64_t value, size_t size)
{
	for (size_t i = 0; i < size; i++)
		out[i] = (unsigned char)(value >> (8 * (size - 1 - i)));
}

/* Reads one frame; its payload is in p->in. */
static struct frame_head get_frame(struct amqp_peer *p)
{
	unsigned char head[7], end;
	struct frame_head f;

	get(p, head, sizeof(head));
	f = (struct frame_head){head[0], (uint16_t)number(head + 1, 2),
				number(head + 3, 4)};
	ck_assert_uint_le(f.size, sizeof(p->in));
	ck_assert_uint_le(f.size + 8, p->frame_max);
	if (f.size)
		get(p, p->in, f.size);
	get(p, &end, 1);
	ck_assert_uint_eq(end, AMQP_FRAME_END);
	return f;
}

static void put_frame(struct amqp_peer *p, int type, int channel, const void *payload,
		      size_t size)
{
	unsigned char *frame = malloc(size + 8);

	frame[0] = (unsigned char)type;
	put_number(frame + 1, (uint64_t)channel, 2);
	put_number(frame + 3, size, 4);
	if (size)
		memcpy(frame + 7, payload, size);
	frame[7 + size] = AMQP_FRAME_END;
	amqp_peer_raw(p, frame, size + 8);
	free(frame);
}

void amqp_peer_send(struct amqp_peer *p, uint16_t channel, amqp_method_number_t method,
		    void *arguments)
{
	unsigned char payload[4096];
	amqp_bytes_t room = {.len = sizeof(payload) - 4, .bytes = payload + 4};
	int size = amqp_encode_method(method, arguments, room);

	ck_assert_int_ge(size, 0);
	put_number(payload, method, 4);
	put_frame(p, AMQP_FRAME_METHOD, channel, payload, (size_t)size + 4);
}

static void *decode(struct amqp_peer *p, struct frame_head f, amqp_method_number_t method)
{
	amqp_bytes_t arguments = {.len = f.size - 4, .bytes = p->in + 4};
	void *decoded;

	ck_assert_uint_eq(f.type, AMQP_FRAME_METHOD);
	ck_assert_msg(number((unsigned char *)p->in, 4) == method, "expected %s, got %s",
		      amqp_method_name(method),
		      amqp_method_name(number((unsigned char *)p->in, 4)));
	recycle_amqp_pool(&p->pool);
	ck_assert_int_ge(amqp_decode_method(method, &p->pool, arguments, &decoded), 0);
	return decoded;
}

void *amqp_peer_expect(struct amqp_peer *p, uint16_t channel, amqp_method_number_t method)
{
	struct frame_head f;

	do {
		f = get_frame(p);
	} while (f.type == AMQP_FRAME_HEARTBEAT);
	ck_assert_uint_eq(f.channel, channel);
	return decode(p, f, method);
}

void amqp_peer_expect_heartbeat(struct amqp_peer *p)
{
	struct frame_head f = get_frame(p);

	ck_assert_uint_eq(f.type, AMQP_FRAME_HEARTBEAT);
	ck_assert_uint_eq(f.channel, 0);
	ck_assert_uint_eq(f.size, 0);
}

void amqp_peer_expect_end(struct amqp_peer *p)
{
	while (recv(p->fd, p->in, sizeof(p->in), 0) > 0)
		;
}

/* --- login --- */

void amqp_peer_greet(struct amqp_peer *p)
{
	amqp_table_entry_t properties[2] = {
		{.key = amqp_cstring_bytes("product"),
		 .value.kind = AMQP_FIELD_KIND_UTF8},
		{.key = amqp_cstring_bytes("version"),
		 .value.kind = AMQP_FIELD_KIND_UTF8},
	};
	amqp_connection_start_t start = {
		.version_minor = 9,
		.server_properties = {.num_entries = 2, .entries = properties},
		.mechanisms = amqp_cstring_bytes("AMQPLAIN PLAIN"),
		.locales = amqp_cstring_bytes("en_US"),
	};
	char header[8];

	properties[0].value.value.bytes = amqp_cstring_bytes("Peer");
	properties[1].value.value.bytes = amqp_cstring_bytes("1.2");
	get(p, header, sizeof(header));
	ck_assert_mem_eq(header, "AMQP\0\0\11\1", sizeof(header));
	amqp_peer_send(p, 0, AMQP_CONNECTION_START_METHOD, &start);
	amqp_peer_expect(p, 0, AMQP_CONNECTION_START_OK_METHOD);
}

void amqp_peer_login(struct amqp_peer *p)
{
	amqp_connection_tune_t tune = {
		.channel_max = 2047,
		.frame_max = p->frame_max,
		.heartbeat = p->heartbeat,
	};
	amqp_connection_open_ok_t open_ok = {0};
	amqp_channel_open_ok_t channel_ok = {0};
	amqp_confirm_select_ok_t select_ok = {0};
	amqp_connection_tune_ok_t *tuned;

	amqp_peer_greet(p);
	amqp_peer_send(p, 0, AMQP_CONNECTION_TUNE_METHOD, &tune);
	tuned = amqp_peer_expect(p, 0, AMQP_CONNECTION_TUNE_OK_METHOD);
	ck_assert_uint_le(tuned->frame_max, p->frame_max);
	amqp_peer_expect(p, 0, AMQP_CONNECTION_OPEN_METHOD);
	amqp_peer_send(p, 0, AMQP_CONNECTION_OPEN_OK_METHOD, &open_ok);
	amqp_peer_expect(p, 1, AMQP_CHANNEL_OPEN_METHOD);
	amqp_peer_send(p, 1, AMQP_CHANNEL_OPEN_OK_METHOD, &channel_ok);
	amqp_peer_expect(p, 1, AMQP_CONFIRM_SELECT_METHOD);
	amqp_peer_send(p, 1, AMQP_CONFIRM_SELECT_OK_METHOD, &select_ok);
}

/* --- messages --- */

static void copy(char out[256], amqp_bytes_t bytes)
{
	ck_assert_uint_lt(bytes.len, 256);
	memcpy(out, bytes.bytes, bytes.len);
	out[bytes.len] = '\0';
}

static size_t get_header(struct amqp_peer *p, struct amqp_peer_publish *out)
{
	struct frame_head f = get_frame(p);
	amqp_bytes_t bytes = {.len = f.size - 12, .bytes = p->in + 12};
	amqp_basic_properties_t *properties;
	void *decoded;

	ck_assert_uint_eq(f.type, AMQP_FRAME_HEADER);
	ck_assert_int_ge(amqp_decode_properties(AMQP_BASIC_CLASS, &p->pool, bytes,
						&decoded),
			 0);
	properties = decoded;
	copy(out->message_id, properties->message_id);
	out->persistent = properties->delivery_mode == AMQP_DELIVERY_PERSISTENT;
	out->header_size = f.size;
	return number((unsigned char *)p->in + 8, 4);
}

void amqp_peer_read(struct amqp_peer *p, struct amqp_peer_publish *out)
{
	const amqp_basic_publish_t *publish =
		amqp_peer_expect(p, 1, AMQP_BASIC_PUBLISH_METHOD);
	size_t size;

	memset(out, 0, sizeof(*out));
	copy(out->exchange, publish->exchange);
	copy(out->routing_key, publish->routing_key);
	out->mandatory = publish->mandatory;
	size = get_header(p, out);
	while (out->body_size < size) {
		struct frame_head f = get_frame(p);

		if (f.type == AMQP_FRAME_HEARTBEAT)
			continue;
		ck_assert_uint_eq(f.type, AMQP_FRAME_BODY);
		for (size_t i = 0; i < f.size; i++)
			out->body_sum += (unsigned char)p->in[i];
		out->body_size += f.size;
		if (f.size + 8 > out->largest_frame)
			out->largest_frame = f.size + 8;
	}
	ck_assert_uint_eq(out->body_size, size);
}

void amqp_peer_ack(struct amqp_peer *p, uint64_t tag, bool multiple)
{
	amqp_basic_ack_t ack = {.delivery_tag = tag, .multiple = multiple};

	amqp_peer_send(p, 1, AMQP_BASIC_ACK_METHOD, &ack);
}

void amqp_peer_nack(struct amqp_peer *p, uint64_t tag, bool multiple)
{
	amqp_basic_nack_t nack = {.delivery_tag = tag,
				  .multiple = multiple,
				  .requeue = 1};

	amqp_peer_send(p, 1, AMQP_BASIC_NACK_METHOD, &nack);
}

void amqp_peer_return(struct amqp_peer *p, const char *message_id, size_t body_size)
{
	amqp_basic_return_t method = {
		.reply_code = AMQP_NO_ROUTE,
		.reply_text = amqp_cstring_bytes("NO_ROUTE"),
	};
	amqp_basic_properties_t properties = {
		._flags = AMQP_BASIC_MESSAGE_ID_FLAG,
		.message_id = amqp_cstring_bytes(message_id),
	};
	unsigned char header[512] = {0};
	amqp_bytes_t room = {.len = sizeof(header) - 12, .bytes = header + 12};
	int size = amqp_encode_properties(AMQP_BASIC_CLASS, &properties, room);

	amqp_peer_send(p, 1, AMQP_BASIC_RETURN_METHOD, &method);
	put_number(header, AMQP_BASIC_CLASS, 2);
	put_number(header + 4, body_size, 8);
	put_frame(p, AMQP_FRAME_HEADER, 1, header, (size_t)size + 12);
	while (body_size > 0) {
		size_t piece = body_size < 1000 ? body_size : 1000;

		put_frame(p, AMQP_FRAME_BODY, 1, p->in, piece);
		body_size -= piece;
	}
}

void amqp_peer_close_channel(struct amqp_peer *p, int code, const char *text)
{
	amqp_channel_close_t close = {
		.reply_code = (uint16_t)code,
		.reply_text = amqp_cstring_bytes(text),
	};

	amqp_peer_send(p, 1, AMQP_CHANNEL_CLOSE_METHOD, &close);
}

void amqp_peer_close(struct amqp_peer *p, int code, const char *text)
{
	amqp_connection_close_t close = {
		.reply_code = (uint16_t)code,
		.reply_text = amqp_cstring_bytes(text),
	};

	amqp_peer_send(p, 0, AMQP_CONNECTION_CLOSE_METHOD, &close);
}
