#ifndef ENGINE_STATUS_H
#define ENGINE_STATUS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "engine/counts.h"
#include "engine/parking.h"
#include "engine/report.h"

/*
 * How the relay is, for others to look at: a snapshot that the relay's thread puts up now and then
 * and any other thread copies. The relay never waits for a reader; a reader waits for one copy at
 * most. Times are of clock_ms().
 */
struct status_side {
	bool is_up;
	int64_t since_ms; /* up or down */
	int failed_tries; /* while down */
	char error[512];  /* why it is down; no secrets: what the log says, too */
};

struct status_parked {
	char exchange[256], routing_key[256];
	bool has_key;
	char reply[256];
	int64_t since_ms;
	int probes;
};

struct status {
	int64_t at_ms;
	bool is_ending; /* stopping or reloading: it closes both sides itself */
	struct status_side database, broker;
	char block_reason[128]; /* why the broker takes no messages; "" when it does */
	int64_t blocked_since_ms;
	int rows_in_hand; /* claimed and not settled */
	int rows_in_flight;
	int batches;
	int64_t progress_at_ms; /* a row was settled, or there was none in hand */
	int64_t oldest_due_ms; /* of the rows in hand, when it was due; CLOCK_NEVER: none */
	struct status_parked parked[PARKING_MAX];
	int parked_count;
	struct report_row failed[REPORT_LATEST]; /* the newest first */
	int failed_count;                        /* of those; counts.failed has all */
	struct counts counts;
};

struct status_board;

/* Until something is put up, both sides are down since now, and nothing is in hand. */
struct status_board *status_board_new(void);
void status_board_free(struct status_board *board); /* NULL is legal */

/* Leaves it out when a reader is copying just now: false. */
bool status_put(struct status_board *board, const struct status *status);

/* For the last one, which must not be left out: waits for that copy. */
void status_put_last(struct status_board *board, const struct status *status);

/* Copies the last one. */
void status_get(struct status_board *board, struct status *out);

#endif
