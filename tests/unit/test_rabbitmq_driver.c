/* The driver against a scripted peer: what a real broker does rarely or never. */

#include "fake/amqp_peer.c" /* NOLINT: one test, no object of its own */

#include <poll.h>
#include <signal.h>

#include "base/clock.h"
#include "broker/broker.h"
#include "broker/frames.h"
#include "broker/rabbitmq_config.h"
#include "unit/unit.h"

#define RECEIPTS 64

static const struct broker_driver *const driver = &broker_rabbitmq;
static struct amqp_peer peer;
static struct rabbitmq_config config;
static struct broker *broker;
static struct receipt out[RECEIPTS];
static struct error err;
static char url[64];
static char *urls[] = {url};

static void setup(void)
{
	signal(SIGPIPE, SIG_IGN);
	config = (struct rabbitmq_config){
		.urls = {.items = urls, .count = 1},
		.heartbeat_ms = 10000,
		.tls.verify = true,
	};
	peer = (struct amqp_peer){.frame_max = 131072};
}

static int try_open(void (*script)(struct amqp_peer *p), int timeout_ms)
{
	peer.script = script;
	amqp_peer_start(&peer);
	snprintf(url, sizeof(url), "amqp://u:secret@127.0.0.1:%d/v", peer.port);
	broker = driver->create(&config);
	return driver->open(broker, timeout_ms, -1, &err);
}

static void open_with(void (*script)(struct amqp_peer *p))
{
	if (try_open(script, 5000) < 0)
		ck_abort_msg("%s", err.text);
}

static void finish(void)
{
	driver->free(broker);
	amqp_peer_stop(&peer);
}

static struct slice text(const char *s)
{
	return (struct slice){.data = s, .size = strlen(s)};
}

static enum publish_result publish(uint64_t tag, const char *id, struct slice body)
{
	const struct message m = {
		.message_id = text(id),
		.exchange = text("x"),
		.routing_key = text("key"),
		.body = body,
	};

	return driver->publish(broker, tag, &m, &err);
}

static void wait_once(void)
{
	struct pollfd p = {.fd = driver->fd(broker), .events = driver->events(broker)};

	poll(&p, 1, clock_wait_ms(driver->due_ms(broker), clock_ms()));
}

/* Receipts until there are `count`, or the loss: -1. */
static int collect(int count)
{
	int have = 0;

	while (have < count) {
		int got;

		wait_once();
		got = driver->collect(broker, out + have, RECEIPTS - have, &err);
		if (got < 0)
			return -1;
		have += got;
	}
	return have;
}

/* Collects until the connection is lost; no receipt may come before. */
static void expect_loss(const char *why)
{
	int got;

	do {
		wait_once();
		got = driver->collect(broker, out, RECEIPTS, &err);
	} while (got == 0);
	ck_assert_int_eq(got, -1);
	ck_assert_msg(strstr(err.text, why) != NULL, "%s", err.text);
	ck_assert_int_eq(publish(99, "late", text("")), PUBLISH_LOST);
}

static void expect_receipt(int i, uint64_t tag, enum verdict verdict, const char *reason)
{
	ck_assert_uint_eq(out[i].tag, tag);
	ck_assert_int_eq(out[i].verdict, verdict);
	ck_assert_str_eq(out[i].reason, reason);
}

/* --- open --- */

static void log_in_and_wait(struct amqp_peer *p)
{
	amqp_peer_login(p);
	amqp_peer_expect(p, 0, AMQP_CONNECTION_CLOSE_METHOD);
	amqp_peer_expect_end(p);
}

START_TEST(a_login_names_the_peer_without_its_secrets)
{
	open_with(log_in_and_wait);
	ck_assert(strncmp(driver->peer(broker), "Peer 1.2 at 127.0.0.1:", 22) == 0);
	ck_assert_ptr_nonnull(strstr(driver->peer(broker), "/v"));
	ck_assert_ptr_null(strstr(driver->peer(broker), "secret"));
	ck_assert_uint_eq(driver->in_flight(broker), 0);
	finish();
}
END_TEST

static void greet_and_hold(struct amqp_peer *p)
{
	amqp_peer_greet(p);
	amqp_peer_hold(p);
}

START_TEST(a_server_that_stops_in_the_middle_of_the_login_is_a_timeout)
{
	int64_t start = clock_ms();

	ck_assert_int_eq(try_open(greet_and_hold, 200), -1);
	ck_assert_int_eq(err.kind, ERROR_TIMEOUT);
	ck_assert_int_lt(clock_ms() - start, 20000);
	ck_assert_ptr_null(strstr(err.text, "secret"));
	ck_assert_int_eq(driver->fd(broker), -1);
	amqp_peer_release(&peer);
	finish();
}
END_TEST

static void say_nothing(struct amqp_peer *p)
{
	amqp_peer_expect_end(p);
}

START_TEST(a_request_to_stop_ends_the_login)
{
	int stop[2];
	int64_t start = clock_ms();

	ck_assert_int_eq(pipe(stop), 0);
	ck_assert_int_eq(write(stop[1], "", 1), 1);
	peer.script = say_nothing;
	amqp_peer_start(&peer);
	snprintf(url, sizeof(url), "amqp://127.0.0.1:%d", peer.port);
	broker = driver->create(&config);
	ck_assert_int_eq(driver->open(broker, 5000, stop[0], &err), -1);
	ck_assert_int_eq(err.kind, ERROR_STOPPED);
	ck_assert_int_lt(clock_ms() - start, 20000);
	close(stop[0]);
	close(stop[1]);
	finish();
}
END_TEST

static void refuse_password(struct amqp_peer *p)
{
	amqp_peer_greet(p);
	amqp_peer_close(p, AMQP_ACCESS_REFUSED, "ACCESS_REFUSED - Login was refused");
	amqp_peer_expect(p, 0, AMQP_CONNECTION_CLOSE_OK_METHOD);
}

START_TEST(a_wrong_password_is_refused_not_lost)
{
	ck_assert_int_eq(try_open(refuse_password, 5000), -1);
	ck_assert_int_eq(err.kind, ERROR_REFUSED);
	ck_assert_ptr_nonnull(strstr(err.text, "403 ACCESS_REFUSED - Login was refused"));
	finish();
}
END_TEST

static void hang_up(struct amqp_peer *p)
{
	(void)p;
}

START_TEST(a_server_that_hangs_up_at_once_is_lost)
{
	ck_assert_int_eq(try_open(hang_up, 5000), -1);
	ck_assert_int_eq(err.kind, ERROR_LOST);
	finish();
}
END_TEST

static void speak_another_version(struct amqp_peer *p)
{
	amqp_peer_raw(p, "AMQP\0\1\0\0", 8);
}

START_TEST(a_server_of_another_version_is_refused)
{
	ck_assert_int_eq(try_open(speak_another_version, 5000), -1);
	ck_assert_int_eq(err.kind, ERROR_REFUSED);
	ck_assert_ptr_nonnull(strstr(err.text, "does not speak AMQP 0-9-1"));
	finish();
}
END_TEST

static void offer_tiny_frames(struct amqp_peer *p)
{
	amqp_connection_tune_t tune = {.frame_max = 100};

	amqp_peer_greet(p);
	amqp_peer_send(p, 0, AMQP_CONNECTION_TUNE_METHOD, &tune);
	amqp_peer_expect_end(p);
}

START_TEST(frames_below_the_minimum_of_the_protocol_are_not_agreed_to)
{
	ck_assert_int_eq(try_open(offer_tiny_frames, 5000), -1);
	ck_assert_ptr_nonnull(strstr(err.text, "frames of 100 bytes"));
	finish();
}
END_TEST

/* --- verdicts --- */

static void ack_each(struct amqp_peer *p)
{
	struct amqp_peer_publish m;

	amqp_peer_login(p);
	for (uint64_t tag = 1; tag <= 3; tag++) {
		amqp_peer_read(p, &m);
		ck_assert_str_eq(m.exchange, "x");
		ck_assert_str_eq(m.routing_key, "key");
		ck_assert_str_eq(m.message_id, "id");
		ck_assert(m.mandatory);
		ck_assert(m.persistent);
	}
	amqp_peer_ack(p, 2, false);
	amqp_peer_nack(p, 1, false);
	amqp_peer_ack(p, 3, false);
	amqp_peer_expect_end(p);
}

START_TEST(each_publish_gets_its_own_verdict)
{
	open_with(ack_each);
	for (uint64_t tag = 11; tag <= 13; tag++)
		ck_assert_int_eq(publish(tag, "id", text("body")), PUBLISH_OK);
	ck_assert_uint_eq(driver->in_flight(broker), 3);
	ck_assert_int_eq(collect(3), 3);
	expect_receipt(0, 12, VERDICT_SENT, "");
	ck_assert_uint_eq(out[1].tag, 11);
	ck_assert_int_eq(out[1].verdict, VERDICT_NACKED);
	expect_receipt(2, 13, VERDICT_SENT, "");
	ck_assert_uint_eq(driver->in_flight(broker), 0);
	finish();
}
END_TEST

static void read_some(struct amqp_peer *p, int count)
{
	struct amqp_peer_publish m;

	while (count-- > 0)
		amqp_peer_read(p, &m);
}

static void overlap(struct amqp_peer *p)
{
	amqp_peer_login(p);
	read_some(p, 10);
	amqp_peer_ack(p, 9, true);
	amqp_peer_nack(p, 8, true);
	amqp_peer_ack(p, 700, false);
	amqp_peer_nack(p, 10, true);
	amqp_peer_expect_end(p);
}

START_TEST(overlapping_confirms_do_not_undo_each_other)
{
	open_with(overlap);
	for (uint64_t tag = 1; tag <= 10; tag++)
		ck_assert_int_eq(publish(tag, "id", text("")), PUBLISH_OK);
	ck_assert_int_eq(collect(10), 10);
	for (int i = 0; i < 9; i++)
		expect_receipt(i, (uint64_t)i + 1, VERDICT_SENT, "");
	ck_assert_int_eq(out[9].verdict, VERDICT_NACKED);
	finish();
}
END_TEST

static const size_t returned_sizes[] = {0, 1, 1000, 5000};
static size_t returned_size;

static void give_back(struct amqp_peer *p)
{
	amqp_peer_login(p);
	read_some(p, 3);
	amqp_peer_return(p, "b", returned_size);
	amqp_peer_ack(p, 3, true);
	amqp_peer_expect_end(p);
}

START_TEST(a_returned_message_is_told_from_its_neighbours)
{
	returned_size = returned_sizes[_i];
	open_with(give_back);
	publish(1, "a", text("x"));
	publish(2, "b", text("x"));
	publish(3, "c", text("x"));
	ck_assert_int_eq(collect(3), 3);
	expect_receipt(0, 1, VERDICT_SENT, "");
	expect_receipt(1, 2, VERDICT_RETURNED, "312 NO_ROUTE");
	expect_receipt(2, 3, VERDICT_SENT, "");
	finish();
}
END_TEST

START_TEST(receipts_come_in_portions_of_the_capacity)
{
	int got = 0;

	open_with(overlap);
	for (uint64_t tag = 1; tag <= 10; tag++)
		publish(tag, "id", text(""));
	while (got < 10) {
		int n;

		wait_once();
		n = driver->collect(broker, out, 3, &err);
		ck_assert_int_ge(n, 0);
		ck_assert_int_le(n, 3);
		for (int i = 0; i < n; i++)
			ck_assert_uint_eq(out[i].tag, (uint64_t)(got + i) + 1);
		got += n;
	}
	finish();
}
END_TEST

static void ack_after_release(struct amqp_peer *p)
{
	amqp_peer_login(p);
	read_some(p, 2);
	amqp_peer_hold(p);
	amqp_peer_ack(p, 2, true);
	amqp_peer_expect_end(p);
}

START_TEST(a_forgotten_publish_is_not_reported)
{
	open_with(ack_after_release);
	publish(1, "a", text("x"));
	publish(2, "b", text("x"));
	ck_assert_int_eq(driver->collect(broker, out, RECEIPTS, &err), 0);
	driver->forget(broker, 1);
	ck_assert_uint_eq(driver->in_flight(broker), 1);
	amqp_peer_release(&peer);
	ck_assert_int_eq(collect(1), 1);
	expect_receipt(0, 2, VERDICT_SENT, "");
	finish();
}
END_TEST

/* --- bodies --- */

static const size_t body_sizes[] = {0, 1, 4087, 4088, 4089, 2 * 4088, 1000000};
static size_t body_size;
static uint32_t body_sum;

static void check_body(struct amqp_peer *p)
{
	struct amqp_peer_publish m;

	amqp_peer_login(p);
	amqp_peer_read(p, &m);
	ck_assert_uint_eq(m.body_size, body_size);
	ck_assert_uint_eq(m.body_sum, body_sum);
	ck_assert_uint_le(m.largest_frame, 4096);
	amqp_peer_ack(p, 1, false);
	amqp_peer_expect_end(p);
}

START_TEST(bodies_around_the_frame_size_arrive_whole)
{
	char *body;

	body_size = body_sizes[_i];
	body_sum = 0;
	body = malloc(body_size + 1);
	for (size_t i = 0; i < body_size; i++) {
		body[i] = (char)(i * 7);
		body_sum += (unsigned char)body[i];
	}
	peer.frame_max = 4096;
	open_with(check_body);
	ck_assert_int_eq(publish(1, "id", (struct slice){body, body_size}), PUBLISH_OK);
	ck_assert_int_eq(collect(1), 1);
	expect_receipt(0, 1, VERDICT_SENT, "");
	finish();
	free(body);
}
END_TEST

/* --- silence --- */

static void hold(struct amqp_peer *p)
{
	amqp_peer_login(p);
	amqp_peer_hold(p);
}

START_TEST(a_silent_peer_is_lost_after_two_heartbeats)
{
	int64_t start;

	config.heartbeat_ms = 1000;
	peer.heartbeat = 60;
	open_with(hold);
	start = clock_ms();
	publish(1, "id", text("x"));
	expect_loss("heartbeats missed");
	ck_assert_int_ge(clock_ms() - start, 1900);
	ck_assert_int_le(clock_ms() - start, 20000);
	ck_assert_uint_eq(driver->in_flight(broker), 1);
	amqp_peer_release(&peer);
	finish();
}
END_TEST

static void expect_beats(struct amqp_peer *p)
{
	amqp_peer_login(p);
	amqp_peer_expect_heartbeat(p);
	amqp_peer_raw(p, "\10\0\0\0\0\0\0\316", 8);
	amqp_peer_expect_heartbeat(p);
	amqp_peer_ack(p, 9, false); /* any byte counts */
	amqp_peer_expect_heartbeat(p);
	amqp_peer_close(p, AMQP_CONNECTION_FORCED, "enough");
	amqp_peer_expect_end(p);
}

START_TEST(an_idle_client_sends_heartbeats_and_hears_any_byte_as_one)
{
	peer.heartbeat = 1;
	open_with(expect_beats);
	expect_loss("320 enough");
	finish();
}
END_TEST

static const size_t unread_sizes[] = {8000, 300};

/* What the kernel buffers for a peer that does not read is a few megabytes. */
#define UNREAD_MAX (16 << 20)

START_TEST(a_peer_that_does_not_read_fills_us_but_never_blocks_us)
{
	static char body[8000];
	const struct slice part = {.data = body, .size = unread_sizes[_i]};
	uint64_t tag = 1;
	int64_t slowest = 0;

	peer.heartbeat = 0;
	open_with(hold);
	for (;;) {
		int64_t start = clock_ms();
		enum publish_result result = publish(tag, "id", part);

		if (result == PUBLISH_FULL) {
			ck_assert_int_eq(driver->collect(broker, out, RECEIPTS, &err), 0);
			result = publish(tag, "id", part);
		}
		slowest = clock_ms() - start > slowest ? clock_ms() - start : slowest;
		if (result == PUBLISH_FULL)
			break;
		ck_assert_int_eq(result, PUBLISH_OK);
		ck_assert_uint_lt(tag++ * part.size, UNREAD_MAX);
	}
	ck_assert_uint_gt(tag, 10);
	ck_assert_int_lt(slowest, 5000);
	ck_assert_int_eq(driver->events(broker), POLLIN | POLLOUT);
	driver->close(broker);
	ck_assert_int_eq(driver->fd(broker), -1);
	amqp_peer_release(&peer);
	finish();
}
END_TEST

START_TEST(giving_up_a_half_sent_message_ends_the_connection)
{
	size_t size = 64 << 20;
	char *body = calloc(1, size);

	open_with(hold);
	ck_assert_int_eq(publish(1, "id", (struct slice){body, size}), PUBLISH_OK);
	ck_assert_int_eq(driver->collect(broker, out, RECEIPTS, &err), 0);
	driver->forget(broker, 1);
	free(body);
	expect_loss("given up");
	amqp_peer_release(&peer);
	finish();
}
END_TEST

static void block(struct amqp_peer *p)
{
	amqp_connection_blocked_t blocked = {.reason =
						     amqp_cstring_bytes("low on memory")};
	amqp_connection_unblocked_t unblocked = {0};

	amqp_peer_login(p);
	read_some(p, 1);
	amqp_peer_send(p, 0, AMQP_CONNECTION_BLOCKED_METHOD, &blocked);
	amqp_peer_hold(p);
	amqp_peer_send(p, 0, AMQP_CONNECTION_UNBLOCKED_METHOD, &unblocked);
	amqp_peer_ack(p, 1, false);
	read_some(p, 1);
	amqp_peer_ack(p, 2, false);
	amqp_peer_expect_end(p);
}

START_TEST(a_blocked_broker_is_not_published_to)
{
	open_with(block);
	ck_assert_ptr_null(driver->blocked(broker));
	publish(1, "a", text("x"));
	while (!driver->blocked(broker))
		ck_assert_int_eq(driver->collect(broker, out, RECEIPTS, &err), 0);
	ck_assert_str_eq(driver->blocked(broker), "low on memory");
	ck_assert_int_eq(publish(2, "b", text("x")), PUBLISH_FULL);
	amqp_peer_release(&peer);
	ck_assert_int_eq(collect(1), 1);
	ck_assert_ptr_null(driver->blocked(broker));
	ck_assert_int_eq(publish(2, "b", text("x")), PUBLISH_OK);
	ck_assert_int_eq(collect(1), 1);
	expect_receipt(0, 2, VERDICT_SENT, "");
	finish();
}
END_TEST

/* --- closes --- */

static int publishes_before_close;

static void close_channel(struct amqp_peer *p)
{
	amqp_channel_open_ok_t open_ok = {0};
	amqp_confirm_select_ok_t select_ok = {0};

	amqp_peer_login(p);
	read_some(p, publishes_before_close);
	if (publishes_before_close > 1)
		amqp_peer_ack(p, 1, false);
	amqp_peer_close_channel(p, AMQP_NOT_FOUND,
				"NOT_FOUND - no exchange 'x' \xc3\xa9\n");
	amqp_peer_expect(p, 1, AMQP_CHANNEL_CLOSE_OK_METHOD);
	amqp_peer_expect(p, 1, AMQP_CHANNEL_OPEN_METHOD);
	amqp_peer_expect(p, 1, AMQP_CONFIRM_SELECT_METHOD);
	amqp_peer_hold(p);
	amqp_peer_send(p, 1, AMQP_CHANNEL_OPEN_OK_METHOD, &open_ok);
	amqp_peer_send(p, 1, AMQP_CONFIRM_SELECT_OK_METHOD, &select_ok);
	read_some(p, 1);
	amqp_peer_ack(p, 1, false);
	amqp_peer_expect_end(p);
}

#define NO_EXCHANGE "404 NOT_FOUND - no exchange 'x' ???"

static void expect_new_channel(void)
{
	ck_assert_int_eq(driver->collect(broker, out, RECEIPTS, &err), 0);
	ck_assert_int_eq(publish(50, "n", text("x")), PUBLISH_FULL);
	amqp_peer_release(&peer);
	while (publish(50, "n", text("x")) == PUBLISH_FULL) {
		wait_once();
		ck_assert_int_eq(driver->collect(broker, out, RECEIPTS, &err), 0);
	}
	ck_assert_int_eq(collect(1), 1);
	expect_receipt(0, 50, VERDICT_SENT, "");
}

START_TEST(a_channel_closed_over_one_message_refuses_exactly_that_one)
{
	publishes_before_close = 1;
	open_with(close_channel);
	publish(1, "a", text("x"));
	ck_assert_int_eq(collect(1), 1);
	expect_receipt(0, 1, VERDICT_REFUSED, NO_EXCHANGE);
	expect_new_channel();
	finish();
}
END_TEST

START_TEST(a_channel_closed_with_several_in_flight_blames_nobody)
{
	publishes_before_close = 4;
	open_with(close_channel);
	for (uint64_t tag = 1; tag <= 4; tag++)
		publish(tag, "a", text("x"));
	ck_assert_int_eq(collect(4), 4);
	expect_receipt(0, 1, VERDICT_SENT, "");
	for (int i = 1; i < 4; i++)
		expect_receipt(i, (uint64_t)i + 1, VERDICT_UNCLEAR, NO_EXCHANGE);
	expect_new_channel();
	finish();
}
END_TEST

START_TEST(a_forgotten_message_may_be_the_one_that_closed_the_channel)
{
	publishes_before_close = 3;
	open_with(close_channel);
	for (uint64_t tag = 1; tag <= 3; tag++)
		publish(tag, "a", text("x"));
	driver->forget(broker, 3);
	ck_assert_int_eq(collect(2), 2);
	expect_receipt(1, 2, VERDICT_UNCLEAR, NO_EXCHANGE);
	expect_new_channel();
	finish();
}
END_TEST

static void close_in_a_body(struct amqp_peer *p)
{
	amqp_channel_open_ok_t open_ok = {0};
	amqp_confirm_select_ok_t select_ok = {0};
	struct frame_head f;

	amqp_peer_login(p);
	amqp_peer_expect(p, 1, AMQP_BASIC_PUBLISH_METHOD);
	amqp_peer_close_channel(p, AMQP_NOT_FOUND, "NOT_FOUND");
	/* What was on its way is ignored, up to the client's close-ok. */
	do {
		f = get_frame(p);
	} while (f.type != AMQP_FRAME_METHOD);
	decode(p, f, AMQP_CHANNEL_CLOSE_OK_METHOD);
	amqp_peer_expect(p, 1, AMQP_CHANNEL_OPEN_METHOD);
	amqp_peer_expect(p, 1, AMQP_CONFIRM_SELECT_METHOD);
	amqp_peer_send(p, 1, AMQP_CHANNEL_OPEN_OK_METHOD, &open_ok);
	amqp_peer_send(p, 1, AMQP_CONFIRM_SELECT_OK_METHOD, &select_ok);
	read_some(p, 1);
	amqp_peer_ack(p, 1, false);
	amqp_peer_expect_end(p);
}

START_TEST(the_rest_of_a_half_sent_body_is_dropped_with_its_channel)
{
	size_t size = 32 << 20;
	char *body = calloc(1, size);

	open_with(close_in_a_body);
	ck_assert_int_eq(publish(1, "a", (struct slice){body, size}), PUBLISH_OK);
	ck_assert_int_eq(collect(1), 1);
	expect_receipt(0, 1, VERDICT_REFUSED, "404 NOT_FOUND");
	free(body);
	while (publish(2, "b", text("x")) == PUBLISH_FULL) {
		wait_once();
		ck_assert_int_eq(driver->collect(broker, out, RECEIPTS, &err), 0);
	}
	ck_assert_int_eq(collect(1), 1);
	expect_receipt(0, 2, VERDICT_SENT, "");
	finish();
}
END_TEST

static int close_code;

static void close_connection(struct amqp_peer *p)
{
	amqp_peer_login(p);
	read_some(p, publishes_before_close);
	amqp_peer_close(p, close_code, "reason");
	amqp_peer_expect(p, 0, AMQP_CONNECTION_CLOSE_OK_METHOD);
}

START_TEST(a_connection_closed_over_one_message_refuses_it_before_the_loss)
{
	publishes_before_close = 1;
	close_code = AMQP_INTERNAL_ERROR;
	open_with(close_connection);
	publish(1, "a", text("x"));
	ck_assert_int_eq(collect(1), 1);
	expect_receipt(0, 1, VERDICT_REFUSED,
		       "the server closed the connection: 541 reason");
	expect_loss("541 reason");
	finish();
}
END_TEST

START_TEST(a_connection_closed_with_several_in_flight_blames_nobody)
{
	publishes_before_close = 2;
	close_code = AMQP_INTERNAL_ERROR;
	open_with(close_connection);
	publish(1, "a", text("x"));
	publish(2, "b", text("x"));
	ck_assert_int_eq(collect(2), 2);
	ck_assert_int_eq(out[0].verdict, VERDICT_UNCLEAR);
	ck_assert_int_eq(out[1].verdict, VERDICT_UNCLEAR);
	expect_loss("541 reason");
	finish();
}
END_TEST

START_TEST(a_connection_closed_by_an_operator_is_nobodys_fault)
{
	publishes_before_close = 1;
	close_code = AMQP_CONNECTION_FORCED;
	open_with(close_connection);
	publish(1, "a", text("x"));
	expect_loss("320 reason");
	ck_assert_int_eq(err.kind, ERROR_LOST);
	ck_assert_uint_eq(driver->in_flight(broker), 1);
	finish();
}
END_TEST

static void ack_and_vanish(struct amqp_peer *p)
{
	amqp_peer_login(p);
	read_some(p, 2);
	amqp_peer_ack(p, 1, false);
}

START_TEST(what_was_confirmed_before_the_end_is_reported_first)
{
	open_with(ack_and_vanish);
	publish(1, "a", text("x"));
	publish(2, "b", text("x"));
	ck_assert_int_eq(collect(1), 1);
	expect_receipt(0, 1, VERDICT_SENT, "");
	expect_loss("");
	ck_assert_int_eq(err.kind, ERROR_LOST);
	ck_assert_uint_eq(driver->in_flight(broker), 1);
	finish();
}
END_TEST

static void serve_twice(struct amqp_peer *p)
{
	ack_and_vanish(p);
	close(p->fd);
	p->fd = accept(p->listener, NULL, NULL);
	amqp_peer_login(p);
	read_some(p, 1);
	amqp_peer_ack(p, 1, false);
	amqp_peer_expect_end(p);
}

START_TEST(a_lost_broker_can_be_opened_again)
{
	open_with(serve_twice);
	publish(1, "a", text("x"));
	publish(2, "b", text("x"));
	ck_assert_int_eq(collect(1), 1);
	expect_loss("");
	driver->close(broker);
	ck_assert_uint_eq(driver->in_flight(broker), 0);
	if (driver->open(broker, 5000, -1, &err) < 0)
		ck_abort_msg("%s", err.text);
	ck_assert_int_eq(publish(2, "b", text("x")), PUBLISH_OK);
	ck_assert_int_eq(collect(1), 1);
	expect_receipt(0, 2, VERDICT_SENT, "");
	finish();
}
END_TEST

/* --- nonsense --- */

static const struct {
	const char *bytes;
	size_t size;
	const char *why;
} nonsense[] = {
	{"HTTP/1.1 400 Bad Request\r\n\r\n", 28, "not AMQP 0-9-1: a frame of size"},
	{"\1\0\1\377\377\377\377", 8, "not AMQP 0-9-1: a frame of size"},
	{"\11\0\0\0\0\0\0\316", 8, "not AMQP 0-9-1: frame type 9"},
	{"\1\0\1\0\0\0\2\0\0\316", 10, "not AMQP 0-9-1: a method of size 2"},
	{"\1\0\1\0\0\0\0\316", 8, "not AMQP 0-9-1: a method of size 0"},
	{"\1\0\1\0\0\0\4\0\0\0\0\0", 12, "not AMQP 0-9-1: frame end 0"},
	{"\1\0\1\0\0\0\4\377\377\377\377\316", 12, "not AMQP 0-9-1: method"},
	{"\1\0\1\0\0\0\4\0\74\0\120\316", 12,
	 "not AMQP 0-9-1: method"}, /* ack without tag */
	{"\2\0\1\0\0\0\16\0\74\0\0\0\0\0\0\0\0\0\0\0\0\316", 22, "content where none"},
	{"\3\0\1\0\0\0\1x\316", 9, "content where none"},
	{"\3\0\0\0\0\0\1x\316", 9, "not AMQP 0-9-1: content on channel 0"},
	{"\1\0\1\0\0\0\5\0\74\0\34\0\316", 13, "not AMQP 0-9-1: method"},
};
static int nonsense_index;

static void send_nonsense(struct amqp_peer *p)
{
	amqp_peer_login(p);
	amqp_peer_raw(p, nonsense[nonsense_index].bytes, nonsense[nonsense_index].size);
	amqp_peer_expect_end(p);
}

START_TEST(bytes_that_make_no_sense_end_the_connection_with_a_clear_text)
{
	nonsense_index = _i;
	open_with(send_nonsense);
	expect_loss(nonsense[_i].why);
	finish();
}
END_TEST

static void cut_a_return(struct amqp_peer *p)
{
	amqp_basic_return_t method = {
		.reply_code = AMQP_NO_ROUTE,
		.reply_text = amqp_cstring_bytes("NO_ROUTE"),
	};

	amqp_peer_login(p);
	amqp_peer_send(p, 1, AMQP_BASIC_RETURN_METHOD, &method);
	amqp_peer_ack(p, 1, false);
	amqp_peer_expect_end(p);
}

START_TEST(a_method_inside_a_returned_message_ends_the_connection)
{
	open_with(cut_a_return);
	expect_loss("a method inside a message");
	finish();
}
END_TEST

static unsigned int seed;

static void send_noise(struct amqp_peer *p)
{
	unsigned char noise[4096];
	size_t at = 0;

	amqp_peer_login(p);
	/* Frames that are well formed outside, and noise inside. */
	while (at + 300 < sizeof(noise)) {
		size_t size = (size_t)rand_r(&seed) % 64;

		noise[at++] = (unsigned char)(1 + rand_r(&seed) % 3);
		noise[at++] = 0;
		noise[at++] = (unsigned char)(rand_r(&seed) % 2);
		put_number(noise + at, size, 4);
		at += 4;
		for (size_t i = 0; i < size; i++)
			noise[at + i] = (unsigned char)rand_r(&seed);
		if (size >= 4) {
			static const uint32_t methods[] = {
				AMQP_BASIC_ACK_METHOD,          AMQP_BASIC_NACK_METHOD,
				AMQP_BASIC_RETURN_METHOD,       AMQP_CHANNEL_CLOSE_METHOD,
				AMQP_CONNECTION_START_METHOD,   AMQP_CHANNEL_FLOW_METHOD,
				AMQP_CONNECTION_BLOCKED_METHOD,
			};
			put_number(noise + at, methods[rand_r(&seed) % 7], 4);
		}
		at += size;
		noise[at++] = AMQP_FRAME_END;
	}
	amqp_peer_raw(p, noise, at);
	shutdown(p->fd, SHUT_WR);
	amqp_peer_expect_end(p);
}

START_TEST(noise_never_does_more_than_end_the_connection)
{
	int got;

	seed = (unsigned int)_i;
	open_with(send_noise);
	publish(1, "id", text("x"));
	do {
		wait_once();
		got = driver->collect(broker, out, RECEIPTS, &err);
	} while (got >= 0);
	ck_assert_int_ne(err.kind, ERROR_NONE);
	finish();
}
END_TEST

/* --- suites --- */

static TCase *add_case(Suite *suite, const char *name)
{
	TCase *tcase = tcase_create(name);

	tcase_add_checked_fixture(tcase, setup, NULL);
	tcase_set_timeout(tcase, 30);
	suite_add_tcase(suite, tcase);
	return tcase;
}

static void add_logins(TCase *t)
{
	tcase_add_test(t, a_login_names_the_peer_without_its_secrets);
	tcase_add_test(t, a_server_that_stops_in_the_middle_of_the_login_is_a_timeout);
	tcase_add_test(t, a_request_to_stop_ends_the_login);
	tcase_add_test(t, a_wrong_password_is_refused_not_lost);
	tcase_add_test(t, a_server_that_hangs_up_at_once_is_lost);
	tcase_add_test(t, a_server_of_another_version_is_refused);
	tcase_add_test(t, frames_below_the_minimum_of_the_protocol_are_not_agreed_to);
}

static void add_verdicts(TCase *t)
{
	tcase_add_test(t, each_publish_gets_its_own_verdict);
	tcase_add_test(t, overlapping_confirms_do_not_undo_each_other);
	tcase_add_loop_test(t, a_returned_message_is_told_from_its_neighbours, 0,
			    sizeof(returned_sizes) / sizeof(returned_sizes[0]));
	tcase_add_test(t, receipts_come_in_portions_of_the_capacity);
	tcase_add_test(t, a_forgotten_publish_is_not_reported);
	tcase_add_loop_test(t, bodies_around_the_frame_size_arrive_whole, 0,
			    sizeof(body_sizes) / sizeof(body_sizes[0]));
}

static void add_silences(TCase *t)
{
	tcase_add_test(t, a_silent_peer_is_lost_after_two_heartbeats);
	tcase_add_test(t, an_idle_client_sends_heartbeats_and_hears_any_byte_as_one);
	tcase_add_loop_test(t, a_peer_that_does_not_read_fills_us_but_never_blocks_us, 0,
			    sizeof(unread_sizes) / sizeof(unread_sizes[0]));
	tcase_add_test(t, giving_up_a_half_sent_message_ends_the_connection);
	tcase_add_test(t, a_blocked_broker_is_not_published_to);
}

static void add_closes(TCase *t)
{
	tcase_add_test(t, a_channel_closed_over_one_message_refuses_exactly_that_one);
	tcase_add_test(t, a_channel_closed_with_several_in_flight_blames_nobody);
	tcase_add_test(t, a_forgotten_message_may_be_the_one_that_closed_the_channel);
	tcase_add_test(t, the_rest_of_a_half_sent_body_is_dropped_with_its_channel);
	tcase_add_test(t,
		       a_connection_closed_over_one_message_refuses_it_before_the_loss);
	tcase_add_test(t, a_connection_closed_with_several_in_flight_blames_nobody);
	tcase_add_test(t, a_connection_closed_by_an_operator_is_nobodys_fault);
	tcase_add_test(t, what_was_confirmed_before_the_end_is_reported_first);
	tcase_add_test(t, a_lost_broker_can_be_opened_again);
}

static void add_nonsense(TCase *t)
{
	tcase_add_loop_test(t,
			    bytes_that_make_no_sense_end_the_connection_with_a_clear_text,
			    0, sizeof(nonsense) / sizeof(nonsense[0]));
	tcase_add_test(t, a_method_inside_a_returned_message_ends_the_connection);
	tcase_add_loop_test(t, noise_never_does_more_than_end_the_connection, 0, 40);
}

Suite *unit_suite(void)
{
	Suite *suite = suite_create("rabbitmq_driver");

	add_logins(add_case(suite, "login"));
	add_verdicts(add_case(suite, "verdicts"));
	add_silences(add_case(suite, "silence"));
	add_closes(add_case(suite, "closes"));
	add_nonsense(add_case(suite, "nonsense"));
	return suite;
}
