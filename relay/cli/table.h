#ifndef CLI_TABLE_H
#define CLI_TABLE_H

#include <stdio.h>

#include "base/buffer.h"

/*
 * A table on a terminal: columns as wide as their widest cell, numbers to the right, two spaces
 * in between, nothing behind the last one.
 *
 *   table_init(&t, "ID>|ROUTING KEY|ERROR*");   > to the right, * may be cut to fit the terminal
 *   for each row: table_printf() or table_text() for each column, in order
 *   table_print(&t, stdout);
 *   table_release(&t);
 *
 * At most one column may be cut, and only where the output is a terminal.
 */

#define TABLE_COLUMNS_MAX 16

struct table {
	char **cells; /* row by row, the titles first */
	int cell_count;
	int column_count;
	bool is_right[TABLE_COLUMNS_MAX];
	int cut; /* which column may be cut; -1: none */
};

void table_init(struct table *t, const char *columns);
void table_release(struct table *t);

/* Text of ours. */
void table_printf(struct table *t, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Text of somebody else: escaped. NULL is an empty cell. */
void table_text(struct table *t, const char *data, size_t size);

/* Rows without the titles. */
int table_rows(const struct table *t);

/* `width`: of the terminal, 0 for none. */
void table_write(const struct table *t, size_t width, struct buffer *out);
void table_print(const struct table *t, FILE *out);

#endif
