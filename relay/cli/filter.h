#ifndef CLI_FILTER_H
#define CLI_FILTER_H

#include "cli/cli.h"
#include "store/rows.h"

/*
 * From --status, --exchange, --key, --error, --older and --newer to a filter. Borrows from `cli`.
 */

/* 0, or EX_USAGE after saying on standard error what is wrong. */
int filter_read(const struct cli *cli, struct rows_filter *out);

/* Does it say anything but a status? */
bool filter_is_narrow(const struct rows_filter *f);

/* "1" to `max`; -1 after saying on standard error that it is not. `text` NULL is `otherwise`. */
int64_t filter_number(const char *option, const char *text, int64_t max,
		      int64_t otherwise);

#endif
