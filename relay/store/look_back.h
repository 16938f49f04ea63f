#ifndef STORE_LOOK_BACK_H
#define STORE_LOOK_BACK_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Where to look for rows that were committed late, so that the low-water mark of claims had passed
 * them by (see SQL_CLAIM). Usually one look at all that is before the mark takes no time. But while
 * somebody pins the vacuum horizon, the index entries of the rows sent since stay there dead (0.3 us
 * each to pass, PostgreSQL 15), and so do rows that are left alone; and rows that come meanwhile wait
 * until the look is over. Then it goes in pieces of two milliseconds, back from the mark to the
 * beginning and from the mark again. What is late is mostly so by little: every few pieces it goes
 * over the last ones before the mark first.
 *
 * Where the entries are the server does not tell. So bookmarks are kept of where claims were, one for
 * every few thousand rows, and a piece goes from one to another. Where they do not help, as after a
 * start, a piece that took too long is divided for the next time round, evenly in next_retry, and
 * where that is the same for all, in id.
 *
 *   look_back_claimed()   what was claimed, as it comes
 *   look_back_piece()     where to look
 *   …the server looks…
 *   look_back_took()      how long it took
 */

/* Of a row among those that are due: next_retry in microseconds as in pg.h, then id. */
struct due_place {
	int64_t next_retry, id;
};

#define DUE_BEGINNING ((struct due_place){INT64_MIN, INT64_MIN})

bool due_place_is_before(struct due_place a, struct due_place b);

#define LOOK_BACK_BOOKMARKS_MAX 2048

struct look_back {
	/* In order; the first one is the beginning. */
	struct bookmark {
		struct due_place at;
		int64_t cost_us; /* to look from here to the next one, as far as is known */
	} bookmarks[LOOK_BACK_BOOKMARKS_MAX];
	int count;
	int64_t rows;           /* claimed since the last one */
	int64_t last_id;        /* of all that was claimed */
	bool is_whole;          /* one piece is all there is */
	struct due_place until; /* from here to the mark nothing was */
	struct due_place near_until;
	bool is_near;     /* goes over the last pieces first */
	int left;         /* pieces, before it is the other one's turn */
	int64_t spent_us; /* since it began at the mark */
	int64_t piece_us; /* what a piece may take */
};

void look_back_init(struct look_back *l);

/* All was read in another way: begins at the mark again. */
void look_back_restart(struct look_back *l);

/* The mark is now there; so many rows were claimed, the last one with that id. */
void look_back_claimed(struct look_back *l, struct due_place mark, int64_t last_id,
		       int64_t rows);

/* The next piece begins at *from and ends before *until; if it ends among the rows of one next_retry, it
   has no others, unless it is all there is. */
void look_back_piece(const struct look_back *l, struct due_place mark,
		     struct due_place *from, struct due_place *until);

/*
 * So long that piece took. With a row found it comes once more, since it may have others. True: that
 * was the beginning, and nothing is before the mark.
 */
bool look_back_took(struct look_back *l, struct due_place from, struct due_place until,
		    bool found, int64_t took_us);

#endif
