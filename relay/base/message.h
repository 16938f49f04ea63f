#ifndef BASE_MESSAGE_H
#define BASE_MESSAGE_H

#include <stddef.h>
#include <stdint.h>

/*
 * A message on its way from a row to a broker, and what the broker made of it. This is
 * all that store/, engine/ and broker/ know of each other's business.
 */

/* Borrowed bytes. `data` is NULL where the row has NULL; an empty value has size 0 and
 * data. */
struct slice {
	const char *data;
	size_t size;
};

struct message {
	struct slice message_id;   /* never NULL; 1 to 255 bytes */
	struct slice exchange;     /* destination; may be empty */
	struct slice routing_key;  /* may be empty */
	struct slice body;         /* any bytes, may be empty */
	struct slice content_type; /* or NULL */
	struct slice headers;      /* JSON object as text, or NULL */
	struct slice properties;   /* JSON object as text, or NULL */
};

/* Where messages go: an exchange with one routing key, or with any (NULL). Borrowed. */
struct destination {
	const char *exchange;
	const char *routing_key;
};

/* One publish has one verdict. engine/policy.c says what each does to the row. */
enum verdict {
	VERDICT_NONE,     /* not published, or no answer yet */
	VERDICT_SENT,     /* confirmed by the broker, and routed */
	VERDICT_RETURNED, /* confirmed, but the broker found nowhere to put it */
	VERDICT_NACKED,   /* the broker said that it could not take responsibility */
	VERDICT_REFUSED,  /* the broker broke off over exactly this message */
	VERDICT_UNCLEAR,  /* the broker broke off over one of several in flight: publish
			     each alone to learn which */
	VERDICT_INVALID,  /* cannot be expressed on the wire, or over a limit: never
			     publish */
	VERDICT_OVERDUE,  /* no confirm in time, though later messages were confirmed */
	VERDICT_DEFERRED, /* alone in flight when the connection went: nobody's fault yet,
			     but let others go first */
	VERDICT_CRASHED,  /* a relay died while it published exactly this message alone */
	VERDICT_COUNT,
};

/* The word for it in metrics and in the history of a row. */
const char *verdict_name(enum verdict verdict);

#endif
