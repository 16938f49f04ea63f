#include "confirms.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"

#define FIRST_CAPACITY 64

struct confirm {
	uint64_t tag;   /* the caller's; 0: forgotten */
	const char *id; /* borrowed; NULL: forgotten */
	char *reason;   /* owned; set when the message came back, or the verdict needs
			 one */
	uint32_t next;  /* low bits of the next sequence number in the queue */
	uint8_t id_size;
	uint8_t verdict; /* enum verdict; NONE: open */
	bool is_taken;   /* nothing refers to this slot any more */
};

void confirms_init(struct confirms *c, size_t limit)
{
	assert(limit >= FIRST_CAPACITY && (limit & (limit - 1)) == 0);
	*c = (struct confirms){.limit = limit};
	confirms_clear(c);
}

static struct confirm *slot(const struct confirms *c, uint64_t number)
{
	return &c->ring[number & (c->capacity - 1)];
}

void confirms_clear(struct confirms *c)
{
	for (uint64_t n = c->head; n < c->tail; n++)
		free(slot(c, n)->reason);
	*c = (struct confirms){
		.ring = c->ring,
		.capacity = c->capacity,
		.limit = c->limit,
		.ignored = c->ignored,
		.head = 1,
		.tail = 1,
		.settled = 1,
	};
}

void confirms_release(struct confirms *c)
{
	confirms_clear(c);
	free(c->ring);
	*c = (struct confirms){.limit = c->limit};
}

/* A slot that only a forgotten publish holds is given up when its room is needed; the
   publish keeps counting as open, so it stays a suspect until the channel is new. */
static bool is_free(const struct confirm *e, bool needed)
{
	return e->is_taken || (needed && e->verdict == VERDICT_NONE && e->tag == 0);
}

static void advance(struct confirms *c, bool needed)
{
	while (c->head < c->tail && is_free(slot(c, c->head), needed)) {
		free(slot(c, c->head)->reason);
		slot(c, c->head)->reason = NULL;
		c->head++;
	}
	if (c->settled < c->head)
		c->settled = c->head;
}

bool confirms_full(const struct confirms *c)
{
	return c->tail - c->head >= c->limit && !is_free(slot(c, c->head), true);
}

static void grow(struct confirms *c)
{
	size_t capacity = c->capacity ? c->capacity * 2 : FIRST_CAPACITY;
	struct confirm *ring = xcalloc(capacity, sizeof(*ring));

	for (uint64_t n = c->head; n < c->tail; n++)
		ring[n & (capacity - 1)] = *slot(c, n);
	free(c->ring);
	c->ring = ring;
	c->capacity = capacity;
}

void confirms_add(struct confirms *c, uint64_t tag, struct slice id)
{
	assert(tag != 0 && id.size <= UINT8_MAX && !confirms_full(c));
	if (c->tail - c->head >= c->limit)
		advance(c, true);
	if (c->tail - c->head >= c->capacity)
		grow(c);
	*slot(c, c->tail) = (struct confirm){
		.tag = tag,
		.id = id.data,
		.id_size = (uint8_t)id.size,
	};
	c->tail++;
	c->open++;
	c->in_flight++;
}

static void enqueue(struct confirms *c, uint64_t number)
{
	if (c->queued++)
		slot(c, c->queue_last)->next = (uint32_t)number;
	else
		c->queue_first = number;
	c->queue_last = number;
}

static void decide(struct confirms *c, uint64_t number, enum verdict verdict)
{
	struct confirm *e = slot(c, number);

	if (verdict == VERDICT_SENT && e->reason)
		verdict = VERDICT_RETURNED;
	e->verdict = (uint8_t)verdict;
	e->id = NULL;
	c->open--;
	if (e->tag)
		enqueue(c, number);
	else
		e->is_taken = true;
}

void confirms_settle(struct confirms *c, uint64_t delivery_tag, bool multiple,
		     enum verdict verdict)
{
	uint64_t last = c->base + delivery_tag;
	uint64_t number = multiple ? c->settled : last;
	size_t before = c->open;

	/* AMQP 0-9-1: `multiple` with tag 0 means all of them. */
	if (multiple && delivery_tag == 0)
		last = c->tail - 1;
	else if (delivery_tag == 0 || delivery_tag >= c->tail - c->base ||
		 last < c->head) {
		c->ignored++;
		return;
	}
	for (; number <= last; number++) {
		if (slot(c, number)->verdict == VERDICT_NONE)
			decide(c, number, verdict);
	}
	if (c->open == before)
		c->ignored++;
	while (c->settled < c->tail && slot(c, c->settled)->verdict != VERDICT_NONE)
		c->settled++;
	advance(c, false);
}

static bool is_match(const struct confirm *e, struct slice id)
{
	return e->verdict == VERDICT_NONE && !e->reason && e->id &&
	       e->id_size == id.size && memcmp(e->id, id.data, id.size) == 0;
}

/* The i-th of first … tail - 1, beginning at `hint` and going round. */
static uint64_t from_hint(const struct confirms *c, uint64_t first, uint64_t hint,
			  uint64_t i)
{
	uint64_t number = (hint < first || hint >= c->tail ? first : hint) + i;

	return number < c->tail ? number : number - (c->tail - first);
}

/* Returns come in the order of publishing, so the next one is mostly just behind the
 * last. */
void confirms_returned(struct confirms *c, struct slice id, const char *reason)
{
	uint64_t open = c->tail - c->settled;

	for (uint64_t i = 0; i < open; i++) {
		uint64_t number = from_hint(c, c->settled, c->return_hint, i);

		if (is_match(slot(c, number), id)) {
			slot(c, number)->reason = xstrdup(reason);
			c->return_hint = number + 1;
			return;
		}
	}
	c->ignored++;
}

void confirms_interrupt(struct confirms *c, enum verdict verdict, const char *reason)
{
	for (uint64_t n = c->settled; n < c->tail; n++) {
		struct confirm *e = slot(c, n);

		if (e->verdict != VERDICT_NONE)
			continue;
		free(e->reason);
		e->reason = e->tag ? xstrdup(reason) : NULL;
		decide(c, n, verdict);
	}
	c->settled = c->tail;
	c->base = c->tail - 1;
	c->open = 0;
	advance(c, false);
}

static void report(const struct confirm *e, struct receipt *out)
{
	const char *reason = e->reason;

	if (e->verdict == VERDICT_NACKED)
		reason = "nacked by the broker: a queue is full or failed";
	out->tag = e->tag;
	out->verdict = (enum verdict)e->verdict;
	out->reason[0] = '\0';
	if (reason)
		snprintf(out->reason, sizeof(out->reason), "%s", reason);
}

static void dequeue(struct confirms *c)
{
	struct confirm *e = slot(c, c->queue_first);

	free(e->reason);
	e->reason = NULL;
	e->is_taken = true;
	c->queued--;
	/* Links hold 32 bits; the ring spans far less, so the distance is exact. */
	c->queue_first +=
		(uint64_t)(int64_t)(int32_t)(e->next - (uint32_t)c->queue_first);
}

int confirms_take(struct confirms *c, struct receipt *out, int capacity)
{
	int count = 0;

	while (c->queued && count < capacity) {
		const struct confirm *e = slot(c, c->queue_first);

		if (e->tag) {
			report(e, &out[count++]);
			c->in_flight--;
		}
		dequeue(c);
	}
	advance(c, false);
	return count;
}

void confirms_forget(struct confirms *c, uint64_t tag)
{
	uint64_t used = c->tail - c->head;

	for (uint64_t i = 0; i < used; i++) {
		uint64_t number = from_hint(c, c->head, c->forget_hint, i);
		struct confirm *e = slot(c, number);

		if (e->is_taken || e->tag != tag)
			continue;
		e->tag = 0;
		e->id = NULL;
		c->in_flight--;
		c->forget_hint = number + 1;
		return;
	}
}
