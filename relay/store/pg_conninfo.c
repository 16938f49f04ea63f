#include "pg_conninfo.h"

#include <stdbool.h>
#include <string.h>

#include "base/memory.h"

static bool is_out_of_memory(const char *problem)
{
	return !problem || !*problem || strstr(problem, "out of memory");
}

PQconninfoOption *pg_conninfo_parse(const char *url)
{
	for (;;) {
		char *problem = NULL;
		PQconninfoOption *options = PQconninfoParse(url, &problem);
		bool is_final = options || !is_out_of_memory(problem);

		/* The problem may quote the string, and the string may hold a password. An
		   empty one is libpq's (15) constant for a message that found no memory. */
		if (problem && *problem)
			PQfreemem(problem);
		if (is_final)
			return options;
		memory_spare();
	}
}

PQconninfoOption *pg_conninfo_defaults(void)
{
	PQconninfoOption *options;

	while (!(options = PQconndefaults()))
		memory_spare();
	return options;
}

const PQconninfoOption *pg_conninfo_find(const PQconninfoOption *options,
					 const char *keyword)
{
	for (; options && options->keyword; options++) {
		if (strcmp(options->keyword, keyword) == 0)
			return options;
	}
	return NULL;
}

const char *pg_conninfo_value(const PQconninfoOption *options, const char *keyword)
{
	const PQconninfoOption *o = pg_conninfo_find(options, keyword);

	return o && o->val && *o->val ? o->val : NULL;
}

PQconninfoOption *pg_conninfo_effective(const char *url)
{
	/* It reads first, and then refuses a word that makes no sense. */
	static const char *const keywords[] = {"dbname", "channel_binding", NULL};
	const char *const values[] = {url ? url : "", "ask", NULL};

	for (;;) {
		PGconn *c = PQconnectStartParams(keywords, values, 1);
		PQconninfoOption *options = PQconninfo(c);
		bool is_whole = options && !is_out_of_memory(PQerrorMessage(c));

		PQfinish(c);
		if (is_whole)
			return options;
		PQconninfoFree(options);
		memory_spare();
	}
}
