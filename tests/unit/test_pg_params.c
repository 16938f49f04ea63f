#include <signal.h>
#include <string.h>

#include "store/pg.h"
#include "unit/unit.h"

static struct pg_params p;

static void teardown(void)
{
	pg_params_release(&p);
}

static void assert_item(int index, uint32_t type, const void *bytes, size_t size)
{
	ck_assert_int_gt(p.count, index);
	ck_assert_uint_eq(p.items[index].type, type);
	ck_assert(!p.items[index].is_null);
	ck_assert_uint_eq(p.items[index].size, size);
	if (size)
		ck_assert_mem_eq(p.bytes.data + p.items[index].offset, bytes, size);
}

static void assert_null(int index, uint32_t type)
{
	ck_assert_int_gt(p.count, index);
	ck_assert_uint_eq(p.items[index].type, type);
	ck_assert(p.items[index].is_null);
}

/* Type numbers as in src/include/catalog/pg_type.dat; values as the *_recv() functions want. */
START_TEST(scalars_are_binary_in_network_order_with_their_types)
{
	pg_params_bool(&p, true);
	pg_params_bool(&p, false);
	pg_params_int4(&p, -2);
	pg_params_int8(&p, 0x0102030405060708);
	pg_params_timestamptz(&p, PG_TIMESTAMP_MIN);
	pg_params_text(&p, "caf\xc3\xa9");
	pg_params_text(&p, "");
	assert_item(0, 16, "\1", 1);
	assert_item(1, 16, "\0", 1);
	assert_item(2, 23, "\xff\xff\xff\xfe", 4);
	assert_item(3, 20, "\1\2\3\4\5\6\7\10", 8);
	assert_item(4, 1184, "\x80\0\0\0\0\0\0\0", 8);
	assert_item(5, 25, "caf\xc3\xa9", 5);
	assert_item(6, 25, "", 0);
	ck_assert_int_eq(p.count, 7);
}
END_TEST

START_TEST(a_text_without_bytes_is_not_null)
{
	pg_params_text(&p, "");
	assert_item(0, 25, "", 0);
	ck_assert_ptr_nonnull(p.bytes.data);
}
END_TEST

START_TEST(null_keeps_its_type)
{
	pg_params_int8_null(&p);
	pg_params_text(&p, NULL);
	assert_null(0, 20);
	assert_null(1, 25);
}
END_TEST

START_TEST(an_array_of_numbers_has_its_header_and_its_elements)
{
	static const unsigned char expected[] = {
		0, 0, 0, 1, 0, 0, 0,    0,    0,    0,    0,    20,   0,    0,    0,
		2, 0, 0, 0, 1, 0, 0,    0,    8,    0,    0,    0,    0,    0,    0,
		0, 7, 0, 0, 0, 8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	};

	pg_params_int8_array(&p, 2);
	pg_params_element_int8(&p, 7);
	pg_params_element_int8(&p, -1);
	pg_params_array_end(&p);
	assert_item(0, 1016, expected, sizeof(expected));
}
END_TEST

START_TEST(an_array_of_texts_has_its_header_and_its_elements)
{
	static const unsigned char expected[] = {
		0, 0, 0, 1, 0, 0, 0, 0, 0, 0,   0,   25, 0, 0, 0,
		2, 0, 0, 0, 1, 0, 0, 0, 2, 'n', 'o', 0,  0, 0, 0,
	};

	pg_params_text_array(&p, 2);
	pg_params_element_text(&p, "no");
	pg_params_element_text(&p, "");
	pg_params_array_end(&p);
	assert_item(0, 1009, expected, sizeof(expected));
}
END_TEST

START_TEST(an_array_of_texts_may_hold_nulls)
{
	static const unsigned char expected[] = {
		0, 0, 0, 1, 0, 0,   0,   0,   0,   0, 0, 25, 0, 0,   0,
		2, 0, 0, 0, 1, 255, 255, 255, 255, 0, 0, 0,  1, 'x',
	};

	pg_params_text_array(&p, 2);
	pg_params_element_text(&p, NULL);
	pg_params_element_text(&p, "x");
	pg_params_array_end(&p);
	assert_item(0, 1009, expected, sizeof(expected));
}
END_TEST

/* array_recv() wants no dimension at all then. */
START_TEST(an_empty_array_has_no_dimensions)
{
	static const unsigned char numbers[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 20};
	static const unsigned char texts[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 25};

	pg_params_int8_array(&p, 0);
	pg_params_array_end(&p);
	pg_params_text_array(&p, 0);
	pg_params_array_end(&p);
	assert_item(0, 1016, numbers, sizeof(numbers));
	assert_item(1, 1009, texts, sizeof(texts));
}
END_TEST

START_TEST(parameters_are_used_again_after_clearing)
{
	pg_params_text(&p, "the first statement");
	pg_params_int8_null(&p);
	pg_params_clear(&p);
	ck_assert_int_eq(p.count, 0);
	pg_params_text(&p, "x");
	pg_params_text(&p, "yz");
	assert_item(0, 25, "x", 1);
	assert_item(1, 25, "yz", 2);
	ck_assert_uint_eq(p.items[0].offset, 0);
}
END_TEST

/* The bytes may move while they grow; offsets stay. */
START_TEST(many_elements_leave_earlier_parameters_as_they_were)
{
	pg_params_text(&p, "first");
	pg_params_int8_array(&p, 10000);
	for (int i = 0; i < 10000; i++)
		pg_params_element_int8(&p, i);
	pg_params_array_end(&p);
	pg_params_text(&p, "last");
	assert_item(0, 25, "first", 5);
	ck_assert_uint_eq(p.items[1].size, 20 + 10000 * 12);
	ck_assert_mem_eq(p.bytes.data + p.items[1].offset + 20 + 9999 * 12,
			 "\0\0\0\10\0\0\0\0\0\0\x27\x0f", 12);
	assert_item(2, 25, "last", 4);
}
END_TEST

START_TEST(more_parameters_than_there_is_room_for_are_a_bug)
{
	for (int i = 0; i <= PG_PARAMS_MAX; i++)
		pg_params_bool(&p, true);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("pg_params");
	TCase *tc = tcase_create("pg_params");

	tcase_add_checked_fixture(tc, NULL, teardown);
	tcase_add_test(tc, scalars_are_binary_in_network_order_with_their_types);
	tcase_add_test(tc, a_text_without_bytes_is_not_null);
	tcase_add_test(tc, null_keeps_its_type);
	tcase_add_test(tc, an_array_of_numbers_has_its_header_and_its_elements);
	tcase_add_test(tc, an_array_of_texts_has_its_header_and_its_elements);
	tcase_add_test(tc, an_array_of_texts_may_hold_nulls);
	tcase_add_test(tc, an_empty_array_has_no_dimensions);
	tcase_add_test(tc, parameters_are_used_again_after_clearing);
	tcase_add_test(tc, many_elements_leave_earlier_parameters_as_they_were);
	tcase_add_test_raise_signal(tc, more_parameters_than_there_is_room_for_are_a_bug,
				    SIGABRT);
	suite_add_tcase(suite, tc);
	return suite;
}
