#include "versions.h"

#include <stdio.h>
#include <string.h>

#include "broker/broker.h"
#include "config/yaml.h"
#include "monitor/http.h"
#include "monitor/webhook.h"
#include "store/pg.h"

void versions_describe(char *out, size_t size)
{
	int pg = pg_library_version();
	size_t used;

	snprintf(out, size, "libpq %d.%d, libyaml %s, libmicrohttpd %s, libcurl %s",
		 pg / 10000, pg % 10000, yaml_library(), http_library(),
		 webhook_library());
	for (size_t i = 0; broker_driver_at(i); i++) {
		used = strlen(out);
		snprintf(out + used, size - used, ", %s",
			 broker_driver_at(i)->libraries());
	}
}
