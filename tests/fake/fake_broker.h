#ifndef FAKE_BROKER_H
#define FAKE_BROKER_H

#include "broker/broker.h"

/*
 * A broker driver without a broker. It holds the caller to the contract of broker.h (order of
 * calls, tags, what is borrowed until when), keeps a ledger of what was published and what
 * its receipts said, and misbehaves on demand.
 *
 * Messages are told apart by the number behind the "m" of their message_id.
 */

#define FAKE_BROKER_IDS     4096
#define FAKE_BROKER_PENDING 4096

/* What becomes of a publish. */
struct fake_answer {
	enum publish_result result;
	enum verdict verdict; /* VERDICT_NONE: silence */
	int64_t after_ms;
	const char *reason;
};

struct fake_pending {
	uint64_t tag;
	const struct message
		*msg; /* borrowed: read again when the receipt is collected */
	int64_t id;
	int64_t at_ms; /* its receipt is there; CLOCK_NEVER: silence */
	struct fake_answer answer;
};

struct fake_broker {
	struct broker base;

	/* Behaviour; the test sets it at any time. */
	struct fake_answer (*answer)(void *context,
				     int64_t id); /* NULL: accepted, silent */
	void *context;
	int fail_opens; /* this many more, as open_error says; -1: all */
	enum error_kind open_error;
	int64_t open_takes_ms;
	size_t room;             /* FULL from so many in flight on; 0: no such limit */
	const char *blocked;     /* why, or NULL */
	bool has_output;         /* it wants to write */
	uint64_t stale_tag;      /* the next collect() confirms this tag, too; 0: none */
	bool loses_next_publish; /* PUBLISH_LOST */
	bool loses_next_collect; /* -1, after the receipts that are there */

	/* State and ledger; the test reads it. */
	bool is_open, is_lost;
	int opens, closes, frees;
	int open_timeout_ms; /* as given to the last open() */
	size_t pending_count;
	size_t most_pending;
	struct fake_pending pending[FAKE_BROKER_PENDING];
	int64_t order[FAKE_BROKER_PENDING * 4]; /* ids as they were accepted */
	int order_count;
	int published[FAKE_BROKER_IDS];
	bool is_sent[FAKE_BROKER_IDS]; /* a SENT receipt was collected */
	int64_t forgotten[FAKE_BROKER_IDS];
	int forgotten_count;
};

extern const struct broker_driver fake_broker_driver;

void fake_broker_init(struct fake_broker *f);

/* A receipt for the publish of that id that is in flight, ready to be collected. */
void fake_broker_confirm(struct fake_broker *f, int64_t id, enum verdict verdict,
			 const char *reason);
void fake_broker_confirm_all(struct fake_broker *f, enum verdict verdict);

/*
 * As RabbitMQ closes a channel: whoever is in flight has no answer, and nobody says whose
 * fault it was unless there was one alone. Returns the answer to who caused it, in 2 ms.
 */
struct fake_answer fake_broker_close_channel(struct fake_broker *f, const char *reason);

/* The ids accepted since the last call, "1 2 3". */
const char *fake_broker_published(struct fake_broker *f);

#endif
