#include "session.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/buffer.h"

char *session_search_path(const char *schema)
{
	char *quoted = pg_quote_identifier(schema);
	char *path = xasprintf("%s, pg_temp", quoted);

	free(quoted);
	return path;
}

static void add_ms(struct pg_params *p, int ms)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", ms);
	pg_params_text(p, text);
}

void session_params(struct pg_params *p, const struct session_settings *settings)
{
	pg_params_clear(p);
	pg_params_bool(p, settings->for_transaction);
	pg_params_text(p, settings->search_path);
	add_ms(p, settings->statement_timeout_ms);
	add_ms(p, settings->lock_timeout_ms);
	add_ms(p, settings->statement_timeout_ms); /* idle in a transaction */
	pg_params_text(p, settings->plans_once ? "force_generic_plan" : "auto");
}
