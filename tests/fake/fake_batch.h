#ifndef FAKE_BATCH_H
#define FAKE_BATCH_H

#include "store/batch.h"

/*
 * A batch as the store would make it: its messages point into a result that it owns, so that
 * whoever touches one after batch_free() is caught by the address sanitizer.
 */

/* Where all their messages go. */
#define FAKE_EXCHANGE    "orders"
#define FAKE_ROUTING_KEY "order.message"

/* Rows first_id, first_id + 1, … with ids "m<id>"; claim_id is turn + 1000, the lease is long. */
struct batch *fake_batch(uint32_t turn, int64_t first_id, int count);

/* The same with ids of one's own. */
struct batch *fake_batch_of(uint32_t turn, const int64_t *ids, int count);

/* Readdresses a row of it. */
void fake_batch_address(struct batch *b, int i, const char *exchange,
			const char *routing_key);

/* The number behind the "m" of a message_id; reads the message. */
int64_t fake_message_number(const struct message *msg);

#endif
