#include "console.h"

#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/human.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/thread.h"

#define CLOSED "the console ends, or begins anew: try again"

struct console {
	pthread_mutex_t lock;
	struct console_job *first, **end;
	int count;
	bool is_open;
	int asked_fd, stop_fd;

	bool is_running;
	pthread_t thread;
	struct operate_settings settings;

	/* Of the thread: */
	struct operate *session;
	int64_t idle_at_ms;
};

/* --- jobs --- */

static void finish(struct console_job *job, int code, json_t *answer)
{
	job->code = code;
	job->answer = answer;
	job->done(job->context);
}

static void refuse(struct console_job *job, const char *reason)
{
	finish(job, 503, json_pack("{s:o}", "error", human_json(reason, strlen(reason))));
}

void console_ask(struct console *c, struct console_job *job)
{
	bool is_open, is_taken;

	pthread_mutex_lock(&c->lock);
	is_open = c->is_open;
	is_taken = is_open && c->count < CONSOLE_JOBS_MAX;
	if (is_taken) {
		job->next = NULL;
		*c->end = job;
		c->end = &job->next;
		c->count++;
	}
	pthread_mutex_unlock(&c->lock);
	if (is_taken)
		eventfd_write(c->asked_fd, 1);
	else
		refuse(job, is_open ? "too many questions at a time: try again" : CLOSED);
}

static struct console_job *take(struct console *c)
{
	struct console_job *job;

	pthread_mutex_lock(&c->lock);
	job = c->first;
	if (job) {
		c->first = job->next;
		c->count--;
		if (!c->first)
			c->end = &c->first;
	}
	pthread_mutex_unlock(&c->lock);
	return job;
}

/* --- the thread --- */

static bool is_stopped(const struct console *c)
{
	struct pollfd p = {.fd = c->stop_fd, .events = POLLIN};

	return poll(&p, 1, 0) > 0;
}

static void end_session(struct console *c)
{
	operate_close(c->session);
	c->session = NULL;
}

static int attempt(struct console *c, struct console_job *job, struct error *err)
{
	if (!c->session)
		c->session = operate_open(&c->settings, err);
	return c->session ? job->call->run(c->session, job->arguments, &job->answer, err)
			  : -1;
}

/* A session that was idle may be gone without our knowing: an error of an old one is not told, but
   tried again with a new one. What changes rows is safe to repeat. */
static void work_on(struct console *c, struct console_job *job)
{
	bool was_open = c->session != NULL;
	struct error err;
	int code = attempt(c, job, &err);

	if (code < 0) {
		end_session(c);
		if (was_open && err.kind == ERROR_LOST)
			code = attempt(c, job, &err);
	}
	if (code < 0) {
		end_session(c);
		refuse(job, err.text);
	} else {
		finish(job, code, job->answer);
	}
	c->idle_at_ms = clock_ms() + CONSOLE_IDLE_MS;
}

static void wait_for_jobs(struct console *c)
{
	struct pollfd p[] = {{.fd = c->stop_fd, .events = POLLIN},
			     {.fd = c->asked_fd, .events = POLLIN}};
	int64_t until_ms = c->session ? c->idle_at_ms : CLOCK_NEVER;
	eventfd_t ignored;

	poll(p, 2, clock_wait_ms(until_ms, clock_ms()));
	if (p[1].revents)
		eventfd_read(c->asked_fd, &ignored);
	if (c->session && clock_ms() >= c->idle_at_ms)
		end_session(c);
}

static void *work(void *context)
{
	struct console *c = context;
	struct console_job *job;

	while (!is_stopped(c)) {
		wait_for_jobs(c);
		while (!is_stopped(c) && (job = take(c)))
			work_on(c, job);
	}
	end_session(c);
	return NULL;
}

/* --- life --- */

struct console *console_new(void)
{
	struct console *c = xcalloc(1, sizeof(*c));

	pthread_mutex_init(&c->lock, NULL);
	c->end = &c->first;
	c->is_open = true; /* who asks before the start waits for it */
	c->asked_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	c->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return c;
}

static void close_up(struct console *c)
{
	struct console_job *job;

	pthread_mutex_lock(&c->lock);
	c->is_open = false;
	pthread_mutex_unlock(&c->lock);
	while ((job = take(c)))
		refuse(job, CLOSED);
}

void console_start(struct console *c, const struct operate_settings *database)
{
	c->settings = *database;
	c->settings.statement_timeout_ms =
		database->statement_timeout_ms < CONSOLE_STATEMENT_MS
			? database->statement_timeout_ms
			: CONSOLE_STATEMENT_MS;
	c->settings.stop_fd = &c->stop_fd;
	if (c->stop_fd < 0 || c->asked_fd < 0 || thread_start(&c->thread, work, c) < 0) {
		log_error("no console: there can be no thread");
		close_up(c);
		return;
	}
	c->is_running = true;
	pthread_mutex_lock(&c->lock);
	c->is_open = true;
	pthread_mutex_unlock(&c->lock);
}

void console_stop(struct console *c)
{
	eventfd_t ignored;

	if (!c->is_running)
		return;
	eventfd_write(c->stop_fd, 1);
	pthread_join(c->thread, NULL);
	eventfd_read(c->stop_fd, &ignored);
	c->is_running = false;
	close_up(c);
}

void console_free(struct console *c)
{
	if (c->asked_fd >= 0)
		close(c->asked_fd);
	if (c->stop_fd >= 0)
		close(c->stop_fd);
	pthread_mutex_destroy(&c->lock);
	free(c);
}
