#ifndef BROKER_RABBITMQ_LOGIN_H
#define BROKER_RABBITMQ_LOGIN_H

#include <stdint.h>

#include "base/error.h"
#include "broker/frames.h"
#include "broker/rabbitmq_config.h"

/* Channel 1 publishes; channel 2 asks questions that may close a channel. */
#define RABBITMQ_CHANNEL       1
#define RABBITMQ_PROBE_CHANNEL 2

/*
 * Connects, logs in (PLAIN; EXTERNAL with a client certificate and no user), opens the
 * virtual host and a channel with confirms. *f was initialised; on failure frames_close()
 * it. *peer is the caller's to free: "RabbitMQ 3.10.8 at host:port/vhost".
 *
 * -1: REFUSED for wrong credentials, a missing virtual host, certificates; LOST, TIMEOUT,
 * STOPPED.
 */
int rabbitmq_login(struct frames *f, const struct rabbitmq_config *config,
		   const struct rabbitmq_url *url, const struct stream_wait *wait,
		   char **peer, struct error *err);

#endif
