#ifndef CLI_PRESENT_H
#define CLI_PRESENT_H

#include <jansson.h>

#include "store/rows.h"

/* How rows of message_log look to people; to programs, see monitor/rows_json.h. */

/* Prints them as a table. */
void present_rows(const struct rows_entry *rows, int count);

/* What happened to a row at each attempt. */
void present_attempts(const struct rows_attempt *attempts, int count);

/* Prints it on a line of its own, and frees it. */
void present_line(json_t *object);

/* "3 min 5 s ago", "in 2 s", "never" */
const char *present_moment(int64_t ms, char *out, size_t size);

#endif
