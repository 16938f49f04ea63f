#ifndef TESTS_FAKE_AMQP_PEER_H
#define TESTS_FAKE_AMQP_PEER_H

#include <amqp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The broker's side of AMQP 0-9-1, played from a script, for what a real broker does rarely or
 * never: falls silent, does not read, overlaps its confirms, sends garbage.
 *
 * The peer listens on a port of 127.0.0.1 and runs the script in a thread of its own for the
 * first connection. All calls below are the script's; they fail the test when the client does
 * not do what is expected within some seconds.
 */
struct amqp_peer {
	int port; /* valid once started */
	/* set before the start */
	void (*script)(struct amqp_peer *p);
	uint32_t frame_max;
	uint16_t heartbeat;
	/* private */
	int listener, fd;
	pthread_t thread;
	amqp_pool_t pool;
	char in[256 * 1024];
	int hold[2]; /* a pipe: the script waits on it, the test writes */
};

struct amqp_peer_publish {
	char exchange[256], routing_key[256], message_id[256];
	bool mandatory, persistent;
	size_t header_size, body_size;
	uint32_t body_sum; /* of all bytes */
	size_t largest_frame;
};

void amqp_peer_start(struct amqp_peer *p);

/* Waits for the end of the script. */
void amqp_peer_stop(struct amqp_peer *p);

/* The test lets a script go on that waits in amqp_peer_hold(). */
void amqp_peer_release(struct amqp_peer *p);
void amqp_peer_hold(struct amqp_peer *p);

/* Everything up to confirm.select-ok. */
void amqp_peer_login(struct amqp_peer *p);

/* Only the protocol header, start, start-ok. */
void amqp_peer_greet(struct amqp_peer *p);

/* The next method on the channel must be this one; heartbeats are passed over. */
void *amqp_peer_expect(struct amqp_peer *p, uint16_t channel,
		       amqp_method_number_t method);
void amqp_peer_read(struct amqp_peer *p, struct amqp_peer_publish *out);
void amqp_peer_expect_heartbeat(struct amqp_peer *p);

/* The client has closed the connection, after whatever it still sent. */
void amqp_peer_expect_end(struct amqp_peer *p);

void amqp_peer_send(struct amqp_peer *p, uint16_t channel, amqp_method_number_t method,
		    void *arguments);
void amqp_peer_ack(struct amqp_peer *p, uint64_t tag, bool multiple);
void amqp_peer_nack(struct amqp_peer *p, uint64_t tag, bool multiple);
void amqp_peer_return(struct amqp_peer *p, const char *message_id, size_t body_size);
void amqp_peer_close_channel(struct amqp_peer *p, int code, const char *text);
void amqp_peer_close(struct amqp_peer *p, int code, const char *text);
void amqp_peer_raw(struct amqp_peer *p, const void *data, size_t size);

#endif
