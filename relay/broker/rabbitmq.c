#include "broker.h"

/*
 * The driver for RabbitMQ: AMQP 0-9-1 with publisher confirms.
 *
 * librabbitmq serves as the codec only (methods, properties, tables, URLs); the socket is
 * ours. The library's own connection cannot keep the promises of broker.h: in 0.11.0 a
 * publish to a silent peer never returns (its issues 780, 788), and in no version has a
 * publish a deadline (519, 836); each message costs three send(2) calls; a heartbeat of
 * the library could land inside a frame that we had half written; and over TLS it hides
 * what we would need for writing many frames at once. With a non-blocking socket of our
 * own no call can hang, a window of messages goes out in one write, and plain and TLS
 * take the same path.
 *
 * One channel publishes, with `mandatory` and confirms. A return comes without delivery
 * tag but with the message's properties, and always before its ack, so it is matched by
 * message_id. When the broker closes the channel, the verdicts of everything in flight on
 * it are lost: the blame is exact only if one message was in flight.
 */

#include <amqp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "broker/confirms.h"
#include "broker/frames.h"
#include "broker/rabbitmq_config.h"
#include "broker/rabbitmq_encode.h"
#include "broker/rabbitmq_login.h"
#include "broker/rabbitmq_return.h"
#include "broker/rabbitmq_table.h"
#include "broker/rabbitmq_topology.h"

#define SPAN_MAX   65536        /* publishes between the oldest open one and the next */
#define FLUSH_SIZE (64 * 1024)  /* write when this much waits … */
#define FULL_SIZE  (128 * 1024) /* … and take no more than about this */
#define PUSHES_MAX 32           /* writes in one call: a huge body must not keep us */
#define REOPEN_MS  (30 * 1000)  /* for a new channel after the broker closed one */

struct rabbitmq {
	struct broker broker;
	const struct rabbitmq_config *config;
	struct frames frames;
	struct confirms confirms;
	struct rabbitmq_encode encode;
	size_t next_url;
	char *peer;
	uint64_t encoding_tag; /* of the message that encode is busy with */
	bool is_ready;         /* the channel takes publishes */
	bool is_paused;        /* channel.flow; RabbitMQ does not send it since 2.0 */
	int64_t ready_by_ms;   /* when not ready: give up then */
	bool is_lost;
	struct error loss; /* why, if is_lost */
	struct rabbitmq_return returned;
};

static struct rabbitmq *self(struct broker *b)
{
	return (struct rabbitmq *)b;
}

static const struct rabbitmq *const_self(const struct broker *b)
{
	return (const struct rabbitmq *)b;
}

/* --- loss --- */

/*
 * The connection is no good any more. If the broker closed it over something we sent (any
 * code but "connection forced", which an operator or a shutdown causes), it is a
 * message's fault.
 */
static void lose(struct rabbitmq *r, const struct error *why)
{
	int code = r->frames.close_code;

	if (r->is_lost)
		return;
	r->is_lost = true;
	r->loss = *why;
	if (code != 0 && code != AMQP_CONNECTION_FORCED)
		confirms_interrupt(&r->confirms,
				   r->confirms.open == 1 ? VERDICT_REFUSED
							 : VERDICT_UNCLEAR,
				   why->text);
}

/* --- output --- */

#ifdef FAILPOINTS
/* Every message begins with a frame header of seven bytes, so three more than any number of
   whole messages end inside a frame. */
static void write_half(struct rabbitmq *r)
{
	struct buffer *out = &r->frames.out;
	struct error ignored;

	stream_write(&r->frames.stream, out->data + out->start, buffer_size(out) / 2 + 3,
		     &ignored);
}
#endif

/* Writes until the socket takes no more or nothing is left, refilling from a large
   body. */
static int push(struct rabbitmq *r, struct error *err)
{
	struct buffer *out = &r->frames.out;

	for (int i = 0; i < PUSHES_MAX; i++) {
		if (r->encode.is_busy)
			rabbitmq_encode_more(&r->encode, out, FULL_SIZE);
		if (buffer_size(out) == 0)
			return 0;
		FAILPOINT_AFTER(write_half(r), half_frame);
		if (frames_flush(&r->frames, err) < 0)
			return -1;
		FAILPOINT(written);
		if (buffer_size(out) > 0)
			return 0;
	}
	return 0;
}

static bool has_room(const struct rabbitmq *r)
{
	return !r->encode.is_busy && buffer_size(&r->frames.out) < FULL_SIZE;
}

static bool takes_messages(const struct rabbitmq *r)
{
	return r->is_ready && !r->is_paused && !r->frames.is_blocked &&
	       !confirms_full(&r->confirms);
}

static enum publish_result rabbitmq_publish(struct broker *b, uint64_t tag,
					    const struct message *msg, struct error *err)
{
	struct rabbitmq *r = self(b);
	struct error ignored;

	if (r->is_lost && r->confirms.queued == 0) {
		*err = r->loss;
		return PUBLISH_LOST;
	}
	/* What collect() still has to tell comes first. */
	if (r->is_lost || !takes_messages(r) || !has_room(r))
		return PUBLISH_FULL;
	if (rabbitmq_encode_begin(&r->encode, msg, &r->frames.out, err) < 0)
		return PUBLISH_INVALID;
	confirms_add(&r->confirms, tag, msg->message_id);
	r->encoding_tag = tag;
	rabbitmq_encode_more(&r->encode, &r->frames.out, FULL_SIZE);
	/* A failure shows again in collect(), which knows how to deal with it. */
	if (buffer_size(&r->frames.out) >= FLUSH_SIZE)
		push(r, &ignored);
	return PUBLISH_OK;
}

/* --- input: the channel --- */

static int put(struct rabbitmq *r, amqp_method_number_t method, void *arguments,
	       struct error *err)
{
	return frames_put(&r->frames, RABBITMQ_CHANNEL, method, arguments, err);
}

/*
 * The broker closed the channel. What is in the output buffer is whole frames, which it
 * ignores up to our close-ok; the rest of a half-sent body is dropped. A new channel
 * needs no round trip between its steps.
 */
static int on_channel_close(struct rabbitmq *r, const amqp_channel_close_t *close,
			    struct error *err)
{
	amqp_channel_close_ok_t ok = {0};
	amqp_channel_open_t open = {0};
	amqp_confirm_select_t confirm = {0};
	char reason[256];

	frames_reason(reason, sizeof(reason), close->reply_code, close->reply_text);
	if (!r->is_ready)
		return error_set(err, ERROR_REFUSED, "the server refuses a channel: %s",
				 reason);
	FAILPOINT(channel_closed);
	r->is_ready = false;
	r->is_paused = false;
	r->ready_by_ms = clock_ms() + REOPEN_MS;
	rabbitmq_return_reset(&r->returned);
	rabbitmq_encode_start(&r->encode, RABBITMQ_CHANNEL, r->frames.frame_max);
	confirms_interrupt(&r->confirms,
			   r->confirms.open == 1 ? VERDICT_REFUSED : VERDICT_UNCLEAR,
			   reason);
	if (put(r, AMQP_CHANNEL_CLOSE_OK_METHOD, &ok, err) < 0 ||
	    put(r, AMQP_CHANNEL_OPEN_METHOD, &open, err) < 0 ||
	    put(r, AMQP_CONFIRM_SELECT_METHOD, &confirm, err) < 0)
		return -1;
	return 0;
}

static int on_flow(struct rabbitmq *r, const amqp_channel_flow_t *flow, struct error *err)
{
	amqp_channel_flow_ok_t ok = {.active = flow->active};

	r->is_paused = !flow->active;
	return put(r, AMQP_CHANNEL_FLOW_OK_METHOD, &ok, err);
}

static int on_method(struct rabbitmq *r, const struct frame *frame, struct error *err)
{
	const amqp_basic_ack_t *ack = frame->decoded;
	const amqp_basic_nack_t *nack = frame->decoded;

	switch (frame->method) {
	case AMQP_BASIC_ACK_METHOD:
		FAILPOINT(confirm_read);
		confirms_settle(&r->confirms, ack->delivery_tag, ack->multiple,
				VERDICT_SENT);
		return 0;
	case AMQP_BASIC_NACK_METHOD:
		FAILPOINT(confirm_read);
		confirms_settle(&r->confirms, nack->delivery_tag, nack->multiple,
				VERDICT_NACKED);
		return 0;
	case AMQP_BASIC_RETURN_METHOD:
		rabbitmq_return_begin(&r->returned, frame->decoded);
		return 0;
	case AMQP_CHANNEL_CLOSE_METHOD:
		return on_channel_close(r, frame->decoded, err);
	case AMQP_CHANNEL_FLOW_METHOD:
		return on_flow(r, frame->decoded, err);
	case AMQP_CONFIRM_SELECT_OK_METHOD:
		r->is_ready = true;
		return 0;
	case AMQP_CHANNEL_OPEN_OK_METHOD:
		return 0;
	default:
		return error_set(err, ERROR_LOST, "the server sent an unexpected %s",
				 amqp_method_name(frame->method));
	}
}

static int on_content(struct rabbitmq *r, const struct frame *frame, struct error *err)
{
	struct slice id;
	int found = rabbitmq_return_take(&r->returned, frame, &id, err);

	FAILPOINT_IF(found > 0, return_read);
	if (found > 0)
		confirms_returned(&r->confirms, id, r->returned.reason);
	return found;
}

static int on_frame(struct rabbitmq *r, const struct frame *frame, struct error *err)
{
	if (frame->channel != RABBITMQ_CHANNEL)
		return 0; /* the tail of a probe */
	if (frame->type != AMQP_FRAME_METHOD)
		return on_content(r, frame, err);
	if (rabbitmq_return_is_open(&r->returned) &&
	    frame->method != AMQP_CHANNEL_CLOSE_METHOD)
		return error_set(err, ERROR_LOST,
				 "the server sent a method inside a message");
	return on_method(r, frame, err);
}

static int take_input(struct rabbitmq *r, struct error *err)
{
	struct frame frame;
	int found;

	while ((found = frames_next(&r->frames, &frame, err)) > 0) {
		if (on_frame(r, &frame, err) < 0)
			return -1;
	}
	return found;
}

/* --- collect --- */

/*
 * One round of writing and reading. When writing fails there may still be something to
 * read, and what the broker said before the end outranks how the end looked.
 */
static void service(struct rabbitmq *r)
{
	struct error writing, reading, saying;
	int wrote = push(r, &writing);
	int read = frames_fill(&r->frames, &reading);

	if (take_input(r, &saying) < 0)
		lose(r, &saying);
	else if (read < 0)
		lose(r, &reading);
	else if (wrote < 0)
		lose(r, &writing);
	else if (push(r, &writing) < 0 || frames_tick(&r->frames, &writing) < 0)
		lose(r, &writing);
	if (r->is_lost || r->is_ready || clock_ms() < r->ready_by_ms)
		return;
	error_set(&saying, ERROR_TIMEOUT, "the server does not answer channel.open");
	lose(r, &saying);
}

static int rabbitmq_collect(struct broker *b, struct receipt *out, int capacity,
			    struct error *err)
{
	struct rabbitmq *r = self(b);
	int count;

	if (!r->is_lost)
		service(r);
	count = confirms_take(&r->confirms, out, capacity);
	if (count > 0 || !r->is_lost)
		return count;
	*err = r->loss;
	return -1;
}

static void rabbitmq_forget(struct broker *b, uint64_t tag)
{
	struct rabbitmq *r = self(b);
	struct error why;

	confirms_forget(&r->confirms, tag);
	if (!r->encode.is_busy || r->encoding_tag != tag)
		return;
	/* The caller may free the body now, and a message begun cannot be taken back. */
	rabbitmq_encode_start(&r->encode, RABBITMQ_CHANNEL, r->frames.frame_max);
	error_set(&why, ERROR_TIMEOUT,
		  "a message was given up when half of it had been sent");
	lose(r, &why);
}

static size_t rabbitmq_in_flight(const struct broker *b)
{
	return const_self(b)->confirms.in_flight;
}

/* --- waiting --- */

static int rabbitmq_fd(const struct broker *b)
{
	return const_self(b)->frames.stream.fd;
}

static short rabbitmq_events(const struct broker *b)
{
	const struct rabbitmq *r = const_self(b);

	return buffer_size(&r->frames.out) > 0 || r->encode.is_busy ? POLLIN | POLLOUT
								    : POLLIN;
}

static int64_t rabbitmq_due_ms(const struct broker *b)
{
	const struct rabbitmq *r = const_self(b);

	if (r->frames.stream.fd < 0)
		return CLOCK_NEVER;
	if (r->is_lost || r->confirms.queued > 0)
		return 0;
	return clock_min(frames_due_ms(&r->frames),
			 r->is_ready ? CLOCK_NEVER : r->ready_by_ms);
}

static const char *rabbitmq_blocked(const struct broker *b)
{
	const struct frames *f = &const_self(b)->frames;

	return f->is_blocked ? f->block_reason : NULL;
}

/* --- open and close --- */

static void rabbitmq_close(struct broker *b)
{
	struct rabbitmq *r = self(b);
	amqp_connection_close_t bye = {.reply_code = AMQP_REPLY_SUCCESS};
	struct error ignored;

	/* Not waiting for close-ok: a broker under an alarm would never send it. */
	if (r->frames.stream.fd >= 0 && !r->is_lost &&
	    frames_put(&r->frames, 0, AMQP_CONNECTION_CLOSE_METHOD, &bye, &ignored) == 0)
		frames_flush(&r->frames, &ignored);
	frames_close(&r->frames);
	confirms_clear(&r->confirms);
	rabbitmq_encode_start(&r->encode, RABBITMQ_CHANNEL, FRAMES_MIN_SIZE);
	rabbitmq_return_reset(&r->returned);
	free(r->peer);
	r->peer = NULL;
	r->is_ready = r->is_paused = r->is_lost = false;
}

static int open_url(struct rabbitmq *r, const struct rabbitmq_url *url,
		    const struct stream_wait *wait, struct error *err)
{
	if (rabbitmq_login(&r->frames, r->config, url, wait, &r->peer, err) < 0 ||
	    rabbitmq_topology_declare(&r->frames, r->config, wait, err) < 0)
		return error_wrap(err, "%s:%d", url->host, url->port);
	rabbitmq_encode_start(&r->encode, RABBITMQ_CHANNEL, r->frames.frame_max);
	r->is_ready = true;
	return 0;
}

static int rabbitmq_open(struct broker *b, int timeout_ms, int stop_fd, struct error *err)
{
	struct rabbitmq *r = self(b);
	const struct string_list *urls = &r->config->urls;
	struct stream_wait wait = {.deadline_ms = clock_ms() + timeout_ms,
				   .stop_fd = stop_fd};
	struct rabbitmq_url url;
	size_t index = r->next_url++ % urls->count;
	int result;

	if (rabbitmq_config_url(&url, urls->items[index], err) < 0)
		return error_wrap(err, "broker.urls[%zu]", index);
	result = open_url(r, &url, &wait, err);
	rabbitmq_config_url_release(&url);
	if (result < 0)
		rabbitmq_close(b);
	return result;
}

static const char *rabbitmq_peer(const struct broker *b)
{
	return const_self(b)->peer;
}

static int rabbitmq_probe(struct broker *b, const char *destination, int timeout_ms,
			  struct error *err)
{
	struct rabbitmq *r = self(b);
	struct stream_wait wait = {.deadline_ms = clock_ms() + timeout_ms, .stop_fd = -1};

	if (rabbitmq_topology_probe(&r->frames, destination, &wait, err) == 0)
		return 0;
	if (err->kind != ERROR_REFUSED || r->frames.close_code != 0)
		lose(r, err);
	return -1;
}

static struct broker *rabbitmq_create(const void *config)
{
	struct rabbitmq *r = xcalloc(1, sizeof(*r));

	r->broker.driver = &broker_rabbitmq;
	r->config = config;
	frames_init(&r->frames);
	confirms_init(&r->confirms, SPAN_MAX);
	rabbitmq_encode_init(&r->encode, &r->config->allowed_headers);
	return &r->broker;
}

static void rabbitmq_free(struct broker *b)
{
	if (!b)
		return;
	rabbitmq_close(b);
	confirms_release(&self(b)->confirms);
	rabbitmq_encode_release(&self(b)->encode);
	free(b);
}

static int rabbitmq_check(const void *config, struct error *err)
{
	return rabbitmq_config_check(config, err);
}

static const char *rabbitmq_warning(const void *config)
{
	const struct rabbitmq_config *c = config;

	/* rabbitmq_config_check() has seen that TLS is in use then. amqp:// is what the
	   file says in so many words. */
	if (!c->tls.verify)
		return "the server's certificate is not checked: whoever is in between "
		       "can read and change everything";
	return NULL;
}

static size_t rabbitmq_addresses(const void *config)
{
	return ((const struct rabbitmq_config *)config)->urls.count;
}

static const char *rabbitmq_libraries(void)
{
	static char text[96];

	snprintf(text, sizeof(text), "librabbitmq %s, jansson %s, OpenSSL %s",
		 amqp_version(), rabbitmq_table_library(), tls_library());
	return text;
}

const struct broker_driver broker_rabbitmq = {
	.name = "rabbitmq",
	.options = rabbitmq_config_options,
	.config_size = sizeof(struct rabbitmq_config),
	.check = rabbitmq_check,
	.warning = rabbitmq_warning,
	.libraries = rabbitmq_libraries,
	.addresses = rabbitmq_addresses,
	.create = rabbitmq_create,
	.open = rabbitmq_open,
	.publish = rabbitmq_publish,
	.collect = rabbitmq_collect,
	.forget = rabbitmq_forget,
	.in_flight = rabbitmq_in_flight,
	.fd = rabbitmq_fd,
	.events = rabbitmq_events,
	.due_ms = rabbitmq_due_ms,
	.blocked = rabbitmq_blocked,
	.peer = rabbitmq_peer,
	.probe = rabbitmq_probe,
	.close = rabbitmq_close,
	.free = rabbitmq_free,
};
