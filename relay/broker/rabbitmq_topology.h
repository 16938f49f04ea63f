#ifndef BROKER_RABBITMQ_TOPOLOGY_H
#define BROKER_RABBITMQ_TOPOLOGY_H

#include "base/error.h"
#include "broker/frames.h"
#include "broker/rabbitmq_config.h"

/*
 * Declares what the configuration lists: exchanges, then queues, then bindings. What
 * exists already as it is listed stays as it is. -1 and ERROR_REFUSED, with the name,
 * when the broker says no.
 */
int rabbitmq_topology_declare(struct frames *f, const struct rabbitmq_config *config,
			      const struct stream_wait *wait, struct error *err);

/*
 * Is that exchange there? The default exchange "" always is. -1 and ERROR_REFUSED if not;
 * any other kind means that the connection is no good any more.
 */
int rabbitmq_topology_probe(struct frames *f, const char *exchange,
			    const struct stream_wait *wait, struct error *err);

#endif
