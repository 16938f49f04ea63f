#ifndef MONITOR_METRICS_H
#define MONITOR_METRICS_H

#include "base/buffer.h"
#include "engine/status.h"
#include "monitor/webhook.h"

/*
 * A status in Prometheus' text format, version 0.0.4: base units, HELP and TYPE for each. Pure but
 * for what /proc says of this process. `now_ms` of clock_ms(); `libraries` as --version prints
 * them; `alerts` may be NULL.
 */
void metrics_write(struct buffer *out, const struct status *s,
		   const struct webhook_counts *alerts, const char *libraries,
		   int64_t now_ms);

#endif
