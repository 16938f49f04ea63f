#ifndef BASE_HISTOGRAM_H
#define BASE_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

/*
 * How often a value fell into which range. The bounds are the caller's and last as long as the
 * histogram; a value counts into the first range whose bound it does not exceed, or into the one
 * behind the last. Monotonic; a plain copy of the struct is a snapshot.
 */
#define HISTOGRAM_BOUNDS_MAX 16

struct histogram {
	const int64_t *bounds; /* growing */
	size_t bound_count;
	uint64_t counts[HISTOGRAM_BOUNDS_MAX + 1];
	uint64_t total;
	int64_t sum;
};

void histogram_init(struct histogram *h, const int64_t *bounds, size_t bound_count);

/* A negative value (clocks of two machines) counts as 0. */
void histogram_add(struct histogram *h, int64_t value);

#endif
