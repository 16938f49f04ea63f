#include "bench/publisher.h"

#include <amqp_tcp_socket.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct publisher {
	amqp_connection_state_t connection;
	uint64_t next;   /* tag of the next message */
	uint64_t oldest; /* tag of the oldest one without a confirm */
	size_t unconfirmed;
	bool is_open[PUBLISHER_WINDOW]; /* by tag: sent, not confirmed */
};

void die(const char *what, const char *why)
{
	fprintf(stderr, "%s: %s\n", what, why);
	exit(1);
}

static void check(amqp_connection_state_t c, const char *what)
{
	if (amqp_get_rpc_reply(c).reply_type != AMQP_RESPONSE_NORMAL)
		die(what, "refused");
}

amqp_connection_state_t publisher_connect(const char *url)
{
	amqp_connection_state_t c = amqp_new_connection();
	amqp_socket_t *socket = amqp_tcp_socket_new(c);
	struct amqp_connection_info info;
	char *parsed = strdup(url); /* info points into it */

	if (!parsed || amqp_parse_url(parsed, &info) != AMQP_STATUS_OK)
		die("broker", "bad URL");
	if (amqp_socket_open(socket, info.host, info.port) != AMQP_STATUS_OK)
		die("broker", "cannot connect");
	if (amqp_login(c, info.vhost, 0, 131072, 0, AMQP_SASL_METHOD_PLAIN, info.user,
		       info.password)
		    .reply_type != AMQP_RESPONSE_NORMAL)
		die("broker", "cannot log in");
	free(parsed);
	amqp_channel_open(c, 1);
	check(c, "channel.open");
	return c;
}

struct publisher *publisher_open(const char *url)
{
	struct publisher *p = calloc(1, sizeof(*p));

	if (!p)
		die("publisher", "out of memory");
	p->connection = publisher_connect(url);
	amqp_confirm_select(p->connection, 1);
	check(p->connection, "confirm.select");
	p->next = p->oldest = 1;
	return p;
}

void publisher_close(struct publisher *p)
{
	amqp_destroy_connection(p->connection);
	free(p);
}

void publisher_send(struct publisher *p, amqp_bytes_t exchange, amqp_bytes_t routing_key,
		    amqp_bytes_t message_id, amqp_bytes_t body)
{
	amqp_basic_properties_t properties = {
		._flags = AMQP_BASIC_DELIVERY_MODE_FLAG | AMQP_BASIC_MESSAGE_ID_FLAG,
		.delivery_mode = 2,
		.message_id = message_id,
	};

	while (p->next - p->oldest >= PUBLISHER_WINDOW)
		publisher_await(p);
	if (amqp_basic_publish(p->connection, 1, exchange, routing_key, 1, 0, &properties,
			       body) != AMQP_STATUS_OK)
		die("publish", "failed");
	p->is_open[p->next % PUBLISHER_WINDOW] = true;
	p->next++;
	p->unconfirmed++;
}

static void confirm(struct publisher *p, uint64_t tag)
{
	bool *is_open = &p->is_open[tag % PUBLISHER_WINDOW];

	if (*is_open)
		p->unconfirmed--;
	*is_open = false;
}

void publisher_await(struct publisher *p)
{
	amqp_basic_ack_t *ack;
	amqp_frame_t frame;

	if (amqp_simple_wait_frame(p->connection, &frame) != AMQP_STATUS_OK)
		die("broker", "connection lost");
	if (frame.frame_type != AMQP_FRAME_METHOD ||
	    frame.payload.method.id != AMQP_BASIC_ACK_METHOD)
		die("broker", "something else than an ack");
	ack = frame.payload.method.decoded;
	if (ack->delivery_tag < p->oldest || ack->delivery_tag >= p->next)
		die("broker", "ack of an unknown tag");
	for (uint64_t tag = ack->multiple ? p->oldest : ack->delivery_tag;
	     tag <= ack->delivery_tag; tag++)
		confirm(p, tag);
	while (p->oldest < p->next && !p->is_open[p->oldest % PUBLISHER_WINDOW])
		p->oldest++;
	amqp_maybe_release_buffers(p->connection);
}

size_t publisher_unconfirmed(const struct publisher *p)
{
	return p->unconfirmed;
}
