#include "counts.h"

static const int64_t latencies_ms[] = {1,     2,     5,     10,    20,   50,
				       100,   200,   500,   1000,  2000, 5000,
				       10000, 30000, 60000, 300000};
static const int64_t batch_rows[] = {1,   2,   5,    10,   20,   50,   100,
				     200, 500, 1000, 2000, 5000, 10000};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

void counts_init(struct counts *c)
{
	*c = (struct counts){0};
	histogram_init(&c->confirm_ms, latencies_ms, COUNT(latencies_ms));
	histogram_init(&c->delivery_ms, latencies_ms, COUNT(latencies_ms));
	histogram_init(&c->batch_rows, batch_rows, COUNT(batch_rows));
}
