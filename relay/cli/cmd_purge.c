#include <string.h>

#include "cli/change.h"

int cmd_purge(const struct cli *cli)
{
	struct change change = {.kind = CHANGE_PURGE,
				.filter.status = cli->status ? cli->status : "sent"};

	if (strcmp(change.filter.status, "sending") == 0)
		return cli_usage_error("purge", "rows that wait are never deleted");
	return change_command(cli, &change, &(struct change_words){"delete", "deleted"});
}
