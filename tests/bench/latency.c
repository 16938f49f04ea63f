/*
 * How long a message takes from the application's commit to a consumer. Writers and the consumer
 * are one process, so that one clock measures both ends.
 *
 *	DATABASE_URL=… AMQP_URL=… latency QUEUE RATE SECONDS CONNECTIONS BODY_BYTES [direct]
 *
 * inserts RATE rows a second, evenly spaced, each in a transaction of its own on whichever
 * of CONNECTIONS sessions is free, consumes QUEUE meanwhile, waits until all have arrived,
 * and prints one JSON object; times are microseconds:
 *
 *	inserted, seconds     what the writers really managed
 *	insert                from sending the INSERT to the answer that it is committed
 *	commit_to_consumer    from that answer to the consumer's having the message: with
 *	                      a fast relay the message can be there before the answer
 *	insert_to_consumer    from sending the INSERT: what the user waits for in all
 *
 * each as {"p50": …, "p99": …, "p99.9": …, "max": …}. A body begins with the number of its
 * message and the moment of its INSERT, in native byte order.
 *
 * With `direct` it publishes each message itself as soon as its row is committed: what is left
 * of these times without a relay is the database's, the broker's and the machine's.
 */
#include "bench/publisher.h"

#include <errno.h>
#include <inttypes.h>
#include <libpq-fe.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#define CONNECTIONS_MAX 64
/* Nothing more arrives: the relay is dead, or has lost messages. */
#define PATIENCE_NS INT64_C(60000000000)

/* So many may wait for their confirm; one that then has to be awaited counts as latency. */
#define DIRECT_WINDOW 512

#define INSERT \
	"INSERT INTO message_log (exchange, routing_key, payload) VALUES ('', $1, $2)"

struct stamp {
	uint64_t number;
	int64_t sent_ns;
};

enum { SENT, COMMITTED, ARRIVED };
struct times {
	int64_t ns[ARRIVED + 1]; /* 0: not yet */
};

struct writer {
	PGconn *db;
	bool is_busy;
	uint64_t number;
};

struct run {
	const char *queue;
	uint64_t count;
	int64_t interval_ns;
	size_t body_bytes;
	struct times *times;
	_Atomic uint64_t arrived;
	_Atomic bool is_consuming;
	struct writer writers[CONNECTIONS_MAX];
	struct pollfd polled[CONNECTIONS_MAX];
	size_t connections;
	char *body;
	struct publisher *direct; /* NULL: a relay publishes */
};

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* --- the consumer, a thread --- */

static void arrive(struct run *run, amqp_bytes_t body)
{
	struct stamp stamp;

	/* Others are none of ours: what woke the relay up before. */
	if (body.len != run->body_bytes)
		return;
	memcpy(&stamp, body.bytes, sizeof(stamp));
	if (stamp.number >= run->count)
		die("consumer", "a message that nobody sent");
	if (run->times[stamp.number].ns[ARRIVED])
		return;
	run->times[stamp.number].ns[ARRIVED] = now_ns();
	run->arrived++;
}

static void *consume(void *context)
{
	struct run *run = context;
	amqp_connection_state_t c = publisher_connect(getenv("AMQP_URL"));
	amqp_envelope_t envelope;

	amqp_basic_consume(c, 1, amqp_cstring_bytes(run->queue), amqp_empty_bytes, 0, 1,
			   0, amqp_empty_table);
	if (amqp_get_rpc_reply(c).reply_type != AMQP_RESPONSE_NORMAL)
		die("consumer", "refused");
	run->is_consuming = true;
	while (run->arrived < run->count) {
		amqp_maybe_release_buffers(c);
		if (amqp_consume_message(c, &envelope, NULL, 0).reply_type !=
		    AMQP_RESPONSE_NORMAL)
			die("consumer", "connection lost");
		arrive(run, envelope.message.body);
		amqp_destroy_envelope(&envelope);
	}
	amqp_destroy_connection(c);
	return NULL;
}

/* --- the writers --- */

static void open_writers(struct run *run)
{
	for (size_t i = 0; i < run->connections; i++) {
		struct writer *w = &run->writers[i];
		PGresult *prepared;

		w->db = PQconnectdb(getenv("DATABASE_URL"));
		if (PQstatus(w->db) != CONNECTION_OK)
			die("database", PQerrorMessage(w->db));
		prepared = PQprepare(w->db, "insert", INSERT, 0, NULL);
		if (PQresultStatus(prepared) != PGRES_COMMAND_OK)
			die("database", PQerrorMessage(w->db));
		PQclear(prepared);
		run->polled[i] = (struct pollfd){.fd = PQsocket(w->db), .events = POLLIN};
	}
}

static void send_insert(struct run *run, struct writer *w, uint64_t number)
{
	struct stamp stamp = {.number = number, .sent_ns = now_ns()};
	const char *values[] = {run->queue, run->body};
	int lengths[] = {0, (int)run->body_bytes}, formats[] = {0, 1};

	memcpy(run->body, &stamp, sizeof(stamp));
	if (!PQsendQueryPrepared(w->db, "insert", 2, values, lengths, formats, 0))
		die("database", PQerrorMessage(w->db));
	run->times[number].ns[SENT] = stamp.sent_ns;
	w->number = number;
	w->is_busy = true;
}

static void publish(struct run *run, uint64_t number)
{
	struct stamp stamp = {.number = number, .sent_ns = run->times[number].ns[SENT]};
	amqp_bytes_t body = {.len = run->body_bytes, .bytes = run->body};

	while (publisher_unconfirmed(run->direct) >= DIRECT_WINDOW)
		publisher_await(run->direct);
	memcpy(run->body, &stamp, sizeof(stamp));
	publisher_send(run->direct, amqp_empty_bytes, amqp_cstring_bytes(run->queue),
		       amqp_cstring_bytes("01234567-89ab-cdef-0123-456789abcdef"), body);
}

/* Takes the answer, if it is all there. */
static void take_answer(struct run *run, struct writer *w)
{
	PGresult *result;

	if (!PQconsumeInput(w->db))
		die("database", PQerrorMessage(w->db));
	if (PQisBusy(w->db))
		return;
	run->times[w->number].ns[COMMITTED] = now_ns();
	while ((result = PQgetResult(w->db))) {
		if (PQresultStatus(result) != PGRES_COMMAND_OK)
			die("database", PQerrorMessage(w->db));
		PQclear(result);
	}
	w->is_busy = false;
	if (run->direct)
		publish(run, w->number);
}

static void wait_for_answers(struct run *run, int64_t until_ns)
{
	int64_t left_ns = until_ns - now_ns();
	struct timespec timeout;

	if (left_ns < 0)
		left_ns = 0;
	timeout = (struct timespec){.tv_sec = left_ns / 1000000000,
				    .tv_nsec = left_ns % 1000000000};
	if (ppoll(run->polled, run->connections, &timeout, NULL) < 0 && errno != EINTR)
		die("poll", strerror(errno));
	for (size_t i = 0; i < run->connections; i++)
		if (run->polled[i].revents && run->writers[i].is_busy)
			take_answer(run, &run->writers[i]);
}

static struct writer *free_writer(struct run *run)
{
	for (size_t i = 0; i < run->connections; i++)
		if (!run->writers[i].is_busy)
			return &run->writers[i];
	return NULL;
}

/* Returns how long it took. */
static int64_t write_all(struct run *run)
{
	int64_t began_ns = now_ns(), due_ns = began_ns, never_ns = INT64_MAX / 2;
	uint64_t next = 0;
	bool is_busy = true;

	while (next < run->count || is_busy) {
		struct writer *w = next < run->count ? free_writer(run) : NULL;

		if (w && now_ns() >= due_ns) {
			send_insert(run, w, next++);
			is_busy = true;
			due_ns = began_ns + (int64_t)next * run->interval_ns;
			continue;
		}
		wait_for_answers(run, w ? due_ns : never_ns);
		is_busy = false;
		for (size_t i = 0; i < run->connections; i++)
			is_busy = is_busy || run->writers[i].is_busy;
	}
	return now_ns() - began_ns;
}

static void await_arrivals(struct run *run)
{
	int64_t deadline_ns = now_ns() + PATIENCE_NS;

	while (run->arrived < run->count) {
		if (now_ns() > deadline_ns)
			die("consumer", "messages are missing");
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	}
}

/* --- the report --- */

static int compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

/* The value that so many per mille are not above. */
static double percentile_us(const int64_t *sorted, uint64_t count, unsigned per_mille)
{
	uint64_t rank = (count * per_mille + 999) / 1000;

	return (double)sorted[rank ? rank - 1 : 0] / 1000;
}

static void report(const struct run *run, const char *name, int from, int to)
{
	int64_t *spans = calloc(run->count, sizeof(*spans));

	if (!spans)
		die("report", "out of memory");
	for (uint64_t i = 0; i < run->count; i++)
		spans[i] = run->times[i].ns[to] - run->times[i].ns[from];
	qsort(spans, run->count, sizeof(*spans), compare);
	printf(", \"%s\": {\"p50\": %.1f, \"p99\": %.1f, \"p99.9\": %.1f, \"max\": %.1f}",
	       name, percentile_us(spans, run->count, 500),
	       percentile_us(spans, run->count, 990),
	       percentile_us(spans, run->count, 999),
	       percentile_us(spans, run->count, 1000));
	free(spans);
}

int main(int argc, char **argv)
{
	static struct run run;
	pthread_t consumer;
	uint64_t rate;
	int64_t took_ns;

	if (argc < 6 || argc > 7 || (argc == 7 && strcmp(argv[6], "direct") != 0))
		die("usage",
		    "latency QUEUE RATE SECONDS CONNECTIONS BODY_BYTES [direct]");
	run.queue = argv[1];
	rate = strtoull(argv[2], NULL, 10);
	run.count = rate * strtoull(argv[3], NULL, 10);
	run.connections = strtoull(argv[4], NULL, 10);
	run.body_bytes = strtoull(argv[5], NULL, 10);
	if (!run.count || !run.connections || run.connections > CONNECTIONS_MAX ||
	    run.body_bytes < sizeof(struct stamp))
		die("usage", "out of range");
	run.interval_ns = 1000000000 / (int64_t)rate;
	run.times = calloc(run.count, sizeof(*run.times));
	run.body = calloc(1, run.body_bytes);
	if (!run.times || !run.body)
		die("latency", "out of memory");
	/* The kernel may round a sleep up by 50 us unless told otherwise. */
	prctl(PR_SET_TIMERSLACK, 1);
	open_writers(&run);
	if (argc == 7)
		run.direct = publisher_open(getenv("AMQP_URL"));
	if (pthread_create(&consumer, NULL, consume, &run) != 0)
		die("consumer", "cannot be started");
	while (!run.is_consuming)
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	took_ns = write_all(&run);
	await_arrivals(&run);
	pthread_join(consumer, NULL);
	printf("{\"inserted\": %" PRIu64 ", \"seconds\": %.3f", run.count,
	       (double)took_ns / 1e9);
	report(&run, "insert", SENT, COMMITTED);
	report(&run, "commit_to_consumer", COMMITTED, ARRIVED);
	report(&run, "insert_to_consumer", SENT, ARRIVED);
	printf("}\n");
	for (size_t i = 0; i < run.connections; i++)
		PQfinish(run.writers[i].db);
	if (run.direct) {
		while (publisher_unconfirmed(run.direct) > 0)
			publisher_await(run.direct);
		publisher_close(run.direct);
	}
	free(run.times);
	free(run.body);
	return 0;
}
