#include <string.h>
#include <time.h>

#include "cli/change.h"

int cmd_replay(const struct cli *cli)
{
	struct change change = {.kind = CHANGE_REPLAY, .filter.status = "sent"};
	time_t now = time(NULL);
	char label[32];
	struct tm tm;

	strftime(label, sizeof(label), "%Y%m%dT%H%M%SZ", gmtime_r(&now, &tm));
	change.label = cli->label ? cli->label : label;
	if (!*change.label || strlen(change.label) > CHANGE_LABEL_MAX)
		return cli_usage_error("a label has 1 to 100 bytes", change.label);
	return change_command(cli, &change, &(struct change_words){"replay", "replayed"});
}
