#ifndef MONITOR_CONSOLE_H
#define MONITOR_CONSOLE_H

#include <jansson.h>

#include "monitor/console_api.h"
#include "store/operate.h"

/*
 * What the console asks of the database, one job at a time, in a thread and a session of its own:
 * neither the relay nor a scrape waits for it. The session is opened for the first job and closed
 * when none came for CONSOLE_IDLE_MS; its statements are broken off after CONSOLE_STATEMENT_MS, or
 * sooner where the configuration says so.
 *
 * Calling order: console_new(); console_start() and console_stop() any number of times, with other
 * settings after a reload; console_free() when nobody asks any more. Jobs are taken while it is
 * started.
 */

#define CONSOLE_JOBS_MAX     16
#define CONSOLE_IDLE_MS      30000
#define CONSOLE_STATEMENT_MS 10000

struct console_job {
	const struct console_call *call;
	json_t *arguments; /* borrowed */
	void (*done)(void *context);
	void *context;

	/* When it is done: */
	int code;       /* of HTTP */
	json_t *answer; /* the asker's from then on */

	struct console_job *next;
};

struct console;

struct console *console_new(void);

/* Has jobs done, first those that were asked before. The settings' texts outlive the thread; when
   there can be none, the log says so and jobs are refused. */
void console_start(struct console *c, const struct operate_settings *database);

/* Breaks off what the thread waits for, and answers 503 to all jobs that are left: a moment. */
void console_stop(struct console *c);

/* After console_stop(). */
void console_free(struct console *c);

/*
 * Any thread may ask. The job stays where it is until done() was called, exactly once, by the
 * console's thread or, when there are too many jobs or it is stopped (503), by this call. Waits for
 * nothing.
 */
void console_ask(struct console *c, struct console_job *job);

#endif
