#include "base/buffer.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "unit/unit.h"

static struct buffer b;

static void teardown(void)
{
	buffer_release(&b);
}

START_TEST(an_empty_buffer_is_an_empty_string)
{
	ck_assert_uint_eq(buffer_size(&b), 0);
	ck_assert_uint_eq(buffer_room(&b), SIZE_MAX);
	ck_assert_str_eq(buffer_text(&b), "");
	buffer_append(&b, NULL, 0);
	ck_assert_uint_eq(buffer_size(&b), 0);
}
END_TEST

START_TEST(integers_are_written_big_endian)
{
	static const unsigned char expected[] = {0xfe, 0x12, 0x34, 0x89, 0xab,
						 0xcd, 0xef, 0x01, 0x23, 0x45,
						 0x67, 0x89, 0xab, 0xcd, 0xef};

	buffer_put_u8(&b, 0xfe);
	buffer_put_u16(&b, 0x1234);
	buffer_put_u32(&b, 0x89abcdef);
	buffer_put_u64(&b, 0x0123456789abcdef);
	ck_assert_uint_eq(buffer_size(&b), sizeof(expected));
	ck_assert_mem_eq(b.data + b.start, expected, sizeof(expected));
}
END_TEST

START_TEST(text_is_formatted_behind_what_is_there)
{
	buffer_append(&b, "n", 1);
	buffer_printf(&b, "=%d%s", 42, "");
	buffer_printf(&b, "%300s", ".");
	ck_assert_uint_eq(buffer_size(&b), 304);
	ck_assert(strncmp(buffer_text(&b), "n=42   ", 7) == 0);
	ck_assert_str_eq(buffer_text(&b) + 303, ".");
	ck_assert_uint_eq(buffer_size(&b), 304);
}
END_TEST

START_TEST(consuming_all_starts_over_and_consuming_some_moves_on)
{
	buffer_append(&b, "abcdef", 6);
	buffer_consume(&b, 2);
	ck_assert_str_eq(buffer_text(&b), "cdef");
	ck_assert_uint_eq(b.start, 2);
	buffer_consume(&b, 4);
	ck_assert_uint_eq(b.start, 0);
	ck_assert_uint_eq(b.end, 0);
	buffer_append(&b, "x", 1);
	buffer_clear(&b);
	ck_assert_str_eq(buffer_text(&b), "");
}
END_TEST

START_TEST(room_is_made_by_moving_down_before_growing)
{
	char block[200];
	size_t capacity;

	memset(block, 'x', sizeof(block));
	buffer_append(&b, block, sizeof(block));
	capacity = b.capacity;
	buffer_append(&b, "tail", 4);
	buffer_consume(&b, sizeof(block));
	buffer_append(&b, block, sizeof(block));
	ck_assert_uint_eq(b.capacity, capacity);
	ck_assert_uint_eq(b.start, 0);
	ck_assert_uint_eq(buffer_size(&b), sizeof(block) + 4);
	ck_assert_mem_eq(b.data, "tailx", 5);
}
END_TEST

START_TEST(a_large_block_grows_the_buffer_at_once)
{
	char *block = xcalloc(1, 100000);

	buffer_append(&b, "head", 4);
	buffer_append(&b, block, 100000);
	ck_assert_uint_eq(buffer_size(&b), 100004);
	ck_assert_mem_eq(b.data, "head", 5);
	free(block);
}
END_TEST

START_TEST(of_a_reservation_only_what_is_committed_counts)
{
	memcpy(buffer_reserve(&b, 10), "0123456789", 10);
	buffer_commit(&b, 3);
	ck_assert_str_eq(buffer_text(&b), "012");
}
END_TEST

START_TEST(a_limit_leaves_room_until_it_is_reached)
{
	buffer_init(&b, 8);
	ck_assert_uint_eq(buffer_room(&b), 8);
	buffer_append(&b, "abcde", 5);
	ck_assert_uint_eq(buffer_room(&b), 3);
	buffer_consume(&b, 1);
	ck_assert_uint_eq(buffer_room(&b), 4);
	buffer_append(&b, "fghi", 4);
	ck_assert_uint_eq(buffer_room(&b), 0);
	buffer_release(&b);
	ck_assert_uint_eq(buffer_room(&b), 8);
}
END_TEST

START_TEST(asking_for_more_than_the_limit_is_a_bug)
{
	buffer_init(&b, 8);
	buffer_append(&b, "abcdefghi", 9);
}
END_TEST

START_TEST(consuming_more_than_there_is_is_a_bug)
{
	buffer_append(&b, "abc", 3);
	buffer_consume(&b, 4);
}
END_TEST

/* Against a plain array: the same bytes whatever the order of calls. */
START_TEST(random_calls_keep_the_bytes_in_order)
{
	char expected[4096];
	size_t size = 0;
	unsigned char next = 0;

	srandom(20260131);
	for (int step = 0; step < 20000; step++) {
		size_t n = (size_t)random() % 200;

		if (random() % 2 && size + n <= sizeof(expected)) {
			char *out = buffer_reserve(&b, n + (size_t)random() % 50);

			for (size_t i = 0; i < n; i++)
				out[i] = expected[size++] = (char)next++;
			buffer_commit(&b, n);
		} else if (n <= size) {
			buffer_consume(&b, n);
			size -= n;
			memmove(expected, expected + n, size);
		}
		ck_assert_uint_eq(buffer_size(&b), size);
		if (size)
			ck_assert_mem_eq(b.data + b.start, expected, size);
	}
	ck_assert_uint_le(b.capacity, 2 * sizeof(expected) + 256);
}
END_TEST

START_TEST(allocations_of_nothing_are_something_to_free)
{
	void *memory = xmalloc(0);

	ck_assert_ptr_nonnull(memory);
	memory = xrealloc(memory, 0);
	ck_assert_ptr_nonnull(memory);
	free(memory);
	memory = xcalloc(0, 0);
	ck_assert_ptr_nonnull(memory);
	free(memory);
}
END_TEST

START_TEST(strings_are_copied_and_formatted)
{
	char *copy = xstrdup("text");
	char *formatted = xasprintf("%s-%d", copy, 7);

	ck_assert_str_eq(copy, "text");
	ck_assert_str_eq(formatted, "text-7");
	free(copy);
	free(formatted);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("buffer");
	TCase *tc = tcase_create("buffer");

	tcase_add_checked_fixture(tc, NULL, teardown);
	tcase_add_test(tc, an_empty_buffer_is_an_empty_string);
	tcase_add_test(tc, integers_are_written_big_endian);
	tcase_add_test(tc, text_is_formatted_behind_what_is_there);
	tcase_add_test(tc, consuming_all_starts_over_and_consuming_some_moves_on);
	tcase_add_test(tc, room_is_made_by_moving_down_before_growing);
	tcase_add_test(tc, a_large_block_grows_the_buffer_at_once);
	tcase_add_test(tc, of_a_reservation_only_what_is_committed_counts);
	tcase_add_test(tc, a_limit_leaves_room_until_it_is_reached);
	tcase_add_test_raise_signal(tc, asking_for_more_than_the_limit_is_a_bug, SIGABRT);
	tcase_add_test_raise_signal(tc, consuming_more_than_there_is_is_a_bug, SIGABRT);
	tcase_add_test(tc, random_calls_keep_the_bytes_in_order);
	tcase_add_test(tc, allocations_of_nothing_are_something_to_free);
	tcase_add_test(tc, strings_are_copied_and_formatted);
	suite_add_tcase(suite, tc);
	return suite;
}
