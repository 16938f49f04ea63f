#include "batch_size.h"

/* What a batch may take from its claim to its last receipt. Of three in hand each waits for those
   before it, so this is what is in hand, in time. With 300 ms claims stayed so small on a busy
   machine that the database had three times the transactions. */
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
