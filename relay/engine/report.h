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
struct report_kind {
	int rows; /* since the last line */
	int64_t id;
	char message_id[256];
	char exchange[256];
	char reason[256];
	int64_t try_count;
};

struct report {
	struct report_kind failed;
	struct report_kind retried;
	int64_t said_at_ms;
};

/* The rows that are being settled otherwise than sent; call when the settlement is in. */
void report_settled(struct report *r, const struct row *row);

/* Writes what is due; `flush` writes all. */
void report_say(struct report *r, int64_t now_ms, int flush);

/* When report_say() has something to write; CLOCK_NEVER: nothing. */
int64_t report_due_ms(const struct report *r);

#endif
