#include "fake_config.h"

struct config fake_config(void)
{
	return (struct config){
		.database = {.connect_timeout_ms = 5000,
			     .statement_timeout_ms = 30000,
			     .lock_timeout_ms = 5000},
		.broker = {.connect_timeout_ms = 5000,
			   .confirm_timeout_ms = 30000,
			   .max_in_flight = 64},
		.relay = {.poll_interval_ms = 1000,
			  .wake = WAKE_DOORBELL,
			  .batch_size = 8,
			  .max_message_bytes = 1000,
			  .lease_ms = 30000,
			  .shutdown_timeout_ms = 20000},
		.retry = {.max_attempts = 3,
			  .first_delay_ms = 10000,
			  .multiplier = 2,
			  .max_delay_ms = 600000,
			  .jitter_percent = 20},
	};
}
