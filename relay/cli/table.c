#include "table.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/human.h"

#define CUT_MIN 12 /* columns that a cut cell keeps at least */

static void add(struct table *t, char *cell)
{
	t->cells = xrealloc(t->cells, (size_t)(t->cell_count + 1) * sizeof(*t->cells));
	t->cells[t->cell_count++] = cell;
}

void table_init(struct table *t, const char *columns)
{
	*t = (struct table){.cut = -1};
	for (;;) {
		size_t size = strcspn(columns, "|>*");

		add(t, xasprintf("%.*s", (int)size, columns));
		columns += size;
		if (*columns == '>')
			t->is_right[t->column_count] = true;
		else if (*columns == '*')
			t->cut = t->column_count;
		t->column_count++;
		columns += strcspn(columns, "|");
		if (!*columns++)
			return;
	}
}

void table_release(struct table *t)
{
	for (int i = 0; i < t->cell_count; i++)
		free(t->cells[i]);
	free(t->cells);
	*t = (struct table){.cut = -1};
}

void table_printf(struct table *t, const char *format, ...)
{
	char text[256];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	add(t, xstrdup(text));
}

void table_text(struct table *t, const char *data, size_t size)
{
	struct buffer b = {0};

	if (data)
		human_escape(&b, data, size);
	add(t, xstrdup(buffer_text(&b)));
	buffer_release(&b);
}

int table_rows(const struct table *t)
{
	return t->cell_count / t->column_count - 1;
}

static void measure(const struct table *t, size_t *widths)
{
	for (int i = 0; i < t->cell_count; i++) {
		size_t width = human_width(t->cells[i]);

		if (width > widths[i % t->column_count])
			widths[i % t->column_count] = width;
	}
}

/* Takes from the column that may be cut what the terminal has not. */
static void fit(const struct table *t, size_t *widths, size_t terminal)
{
	size_t all = 2 * (size_t)(t->column_count - 1);
	size_t over;

	for (int i = 0; i < t->column_count; i++)
		all += widths[i];
	if (t->cut < 0 || terminal == 0 || all <= terminal)
		return;
	over = all - terminal;
	if (widths[t->cut] > over + CUT_MIN)
		widths[t->cut] -= over;
	else if (widths[t->cut] > CUT_MIN)
		widths[t->cut] = CUT_MIN;
}

/* As much of it as fits, and an ellipsis. Returns the columns written. */
static size_t write_cut(struct buffer *out, const char *cell, size_t width)
{
	char *part = xstrdup(cell);
	size_t size = strlen(part);

	while (size > 0 && human_width(part) > width - 1) {
		while (size > 0 && (part[--size] & 0xc0) == 0x80)
			;
		part[size] = '\0';
	}
	width = human_width(part) + 1;
	buffer_printf(out, "%s…", part);
	free(part);
	return width;
}

static void write_cell(const struct table *t, int i, size_t width, struct buffer *out)
{
	int column = i % t->column_count;
	size_t used = human_width(t->cells[i]);
	bool is_last = column == t->column_count - 1;

	if (t->is_right[column] && used < width)
		buffer_printf(out, "%*s", (int)(width - used), "");
	if (used > width)
		used = write_cut(out, t->cells[i], width);
	else
		buffer_append(out, t->cells[i], strlen(t->cells[i]));
	if (!t->is_right[column] && !is_last && used < width)
		buffer_printf(out, "%*s", (int)(width - used), "");
}

/* Empty cells at the end leave no blanks behind. */
static void trim(struct buffer *out)
{
	while (out->end > out->start && out->data[out->end - 1] == ' ')
		out->end--;
}

void table_write(const struct table *t, size_t width, struct buffer *out)
{
	size_t widths[TABLE_COLUMNS_MAX] = {0};

	measure(t, widths);
	fit(t, widths, width);
	for (int i = 0; i < t->cell_count; i++) {
		if (i % t->column_count > 0)
			buffer_append(out, "  ", 2);
		write_cell(t, i, widths[i % t->column_count], out);
		if ((i + 1) % t->column_count == 0) {
			trim(out);
			buffer_append(out, "\n", 1);
		}
	}
}

static size_t terminal_width(FILE *out)
{
	struct winsize size;

	if (!isatty(fileno(out)) || ioctl(fileno(out), TIOCGWINSZ, &size) < 0)
		return 0;
	return size.ws_col;
}

void table_print(const struct table *t, FILE *out)
{
	struct buffer text = {0};

	table_write(t, terminal_width(out), &text);
	fwrite(buffer_text(&text), 1, buffer_size(&text), out);
	buffer_release(&text);
}
