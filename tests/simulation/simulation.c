#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "engine/relay.h"
#include "fake/fake_config.h"
#include "simulation/database.h"
#include "simulation/rabbit.h"
#include "simulation/scheduler.h"

/*
 * The relay above its two seams, several at a time, in any weather:
 *
 *   simulation [SEEDS [FIRST [STEPS]]]
 *
 * Each seed is a run of its own: relays, writers, database, broker and faults take turns in an order
 * that the seed decides. One step is what one relay does until it gives way, one transaction, one
 * commit of the application, or one fault; after each step the invariants of the database are looked
 * at (I1 to I9 of the fault catalogue), those of the broker at each publish. After STEPS steps
 * the weather is good, and every row must come to its end.
 */

#define RELAYS_MAX 3
#define CALM_MS    (4 * 3600 * 1000)

/* The longest that a loop may be away for, where nobody made it slow: both sides opened. */
#define AWAY_MS 13000

struct process {
	struct rabbit rabbit;
	struct task *task;
	struct relay *relay;
	struct config config;
	bool has_ended;
	int64_t start_at_ms;
	int64_t stopped_ms;         /* asked to; 0: not */
	int64_t reloads_ms;         /* took a new configuration over; 0: not */
	int64_t ticked_ms, slow_ms; /* at the last tick */
};

static struct process processes[RELAYS_MAX];
static int relays;
static bool is_calm;
static int64_t weather_at_ms, writer_at_ms;
static uint64_t relay_starts, crashes;

/* --- a relay's process --- */

/* At times the new configuration is refused. */
static bool reload(void *context)
{
	struct process *p = context;

	if (sim_chance(4))
		return false;
	p->reloads_ms = clock_ms();
	return true;
}

/* I8: nothing holds the loop up. */
static void tick(void *context)
{
	struct process *p = context;
	int64_t slow_ms = task_slow_ms(p->task);

	sim_check(clock_ms() - p->ticked_ms <= AWAY_MS + slow_ms - p->slow_ms,
		  "I8: the loop was away for %" PRId64 " ms", clock_ms() - p->ticked_ms);
	p->ticked_ms = clock_ms();
	p->slow_ms = slow_ms;
}

static struct relay_hooks hooks[RELAYS_MAX];

static void run(void *context)
{
	struct process *p = context;

	relay_run(p->relay);
	p->has_ended = true;
}

static void configure(struct config *c)
{
	*c = fake_config();
	/* With one, a row that is never confirmed is an outage. */
	c->broker.max_in_flight = 2 + sim_random(20);
	c->relay.poll_interval_ms = 1000 + sim_random(10000);
	c->relay.wake = sim_chance(4) ? WAKE_POLL : WAKE_DOORBELL;
	c->relay.batch_size = 1 + sim_random(BATCH_MAX);
	c->retry.max_attempts = MAX_RETRIES;
	c->retry.first_delay_ms = 1000;
	c->retry.max_delay_ms = 60000;
	if (c->relay.wake == WAKE_POLL && sim_chance(2))
		c->database.pooling = POOLING_TRANSACTION;
}

static void start(struct process *p)
{
	configure(&p->config);
	memset(&p->rabbit, 0, sizeof(p->rabbit));
	p->rabbit.base.driver = &rabbit_driver;
	p->has_ended = false;
	p->stopped_ms = p->reloads_ms = p->slow_ms = 0;
	p->ticked_ms = clock_ms();
	hooks[p - processes] =
		(struct relay_hooks){.reload = reload, .tick = tick, .context = p};
	p->relay = relay_new(&p->config, &p->rabbit.base, false, &hooks[p - processes]);
	p->task = task_new(run, p);
	relay_starts++;
}

/* Its memory and its connections go, whatever it was about to do. */
static void bury(struct process *p, int64_t away_ms)
{
	relay_free(p->relay);
	task_free(p->task);
	p->relay = NULL;
	p->task = NULL;
	p->start_at_ms = clock_ms() + away_ms;
}

static void resume(struct process *p)
{
	task_resume(p->task);
	if (task_is_dead(p->task)) {
		crashes++;
		bury(p, sim_chance(4) ? sim_random(60000) : sim_random(2000));
	} else if (p->has_ended) {
		int64_t asked_ms = p->stopped_ms ? p->stopped_ms : p->reloads_ms;
		int64_t took_ms = clock_ms() - asked_ms;

		sim_check(asked_ms, "it ended by itself");
		sim_check(took_ms <= p->config.relay.shutdown_timeout_ms + 5000 +
					     task_slow_ms(p->task),
			  "I8: it took %" PRId64 " ms to end", took_ms);
		/* After a reload the next relay begins at once, with another configuration. */
		bury(p, p->stopped_ms ? sim_random(5000) : 0);
	}
}

/* --- weather --- */

static void crash_one(void)
{
	struct process *p = &processes[sim_random(relays)];

	if (p->task)
		task_end_in(p->task, 1 + (int)sim_random(60));
}

static void stop_one(void)
{
	struct process *p = &processes[sim_random(relays)];

	if (!p->task || p->stopped_ms)
		return;
	p->stopped_ms = clock_ms();
	task_stop(p->task);
}

static void reload_one(void)
{
	struct process *p = &processes[sim_random(relays)];

	if (p->task)
		task_reload(p->task);
}

static void break_broker(void)
{
	rabbit_break(&processes[sim_random(relays)].rabbit);
}

static void restart_broker(void)
{
	for (int i = 0; i < relays; i++)
		rabbit_break(&processes[i].rabbit);
	rabbit_faults.down_until_ms = clock_ms() + sim_random(20000);
}

static void restart_database(void)
{
	/* Also for longer than a lease. */
	database_restart(sim_random(sim_chance(3) ? 120000 : 20000));
}

static void block_broker(void)
{
	rabbit_faults.is_blocked = !rabbit_faults.is_blocked;
	for (int i = 0; i < relays; i++) {
		if (processes[i].task)
			task_poke(processes[i].task);
	}
}

static void change_database(void)
{
	database_faults.lost_one_in = sim_chance(2) ? 0 : 5 + sim_random(100);
	database_faults.slow_one_in = sim_chance(2) ? 0 : 5 + sim_random(100);
	database_faults.hung_one_in = sim_chance(4) ? 500 : 0;
	database_faults.refused_one_in = sim_chance(4) ? 3 : 0;
}

static void change_broker(void)
{
	rabbit_faults.lost_one_in = sim_chance(2) ? 0 : 20 + sim_random(200);
	rabbit_faults.full_one_in = sim_chance(2) ? 0 : 3 + sim_random(20);
	rabbit_faults.silent_one_in = sim_chance(2) ? 0 : 10;
	rabbit_faults.late_one_in = sim_chance(2) ? 0 : 5 + sim_random(20);
}

static void change_shared(void)
{
	static const enum verdict verdicts[] = {VERDICT_SENT, VERDICT_RETURNED,
						VERDICT_NACKED, VERDICT_REFUSED,
						VERDICT_REFUSED};

	rabbit_faults.shared =
		verdicts[sim_random(sizeof(verdicts) / sizeof(verdicts[0]))];
}

static void change_speed(void)
{
	task_slow_one_in = sim_chance(2) ? 0 : 20 + sim_random(500);
}

static struct db_row *any_row(void)
{
	struct db_row *row = &database_rows[sim_random(ROWS_MAX)];

	return row->is_used && row->is_committed ? row : NULL;
}

static void lock_row(void)
{
	struct db_row *row = any_row();

	if (row)
		row->locked_until_ms = clock_ms() + sim_random(20000);
}

/* The application saw a confirm of its own. */
static void mark_row(void)
{
	struct db_row *row = any_row();

	if (!row || row->status != SENDING || row->locked_until_ms > clock_ms())
		return;
	row->by_application = true;
	row->status = SENT;
	row->ended_ms = clock_ms();
}

static void good_weather(void)
{
	is_calm = true;
	weather_at_ms = CLOCK_NEVER;
	database_faults = (struct database_faults){0};
	rabbit_reset();
	task_slow_one_in = 0;
	/* Who fell silent is silent until its connection ends. */
	restart_broker();
	rabbit_faults.down_until_ms = 0;
}

static void change_weather(void)
{
	static void (*const faults[])(void) = {
		crash_one,          crash_one,       stop_one,         break_broker,
		restart_broker,     block_broker,    restart_database, database_break_one,
		database_break_one, change_database, change_database,  change_broker,
		change_broker,      change_speed,    lock_row,         mark_row,
		reload_one,         change_shared,
	};

	faults[sim_random(sizeof(faults) / sizeof(faults[0]))]();
	weather_at_ms =
		clock_ms() + (sim_chance(4) ? sim_random(20000) : sim_random(500));
}

static void write_rows(void)
{
	int64_t ahead_ms = sim_chance(4) ? sim_random(30000) : 0;
	int64_t takes_ms = sim_chance(10) ? sim_random(20000) : sim_random(20);

	/* A row that is never confirmed is told from a broker that confirms nobody by those that
	   are. */
	if (is_calm && !database_open_rows(true)) {
		writer_at_ms = CLOCK_NEVER;
		return;
	}
	database_insert(1 + (int)sim_random(6), ahead_ms, clock_ms() + takes_ms,
			sim_chance(10), is_calm);
	writer_at_ms = clock_ms() + sim_random(sim_chance(3) ? 5000 : 100);
}

/* --- running --- */

enum { DATABASE = 2 * RELAYS_MAX, WEATHER, WRITERS, ACTORS };

static int64_t actor_due_ms(int i)
{
	struct process *p = &processes[i % RELAYS_MAX];

	if (i == DATABASE)
		return database_due_ms();
	if (i == WEATHER)
		return weather_at_ms;
	if (i == WRITERS)
		return writer_at_ms;
	if (i % RELAYS_MAX >= relays)
		return CLOCK_NEVER;
	if (i >= RELAYS_MAX)
		return p->task ? rabbit_due_ms(&p->rabbit) : CLOCK_NEVER;
	return p->task ? task_due_ms(p->task) : p->start_at_ms;
}

static void act(int i)
{
	struct process *p = &processes[i % RELAYS_MAX];

	if (i == DATABASE)
		database_run();
	else if (i == WEATHER)
		change_weather();
	else if (i == WRITERS)
		write_rows();
	else if (i >= RELAYS_MAX)
		rabbit_run(&p->rabbit);
	else if (p->task)
		resume(p);
	else
		start(p);
}

/* Things that happen at one moment. */
#define MOMENT_MAX 10000

static void step(void)
{
	static int moment;
	int64_t first_ms = CLOCK_NEVER;
	int ready[ACTORS], count = 0;

	for (int i = 0; i < ACTORS; i++)
		first_ms = clock_min(first_ms, actor_due_ms(i));
	sim_check(first_ms < CLOCK_NEVER, "nobody will ever do anything again");
	moment = first_ms > clock_ms() ? 0 : moment + 1;
	sim_check(moment < MOMENT_MAX, "time stands still");
	if (first_ms > clock_ms())
		sim_advance(first_ms);
	for (int i = 0; i < ACTORS; i++) {
		if (actor_due_ms(i) <= clock_ms())
			ready[count++] = i;
	}
	act(ready[sim_random(count)]);
	sim_step++;
	database_judge();
}

static void simulate(uint64_t seed, uint64_t steps)
{
	int64_t calm_ms;

	sim_seed(seed);
	database_reset();
	rabbit_reset();
	memset(processes, 0, sizeof(processes));
	is_calm = false;
	relays = 1 + (int)sim_random(RELAYS_MAX);
	weather_at_ms = writer_at_ms = clock_ms();
	task_slow_one_in = 0;
	while (sim_step < steps)
		step();
	good_weather();
	calm_ms = clock_ms();
	while (database_open_rows(false) || database_claims()) {
		step();
		if (clock_ms() - calm_ms >= CALM_MS)
			database_tell();
		sim_check(clock_ms() - calm_ms < CALM_MS,
			  "I1: %d rows and %d claims are left over",
			  database_open_rows(false), database_claims());
	}
	for (int i = 0; i < relays; i++) {
		if (processes[i].task)
			bury(&processes[i], 0);
	}
}

int main(int argc, char **argv)
{
	uint64_t seeds = argc > 1 ? strtoull(argv[1], NULL, 10) : 20;
	uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
	uint64_t steps = argc > 3 ? strtoull(argv[3], NULL, 10) : 50000;
	uint64_t total = 0;
	clock_t began = clock();

	log_setup(LOG_LEVEL_ERROR, LOG_FORMAT_LOGFMT);
	for (uint64_t seed = first; seed < first + seeds; seed++) {
		simulate(seed, steps);
		total += sim_step;
	}
	sim_check(seeds < 20 || database_probes, "no destination was ever probed");
	printf("%" PRIu64 " steps in %.1f s of processor time, seeds %" PRIu64
	       " to %" PRIu64 ", %" PRIu64 " probes, %" PRIu64
	       " claims forgotten, %" PRIu64 " made anew\n",
	       total, (double)(clock() - began) / CLOCKS_PER_SEC, first,
	       first + seeds - 1, database_probes, database_forgotten,
	       database_claims_anew);
	return 0;
}
