/*
 * The ceiling: a plain librabbitmq publisher with confirms, mandatory and persistent, no
 * database. `bare AMQP_URL QUEUE COUNT BODY_BYTES [WINDOW]` publishes to the default
 * exchange, keeps at most WINDOW (4096) messages unconfirmed, and prints messages per
 * second.
 */
#include <amqp.h>
#include <amqp_tcp_socket.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void die(const char *what)
{
	fprintf(stderr, "bare: %s\n", what);
	exit(1);
}

static void check(amqp_connection_state_t c, const char *what)
{
	if (amqp_get_rpc_reply(c).reply_type != AMQP_RESPONSE_NORMAL)
		die(what);
}

static amqp_connection_state_t connect_to(char *url)
{
	amqp_connection_state_t c = amqp_new_connection();
	amqp_socket_t *socket = amqp_tcp_socket_new(c);
	struct amqp_connection_info info;

	if (amqp_parse_url(url, &info) != AMQP_STATUS_OK)
		die("bad url");
	if (amqp_socket_open(socket, info.host, info.port) != AMQP_STATUS_OK)
		die("cannot connect");
	if (amqp_login(c, info.vhost, 0, 131072, 0, AMQP_SASL_METHOD_PLAIN, info.user,
		       info.password)
		    .reply_type != AMQP_RESPONSE_NORMAL)
		die("cannot log in");
	amqp_channel_open(c, 1);
	check(c, "channel.open");
	amqp_confirm_select(c, 1);
	check(c, "confirm.select");
	return c;
}

/* Reads one frame and returns the tag it confirms. Anything but an ack is an error here.
 */
static uint64_t read_ack(amqp_connection_state_t c)
{
	amqp_frame_t frame;
	amqp_basic_ack_t *ack;
	uint64_t tag;

	if (amqp_simple_wait_frame(c, &frame) != AMQP_STATUS_OK)
		die("connection lost");
	if (frame.frame_type != AMQP_FRAME_METHOD ||
	    frame.payload.method.id != AMQP_BASIC_ACK_METHOD)
		die("the broker did not ack");
	ack = frame.payload.method.decoded;
	tag = ack->delivery_tag;
	amqp_maybe_release_buffers(c);
	return tag;
}

int main(int argc, char **argv)
{
	amqp_basic_properties_t properties = {0};
	uint64_t count, window, published = 0, last = 0, tag;
	amqp_connection_state_t c;
	amqp_bytes_t body;
	double began;

	if (argc < 5)
		die("usage: bare AMQP_URL QUEUE COUNT BODY_BYTES [WINDOW]");
	count = strtoull(argv[3], NULL, 10);
	window = argc > 5 ? strtoull(argv[5], NULL, 10) : 4096;
	body = amqp_bytes_malloc(strtoull(argv[4], NULL, 10));
	memset(body.bytes, 'x', body.len);
	c = connect_to(argv[1]);
	properties._flags = AMQP_BASIC_DELIVERY_MODE_FLAG | AMQP_BASIC_MESSAGE_ID_FLAG;
	properties.delivery_mode = 2;
	properties.message_id =
		amqp_cstring_bytes("01234567-89ab-cdef-0123-456789abcdef");
	began = seconds();
	while (last < count) {
		/* The highest confirmed tag stands for all below it: good enough for a
		 * ceiling. */
		while (published < count && published - last < window) {
			if (amqp_basic_publish(c, 1, amqp_empty_bytes,
					       amqp_cstring_bytes(argv[2]), 1, 0,
					       &properties, body) != AMQP_STATUS_OK)
				die("publish failed");
			published++;
		}
		tag = read_ack(c);
		last = tag > last ? tag : last;
	}
	printf("%.0f\n", (double)count / (seconds() - began));
	amqp_bytes_free(body);
	amqp_destroy_connection(c);
	return 0;
}
