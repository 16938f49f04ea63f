#ifndef ENGINE_LINK_H
#define ENGINE_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/*
 * The state of one side, database or broker: is it up, when to try again, and what was
 * said about it in the log. A change of state is logged once; while a side stays down, a
 * new reason or a minute passed makes another line, not each retry.
 */
struct link {
	const char *name; /* "database", "broker" */
	bool is_up;
	int failures; /* to open it, in a row, since it was last up */
	int step;     /* of the backoff; a connection that lasts sets it back */
	int64_t up_since_ms;
	int64_t retry_at_ms; /* when down: not before */
	int64_t down_since_ms;
	int64_t said_at_ms;
	char said[512];
};

void link_init(struct link *l, const char *name);

/* May the side be opened now? */
bool link_is_due(const struct link *l, int64_t now_ms);

void link_up(struct link *l, const char *peer);

/* Opening failed, or an open connection broke. Sets retry_at_ms: 100 ms doubling to 5 s,
   or to 10 s where somebody has to mend something first, with jitter. */
void link_down(struct link *l, const struct error *err);

#endif
