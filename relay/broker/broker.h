#ifndef BROKER_BROKER_H
#define BROKER_BROKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/message.h"

/*
 * The seam to a message broker, and the only vtable in the program. A driver knows messages,
 * tags and receipts, and nothing of tables, attempts or claims. Adding a broker is one driver
 * file, one line in broker.c, and the driver's own rows for the configuration.
 *
 * Calling order: create, then any number of (open, {publish | collect | forget}*, close), then
 * free. One thread.
 *
 *   1. Only open() may block: it connects, logs in and gets ready to publish within
 *      `timeout_ms`, and ends early with ERROR_STOPPED when `stop_fd` (-1: none) becomes
 *      readable.
 *   2. publish() and collect() never block. The caller polls fd() for events() and calls
 *      collect() when one of them shows, at the latest at due_ms() (heartbeats).
 *   3. publish() accepts a message or does not; what was accepted gets at most one receipt,
 *      from collect(). Tags are the caller's, unique while in flight, and never 0.
 *   4. After PUBLISH_LOST or a collect() of -1 only close() and free() are legal. Tags without
 *      a receipt are in doubt then: the broker may or may not have the message.
 *   5. `msg` and all it points to stay valid and unchanged until its receipt was collected,
 *      forget() was called for its tag, or the connection was closed. Nothing is copied
 *      because of that, and a body of any size passes through a small buffer.
 */

struct receipt {
	uint64_t tag;
	enum verdict verdict; /* SENT, RETURNED, NACKED, REFUSED or UNCLEAR */
	char reason[256]; /* printable ASCII, with the broker's reply code; "" for SENT */
};

enum publish_result {
	PUBLISH_OK,   /* accepted: a receipt will follow */
	PUBLISH_FULL, /* no room now, or receipts from before a loss wait; collect() */
	PUBLISH_INVALID, /* this message can never be sent; err->text says why; nothing was sent */
	PUBLISH_LOST, /* the connection is gone; err says why */
};

struct broker;
struct option;

struct broker_driver {
	const char *name; /* broker.kind in the configuration */
	const struct option
		*options;   /* its keys below "broker."; ends with a key of NULL */
	size_t config_size; /* of the struct those options fill */

	/* What no single option can tell, without a network; the text begins with the key at
	   fault. -1 and ERROR_CONFIG. */
	int (*check)(const void *config, struct error *err);

	/* Why a connection by these options is not protected against those in between, for
	   the log; or NULL. */
	const char *(*warning)(const void *config);

	/* "librabbitmq 0.11.0, …": as loaded, for --version and the log. */
	const char *(*libraries)(void);

	/* How many addresses open() takes turns with: so many calls try each of them. */
	size_t (*addresses)(const void *config);

	/* No I/O. `config` stays valid until free(). */
	struct broker *(*create)(const void *config);

	/* ERROR_LOST or _TIMEOUT: try again soon; _REFUSED: credentials, vhost, rights,
	   topology; _STOPPED. A driver with several addresses tries the next at each call. */
	int (*open)(struct broker *b, int timeout_ms, int stop_fd, struct error *err);

	enum publish_result (*publish)(struct broker *b, uint64_t tag,
				       const struct message *msg, struct error *err);

	/*
	 * Sends what waits, reads what came, and stores up to `capacity` receipts in `out`.
	 * Returns their number (0: none yet; `capacity`: call again), or -1 when the connection
	 * is gone; receipts that came before the loss are returned first, by earlier calls.
	 */
	int (*collect)(struct broker *b, struct receipt *out, int capacity,
		       struct error *err);

	/* The caller gave up on this tag: no receipt for it will be reported. */
	void (*forget)(struct broker *b, uint64_t tag);

	/* Accepted messages that have neither receipt nor been forgotten. */
	size_t (*in_flight)(const struct broker *b);

	int (*fd)(const struct broker *b);       /* -1 when closed */
	short (*events)(const struct broker *b); /* POLLIN, POLLOUT */
	int64_t (*due_ms)(
		const struct broker *b); /* monotonic; CLOCK_NEVER when closed */

	/* Why the broker takes no messages at present ("low on memory"), or NULL. publish() says
	   FULL meanwhile, and receipts may stay away for as long as it lasts. */
	const char *(*blocked)(const struct broker *b);

	/* "RabbitMQ 3.10.8 at localhost:5671/orders over TLSv1.3"; no credentials. Valid until
	   close(). */
	const char *(*peer)(const struct broker *b);

	/* Is the destination there, and may we use it? For `check`; between open and close, with
	   nothing in flight. Blocks up to timeout_ms. -1 and ERROR_REFUSED when it is not. */
	int (*probe)(struct broker *b, const char *destination, int timeout_ms,
		     struct error *err);

	/* Says goodbye if that does not block, and drops the connection. Legal in any state. */
	void (*close)(struct broker *b);
	void (*free)(struct broker *b); /* NULL is legal; closes first */
};

/* Each driver embeds this first. */
struct broker {
	const struct broker_driver *driver;
};

extern const struct broker_driver broker_rabbitmq;

/* The i-th driver, or NULL behind the last: for lists in help and error texts. */
const struct broker_driver *broker_driver_at(size_t i);

#endif
