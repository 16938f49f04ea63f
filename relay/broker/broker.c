#include "broker.h"

#include <string.h>

static const struct broker_driver *const drivers[] = {
	&broker_rabbitmq,
};

#define DRIVER_COUNT (sizeof(drivers) / sizeof(drivers[0]))

const struct broker_driver *broker_driver_at(size_t i)
{
	return i < DRIVER_COUNT ? drivers[i] : NULL;
}

const struct broker_driver *broker_driver_find(const char *name)
{
	for (size_t i = 0; i < DRIVER_COUNT; i++) {
		if (strcmp(drivers[i]->name, name) == 0)
			return drivers[i];
	}
	return NULL;
}
