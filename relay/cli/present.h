#ifndef CLI_PRESENT_H
#define CLI_PRESENT_H

#include <jansson.h>

#include "cli/table.h"
#include "store/rows.h"

/* How rows of message_log look, to people and to programs. */

/* The columns of present_row(), for table_init(). */
#define PRESENT_COLUMNS "ID>|STATUS|EXCHANGE|ROUTING KEY|TRIES>|CHANGED>|SIZE>|ERROR*"
void present_row(struct table *t, const struct row *row);

/* All columns but the body; the caller owns it. */
json_t *present_json(const struct row *row);

/* Prints it on a line of its own, and frees it. */
void present_line(json_t *object);

/* "3 min 5 s ago", "in 2 s", "never" */
const char *present_moment(int64_t ms, char *out, size_t size);

#endif
