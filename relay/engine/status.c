#include "status.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/buffer.h"

struct status_board {
	pthread_mutex_t lock;
	struct status status;
};

struct status_board *status_board_new(void)
{
	struct status_board *board = xcalloc(1, sizeof(*board));
	int64_t now_ms = clock_ms();

	pthread_mutex_init(&board->lock, NULL);
	board->status = (struct status){.at_ms = now_ms,
					.database.since_ms = now_ms,
					.broker.since_ms = now_ms,
					.progress_at_ms = now_ms,
					.oldest_due_ms = CLOCK_NEVER};
	counts_init(&board->status.counts);
	return board;
}

void status_board_free(struct status_board *board)
{
	if (!board)
		return;
	pthread_mutex_destroy(&board->lock);
	free(board);
}

bool status_put(struct status_board *board, const struct status *status)
{
	if (pthread_mutex_trylock(&board->lock))
		return false;
	board->status = *status;
	pthread_mutex_unlock(&board->lock);
	return true;
}

void status_put_last(struct status_board *board, const struct status *status)
{
	pthread_mutex_lock(&board->lock);
	board->status = *status;
	pthread_mutex_unlock(&board->lock);
}

void status_get(struct status_board *board, struct status *out)
{
	pthread_mutex_lock(&board->lock);
	*out = board->status;
	pthread_mutex_unlock(&board->lock);
}
