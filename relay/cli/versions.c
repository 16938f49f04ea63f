#include "versions.h"

#include <stdio.h>
#include <string.h>

#include "broker/broker.h"
#include "config/yaml.h"
#include "monitor/http.h"
#include "monitor/webhook.h"
#include "store/pg.h"

static void add(char *out, size_t size, const char *text)
{
	size_t used = strlen(out);

	snprintf(out + used, size - used, ", %s", text);
}

void versions_describe(char *out, size_t size)
{
	int pg = pg_library_version();

	snprintf(out, size, "libpq %d.%d, libyaml %s, libmicrohttpd %s", pg / 10000,
		 pg % 10000, yaml_library(), http_library());
	if (webhook_library())
		add(out, size, webhook_library());
	for (size_t i = 0; broker_driver_at(i); i++)
		add(out, size, broker_driver_at(i)->libraries());
}
