#include "upkeep.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "store/retention.h"

/* After a failure. The relay says itself, and at once, when its database is away. */
#define RETRY_MS 10000

/* A pass of retention begins at the low end again, for rows that were sent out of turn. */
#define WHOLE_PASS_MS 3600000

/* --- the board --- */

struct upkeep_board {
	pthread_mutex_t lock;
	struct upkeep_status status;
	int asked_fd; /* readable: somebody wants newer figures */
};

struct upkeep_board *upkeep_board_new(void)
{
	struct upkeep_board *board = xcalloc(1, sizeof(*board));

	pthread_mutex_init(&board->lock, NULL);
	board->asked_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return board;
}

void upkeep_board_free(struct upkeep_board *board)
{
	if (!board)
		return;
	pthread_mutex_destroy(&board->lock);
	if (board->asked_fd >= 0)
		close(board->asked_fd);
	free(board);
}

static bool are_old(const struct upkeep_status *s)
{
	return !s->read_at_ms || clock_ms() - s->read_at_ms >= UPKEEP_FIGURES_MS;
}

void upkeep_get(struct upkeep_board *board, struct upkeep_status *out)
{
	pthread_mutex_lock(&board->lock);
	*out = board->status;
	pthread_mutex_unlock(&board->lock);
	if (are_old(out))
		eventfd_write(board->asked_fd, 1);
}

/* --- the thread --- */

struct upkeep {
	struct upkeep_settings settings;
	int stop_fd;
	pthread_t thread;

	/* Of the thread: */
	struct operate *session;
	int64_t retry_at_ms;
	bool is_asked;
	bool is_failing;
	struct retention_walk walk;
	int64_t retain_at_ms;
	int64_t whole_pass_at_ms;
};

static bool is_stopped(const struct upkeep *u)
{
	struct pollfd p = {.fd = u->stop_fd, .events = POLLIN};

	return poll(&p, 1, 0) > 0;
}

static void failed(struct upkeep *u, const char *doing, const struct error *err)
{
	struct upkeep_board *board = u->settings.board;

	operate_close(u->session);
	u->session = NULL;
	u->retry_at_ms = clock_ms() + RETRY_MS;
	if (err->kind == ERROR_STOPPED)
		return;
	pthread_mutex_lock(&board->lock);
	board->status.failures++;
	pthread_mutex_unlock(&board->lock);
	if (!u->is_failing)
		log_warn("upkeep failed, and is tried again", LOG_STR("doing", doing),
			 LOG_STR("error", err->text));
	u->is_failing = true;
}

static bool has_session(struct upkeep *u)
{
	struct operate_settings settings = u->settings.database;
	struct error err;

	if (u->session)
		return true;
	if (clock_ms() < u->retry_at_ms)
		return false;
	settings.stop_fd = &u->stop_fd;
	u->session = operate_open(&settings, &err);
	if (!u->session)
		failed(u, "connecting", &err);
	return u->session != NULL;
}

static void succeeded(struct upkeep *u)
{
	if (u->is_failing)
		log_info("upkeep works again");
	u->is_failing = false;
}

static void read_figures(struct upkeep *u)
{
	struct upkeep_board *board = u->settings.board;
	struct figures figures;
	struct error err;

	if (!has_session(u))
		return;
	if (figures_read(u->session, &figures, &err) < 0) {
		failed(u, "reading figures", &err);
		return;
	}
	u->is_asked = false;
	pthread_mutex_lock(&board->lock);
	board->status.figures = figures;
	board->status.read_at_ms = clock_ms();
	pthread_mutex_unlock(&board->lock);
	succeeded(u);
}

/* --- retention --- */

static void begin_pass(struct upkeep *u)
{
	int64_t now_ms = clock_ms();

	u->walk.is_done = false;
	if (now_ms < u->whole_pass_at_ms)
		return;
	u->walk.from_id = 0;
	u->whole_pass_at_ms = now_ms + WHOLE_PASS_MS;
}

static void retain(struct upkeep *u)
{
	struct upkeep_board *board = u->settings.board;
	struct error err;
	int64_t began_ms;

	if (!has_session(u))
		return;
	if (u->walk.is_done)
		begin_pass(u);
	began_ms = clock_ms();
	if (retention_step(u->session, u->settings.keep_sent_ms, &u->walk, &err) < 0) {
		failed(u, "deleting what was sent long ago", &err);
		return;
	}
	u->retain_at_ms = clock_ms() + (u->walk.is_done ? UPKEEP_PASS_MS
							: (clock_ms() - began_ms + 1) *
								  (UPKEEP_SHARE - 1));
	pthread_mutex_lock(&board->lock);
	board->status.retention_deleted += u->walk.deleted;
	board->status.retention_passes += u->walk.is_done;
	pthread_mutex_unlock(&board->lock);
	u->walk.deleted = 0;
	succeeded(u);
}

/* --- the loop --- */

static int64_t due_ms(const struct upkeep *u)
{
	int64_t due = u->settings.keep_sent_ms ? u->retain_at_ms : CLOCK_NEVER;

	if (u->is_asked)
		due = 0;
	return u->session || due == CLOCK_NEVER || due > u->retry_at_ms ? due
									: u->retry_at_ms;
}

static void wait_for_work(struct upkeep *u)
{
	struct upkeep_status status;
	struct pollfd p[] = {{.fd = u->stop_fd, .events = POLLIN},
			     {.fd = u->settings.board->asked_fd, .events = POLLIN}};
	eventfd_t ignored;

	poll(p, 2, clock_wait_ms(due_ms(u), clock_ms()));
	if (!p[1].revents || eventfd_read(p[1].fd, &ignored) < 0)
		return;
	pthread_mutex_lock(&u->settings.board->lock);
	status = u->settings.board->status;
	pthread_mutex_unlock(&u->settings.board->lock);
	u->is_asked = are_old(&status);
}

static void *work(void *context)
{
	struct upkeep *u = context;

	while (!is_stopped(u)) {
		if (u->is_asked)
			read_figures(u);
		if (u->settings.keep_sent_ms && clock_ms() >= u->retain_at_ms)
			retain(u);
		wait_for_work(u);
	}
	operate_close(u->session);
	return NULL;
}

/* --- life --- */

struct upkeep *upkeep_start(const struct upkeep_settings *settings)
{
	struct upkeep *u = xcalloc(1, sizeof(*u));

	u->settings = *settings;
	u->walk.is_done = true;
	u->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (u->stop_fd >= 0 && thread_start(&u->thread, work, u) == 0)
		return u;
	log_error("no upkeep: there can be no thread");
	if (u->stop_fd >= 0)
		close(u->stop_fd);
	free(u);
	return NULL;
}

void upkeep_stop(struct upkeep *u)
{
	if (!u)
		return;
	eventfd_write(u->stop_fd, 1);
	pthread_join(u->thread, NULL);
	close(u->stop_fd);
	free(u);
}
