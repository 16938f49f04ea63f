#ifndef MONITOR_METRICS_DATABASE_H
#define MONITOR_METRICS_DATABASE_H

#include "base/buffer.h"
#include "monitor/upkeep.h"

/*
 * The database's figures and what upkeep did, in Prometheus' text format, behind what
 * metrics_write() tells of the relay. Figures that were never read are left out. Pure.
 */
void metrics_write_database(struct buffer *out, const struct upkeep_status *s,
			    int64_t now_ms);

#endif
