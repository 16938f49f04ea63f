#include "rabbit.h"

#include <stdio.h>
#include <string.h>

#include "fake/fake_batch.h"
#include "simulation/database.h"
#include "simulation/scheduler.h"

/* Refusals of a destination in a row, the channel closed for each, after which it is parked
   (PARKING_AFTER_REFUSED) even if others made it be forgotten once. */
#define PARKED_BY_NOW 20

struct rabbit_faults rabbit_faults;

static struct rabbit *of(struct broker *b)
{
	return (struct rabbit *)b;
}

void rabbit_reset(void)
{
	memset(&rabbit_faults, 0, sizeof(rabbit_faults));
	rabbit_faults.shared = VERDICT_SENT;
}

static const char *libraries(void)
{
	return "simulated";
}

/* What was in flight may have arrived, or not. */
static void drop_all(struct rabbit *r)
{
	for (size_t i = 0; i < r->count; i++)
		database_row(r->messages[i].id)->excuses++;
	r->count = 0;
}

void rabbit_break(struct rabbit *r)
{
	if (!r->is_open)
		return;
	r->is_lost = true;
	for (size_t i = 0; i < r->count; i++)
		r->messages[i].is_told |= r->messages[i].at_ms <= clock_ms();
	task_poke(r->task);
}

static int open_rabbit(struct broker *b, int timeout_ms, int stop_fd, struct error *err)
{
	struct rabbit *r = of(b);
	bool is_down;

	sim_check(!r->is_open && timeout_ms > 0, "opened at the wrong time");
	r->task = task_current;
	task_seam();
	is_down = rabbit_faults.down_until_ms > clock_ms();
	if (task_block(clock_min(is_down && sim_chance(2) ? 5000 : sim_random(30),
				 timeout_ms),
		       stop_fd >= 0))
		return error_set(err, ERROR_STOPPED, "stopped");
	if (is_down)
		return error_set(err, sim_chance(3) ? ERROR_REFUSED : ERROR_LOST,
				 "no broker there");
	r->is_open = true;
	r->is_lost = false;
	r->is_silent = sim_chance(rabbit_faults.silent_one_in);
	return 0;
}

static void close_rabbit(struct broker *b)
{
	struct rabbit *r = of(b);

	task_seam();
	drop_all(r);
	r->is_open = r->is_lost = false;
}

static void free_rabbit(struct broker *b)
{
	if (b)
		close_rabbit(b);
}

static void must_be_usable(const struct rabbit *r)
{
	sim_check(r->is_open, "used when closed");
}

static enum publish_result lose(struct rabbit *r, struct error *err)
{
	r->is_lost = true;
	error_set(err, ERROR_LOST, "connection reset by peer");
	return PUBLISH_LOST;
}

/* I3, I4, I9 */
static void judge_publish(struct db_row *row, int64_t id)
{
	sim_check(row && row->is_committed, "I3: m%lld was never committed",
		  (long long)id);
	sim_check(row->published == 0 || row->excuses > 0,
		  "I9: row %lld (%d) is published again without need", (long long)id,
		  row->nature);
	row->published++;
	row->excuses -= row->published > 1;
}

static bool closes_channel(const struct db_row *row)
{
	return row->nature == CLOSES ||
	       (row->is_shared && rabbit_faults.shared == VERDICT_REFUSED);
}

static enum verdict verdict_for(const struct db_row *row)
{
	if (row->is_shared && !closes_channel(row))
		return rabbit_faults.shared;
	switch (row->nature) {
	case UNROUTABLE:
		return VERDICT_RETURNED;
	case NACKED:
		return VERDICT_NACKED;
	case FICKLE:
		return sim_chance(2) ? VERDICT_RETURNED : VERDICT_SENT;
	case SILENT:
		return VERDICT_NONE;
	default:
		return VERDICT_SENT;
	}
}

/* Which of several it was nobody says. What is confirmed before that is confirmed. */
static void close_channel(struct rabbit *r, struct rabbit_message *culprit)
{
	for (size_t i = 0; i < r->count; i++) {
		struct rabbit_message *m = &r->messages[i];

		if (m->at_ms < culprit->at_ms)
			continue;
		m->verdict = VERDICT_UNCLEAR;
		m->at_ms = culprit->at_ms;
	}
	if (r->count == 1)
		culprit->verdict = VERDICT_REFUSED;
}

static void accept_message(struct rabbit *r, uint64_t tag, const struct message *msg,
			   const struct db_row *row)
{
	struct rabbit_message *m = &r->messages[r->count++];

	for (size_t i = 0; i + 1 < r->count; i++)
		sim_check(r->messages[i].tag != tag, "m%lld is in flight twice",
			  (long long)row->id);
	*m = (struct rabbit_message){.tag = tag,
				     .msg = msg,
				     .id = row->id,
				     .verdict = verdict_for(row),
				     .at_ms = clock_ms() + 1 + sim_random(5)};
	if (sim_chance(rabbit_faults.late_one_in))
		m->at_ms += sim_random(20000);
	if (m->verdict == VERDICT_NONE || r->is_silent)
		m->at_ms = CLOCK_NEVER;
	if (closes_channel(row) && !r->is_silent)
		close_channel(r, m);
	if (row->nature == KILLS) {
		task_end_in(r->task, 1);
		r->kills = true;
	}
}

static enum publish_result publish(struct broker *b, uint64_t tag,
				   const struct message *msg, struct error *err)
{
	struct rabbit *r = of(b);
	int64_t id = fake_message_number(msg);
	struct db_row *row;

	task_seam();
	must_be_usable(r);
	sim_check(tag != 0 && msg->body.data, "not a message");
	row = database_row(id);
	if (r->is_lost || sim_chance(rabbit_faults.lost_one_in))
		return lose(r, err);
	if (rabbit_faults.is_blocked || r->count == RABBIT_MAX ||
	    sim_chance(rabbit_faults.full_one_in))
		return PUBLISH_FULL;
	if (row && row->nature == INVALID) {
		error_set(err, ERROR_CONFIG, "cannot be expressed");
		return PUBLISH_INVALID;
	}
	judge_publish(row, id);
	sim_check(!row->is_shared || r->shared_refusals < PARKED_BY_NOW ||
			  database_is_probe(id),
		  "row %lld is published after %d refusals of its destination",
		  (long long)id, r->shared_refusals);
	accept_message(r, tag, msg, row);
	return PUBLISH_OK;
}

static void take_out(struct rabbit *r, size_t i)
{
	r->messages[i] = r->messages[--r->count];
}

static void take(struct rabbit *r, size_t i, struct receipt *out)
{
	const struct rabbit_message *m = &r->messages[i];
	struct db_row *row = database_row(m->id);

	/* Borrowed until now: whoever freed it is caught here. */
	sim_check(fake_message_number(m->msg) == m->id, "m%lld is gone",
		  (long long)m->id);
	*out = (struct receipt){.tag = m->tag, .verdict = m->verdict};
	if (m->verdict != VERDICT_SENT)
		snprintf(out->reason, sizeof(out->reason), "312 some reason");
	if (row->is_shared && m->verdict == VERDICT_SENT)
		r->shared_refusals = 0;
	else if (row->is_shared && m->verdict == VERDICT_REFUSED)
		r->shared_refusals++;
	if (m->verdict == VERDICT_SENT)
		row->acks++;
	else
		row->excuses++;
	row->refusals += m->verdict == VERDICT_RETURNED || m->verdict == VERDICT_NACKED ||
			 m->verdict == VERDICT_REFUSED;
	take_out(r, i);
}

static int collect(struct broker *b, struct receipt *out, int capacity, struct error *err)
{
	struct rabbit *r = of(b);
	int count = 0;

	task_seam();
	must_be_usable(r);
	for (size_t i = 0; i < r->count && count < capacity;) {
		if (r->messages[i].at_ms <= clock_ms())
			take(r, i, &out[count++]);
		else
			i++;
	}
	if (count)
		return count;
	if (!r->is_lost)
		return 0;
	lose(r, err);
	return -1;
}

static void forget(struct broker *b, uint64_t tag)
{
	struct rabbit *r = of(b);

	must_be_usable(r);
	for (size_t i = 0; i < r->count; i++) {
		struct db_row *row = database_row(r->messages[i].id);

		if (r->messages[i].tag != tag)
			continue;
		sim_check(row->nature == SILENT || r->messages[i].at_ms > clock_ms(),
			  "forgotten with a receipt");
		row->excuses++;
		/* What is late is confirmed in time still; on a connection that confirms nobody no
		   row is to blame. */
		row->refusals += row->nature == SILENT && !r->is_silent;
		take_out(r, i);
		return;
	}
	sim_fail("forgets a tag that is not in flight");
}

static size_t in_flight(const struct broker *b)
{
	return ((const struct rabbit *)b)->count;
}

static int fd(const struct broker *b)
{
	(void)b;
	return -1;
}

static short events(const struct broker *b)
{
	(void)b;
	return 0;
}

static int64_t due_ms(const struct broker *b)
{
	return ((const struct rabbit *)b)->is_open ? clock_ms() + 5000 : CLOCK_NEVER;
}

static const char *blocked(const struct broker *b)
{
	(void)b;
	return rabbit_faults.is_blocked ? "low on memory" : NULL;
}

static const char *peer(const struct broker *b)
{
	(void)b;
	return "simulated";
}

const struct broker_driver rabbit_driver = {
	.name = "simulated",
	.libraries = libraries,
	.open = open_rabbit,
	.publish = publish,
	.collect = collect,
	.forget = forget,
	.in_flight = in_flight,
	.fd = fd,
	.events = events,
	.due_ms = due_ms,
	.blocked = blocked,
	.peer = peer,
	.close = close_rabbit,
	.free = free_rabbit,
};

/* --- running --- */

/* Blocked, it confirms nothing; what was due comes when it goes on. */
int64_t rabbit_due_ms(const struct rabbit *r)
{
	int64_t due = CLOCK_NEVER;

	if (!r->is_open || rabbit_faults.is_blocked)
		return CLOCK_NEVER;
	for (size_t i = 0; i < r->count; i++) {
		if (!r->messages[i].is_told)
			due = clock_min(due, r->messages[i].at_ms);
	}
	return due;
}

void rabbit_run(struct rabbit *r)
{
	for (size_t i = 0; i < r->count; i++)
		r->messages[i].is_told |= r->messages[i].at_ms <= clock_ms();
	task_poke(r->task);
}
