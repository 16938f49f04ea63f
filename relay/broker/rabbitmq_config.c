#include "rabbitmq_config.h"

#include <amqp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"

#define NAME_MAX_BYTES 255 /* an AMQP short string */

#define EXCHANGE(member) offsetof(struct rabbitmq_exchange, member)
#define QUEUE(member)    offsetof(struct rabbitmq_queue, member)
#define BINDING(member)  offsetof(struct rabbitmq_binding, member)
#define CONFIG(member)   offsetof(struct rabbitmq_config, member)

static const struct option exchange_rows[] = {
	{.key = "name",
	 .type = OPTION_STRING,
	 .flags = OPTION_REQUIRED,
	 .offset = EXCHANGE(name),
	 .min = 1,
	 .max = NAME_MAX_BYTES,
	 .help = "name of the exchange"},
	{.key = "type",
	 .type = OPTION_STRING,
	 .offset = EXCHANGE(type),
	 .fallback = "topic",
	 .min = 1,
	 .max = NAME_MAX_BYTES,
	 .help = "direct, fanout, topic, headers or what a plugin brings"},
	{.key = "durable",
	 .type = OPTION_BOOL,
	 .offset = EXCHANGE(durable),
	 .fallback = "true",
	 .help = "survives a restart of the broker"},
	{.key = "auto_delete",
	 .type = OPTION_BOOL,
	 .offset = EXCHANGE(auto_delete),
	 .fallback = "false",
	 .help = "goes with its last binding"},
	{.key = "internal",
	 .type = OPTION_BOOL,
	 .offset = EXCHANGE(internal),
	 .fallback = "false",
	 .help = "takes messages from other exchanges only"},
	{.key = "arguments",
	 .type = OPTION_MAP,
	 .offset = EXCHANGE(arguments),
	 .help = "x-arguments, as alternate-exchange"},
	{.key = NULL},
};

static const struct option queue_rows[] = {
	{.key = "name",
	 .type = OPTION_STRING,
	 .flags = OPTION_REQUIRED,
	 .offset = QUEUE(name),
	 .min = 1,
	 .max = NAME_MAX_BYTES,
	 .help = "name of the queue"},
	{.key = "type",
	 .type = OPTION_STRING,
	 .offset = QUEUE(type),
	 .min = 1,
	 .max = NAME_MAX_BYTES,
	 .help = "quorum, classic or stream (x-queue-type)"},
	{.key = "durable",
	 .type = OPTION_BOOL,
	 .offset = QUEUE(durable),
	 .fallback = "true",
	 .help = "survives a restart of the broker"},
	{.key = "auto_delete",
	 .type = OPTION_BOOL,
	 .offset = QUEUE(auto_delete),
	 .fallback = "false",
	 .help = "goes with its last consumer"},
	{.key = "arguments",
	 .type = OPTION_MAP,
	 .offset = QUEUE(arguments),
	 .help = "x-arguments, as x-dead-letter-exchange"},
	{.key = NULL},
};

static const struct option binding_rows[] = {
	{.key = "exchange",
	 .type = OPTION_STRING,
	 .flags = OPTION_REQUIRED,
	 .offset = BINDING(exchange),
	 .min = 1,
	 .max = NAME_MAX_BYTES,
	 .help = "where messages come from"},
	{.key = "queue",
	 .type = OPTION_STRING,
	 .flags = OPTION_REQUIRED,
	 .offset = BINDING(queue),
	 .min = 1,
	 .max = NAME_MAX_BYTES,
	 .help = "where they go"},
	{.key = "routing_key",
	 .type = OPTION_STRING,
	 .offset = BINDING(routing_key),
	 .fallback = "",
	 .max = NAME_MAX_BYTES,
	 .help = "key or pattern; \"#\" is every key"},
	{.key = "arguments",
	 .type = OPTION_MAP,
	 .offset = BINDING(arguments),
	 .help = "for headers exchanges, as x-match"},
	{.key = NULL},
};

const struct option rabbitmq_config_options[] = {
	{.key = "urls",
	 .type = OPTION_STRINGS,
	 .flags = OPTION_REQUIRED | OPTION_URL,
	 .offset = CONFIG(urls),
	 .help = "amqp[s]://user:password@host:port/vhost; the next one after each "
		 "failure"},
	{.key = "username",
	 .type = OPTION_STRING,
	 .offset = CONFIG(username),
	 .min = 1,
	 .max = NAME_MAX_BYTES,
	 .help = "instead of the user in the URLs"},
	{.key = "password_file",
	 .type = OPTION_STRING,
	 .flags = OPTION_FILE,
	 .offset = CONFIG(password),
	 .help = "file with the password, instead of the URLs'"},
	{.key = "heartbeat",
	 .type = OPTION_DURATION,
	 .offset = CONFIG(heartbeat_ms),
	 .fallback = "10s",
	 .min = 1000,
	 .max = 10 * 60 * 1000,
	 .help = "a peer silent for twice this long is dead"},
	{.key = "allowed_headers",
	 .type = OPTION_STRINGS,
	 .offset = CONFIG(allowed_headers),
	 .help = "header names that rows may use although they steer the broker: CC, "
		 "BCC, x-…; "
		 "a trailing * stands for any rest"},
	{.key = "tls.ca_file",
	 .type = OPTION_STRING,
	 .offset = CONFIG(tls.ca_file),
	 .min = 1,
	 .max = 4096,
	 .help = "PEM file of trusted authorities; default: the system's"},
	{.key = "tls.cert_file",
	 .type = OPTION_STRING,
	 .offset = CONFIG(tls.cert_file),
	 .min = 1,
	 .max = 4096,
	 .help = "PEM file with our certificate and its chain"},
	{.key = "tls.key_file",
	 .type = OPTION_STRING,
	 .offset = CONFIG(tls.key_file),
	 .min = 1,
	 .max = 4096,
	 .help = "PEM file with its key; default: inside tls.cert_file"},
	{.key = "tls.server_name",
	 .type = OPTION_STRING,
	 .offset = CONFIG(tls.server_name),
	 .min = 1,
	 .max = 255,
	 .help = "name to expect in the certificate; default: the host"},
	{.key = "tls.verify",
	 .type = OPTION_BOOL,
	 .offset = CONFIG(tls.verify),
	 .fallback = "true",
	 .help = "false: take any certificate; whoever sits in between can read "
		 "everything"},
	{.key = "topology.exchanges",
	 .type = OPTION_ROWS,
	 .offset = CONFIG(exchanges),
	 .rows = exchange_rows,
	 .row_size = sizeof(struct rabbitmq_exchange),
	 .help = "exchanges to declare at each connection"},
	{.key = "topology.queues",
	 .type = OPTION_ROWS,
	 .offset = CONFIG(queues),
	 .rows = queue_rows,
	 .row_size = sizeof(struct rabbitmq_queue),
	 .help = "queues to declare at each connection"},
	{.key = "topology.bindings",
	 .type = OPTION_ROWS,
	 .offset = CONFIG(bindings),
	 .rows = binding_rows,
	 .row_size = sizeof(struct rabbitmq_binding),
	 .help = "bindings to declare at each connection"},
	{.key = NULL},
};

void rabbitmq_config_url_release(struct rabbitmq_url *u)
{
	if (u->memory)
		explicit_bzero(u->memory, u->memory_size);
	free(u->memory);
	*u = (struct rabbitmq_url){0};
}

static const char *fault_in(const struct rabbitmq_url *u, int parsed)
{
	if (parsed != AMQP_STATUS_OK)
		return "not an AMQP URL; it is written "
		       "amqp[s]://user:password@host:port/vhost, "
		       "with special characters percent-encoded (/ is %2f)";
	if (u->port < 1)
		return "the port must be 1 to 65535";
	if (!*u->host)
		return "the host is empty";
	if (!*u->vhost)
		return "the virtual host is empty; for \"/\" leave out the last slash, "
		       "or write "
		       "%2f behind it";
	if (strlen(u->user) > NAME_MAX_BYTES || strlen(u->vhost) > NAME_MAX_BYTES)
		return "user and virtual host take at most 255 bytes";
	return NULL;
}

int rabbitmq_config_url(struct rabbitmq_url *out, const char *text, struct error *err)
{
	struct amqp_connection_info info;
	struct rabbitmq_url u = {.memory_size = strlen(text), .memory = xstrdup(text)};
	int parsed = amqp_parse_url(u.memory, &info);
	const char *fault;

	u.user = info.user;
	u.password = info.password;
	u.host = info.host;
	u.vhost = info.vhost;
	u.port = info.port;
	u.is_tls = info.ssl != 0;
	u.has_user = strchr(text, '@') != NULL;
	fault = fault_in(&u, parsed);
	if (fault) {
		rabbitmq_config_url_release(&u);
		return error_set(err, ERROR_CONFIG, "%s", fault);
	}
	*out = u;
	return 0;
}

static int check_urls(const struct rabbitmq_config *c, bool *uses_tls, struct error *err)
{
	if (c->urls.count == 0)
		return error_set(err, ERROR_CONFIG,
				 "broker.urls: at least one is needed");
	for (size_t i = 0; i < c->urls.count; i++) {
		struct rabbitmq_url u;

		if (rabbitmq_config_url(&u, c->urls.items[i], err) < 0)
			return error_wrap(err, "broker.urls[%zu]", i);
		*uses_tls |= u.is_tls;
		rabbitmq_config_url_release(&u);
	}
	return 0;
}

int rabbitmq_config_check(const struct rabbitmq_config *c, struct error *err)
{
	const struct tls_options *tls = &c->tls;
	bool uses_tls = false;

	if (check_urls(c, &uses_tls, err) < 0)
		return -1;
	if (!uses_tls && (tls->ca_file || tls->cert_file || tls->key_file ||
			  tls->server_name || !tls->verify))
		return error_set(
			err, ERROR_CONFIG,
			"broker.tls is set, but no URL says amqps://: nothing would be "
			"encrypted");
	if (uses_tls && tls_check(tls, err) < 0)
		return error_wrap(err, "broker.tls");
	return 0;
}
