#include "rabbitmq_topology.h"

#include "broker/rabbitmq_login.h"
#include "broker/rabbitmq_table.h"

#define POOL_PAGE 4096

struct topology {
	struct frames *frames;
	const struct stream_wait *wait;
	amqp_pool_t pool; /* of the arguments of one declaration */
};

static int call(const struct topology *t, amqp_method_number_t method, void *arguments,
		amqp_method_number_t reply, struct error *err)
{
	void *ignored;
	struct frames_request request = {
		.channel = RABBITMQ_CHANNEL,
		.request = method,
		.arguments = arguments,
		.reply = reply,
	};

	return frames_call(t->frames, &request, &ignored, t->wait, err);
}

static int declare_exchange(struct topology *t, const struct rabbitmq_exchange *e,
			    struct error *err)
{
	amqp_exchange_declare_t declare = {
		.exchange = amqp_cstring_bytes(e->name),
		.type = amqp_cstring_bytes(e->type),
		.durable = e->durable,
		.auto_delete = e->auto_delete,
		.internal = e->internal,
	};

	rabbitmq_table_settings(&declare.arguments, &e->arguments, &t->pool);
	if (call(t, AMQP_EXCHANGE_DECLARE_METHOD, &declare,
		 AMQP_EXCHANGE_DECLARE_OK_METHOD, err) < 0)
		return error_wrap(err, "declare exchange \"%s\"", e->name);
	return 0;
}

static int declare_queue(struct topology *t, const struct rabbitmq_queue *q,
			 struct error *err)
{
	amqp_queue_declare_t declare = {
		.queue = amqp_cstring_bytes(q->name),
		.durable = q->durable,
		.auto_delete = q->auto_delete,
	};

	rabbitmq_table_settings(&declare.arguments, &q->arguments, &t->pool);
	if (q->type)
		rabbitmq_table_add(&declare.arguments, "x-queue-type", q->type, &t->pool);
	if (call(t, AMQP_QUEUE_DECLARE_METHOD, &declare, AMQP_QUEUE_DECLARE_OK_METHOD,
		 err) < 0)
		return error_wrap(err, "declare queue \"%s\"", q->name);
	return 0;
}

static int declare_binding(struct topology *t, const struct rabbitmq_binding *b,
			   struct error *err)
{
	amqp_queue_bind_t bind = {
		.queue = amqp_cstring_bytes(b->queue),
		.exchange = amqp_cstring_bytes(b->exchange),
		.routing_key = amqp_cstring_bytes(b->routing_key ? b->routing_key : ""),
	};

	rabbitmq_table_settings(&bind.arguments, &b->arguments, &t->pool);
	if (call(t, AMQP_QUEUE_BIND_METHOD, &bind, AMQP_QUEUE_BIND_OK_METHOD, err) < 0)
		return error_wrap(err, "bind queue \"%s\" to exchange \"%s\"", b->queue,
				  b->exchange);
	return 0;
}

static int declare_all(struct topology *t, const struct rabbitmq_config *c,
		       struct error *err)
{
	const struct rabbitmq_exchange *exchanges = c->exchanges.items;
	const struct rabbitmq_queue *queues = c->queues.items;
	const struct rabbitmq_binding *bindings = c->bindings.items;

	for (size_t i = 0; i < c->exchanges.count; i++) {
		if (declare_exchange(t, &exchanges[i], err) < 0)
			return -1;
	}
	for (size_t i = 0; i < c->queues.count; i++) {
		if (declare_queue(t, &queues[i], err) < 0)
			return -1;
	}
	for (size_t i = 0; i < c->bindings.count; i++) {
		if (declare_binding(t, &bindings[i], err) < 0)
			return -1;
	}
	return 0;
}

int rabbitmq_topology_declare(struct frames *f, const struct rabbitmq_config *config,
			      const struct stream_wait *wait, struct error *err)
{
	struct topology t = {.frames = f, .wait = wait};
	int result;

	init_amqp_pool(&t.pool, POOL_PAGE);
	result = declare_all(&t, config, err);
	empty_amqp_pool(&t.pool);
	return result;
}

int rabbitmq_topology_probe(struct frames *f, const char *exchange,
			    const struct stream_wait *wait, struct error *err)
{
	amqp_channel_open_t open = {0};
	amqp_channel_close_t close = {.reply_code = AMQP_REPLY_SUCCESS};
	amqp_exchange_declare_t declare = {
		.exchange = amqp_cstring_bytes(exchange),
		.passive = 1,
	};
	const struct frames_request steps[] = {
		{RABBITMQ_PROBE_CHANNEL, AMQP_CHANNEL_OPEN_METHOD, &open,
		 AMQP_CHANNEL_OPEN_OK_METHOD},
		{RABBITMQ_PROBE_CHANNEL, AMQP_EXCHANGE_DECLARE_METHOD, &declare,
		 AMQP_EXCHANGE_DECLARE_OK_METHOD},
		{RABBITMQ_PROBE_CHANNEL, AMQP_CHANNEL_CLOSE_METHOD, &close,
		 AMQP_CHANNEL_CLOSE_OK_METHOD},
	};
	void *ignored;

	if (!*exchange)
		return 0;
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		if (frames_call(f, &steps[i], &ignored, wait, err) < 0)
			return error_wrap(err, "exchange \"%s\"", exchange);
	}
	return 0;
}
