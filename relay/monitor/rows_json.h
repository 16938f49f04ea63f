#ifndef MONITOR_ROWS_JSON_H
#define MONITOR_ROWS_JSON_H

#include <jansson.h>

#include "store/rows.h"

/*
 * Rows of message_log as JSON, the same for commands and console. Pure; the caller owns what is
 * returned. Text that is no UTF-8 has U+FFFD in the places of what is none.
 */

/* All columns but headers, properties and payload. */
json_t *rows_json(const struct rows_entry *row);

/* And with headers, properties, "attempts" and "claim_id"; without the payload. */
json_t *rows_detail_json(const struct rows_detail *d);

/*
 * How a body is best shown: "json", "text" or "binary". `body` may end in the middle of a character
 * where it is_cut; what is left of it is cut off, unless it is binary.
 */
const char *rows_body_kind(struct slice *body, bool is_cut);

#endif
