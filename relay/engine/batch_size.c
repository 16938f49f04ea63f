#include "batch_size.h"

/* What the receipts of a batch may take. */
#define TARGET_MS INT64_C(1000)

#define FIRST_ROWS 128
#define LEAST_ROWS 16

static int between(int rows, int least, int most)
{
	if (rows < least)
		rows = least;
	return rows > most ? most : rows;
}

void batch_size_init(struct batch_size *s, int most)
{
	s->most = most;
	s->rows = between(FIRST_ROWS, 1, most);
}

void batch_size_learn(struct batch_size *s, int rows, int64_t took_ms)
{
	if (rows > s->rows)
		return; /* claimed before we learned better */
	if (took_ms > TARGET_MS) {
		int64_t fits = rows * TARGET_MS / took_ms;

		/* It may have been a hiccup: not less than half. */
		s->rows = between((int)fits, s->rows / 2, s->most);
		s->rows = between(s->rows, LEAST_ROWS, s->most);
	} else if (took_ms < TARGET_MS / 2 && rows == s->rows) {
		s->rows = between(s->rows * 2, LEAST_ROWS, s->most);
	}
}
