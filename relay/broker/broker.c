#include "broker.h"

static const struct broker_driver *const drivers[] = {
	&broker_rabbitmq,
};

#define DRIVER_COUNT (sizeof(drivers) / sizeof(drivers[0]))

const struct broker_driver *broker_driver_at(size_t i)
{
	return i < DRIVER_COUNT ? drivers[i] : NULL;
}
