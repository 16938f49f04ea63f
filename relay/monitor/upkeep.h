#ifndef MONITOR_UPKEEP_H
#define MONITOR_UPKEEP_H

#include "store/figures.h"
#include "store/operate.h"

/*
 * What is done beside the relay, in a thread and a database session of its own: reading the
 * database's figures for whoever watches (store/figures.h), and deleting rows that were sent long
 * ago (store/retention.h). The relay never waits for it.
 *
 * The figures are read when somebody asked, at most every UPKEEP_FIGURES_MS: where nobody watches,
 * nothing is read. Retention works for a part of the time only, so that it takes a twentieth of one
 * session of the database at most, and looks for work every UPKEEP_PASS_MS.
 *
 * Calling order: a board, upkeep_start() for it, upkeep_get() from any thread, upkeep_stop(), and
 * again upkeep_start() with other settings; the board last.
 */

#define UPKEEP_FIGURES_MS 15000
#define UPKEEP_PASS_MS    60000
#define UPKEEP_SHARE      20 /* one part work, the rest rest */

struct upkeep_status {
	int64_t read_at_ms; /* of clock_ms(), the figures; 0: none were read yet */
	struct figures figures;
	uint64_t retention_deleted; /* rows, by this process */
	uint64_t retention_passes;
	uint64_t failures; /* sessions that were not to be had, or ended with an error */
};

struct upkeep_board;

struct upkeep_board *upkeep_board_new(void);
void upkeep_board_free(struct upkeep_board *board); /* NULL is legal */

/* Copies what is known, and asks for newer figures where it is old. Waits for nothing but a copy. */
void upkeep_get(struct upkeep_board *board, struct upkeep_status *out);

struct upkeep_settings {
	struct operate_settings
		database;           /* its texts outlive the thread; without stop_fd */
	int64_t keep_sent_ms;       /* retention.sent; 0: for ever */
	struct upkeep_board *board; /* outlives it, too */
};

struct upkeep;

/* NULL and a line in the log when there can be no thread. */
struct upkeep *upkeep_start(const struct upkeep_settings *settings);

/* Breaks off whatever it waits for: a moment. NULL is legal. */
void upkeep_stop(struct upkeep *u);

#endif
