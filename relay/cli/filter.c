#include "filter.h"

#include <errno.h>
#include <stdlib.h>
#include <sysexits.h>

#include "base/human.h"

static int read_age(const char *text, int64_t *ms)
{
	*ms = text ? human_parse_age(text) : -1;
	if (text && *ms < 0)
		return cli_usage_error("not an age such as 90s, 5m, 12h, 7d or 2w", text);
	return 0;
}

int filter_read(const struct cli *cli, struct rows_filter *out)
{
	const char *condition;
	int code;

	*out = (struct rows_filter){.status = cli->status,
				    .exchange = cli->exchange,
				    .routing_key = cli->key,
				    .error = cli->error};
	if (rows_status(cli->status, &condition) < 0)
		return cli_usage_error("a status is sending, sent or failed",
				       cli->status);
	code = read_age(cli->older, &out->older_ms);
	return code ? code : read_age(cli->newer, &out->newer_ms);
}

bool filter_is_narrow(const struct rows_filter *f)
{
	return f->exchange || f->routing_key || f->error || f->older_ms >= 0 ||
	       f->newer_ms >= 0;
}

int64_t filter_number(const char *option, const char *text, int64_t max,
		      int64_t otherwise)
{
	char *end;
	long long value;

	if (!text)
		return otherwise;
	errno = 0;
	value = strtoll(text, &end, 10);
	if (!errno && *text >= '0' && *text <= '9' && !*end && value >= 1 && value <= max)
		return value;
	cli_usage_error(option, text);
	return -1;
}
