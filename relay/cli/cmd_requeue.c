#include "cli/change.h"

int cmd_requeue(const struct cli *cli)
{
	struct change change = {.kind = CHANGE_REQUEUE, .filter.status = "failed"};

	return change_command(cli, &change,
			      &(struct change_words){"requeue", "requeued"});
}
