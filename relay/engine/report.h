#ifndef ENGINE_REPORT_H
#define ENGINE_REPORT_H

#include <stdint.h>

#include "store/batch.h"

/*
 * Tells the log of rows that did not succeed: at most one line a second for those that
 * failed for good and one for those that will be tried again, each with a count and an
 * example. Ten thousand failing rows are a few lines. Never a payload: ids and the
 * broker's words only.
 */
struct report_row {
	int64_t id;
	char message_id[256];
	char exchange[256];
	char routing_key[256];
	char reason[256];
	int64_t try_count;
};

struct report_kind {
	int rows; /* since the last line */
	struct report_row example;
};

/* So many of the rows that failed last are kept for others to look at. */
#define REPORT_LATEST 8

struct report {
	struct report_kind failed;
	struct report_kind retried;
	int64_t said_at_ms;
	struct report_row latest[REPORT_LATEST]; /* a ring; see report_latest() */
	uint64_t latest_count;                   /* put into it so far */
};

/* The rows that are being settled otherwise than sent; call when the settlement is in. */
void report_settled(struct report *r, const struct row *row);

/* Writes what is due; `flush` writes all. */
void report_say(struct report *r, int64_t now_ms, int flush);

/* When report_say() has something to write; CLOCK_NEVER: nothing. */
int64_t report_due_ms(const struct report *r);

/* The rows that failed last, the newest first; returns how many there are. */
int report_latest(const struct report *r, struct report_row out[REPORT_LATEST]);

#endif
