#include "frames.h"

#include <assert.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"

#define READ_SIZE  (64 * 1024)
#define READS_MAX  16 /* a flood of input must not keep us from writing */
#define POOL_PAGE  4096
#define SILENT_MAX 2 /* heartbeat intervals without a byte: the peer is dead */

void frames_init(struct frames *f)
{
	*f = (struct frames){.frame_max = FRAMES_MIN_SIZE};
	stream_init(&f->stream);
	init_amqp_pool(&f->pool, POOL_PAGE);
	f->heard_ms = clock_ms();
}

void frames_close(struct frames *f)
{
	stream_close(&f->stream);
	buffer_release(&f->in);
	buffer_release(&f->out);
	empty_amqp_pool(&f->pool);
	frames_init(f);
}

void frames_text(char *out, size_t size, amqp_bytes_t text)
{
	const unsigned char *from = text.bytes;
	size_t used;

	for (used = 0; used < text.len && used + 1 < size; used++)
		out[used] =
			(char)(from[used] >= ' ' && from[used] < 127 ? from[used] : '?');
	out[used] = '\0';
}

void frames_reason(char *out, size_t size, int code, amqp_bytes_t text)
{
	int used = snprintf(out, size, "%d ", code);

	assert(used > 0 && (size_t)used < size);
	frames_text(out + used, size - (size_t)used, text);
}

/* --- output --- */

int frames_put(struct frames *f, uint16_t channel, amqp_method_number_t method,
	       void *arguments, struct error *err)
{
	size_t room = f->frame_max - FRAMES_OVERHEAD - 4;
	char *out = buffer_reserve(&f->out, f->frame_max);
	amqp_bytes_t encoded = {.len = room, .bytes = out + 11};
	int size = amqp_encode_method(method, arguments, encoded);

	if (size < 0)
		return error_set(err, ERROR_REFUSED,
				 "%s does not fit a frame of %zu bytes",
				 amqp_method_name(method), f->frame_max);
	buffer_put_u8(&f->out, AMQP_FRAME_METHOD);
	buffer_put_u16(&f->out, channel);
	buffer_put_u32(&f->out, (uint32_t)size + 4);
	buffer_put_u32(&f->out, method);
	buffer_commit(&f->out, (size_t)size);
	buffer_put_u8(&f->out, AMQP_FRAME_END);
	return 0;
}

int frames_flush(struct frames *f, struct error *err)
{
	while (buffer_size(&f->out) > 0) {
		ssize_t sent = stream_write(&f->stream, f->out.data + f->out.start,
					    buffer_size(&f->out), err);

		if (sent < 0)
			return -1;
		if (sent == 0)
			return 0;
		buffer_consume(&f->out, (size_t)sent);
		f->was_sent = true;
	}
	return 0;
}

/*
 * Anything we send counts as a heartbeat (AMQP 0-9-1 section 4.2.7), and so do bytes that
 * still wait in the output: they go out as soon as the peer reads, and a heartbeat behind
 * them would come no earlier.
 */
static void beat(struct frames *f)
{
	static const char frame[] = {AMQP_FRAME_HEARTBEAT, 0, 0, 0, 0, 0, 0,
				     (char)AMQP_FRAME_END};

	if (!f->was_sent && buffer_size(&f->out) == 0)
		buffer_append(&f->out, frame, sizeof(frame));
	f->was_sent = false;
	f->beat_ms = clock_ms() + f->heartbeat_ms / 4;
}

int frames_tick(struct frames *f, struct error *err)
{
	int64_t now = clock_ms();

	if (f->heartbeat_ms == 0)
		return 0;
	if (now - f->heard_ms > SILENT_MAX * f->heartbeat_ms)
		return error_set(err, ERROR_LOST,
				 "no byte from the server for %lld ms: heartbeats missed",
				 (long long)(now - f->heard_ms));
	if (now < f->beat_ms)
		return 0;
	beat(f);
	return frames_flush(f, err);
}

int64_t frames_due_ms(const struct frames *f)
{
	if (f->has_more)
		return 0;
	if (f->heartbeat_ms == 0)
		return CLOCK_NEVER;
	return clock_min(f->beat_ms, f->heard_ms + SILENT_MAX * f->heartbeat_ms + 1);
}

/* --- input --- */

int frames_fill(struct frames *f, struct error *err)
{
	buffer_consume(&f->in, f->consumed);
	f->consumed = 0;
	f->has_more = false;
	for (int i = 0; i < READS_MAX; i++) {
		char *room = buffer_reserve(&f->in, READ_SIZE);
		ssize_t got = stream_read(&f->stream, room, READ_SIZE, err);

		if (got < 0)
			return -1;
		if (got == 0)
			return 0;
		buffer_commit(&f->in, (size_t)got);
		f->heard_ms = clock_ms();
		/* Of TCP, poll(2) shows what is left; TLS may hold it back decrypted. */
		if (got < READ_SIZE && !f->stream.tls)
			return 0;
	}
	f->has_more = true;
	return 0;
}

static uint32_t get_u32(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* The peer closes the connection: codes that a retry will not mend are REFUSED. */
static int on_close(struct frames *f, const amqp_connection_close_t *close,
		    struct error *err)
{
	amqp_connection_close_ok_t ok = {0};
	struct error ignored;
	char reason[256];
	bool is_refusal = close->reply_code == AMQP_ACCESS_REFUSED ||
			  close->reply_code == AMQP_NOT_ALLOWED;

	f->close_code = close->reply_code;
	frames_reason(reason, sizeof(reason), close->reply_code, close->reply_text);
	error_set(err, is_refusal ? ERROR_REFUSED : ERROR_LOST,
		  "the server closed the connection: %s", reason);
	if (frames_put(f, 0, AMQP_CONNECTION_CLOSE_OK_METHOD, &ok, &ignored) == 0)
		frames_flush(f, &ignored);
	return -1;
}

/* Methods of channel 0: 1 when `frame` is for the login, 0 when it was dealt with. */
static int on_connection(struct frames *f, const struct frame *frame, struct error *err)
{
	const amqp_connection_blocked_t *blocked = frame->decoded;

	switch (frame->method) {
	case AMQP_CONNECTION_CLOSE_METHOD:
		return on_close(f, frame->decoded, err);
	case AMQP_CONNECTION_BLOCKED_METHOD:
		f->is_blocked = true;
		frames_text(f->block_reason, sizeof(f->block_reason), blocked->reason);
		return 0;
	case AMQP_CONNECTION_UNBLOCKED_METHOD:
		f->is_blocked = false;
		return 0;
	default:
		return 1;
	}
}

static int nonsense(struct error *err, const char *what, unsigned long number)
{
	return error_set(err, ERROR_LOST,
			 "the server sent bytes that are not AMQP 0-9-1: %s %lu", what,
			 number);
}

static int decode_method(struct frames *f, struct frame *frame, struct error *err)
{
	amqp_bytes_t arguments;
	const unsigned char *payload = frame->payload.bytes;
	int status;

	/* Nothing a server says is long; the limit also bounds the depth of tables, which
	   the decoder of librabbitmq 0.11.0 does not. */
	if (frame->payload.len < 4 || frame->payload.len > FRAMES_MIN_SIZE)
		return nonsense(err, "a method of size", frame->payload.len);
	frame->method = get_u32(payload);
	arguments.len = frame->payload.len - 4;
	arguments.bytes = (char *)frame->payload.bytes + 4;
	status = amqp_decode_method(frame->method, &f->pool, arguments, &frame->decoded);
	if (status == AMQP_STATUS_NO_MEMORY)
		return error_set(err, ERROR_LOST, "out of memory");
	if (status < 0)
		return nonsense(err, "method", frame->method);
	return frame->channel == 0 ? on_connection(f, frame, err) : 1;
}

static int take_frame(struct frames *f, struct frame *frame, struct error *err)
{
	switch (frame->type) {
	case AMQP_FRAME_METHOD:
		return decode_method(f, frame, err);
	case AMQP_FRAME_HEARTBEAT:
		return 0;
	case AMQP_FRAME_HEADER:
	case AMQP_FRAME_BODY:
		if (frame->channel == 0)
			return nonsense(err, "content on channel", 0);
		return 1;
	default:
		return nonsense(err, "frame type", frame->type);
	}
}

/* Splits the next whole frame off the input: 1, 0, -1. */
static int split(struct frames *f, struct frame *frame, struct error *err)
{
	const unsigned char *p;
	size_t size, have;

	buffer_consume(&f->in, f->consumed);
	f->consumed = 0;
	have = buffer_size(&f->in);
	p = (const unsigned char *)f->in.data + f->in.start;
	/* A server that does not like our version says which one it speaks, and hangs
	   up. */
	if (have >= 4 && memcmp(p, "AMQP", 4) == 0)
		return error_set(err, ERROR_REFUSED,
				 "the server does not speak AMQP 0-9-1");
	/* A TLS alert (RFC 8446 section 5.1): it did not like our greeting. */
	if (have >= 2 && p[0] == 0x15 && p[1] == 0x03)
		return error_set(err, ERROR_REFUSED,
				 "the server speaks TLS on this port: use amqps://");
	if (have < FRAMES_OVERHEAD)
		return 0;
	size = get_u32(p + 3);
	if (size > f->frame_max - FRAMES_OVERHEAD)
		return nonsense(err, "a frame of size", size);
	if (have < size + FRAMES_OVERHEAD)
		return 0;
	if (p[7 + size] != AMQP_FRAME_END)
		return nonsense(err, "frame end", p[7 + size]);
	*frame = (struct frame){
		.type = p[0],
		.channel = (uint16_t)(p[1] << 8 | p[2]),
		.payload = {.len = size, .bytes = (void *)(p + 7)},
	};
	f->consumed = size + FRAMES_OVERHEAD;
	return 1;
}

int frames_next(struct frames *f, struct frame *frame, struct error *err)
{
	for (;;) {
		int found;

		recycle_amqp_pool(&f->pool);
		found = split(f, frame, err);
		if (found != 1)
			return found;
		found = take_frame(f, frame, err);
		if (found != 0)
			return found;
	}
}

/* --- the blocking part --- */

static int on_channel_close(struct frames *f, const struct frame *frame,
			    struct error *err)
{
	const amqp_channel_close_t *close = frame->decoded;
	amqp_channel_close_ok_t ok = {0};
	char reason[256];

	frames_reason(reason, sizeof(reason), close->reply_code, close->reply_text);
	if (frames_put(f, frame->channel, AMQP_CHANNEL_CLOSE_OK_METHOD, &ok, err) < 0 ||
	    frames_flush(f, err) < 0)
		return -1;
	return error_set(err, ERROR_REFUSED, "%s", reason);
}

/* 1: this is the answer; 0: something else. */
static int is_answer(struct frames *f, const struct frame *frame,
		     const struct frames_request *r, struct error *err)
{
	if (frame->type != AMQP_FRAME_METHOD || frame->channel != r->channel)
		return 0;
	if (frame->method == AMQP_CHANNEL_CLOSE_METHOD)
		return on_channel_close(f, frame, err);
	return frame->method == r->reply;
}

/* Looks through what was read: 1 with the answer, 0 when it is not there yet, -1. */
static int find_answer(struct frames *f, const struct frames_request *r, void **decoded,
		       struct error *err)
{
	struct frame frame;
	int found;

	while ((found = frames_next(f, &frame, err)) > 0) {
		int answer = is_answer(f, &frame, r, err);

		if (answer > 0)
			*decoded = frame.decoded;
		if (answer != 0)
			return answer;
	}
	return found;
}

/* One round of writing, waiting and reading. */
static int exchange(struct frames *f, const struct stream_wait *wait, struct error *err)
{
	short events = POLLIN;

	if (frames_flush(f, err) < 0)
		return -1;
	if (buffer_size(&f->out) > 0)
		events |= POLLOUT;
	if (!f->has_more && stream_poll(&f->stream, events, wait, err) < 0)
		return -1;
	return frames_fill(f, err);
}

int frames_call(struct frames *f, const struct frames_request *r, void **decoded,
		const struct stream_wait *wait, struct error *err)
{
	struct error failure;
	int found, broken = 0;

	if (r->request && frames_put(f, r->channel, r->request, r->arguments, err) < 0)
		return -1;
	while ((found = find_answer(f, r, decoded, err)) == 0) {
		/* What had come before the connection broke says best why it did. */
		if (broken) {
			*err = failure;
			return -1;
		}
		broken = exchange(f, wait, &failure);
	}
	return found > 0 ? 0 : -1;
}
