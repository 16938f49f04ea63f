#ifndef BROKER_RABBITMQ_TABLE_H
#define BROKER_RABBITMQ_TABLE_H

#include <amqp.h>

#include "base/error.h"
#include "base/message.h"
#include "config/option.h"

/*
 * JSON to AMQP field tables and basic properties.
 *
 * Both functions either express the JSON exactly or refuse it: -1, with the reason in
 * err->text (printable ASCII, names but no values); the message can never be sent then.
 * What they make lives in `pool` and holds no pointer into the JSON.
 */

/*
 * Headers, from a JSON object:
 *
 *   string -> S (long string)      true, false -> t      array  -> A
 *   integer -> l (signed 64 bits)  null -> V             object -> F (table)
 *   number with fraction or exponent -> d (64-bit float)
 *
 * Refused: integers beyond 64 bits, numbers beyond a double, duplicate names, U+0000,
 * names over 255 bytes (the wire has one byte for the length: AMQP 0-9-1 section 4.2.5.5
 * says 128 characters, RabbitMQ takes 255 bytes), more than 50 levels, and names by which
 * a row could steer the broker, unless `allowed` has them: CC and BCC add routing keys,
 * and x-… belongs to RabbitMQ and its plugins. An entry of `allowed` matches exactly, or
 * as a prefix if it ends in "*".
 */
int rabbitmq_table_headers(amqp_table_t *out, struct slice json,
			   const struct string_list *allowed, amqp_pool_t *pool,
			   struct error *err);

/*
 * Basic properties, from a JSON object with any of: content_encoding, priority (0-255),
 * correlation_id, reply_to, expiration (milliseconds, as a number or in digits),
 * timestamp (seconds since 1970), type, user_id, app_id, cluster_id, and delivery_mode,
 * which may only say 2 (persistent). Null means unset; other names are refused. Sets
 * members and flags of *out on top of what is there.
 */
int rabbitmq_table_properties(amqp_basic_properties_t *out, struct slice json,
			      amqp_pool_t *pool, struct error *err);

/* The arguments of a declaration, from the configuration. */
void rabbitmq_table_settings(amqp_table_t *out, const struct setting_map *settings,
			     amqp_pool_t *pool);

/* One more entry behind the others: a string. */
void rabbitmq_table_add(amqp_table_t *table, const char *name, const char *value,
			amqp_pool_t *pool);

/* jansson's run-time version. */
const char *rabbitmq_table_library(void);

#endif
