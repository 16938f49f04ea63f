#include "store/look_back.h"

#include "unit/unit.h"

#define PIECE_US  2000
#define SECOND_US INT64_C(1000000)
#define NOW_US    (800000000 * SECOND_US) /* 2025 */

static struct look_back l;
static struct due_place mark;

/* The index: so many entries of one next_retry, or one after another. A microsecond to pass each. */
static struct {
	struct due_place first;
	int64_t count;
	int64_t apart_us; /* 0: all of one next_retry */
} runs[8];
static int run_count;

static int64_t longest_us; /* of a piece, in the last round */
static int pieces;         /* but for those near the mark that came again */

static void setup(void)
{
	look_back_init(&l);
	mark = (struct due_place){NOW_US, INT64_MIN};
	run_count = 0;
}

static void add_run(int64_t next_retry, int64_t first_id, int64_t count, int64_t apart_us)
{
	runs[run_count].first = (struct due_place){next_retry, first_id};
	runs[run_count].count = count;
	runs[run_count++].apart_us = apart_us;
}

/* Of a run: how many entries are before that place. */
static int64_t entries_before(int run, struct due_place place)
{
	struct due_place first = runs[run].first;
	int64_t count, apart_us = runs[run].apart_us;

	if (!due_place_is_before(first, place))
		return 0;
	if (apart_us)
		count = place.next_retry < first.next_retry
				? 0
				: (place.next_retry - first.next_retry + apart_us - 1) /
					  apart_us;
	else
		count = place.next_retry > first.next_retry ? runs[run].count
							    : place.id - first.id;
	return count < runs[run].count ? count : runs[run].count;
}

static int64_t entries(struct due_place from, struct due_place until)
{
	int64_t count = 0;

	for (int i = 0; i < run_count; i++)
		count += entries_before(i, until) - entries_before(i, from);
	return count;
}

/*
 * From the mark to the beginning. Whatever is before the mark is in one piece, and each piece is one
 * that a statement can read: of one next_retry, or up to the first row of one. Between them pieces near
 * the mark come again.
 */
static void go_round(void)
{
	struct due_place from, until, last = mark, near_last = mark;
	bool is_whole = l.is_whole, was_near = false, is_over;
	int looks = 0;

	longest_us = pieces = 0;
	do {
		struct due_place *follows = l.is_near ? &near_last : &last;
		int64_t took_us;

		if (l.is_near && !was_near)
			near_last = mark;
		was_near = l.is_near;
		look_back_piece(&l, mark, &from, &until);
		ck_assert(!due_place_is_before(*follows, until));
		ck_assert(!due_place_is_before(until, *follows));
		ck_assert(is_whole || until.id == INT64_MIN ||
			  from.next_retry == until.next_retry);
		took_us = entries(from, until);
		longest_us = took_us > longest_us ? took_us : longest_us;
		pieces += !was_near;
		ck_assert_int_lt(++looks, 5000);
		is_over = look_back_took(&l, from, until, false, took_us);
		ck_assert(is_over || due_place_is_before(from, until));
		*follows = from;
		if (was_near && due_place_is_before(from, last))
			last = from;
	} while (!is_over);
	ck_assert_int_eq(last.next_retry, INT64_MIN);
}

static void go_rounds(int rounds)
{
	while (rounds--)
		go_round();
}

/* As claims do: the mark goes on with them. */
static void claim(int64_t next_retry, int64_t first_id, int rows, int64_t apart_us)
{
	for (int i = 500; i <= rows; i += 500) {
		int64_t id = first_id + i - 1;

		mark = (struct due_place){next_retry + i * apart_us,
					  apart_us ? INT64_MIN : id};
		look_back_claimed(&l, mark, id, 500);
	}
}

START_TEST(all_that_is_before_the_mark_is_one_piece_while_that_takes_no_time)
{
	add_run(NOW_US - SECOND_US, 1, PIECE_US, 0);
	go_rounds(3);
	ck_assert_int_eq(pieces, 1);
	ck_assert(l.is_whole);
}
END_TEST

START_TEST(at_the_beginning_there_is_nothing_to_look_at)
{
	struct due_place from, until;

	mark = DUE_BEGINNING;
	look_back_piece(&l, mark, &from, &until);
	ck_assert(!due_place_is_before(from, until));
	ck_assert(look_back_took(&l, from, until, false, PIECE_US + 1));
	look_back_piece(&l, mark, &from, &until);
	ck_assert(look_back_took(&l, from, until, false, 10));
}
END_TEST

START_TEST(bookmarks_of_claims_are_where_pieces_end)
{
	add_run(NOW_US, 1, 300000, 100);
	claim(NOW_US, 1, 300000, 100);
	go_round(); /* whole, and too long */
	ck_assert_int_eq(pieces, 1);
	go_round();
	ck_assert_int_le(longest_us, 4500);
	go_rounds(6);
	ck_assert_int_le(longest_us, PIECE_US);
	ck_assert_int_le(pieces, 600);
}
END_TEST

START_TEST(bookmarks_lie_among_the_rows_of_one_next_retry_too)
{
	add_run(NOW_US, 1, 300000, 0);
	claim(NOW_US, 1, 300000, 0);
	go_round();
	go_round();
	ck_assert_int_le(longest_us, 4500);
	go_rounds(2);
	ck_assert_int_le(longest_us, PIECE_US);
}
END_TEST

/* A start, for instance. */
START_TEST(what_no_bookmark_tells_of_is_found_out)
{
	add_run(NOW_US - 3600 * SECOND_US, 1, 300000, 0);
	add_run(NOW_US - 3000 * SECOND_US, 400000, 100000, 7000);
	add_run(NOW_US - 10 * SECOND_US, 600000, 200000, 0);
	claim(NOW_US, 800000, 500, 1);
	go_rounds(25);
	ck_assert_int_le(longest_us, PIECE_US);
	ck_assert_int_le(pieces, 700);
}
END_TEST

START_TEST(rows_that_were_due_before_time_began_are_looked_at)
{
	add_run(INT64_MIN, 5, 3000, 0);
	add_run(-1000 * SECOND_US, 5, 3000, 1000);
	add_run(NOW_US - SECOND_US, 10000, 3000, 1);
	go_rounds(20);
	ck_assert(!l.is_whole);
	mark = (struct due_place){INT64_MIN, 1500};
	go_rounds(3);
	mark = (struct due_place){-500 * SECOND_US, 1500};
	go_rounds(3);
}
END_TEST

START_TEST(the_pieces_before_the_mark_come_again_every_few_pieces)
{
	struct due_place from, until;
	int last = 0;

	add_run(NOW_US, 1, 300000, 100);
	claim(NOW_US, 1, 300000, 100);
	go_rounds(2);
	for (int i = 0; i < 60; i++) {
		look_back_piece(&l, mark, &from, &until);
		if (until.next_retry == mark.next_retry)
			last = i;
		ck_assert_int_le(i - last, 12);
		ck_assert(!look_back_took(&l, from, until, false, 1500));
	}
}
END_TEST

START_TEST(when_the_dead_entries_are_gone_one_piece_does_again)
{
	add_run(NOW_US, 1, 300000, 100);
	claim(NOW_US, 1, 300000, 100);
	go_rounds(3);
	ck_assert(!l.is_whole);
	run_count = 0;
	go_round();
	go_round();
	ck_assert_int_eq(pieces, 1);
	ck_assert(l.is_whole);
}
END_TEST

START_TEST(a_piece_in_which_a_row_was_found_comes_again)
{
	struct due_place from, until, again, again_until;

	add_run(NOW_US, 1, 20000, 100);
	claim(NOW_US, 1, 20000, 100);
	go_rounds(2);
	look_back_piece(&l, mark, &from, &until);
	ck_assert(!look_back_took(&l, from, until, true, 100));
	look_back_piece(&l, mark, &again, &again_until);
	ck_assert_int_eq(again_until.next_retry, until.next_retry);
	ck_assert(!due_place_is_before(from, again));
}
END_TEST

/* Where rows are committed late all the time there is no look that finds none. */
START_TEST(all_at_once_takes_too_long_with_a_row_found_too)
{
	struct due_place from, until;

	add_run(NOW_US, 1, 300000, 100);
	claim(NOW_US, 1, 300000, 100);
	look_back_piece(&l, mark, &from, &until);
	ck_assert(!look_back_took(&l, from, until, true, PIECE_US + 1));
	ck_assert(!l.is_whole);
	go_rounds(7);
	ck_assert_int_le(longest_us, PIECE_US);
}
END_TEST

/* A row that was committed late is found, and the mark goes back to it. */
START_TEST(where_the_mark_has_gone_back_claims_go_and_not_looks)
{
	struct due_place from, until;

	add_run(NOW_US, 1, 300000, 100);
	claim(NOW_US, 1, 300000, 100);
	go_rounds(2);
	look_back_piece(&l, mark, &from, &until);
	ck_assert(!look_back_took(&l, from, until, false, 100));
	mark = (struct due_place){NOW_US + SECOND_US, 77};
	look_back_piece(&l, mark, &from, &until);
	ck_assert_int_eq(until.next_retry, mark.next_retry);
	ck_assert_int_eq(until.id, mark.id);
	look_back_claimed(&l, mark, 77, 100000);
	go_rounds(3);
}
END_TEST

START_TEST(there_are_only_so_many_bookmarks)
{
	for (int64_t i = 0; i < 5; i++) {
		add_run(NOW_US + i * 1000 * SECOND_US, 1 + i * 1500000, 1500000, 100);
		claim(NOW_US + i * 1000 * SECOND_US, 1 + i * 1500000, 1500000, 100);
		go_rounds(5);
		ck_assert_int_le(l.count, LOOK_BACK_BOOKMARKS_MAX);
		ck_assert_int_eq(l.bookmarks[0].at.next_retry, INT64_MIN);
	}
	/* 7.5 million entries. */
	go_rounds(10);
	ck_assert_int_le(longest_us, 16000);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("look_back");
	TCase *tc = tcase_create("look_back");

	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_test(tc,
		       all_that_is_before_the_mark_is_one_piece_while_that_takes_no_time);
	tcase_add_test(tc, at_the_beginning_there_is_nothing_to_look_at);
	tcase_add_test(tc, bookmarks_of_claims_are_where_pieces_end);
	tcase_add_test(tc, bookmarks_lie_among_the_rows_of_one_next_retry_too);
	tcase_add_test(tc, what_no_bookmark_tells_of_is_found_out);
	tcase_add_test(tc, rows_that_were_due_before_time_began_are_looked_at);
	tcase_add_test(tc, the_pieces_before_the_mark_come_again_every_few_pieces);
	tcase_add_test(tc, when_the_dead_entries_are_gone_one_piece_does_again);
	tcase_add_test(tc, a_piece_in_which_a_row_was_found_comes_again);
	tcase_add_test(tc, all_at_once_takes_too_long_with_a_row_found_too);
	tcase_add_test(tc, where_the_mark_has_gone_back_claims_go_and_not_looks);
	tcase_add_test(tc, there_are_only_so_many_bookmarks);
	suite_add_tcase(suite, tc);
	return suite;
}
