#include "fake_batch.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "fake/fake.h"

static struct slice put(PGresult *r, const char *text)
{
	size_t size = strlen(text);
	char *copy = PQresultAlloc(r, size + 1);

	fake_assert(copy);
	memcpy(copy, text, size + 1);
	return (struct slice){.data = copy, .size = size};
}

struct batch *fake_batch_of(uint32_t turn, const int64_t *ids, int count)
{
	struct batch *b = xcalloc(1, sizeof(*b));
	PGresult *r = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
	char text[32];

	b->turn = turn;
	b->claim_id = (int64_t)turn + 1000;
	b->lease_deadline_ms = clock_ms() + 30000000;
	b->count = count;
	b->rows = xcalloc((size_t)count, sizeof(*b->rows));
	b->result = (struct pg_result *)r;
	b->in_state[ROW_WAITING] = count;
	for (int i = 0; i < count; i++) {
		snprintf(text, sizeof(text), "m%lld", (long long)ids[i]);
		b->rows[i] =
			(struct row){.id = ids[i],
				     .message = {.message_id = put(r, text),
						 .exchange = put(r, FAKE_EXCHANGE),
						 .routing_key = put(r, FAKE_ROUTING_KEY),
						 .body = put(r, "{}")},
				     .body_size = 2};
	}
	return b;
}

struct batch *fake_batch(uint32_t turn, int64_t first_id, int count)
{
	int64_t *ids = xcalloc((size_t)count, sizeof(*ids));
	struct batch *b;

	for (int i = 0; i < count; i++)
		ids[i] = first_id + i;
	b = fake_batch_of(turn, ids, count);
	free(ids);
	return b;
}

void fake_batch_address(struct batch *b, int i, const char *exchange,
			const char *routing_key)
{
	PGresult *r = (PGresult *)b->result;

	b->rows[i].message.exchange = put(r, exchange);
	b->rows[i].message.routing_key = put(r, routing_key);
}

int64_t fake_message_number(const struct message *msg)
{
	fake_assert(msg->message_id.size >= 2);
	fake_assert(msg->message_id.data[0] == 'm');
	return strtoll(msg->message_id.data + 1, NULL, 10);
}
