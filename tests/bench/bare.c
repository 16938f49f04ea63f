/*
 * The ceiling: a plain librabbitmq publisher with confirms, mandatory and persistent, no
 * database.
 *
 *	AMQP_URL=… bare QUEUE COUNT BODY_BYTES [WINDOW]
 *
 * publishes to the default exchange, keeps at most WINDOW (4096) messages unconfirmed and
 * ends when all are confirmed.
 */
#include "bench/publisher.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
	amqp_bytes_t id = amqp_cstring_bytes("01234567-89ab-cdef-0123-456789abcdef");
	const char *url = getenv("AMQP_URL");
	struct publisher *p;
	uint64_t count;
	size_t window;
	amqp_bytes_t body;

	if (argc < 4 || !url)
		die("usage", "AMQP_URL=… bare QUEUE COUNT BODY_BYTES [WINDOW]");
	count = strtoull(argv[2], NULL, 10);
	body = amqp_bytes_malloc(strtoull(argv[3], NULL, 10));
	window = argc > 4 ? strtoull(argv[4], NULL, 10) : 4096;
	memset(body.bytes, 'x', body.len);
	p = publisher_open(url);
	for (uint64_t n = 0; n < count; n++) {
		while (publisher_unconfirmed(p) >= window)
			publisher_await(p);
		publisher_send(p, amqp_empty_bytes, amqp_cstring_bytes(argv[1]), id,
			       body);
	}
	while (publisher_unconfirmed(p) > 0)
		publisher_await(p);
	amqp_bytes_free(body);
	publisher_close(p);
	return 0;
}
