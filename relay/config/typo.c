#include "typo.h"

#include <stdint.h>
#include <string.h>

static size_t min(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Optimal string alignment: row i holds the distances of the first i characters of
   `a`. */
size_t typo_distance(const char *a, const char *b)
{
	size_t rows[3][TYPO_SIZE_MAX + 1];
	size_t *before = rows[0], *last = rows[1], *row = rows[2];
	size_t a_size = strlen(a), b_size = strlen(b);

	if (a_size > TYPO_SIZE_MAX || b_size > TYPO_SIZE_MAX)
		return SIZE_MAX;
	for (size_t j = 0; j <= b_size; j++)
		last[j] = j;
	for (size_t i = 1; i <= a_size; i++) {
		size_t *oldest = before;

		row[0] = i;
		for (size_t j = 1; j <= b_size; j++) {
			row[j] = min(min(last[j] + 1, row[j - 1] + 1),
				     last[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] &&
			    a[i - 2] == b[j - 1])
				row[j] = min(row[j], before[j - 2] + 1);
		}
		before = last;
		last = row;
		row = oldest;
	}
	return last[b_size];
}
