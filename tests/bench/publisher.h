#ifndef BENCH_PUBLISHER_H
#define BENCH_PUBLISHER_H

#include <amqp.h>
#include <stddef.h>

/*
 * What a program that publishes to RabbitMQ has without us: amqp_basic_publish(), confirms,
 * persistent and mandatory messages, one connection, blocking calls. Whatever goes wrong
 * ends the process, a return and a nack too: in a measurement nothing may go wrong.
 *
 *	p = publisher_open(url);
 *	publisher_send(p, …);                    any number, then
 *	while (publisher_unconfirmed(p) > 0)
 *		publisher_await(p);
 */
struct publisher;

/* Most messages that may wait for their confirm at a time. */
#define PUBLISHER_WINDOW 65536

void die(const char *what, const char *why) __attribute__((noreturn));

/* Connects, opens channel 1, selects confirms. */
struct publisher *publisher_open(const char *url);
void publisher_close(struct publisher *p);

/* Borrows its arguments for the call only. */
void publisher_send(struct publisher *p, amqp_bytes_t exchange, amqp_bytes_t routing_key,
		    amqp_bytes_t message_id, amqp_bytes_t body);

/* Reads one confirm, of one message or of several; blocks until there is one. */
void publisher_await(struct publisher *p);
size_t publisher_unconfirmed(const struct publisher *p);

/* A logged-in connection with channel 1 open, for consumers too. */
amqp_connection_state_t publisher_connect(const char *url);

#endif
