/* relay/cli/table: columns on a terminal. relay/cli/scrape: what a relay's metrics tell. */
#include "unit/unit.h"

#include <string.h>

#include "cli/scrape.h"
#include "cli/table.h"

static struct table t;
static struct buffer b;

static void setup(void)
{
	b = (struct buffer){0};
}

static void teardown(void)
{
	table_release(&t);
	buffer_release(&b);
}

static void add_row(int id, const char *key, const char *error)
{
	table_printf(&t, "%d", id);
	table_text(&t, key, strlen(key));
	table_text(&t, error, error ? strlen(error) : 0);
}

START_TEST(columns_are_as_wide_as_their_widest_cell)
{
	table_init(&t, "ID>|KEY|ERROR*");
	add_row(7, "order.created", "x");
	add_row(1000, "Grüße", NULL);
	ck_assert_int_eq(table_rows(&t), 2);
	table_write(&t, 0, &b);
	ck_assert_str_eq(buffer_text(&b), "  ID  KEY            ERROR\n"
					  "   7  order.created  x\n"
					  "1000  Grüße\n");
}
END_TEST

START_TEST(the_cell_that_may_be_cut_fits_the_terminal)
{
	table_init(&t, "ID>|KEY|ERROR*");
	add_row(7, "k", "returned: 312 NO_ROUTE");
	table_write(&t, 24, &b);
	ck_assert_str_eq(buffer_text(&b), "ID  KEY  ERROR\n"
					  " 7  k    returned: 312 …\n");
}
END_TEST

START_TEST(without_a_terminal_nothing_is_cut)
{
	table_init(&t, "ID>|KEY|ERROR*");
	add_row(7, "k", "a long text, which no one shortens for a program or a file");
	table_write(&t, 0, &b);
	ck_assert_ptr_nonnull(strstr(buffer_text(&b), "a program or a file\n"));
}
END_TEST

START_TEST(a_cell_of_somebody_else_stays_on_its_line)
{
	table_init(&t, "A|B");
	table_text(&t, "x\n\033[31m", 7);
	table_printf(&t, "y");
	table_write(&t, 0, &b);
	ck_assert_str_eq(buffer_text(&b), "A            B\nx\\n\\x1b[31m  y\n");
}
END_TEST

/* --- scrape --- */

#define OK_ANSWER "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n"
#define METRIC    "outbox_relay_destination_parked_seconds"

START_TEST(parked_destinations_are_found_and_their_names_unescaped)
{
	struct scrape s;
	struct error err;

	ck_assert_int_eq(
		scrape_parse(OK_ANSWER
			     "# HELP " METRIC " x\nother 1\n" METRIC
			     "{exchange=\"a\\\"\\\\\\nb\",routing_key=\"\"} 2.97\n" METRIC
			     "{exchange=\"shop\",routing_key=\"k\"} 61\n",
			     &s, &err),
		0);
	ck_assert_int_eq(s.parked_count, 2);
	ck_assert_str_eq(s.parked[0].exchange, "a\"\\\nb");
	ck_assert_str_eq(s.parked[0].routing_key, "");
	ck_assert_double_eq_tol(s.parked[0].seconds, 2.97, 1e-9);
	ck_assert_str_eq(s.parked[1].routing_key, "k");
}
END_TEST

static const struct {
	const char *answer, *why;
} refused[] = {
	{"", "that is no relay"},
	{"SSH-2.0-x\r\n", "that is no relay"},
	{"HTTP/1.1 401 Unauthorized\r\n\r\n", "it wants http.token_file"},
	{"HTTP/1.1 503 x\r\n\r\n", "it answers 503"},
};

START_TEST(an_answer_that_is_none_says_why)
{
	struct scrape s;
	struct error err;

	ck_assert_int_eq(scrape_parse(refused[_i].answer, &s, &err), -1);
	ck_assert_str_eq(err.text, refused[_i].why);
}
END_TEST

static const char *const broken[] = {
	METRIC "{exchange=\"a",
	METRIC "{exchange=\"a\\",
	METRIC "{exchange=\"a\"}",
	METRIC "{exchange=\"a\",routing_key=\"",
	METRIC "{exchange=\"a\",routing_key=\"b\"",
};

START_TEST(a_broken_line_is_survived)
{
	struct scrape s;
	struct error err;
	char answer[512];

	snprintf(answer, sizeof(answer), OK_ANSWER "%s", broken[_i]);
	ck_assert_int_eq(scrape_parse(answer, &s, &err), 0);
	ck_assert_double_eq(s.parked[0].seconds, 0);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("table");
	TCase *tc = tcase_create("table");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, columns_are_as_wide_as_their_widest_cell);
	tcase_add_test(tc, the_cell_that_may_be_cut_fits_the_terminal);
	tcase_add_test(tc, without_a_terminal_nothing_is_cut);
	tcase_add_test(tc, a_cell_of_somebody_else_stays_on_its_line);
	suite_add_tcase(suite, tc);
	tc = tcase_create("scrape");
	tcase_add_test(tc, parked_destinations_are_found_and_their_names_unescaped);
	tcase_add_loop_test(tc, an_answer_that_is_none_says_why, 0,
			    sizeof(refused) / sizeof(refused[0]));
	tcase_add_loop_test(tc, a_broken_line_is_survived, 0,
			    sizeof(broken) / sizeof(broken[0]));
	suite_add_tcase(suite, tc);
	return suite;
}
