#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include "cli/filter.h"
#include "cli/present.h"
#include "cli/setup.h"
#include "monitor/rows_json.h"

#define LIMIT_DEFAULT 50
#define LIMIT_MAX     100000

struct page {
	struct rows_filter filter;
	int64_t after;
	int64_t limit;
};

static void print_page(const struct rows_entry *rows, int count, bool has_more)
{
	if (count == 0) {
		printf("no rows\n");
		return;
	}
	present_rows(rows, count);
	if (has_more)
		printf("\nmore: --after %lld\n", (long long)rows[count - 1].id);
}

static int list(const struct cli *cli, struct operate *o, const struct page *p)
{
	struct rows_entry *rows = NULL;
	struct error err;
	/* One more tells whether there are more. */
	int count = rows_list(o, &p->filter, p->after, (int)p->limit + 1, &rows, &err);
	bool has_more = count > p->limit;

	if (count < 0)
		return setup_failed(cli->program, &err);
	count -= has_more;
	if (!cli->is_json)
		print_page(rows, count, has_more);
	for (int i = 0; cli->is_json && i < count; i++)
		present_line(rows_json(&rows[i]));
	free(rows);
	return EX_OK;
}

static int read_page(const struct cli *cli, struct page *p)
{
	int code = filter_read(cli, &p->filter);

	if (code)
		return code;
	p->after = filter_number("--after wants an id", cli->after, INT64_MAX, 0);
	p->limit = filter_number("--limit wants 1 to 100000", cli->limit, LIMIT_MAX,
				 LIMIT_DEFAULT);
	return p->after < 0 || p->limit < 0 ? EX_USAGE : 0;
}

int cmd_list(const struct cli *cli)
{
	struct page page;
	struct config *c;
	struct operate *o;
	int code = read_page(cli, &page);

	if (code)
		return code;
	c = setup_config_or_say(cli);
	if (!c)
		return EX_CONFIG;
	o = setup_operate(cli, c, cli->program, false);
	code = o ? list(cli, o, &page) : EX_UNAVAILABLE;
	operate_close(o);
	config_free(c);
	return code;
}
