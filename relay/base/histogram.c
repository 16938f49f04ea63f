#include "histogram.h"

#include <assert.h>

void histogram_init(struct histogram *h, const int64_t *bounds, size_t bound_count)
{
	assert(bound_count <= HISTOGRAM_BOUNDS_MAX);
	*h = (struct histogram){.bounds = bounds, .bound_count = bound_count};
}

void histogram_add(struct histogram *h, int64_t value)
{
	size_t i = 0;

	if (value < 0)
		value = 0;
	while (i < h->bound_count && value > h->bounds[i])
		i++;
	h->counts[i]++;
	h->total++;
	h->sum += value;
}
