#include "base/hmac.h"

#include <string.h>

#include "unit/unit.h"

/* RFC 4231, test cases 2 and 6 (a key longer than a block). */
static const struct {
	const char *key, *data, *expected;
} vectors[] = {
	{"Jefe", "what do ya want for nothing?",
	 "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
	{"\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa"
	 "\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa"
	 "\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa"
	 "\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa"
	 "\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa"
	 "\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa"
	 "\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa",
	 "Test Using Larger Than Block-Size Key - Hash Key First",
	 "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
};

START_TEST(the_digests_are_those_of_the_rfc)
{
	char text[HMAC_TEXT_SIZE];

	ck_assert_int_eq(hmac_sha256(vectors[_i].key, vectors[_i].data,
				     strlen(vectors[_i].data), text),
			 0);
	ck_assert_str_eq(text, vectors[_i].expected);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("hmac");
	TCase *tc = tcase_create("hmac");

	tcase_add_loop_test(tc, the_digests_are_those_of_the_rfc, 0,
			    sizeof(vectors) / sizeof(vectors[0]));
	suite_add_tcase(suite, tc);
	return suite;
}
