#ifndef MONITOR_OVERVIEW_JSON_H
#define MONITOR_OVERVIEW_JSON_H

#include <jansson.h>

#include "store/overview.h"

/* What store/overview.h tells, as JSON, the same for `status --json` and console. Pure; the caller
   owns what is returned. */

json_t *overview_json(const struct overview *v);

/* {"rows": 12, "estimate": false} */
json_t *overview_count_json(const struct overview_count *c);

#endif
