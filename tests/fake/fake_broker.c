#include "fake_broker.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "fake/fake.h"
#include "fake/fake_batch.h"
#include "fake/fake_clock.h"

static struct fake_broker *fake(struct broker *b)
{
	return (struct fake_broker *)b;
}

static const struct fake_broker *fake_const(const struct broker *b)
{
	return (const struct fake_broker *)b;
}

void fake_broker_init(struct fake_broker *f)
{
	memset(f, 0, sizeof(*f));
	f->base.driver = &fake_broker_driver;
	f->open_error = ERROR_LOST;
}

/* --- the driver --- */

static const char *libraries(void)
{
	return "fake 1.0";
}

static int open_fake(struct broker *b, int timeout_ms, int stop_fd, struct error *err)
{
	struct fake_broker *f = fake(b);

	fake_assert_msg(!f->is_open, "open() before close()");
	fake_assert(timeout_ms > 0);
	f->opens++;
	f->open_timeout_ms = timeout_ms;
	if (fake_clock_block(clock_min(f->open_takes_ms, timeout_ms), stop_fd))
		return error_set(err, ERROR_STOPPED, "stopped");
	if (f->fail_opens) {
		f->fail_opens -= f->fail_opens > 0;
		return error_set(err, f->open_error, "nobody there");
	}
	f->is_open = true;
	return 0;
}

static void close_fake(struct broker *b)
{
	struct fake_broker *f = fake(b);

	f->closes += f->is_open;
	f->is_open = f->is_lost = false;
	f->pending_count = 0;
}

static void free_fake(struct broker *b)
{
	if (!b)
		return;
	close_fake(b);
	fake(b)->frees++;
}

static enum publish_result lose(struct fake_broker *f, struct error *err)
{
	f->is_lost = true;
	error_set(err, ERROR_LOST, "connection reset by peer");
	return PUBLISH_LOST;
}

static void must_be_usable(const struct fake_broker *f)
{
	fake_assert_msg(f->is_open, "used before open()");
	fake_assert_msg(!f->is_lost, "used after the connection was lost");
}

static enum publish_result accept_message(struct fake_broker *f, uint64_t tag, int64_t id,
					  const struct message *msg,
					  struct fake_answer answer)
{
	struct fake_pending *p = &f->pending[f->pending_count++];

	for (size_t i = 0; i < f->pending_count - 1; i++) {
		if (f->pending[i].tag == tag)
			ck_abort_msg("m%lld is in flight twice", (long long)id);
	}
	*p = (struct fake_pending){
		.tag = tag, .msg = msg, .id = id, .at_ms = CLOCK_NEVER, .answer = answer};
	if (answer.verdict != VERDICT_NONE) {
		p->at_ms = clock_ms() + answer.after_ms;
		fake_clock_at(p->at_ms, NULL, NULL);
	}
	if (f->pending_count > f->most_pending)
		f->most_pending = f->pending_count;
	fake_assert((size_t)f->order_count < sizeof(f->order) / sizeof(f->order[0]));
	f->order[f->order_count++] = id;
	f->published[id]++;
	return PUBLISH_OK;
}

static enum publish_result publish(struct broker *b, uint64_t tag,
				   const struct message *msg, struct error *err)
{
	struct fake_broker *f = fake(b);
	int64_t id = fake_message_number(msg);
	struct fake_answer answer = {.result = PUBLISH_OK};

	must_be_usable(f);
	fake_assert(tag != 0);
	fake_assert(id < FAKE_BROKER_IDS);
	fake_assert(msg->body.data);
	if (f->loses_next_publish) {
		f->loses_next_publish = false;
		return lose(f, err);
	}
	if (f->blocked || (f->room && f->pending_count >= f->room) ||
	    f->pending_count == FAKE_BROKER_PENDING)
		return PUBLISH_FULL;
	if (f->answer)
		answer = f->answer(f->context, id);
	switch (answer.result) {
	case PUBLISH_INVALID:
		error_set(err, ERROR_CONFIG, "%s", answer.reason);
		return PUBLISH_INVALID;
	case PUBLISH_LOST:
		return lose(f, err);
	case PUBLISH_FULL:
		return PUBLISH_FULL;
	case PUBLISH_OK:
		break;
	}
	return accept_message(f, tag, id, msg, answer);
}

static void take(struct fake_broker *f, size_t i, struct receipt *out)
{
	const struct fake_pending *p = &f->pending[i];

	/* Borrowed until now: whoever freed it is caught here. */
	fake_assert(fake_message_number(p->msg) == p->id);
	*out = (struct receipt){.tag = p->tag, .verdict = p->answer.verdict};
	snprintf(out->reason, sizeof(out->reason), "%s",
		 p->answer.reason ? p->answer.reason : "");
	if (p->answer.verdict == VERDICT_SENT)
		f->is_sent[p->id] = true;
	f->pending_count--;
	memmove(&f->pending[i], &f->pending[i + 1],
		(f->pending_count - i) * sizeof(f->pending[0]));
}

static int collect(struct broker *b, struct receipt *out, int capacity, struct error *err)
{
	struct fake_broker *f = fake(b);
	int count = 0;

	must_be_usable(f);
	fake_assert(capacity > 0);
	if (f->stale_tag)
		out[count++] =
			(struct receipt){.tag = f->stale_tag, .verdict = VERDICT_SENT};
	f->stale_tag = 0;
	for (size_t i = 0; i < f->pending_count && count < capacity;) {
		if (f->pending[i].at_ms <= clock_ms())
			take(f, i, &out[count++]);
		else
			i++;
	}
	if (count || !f->loses_next_collect)
		return count;
	f->loses_next_collect = false;
	lose(f, err);
	return -1;
}

static void forget(struct broker *b, uint64_t tag)
{
	struct fake_broker *f = fake(b);

	must_be_usable(f);
	for (size_t i = 0; i < f->pending_count; i++) {
		if (f->pending[i].tag != tag)
			continue;
		fake_assert(f->forgotten_count < FAKE_BROKER_IDS);
		f->forgotten[f->forgotten_count++] = f->pending[i].id;
		f->pending_count--;
		memmove(&f->pending[i], &f->pending[i + 1],
			(f->pending_count - i) * sizeof(f->pending[0]));
		return;
	}
	ck_abort_msg("forget() of a tag that is not in flight");
}

static size_t in_flight(const struct broker *b)
{
	return fake_const(b)->pending_count;
}

static int fd(const struct broker *b)
{
	(void)b;
	return -1;
}

static short events(const struct broker *b)
{
	const struct fake_broker *f = fake_const(b);

	if (!f->is_open)
		return 0;
	return f->has_output ? POLLIN | POLLOUT : POLLIN;
}

static int64_t due_ms(const struct broker *b)
{
	return fake_const(b)->is_open ? clock_ms() + 5000 : CLOCK_NEVER;
}

static const char *blocked(const struct broker *b)
{
	return fake_const(b)->blocked;
}

static const char *peer(const struct broker *b)
{
	(void)b;
	return "fake at nowhere";
}

static int probe(struct broker *b, const char *destination, int timeout_ms,
		 struct error *err)
{
	(void)b;
	(void)destination;
	(void)timeout_ms;
	return error_set(err, ERROR_REFUSED, "nothing to probe");
}

const struct broker_driver fake_broker_driver = {
	.name = "fake",
	.libraries = libraries,
	.open = open_fake,
	.publish = publish,
	.collect = collect,
	.forget = forget,
	.in_flight = in_flight,
	.fd = fd,
	.events = events,
	.due_ms = due_ms,
	.blocked = blocked,
	.peer = peer,
	.probe = probe,
	.close = close_fake,
	.free = free_fake,
};

/* --- the test's side --- */

void fake_broker_confirm(struct fake_broker *f, int64_t id, enum verdict verdict,
			 const char *reason)
{
	for (size_t i = 0; i < f->pending_count; i++) {
		if (f->pending[i].id != id)
			continue;
		f->pending[i].answer.verdict = verdict;
		f->pending[i].answer.reason = reason;
		f->pending[i].at_ms = clock_ms();
		return;
	}
	ck_abort_msg("m%lld is not in flight", (long long)id);
}

void fake_broker_confirm_all(struct fake_broker *f, enum verdict verdict)
{
	for (size_t i = 0; i < f->pending_count; i++) {
		f->pending[i].answer.verdict = verdict;
		f->pending[i].at_ms = clock_ms();
	}
}

struct fake_answer fake_broker_close_channel(struct fake_broker *f, const char *reason)
{
	struct fake_answer answer = {.verdict = f->pending_count ? VERDICT_UNCLEAR
								 : VERDICT_REFUSED,
				     .after_ms = 2,
				     .reason = reason};

	fake_broker_confirm_all(f, VERDICT_UNCLEAR);
	return answer;
}

const char *fake_broker_published(struct fake_broker *f)
{
	static char ids[4096];
	size_t used = 0;

	ids[0] = '\0';
	for (int i = 0; i < f->order_count; i++)
		used += (size_t)snprintf(ids + used, sizeof(ids) - used, "%s%lld",
					 i ? " " : "", (long long)f->order[i]);
	f->order_count = 0;
	return ids;
}
