#ifndef MONITOR_HEALTH_H
#define MONITOR_HEALTH_H

#include <jansson.h>
#include <stdbool.h>

#include "engine/status.h"

/*
 * What probes are told. Pure.
 *
 * Live: the loop turned within HEALTH_LIVE_MS; only a restart helps a relay that does not.
 * Ready: both sides are there, the broker takes messages, and rows in hand are getting settled.
 * An outage makes a relay unready, never dead: it resumes by itself.
 */

/* Longer than any call that may block the loop: connecting to a database with several hosts. */
#define HEALTH_LIVE_MS 120000

/* Rows in hand and none settled: longer than two confirm timeouts of the default. */
#define HEALTH_PROGRESS_MS 90000

bool health_is_live(const struct status *s, int64_t now_ms);

/* How the relay is, with the reasons when it is not ready; the caller owns it. */
json_t *health_describe(const struct status *s, int64_t now_ms, bool *is_ready);

/* The same as text, for a person or a program; the caller frees it. */
char *health_ready(const struct status *s, int64_t now_ms, bool *is_ready);

#endif
