#ifndef BROKER_RABBITMQ_CONFIG_H
#define BROKER_RABBITMQ_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/tls.h"
#include "config/option.h"

/* What the rows below "broker." of kind rabbitmq fill. */
struct rabbitmq_config {
	struct string_list urls;
	char *username;              /* overrides the URL's */
	struct secret_file password; /* the same */
	int64_t heartbeat_ms;
	struct string_list allowed_headers;
	struct tls_options tls;
	struct row_list exchanges; /* of struct rabbitmq_exchange */
	struct row_list queues;    /* of struct rabbitmq_queue */
	struct row_list bindings;  /* of struct rabbitmq_binding */
};

struct rabbitmq_exchange {
	char *name;
	char *type;
	bool durable, auto_delete, internal;
	struct setting_map arguments;
};

struct rabbitmq_queue {
	char *name;
	char *type; /* the argument x-queue-type; NULL: the virtual host's default */
	bool durable, auto_delete;
	struct setting_map arguments;
};

struct rabbitmq_binding {
	char *exchange;
	char *queue;
	char *routing_key;
	struct setting_map arguments;
};

extern const struct option rabbitmq_config_options[];

/* The parts of one URL, in one piece of memory. */
struct rabbitmq_url {
	char *memory;
	size_t memory_size;
	char *user, *password, *host, *vhost;
	int port;
	bool is_tls;
	bool has_user; /* the URL says who; otherwise user and password are "guest" */
};

/*
 * Reads an AMQP URI as RabbitMQ defines it: amqp[s]://user:password@host:port/vhost, each
 * part percent-encoded; without a vhost it is "/". -1 and ERROR_CONFIG when it is none;
 * the text does not quote it, as it may hold a password.
 */
int rabbitmq_config_url(struct rabbitmq_url *out, const char *text, struct error *err);
void rabbitmq_config_url_release(struct rabbitmq_url *u);

/*
 * All that can be checked without a network: the URLs and the files of TLS.
 * -1 and ERROR_CONFIG with the key that is wrong.
 */
int rabbitmq_config_check(const struct rabbitmq_config *c, struct error *err);

#endif
