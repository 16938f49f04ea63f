/*
 * The whole relay above its two seams while the n-th allocation fails, for every n of a run:
 * rows are claimed, published, settled; one is returned and charged, one closes the channel.
 */
#include "engine/relay.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/stop.h"
#include "fake/fake_broker.h"
#include "fake/fake_clock.h"
#include "fake/fake_config.h"
#include "fake/fake_malloc.h"
#include "fake/fake_store.h"
#include "unit/unit.h"

#define ROWS     40
#define RETURNED 13
#define CLOSES   21
#define FOREVER  1000000

static struct fake_database *const db = &fake_database;
static struct fake_broker broker;

static struct fake_answer answer(void *context, int64_t id)
{
	struct fake_answer a = {.verdict = VERDICT_SENT, .after_ms = 2};

	(void)context;
	if (id == CLOSES)
		return fake_broker_close_channel(&broker, "404 NOT_FOUND");
	if (id == RETURNED) {
		a.verdict = VERDICT_RETURNED;
		a.reason = "312 NO_ROUTE";
	}
	return a;
}

static bool reload(void *context)
{
	(void)context;
	return false;
}

static void tick(void *context)
{
	(void)context;
}

/* Also at the end of a run that ran out of memory. */
static void check_rows(void)
{
	for (int i = 0; i < db->row_count; i++) {
		const struct fake_row *row = &db->rows[i];
		bool is_bad = row->id == RETURNED || row->id == CLOSES;

		ck_assert(row->status != FAKE_SENT || broker.is_sent[row->id]);
		ck_assert(row->status != FAKE_FAILED);
		ck_assert_int_le(row->try_count, is_bad);
	}
	ck_assert_int_eq(db->claim_count, 0);
}

static enum relay_end run(void)
{
	static const struct relay_hooks hooks = {.reload = reload, .tick = tick};
	struct config config = fake_config();
	struct relay *r;
	enum relay_end end;

	config.retry.jitter_percent = 0; /* each run does the same */
	r = relay_new(&config, &broker.base, true, &hooks);
	end = relay_run(r);
	relay_free(r);
	return end;
}

static void setup(void)
{
	memory_reserve();
	fake_clock_reset();
	fake_database_reset();
	fake_broker_init(&broker);
	broker.answer = answer;
	stop_setup();
	log_setup(LOG_LEVEL_ERROR, LOG_FORMAT_LOGFMT);
	fake_database_insert(1, ROWS, 0);
}

/* In a process of its own. Returns its exit status; any assertion there is a failure here. */
static int run_with_failures(unsigned long at, unsigned long count)
{
	pid_t child = fork();
	int status;

	if (child == 0) {
		enum relay_end end;

		fake_malloc_fail(at, count);
		end = run();
		check_rows();
		if (end == RELAY_STOPPED && !memory_is_short())
			_exit(EX_OK);
		_exit(end == RELAY_OUT_OF_MEMORY ? EX_OSERR : EX_SOFTWARE);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_msg(WIFEXITED(status), "allocation %lu, %lu of them: signal %d", at,
		      count, WTERMSIG(status));
	return WEXITSTATUS(status);
}

START_TEST(whichever_allocation_fails_the_relay_ends_in_good_order)
{
	unsigned long all;

	fake_malloc_fail(FOREVER, 1);
	ck_assert_int_eq(run(), RELAY_STOPPED);
	check_rows();
	all = fake_malloc_count();
	ck_assert_uint_gt(all, 10);
	setup();
	for (unsigned long n = 1; n <= all; n++) {
		int status = run_with_failures(n, 1);

		ck_assert_msg(status == EX_OSERR, "allocation %lu of %lu: exit %d", n,
			      all, status);
	}
	ck_assert_int_eq(run_with_failures(all + 1, 1), EX_OK);
}
END_TEST

START_TEST(without_any_memory_left_it_ends_at_once)
{
	unsigned long all;

	fake_malloc_fail(FOREVER, 1);
	ck_assert_int_eq(run(), RELAY_STOPPED);
	all = fake_malloc_count();
	setup();
	for (unsigned long n = 1; n <= all; n++)
		ck_assert_int_eq(run_with_failures(n, FOREVER), EX_OSERR);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *s = suite_create("relay_memory");
	TCase *tc = tcase_create("relay_memory");

	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_test(tc, whichever_allocation_fails_the_relay_ends_in_good_order);
	tcase_add_test(tc, without_any_memory_left_it_ends_at_once);
	suite_add_tcase(s, tc);
	return s;
}
