/*
 * What a server may send, given to the whole driver over a socket: frames, the login,
 * confirms, returned messages, closes.
 *
 * Byte 0 of the input: bit 0 puts a proper login in front; bits 1-3: how many messages
 * the driver publishes. The rest is what the server says before it hangs up.
 */

#include <amqp.h>
#include <amqp_framing.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/stream.h"
#include "broker/broker.h"
#include "broker/frames.h"
#include "broker/rabbitmq_config.h"
#include "fuzz/fuzz.h"

#define INPUT_MAX  (64 * 1024)
#define ROUNDS_MAX 1000

static struct buffer login;
static int sockets[2]; /* the server's end, the driver's */

int __wrap_stream_connect(struct stream *s, const struct stream_target *target,
			  const struct stream_wait *wait, struct error *err);

int __wrap_stream_connect(struct stream *s, const struct stream_target *target,
			  const struct stream_wait *wait, struct error *err)
{
	(void)target;
	(void)wait;
	(void)err;
	s->fd = sockets[1];
	return 0;
}

static void add_method(uint16_t channel, amqp_method_number_t method, void *arguments)
{
	char encoded[1024];
	amqp_bytes_t room = {.len = sizeof(encoded), .bytes = encoded};
	int size = amqp_encode_method(method, arguments, room);

	must(size >= 0);
	buffer_put_u8(&login, AMQP_FRAME_METHOD);
	buffer_put_u16(&login, channel);
	buffer_put_u32(&login, (uint32_t)size + 4);
	buffer_put_u32(&login, method);
	buffer_append(&login, encoded, (size_t)size);
	buffer_put_u8(&login, AMQP_FRAME_END);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	amqp_connection_start_t start = {
		.version_minor = 9,
		.mechanisms = amqp_cstring_bytes("PLAIN AMQPLAIN"),
		.locales = amqp_cstring_bytes("en_US"),
	};
	amqp_connection_tune_t tune = {.channel_max = 2047,
				       .frame_max = 131072,
				       .heartbeat = 60};
	amqp_connection_open_ok_t open_ok = {0};
	amqp_channel_open_ok_t channel_ok = {0};
	amqp_confirm_select_ok_t select_ok = {0};

	(void)argc;
	(void)argv;
	signal(SIGPIPE, SIG_IGN);
	add_method(0, AMQP_CONNECTION_START_METHOD, &start);
	add_method(0, AMQP_CONNECTION_TUNE_METHOD, &tune);
	add_method(0, AMQP_CONNECTION_OPEN_OK_METHOD, &open_ok);
	add_method(1, AMQP_CHANNEL_OPEN_OK_METHOD, &channel_ok);
	add_method(1, AMQP_CONFIRM_SELECT_OK_METHOD, &select_ok);
	return 0;
}

static void say(const void *data, size_t size)
{
	must(write(sockets[0], data, size) == (ssize_t)size);
}

static struct slice text(const char *s)
{
	return (struct slice){.data = s, .size = strlen(s)};
}

/* Returns the number accepted: their tags are 1 to that. */
static int publish(struct broker *b, int wanted)
{
	static const char *const ids[] = {"m1", "m2", "m3", "m4", "m5", "m6", "m7"};
	struct error err;

	for (int i = 0; i < wanted; i++) {
		const struct message m = {
			.message_id = text(ids[i]),
			.exchange = text("x"),
			.routing_key = text("k"),
			.body = text("body"),
		};

		if (b->driver->publish(b, (uint64_t)i + 1, &m, &err) != PUBLISH_OK)
			return i;
	}
	return wanted;
}

static void check_receipt(const struct receipt *r, int published, bool *had,
			  bool was_acked)
{
	must(r->tag >= 1 && r->tag <= (uint64_t)published);
	must(!had[r->tag]);
	had[r->tag] = true;
	must(r->verdict == VERDICT_SENT || r->verdict == VERDICT_RETURNED ||
	     r->verdict == VERDICT_NACKED || r->verdict == VERDICT_REFUSED ||
	     r->verdict == VERDICT_UNCLEAR);
	must(r->verdict != VERDICT_SENT || was_acked);
	must(memchr(r->reason, '\0', sizeof(r->reason)));
	for (const char *c = r->reason; *c; c++)
		must(*c >= ' ' && *c < 127);
}

static void collect(struct broker *b, int published, bool was_acked)
{
	struct receipt out[3];
	bool had[8] = {0};
	struct error err = {.text = ""};
	int count, rounds = 0;

	while ((count = b->driver->collect(b, out, 3, &err)) >= 0) {
		for (int i = 0; i < count; i++)
			check_receipt(&out[i], published, had, was_acked);
		must(++rounds < ROUNDS_MAX);
	}
	must(err.text[0]);
}

static void converse(struct broker *b, int wanted, bool was_acked)
{
	struct error err = {.text = ""};

	if (b->driver->open(b, 10000, -1, &err) < 0) {
		must(err.kind == ERROR_LOST || err.kind == ERROR_REFUSED);
		must(err.text[0]);
		return;
	}
	must(b->driver->peer(b));
	collect(b, publish(b, wanted), was_acked);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char url[] = "amqp://u:p@h/v";
	static char *urls[] = {url};
	const struct rabbitmq_config config = {
		.urls = {.items = urls, .count = 1},
		.heartbeat_ms = 10000,
	};
	struct broker *b;
	int room = 4 * INPUT_MAX;

	if (size < 1 || size > INPUT_MAX)
		return 0;
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sockets) == 0);
	setsockopt(sockets[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	if (data[0] & 1)
		say(login.data + login.start, buffer_size(&login));
	say(data + 1, size - 1);
	shutdown(sockets[0], SHUT_WR);
	b = broker_rabbitmq.create(&config);
	converse(b, data[0] >> 1 & 7, memmem(data, size, "\0\x3c\0\x50", 4));
	broker_rabbitmq.free(b);
	close(sockets[0]);
	return 0;
}
