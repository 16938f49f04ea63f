#ifndef BROKER_FRAMES_H
#define BROKER_FRAMES_H

#include <amqp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/stream.h"

/*
 * AMQP 0-9-1 frames over a stream, and all that concerns the connection as a whole:
 * heartbeats, connection.close, connection.blocked. What frames_next() hands out belongs
 * to a channel, or to the login.
 *
 * Output is put together in a buffer, whole frames only, and flushed with few large
 * writes; so a heartbeat can never land inside another frame. Nothing but frames_call()
 * and frames_await() blocks.
 *
 * Calling order: init, connect on f->stream, {put, flush | fill, next | tick}*, close.
 */
struct frames {
	struct stream stream;
	struct buffer in, out;
	amqp_pool_t pool;     /* of the frame handed out last */
	size_t frame_max;     /* bytes of a whole frame, as negotiated */
	size_t consumed;      /* bytes at the start of `in` that the frame handed out last
				 takes */
	int64_t heartbeat_ms; /* interval; 0: none */
	int64_t heard_ms;     /* when the last byte came */
	int64_t beat_ms;      /* when to look whether a heartbeat is due */
	bool was_sent;        /* something went out since the last look */
	bool has_more;        /* input may wait that poll(2) does not show */
	bool is_blocked;      /* the broker takes no messages at present … */
	char block_reason[128]; /* … and this is why */
	int close_code;         /* of the connection.close that came; 0: none */
};

struct frame {
	uint8_t type; /* AMQP_FRAME_METHOD, _HEADER or _BODY */
	uint16_t channel;
	amqp_bytes_t payload;        /* HEADER, BODY */
	amqp_method_number_t method; /* METHOD */
	void *decoded;               /* METHOD: the library's struct */
};

/* What every AMQP peer must take, and all it may send before both agreed on more. */
#define FRAMES_MIN_SIZE 4096

/* Bytes of a frame that are not payload: type, channel, size, end. */
#define FRAMES_OVERHEAD 8

void frames_init(struct frames *f);

/* Drops all input and output and the connection; legal in any state. */
void frames_close(struct frames *f);

/* Adds a method frame to the output. -1 and ERROR_REFUSED: it does not fit a frame. */
int frames_put(struct frames *f, uint16_t channel, amqp_method_number_t method,
	       void *arguments, struct error *err);

/* Writes what the socket takes. */
int frames_flush(struct frames *f, struct error *err);

/* Reads what is there, up to a bound; f->has_more then. */
int frames_fill(struct frames *f, struct error *err);

/*
 * The next frame read so far: 1, or 0 when there is none, or -1: the peer talks nonsense
 * (LOST), or has closed the connection (REFUSED if it would do so again; f->close_code).
 * *frame points into the input and is valid until the next call of fill, next or close.
 */
int frames_next(struct frames *f, struct frame *frame, struct error *err);

/* Sends a heartbeat if one is due. -1 and ERROR_LOST when the peer has been silent too
 * long. */
int frames_tick(struct frames *f, struct error *err);

/* When frames_tick() wants to be called next. */
int64_t frames_due_ms(const struct frames *f);

/*
 * Sends a request on a channel (or nothing, if `request` is 0) and waits for its answer,
 * which is *decoded until the next call. -1 and ERROR_REFUSED when the peer closes the
 * channel over it: that is answered, and the channel is free for another channel.open.
 */
struct frames_request {
	uint16_t channel;
	amqp_method_number_t request;
	void *arguments;
	amqp_method_number_t reply;
};

int frames_call(struct frames *f, const struct frames_request *request, void **decoded,
		const struct stream_wait *wait, struct error *err);

/* A server's text as printable ASCII, other bytes as '?', cut to fit. */
void frames_text(char *out, size_t size, amqp_bytes_t text);

/* The text of a reply in one line of printable ASCII: "404 NOT_FOUND - no exchange
   'x'". */
void frames_reason(char *out, size_t size, int code, amqp_bytes_t text);

#endif
