/* relay/monitor/http_guard: who may see and do what over HTTP. And relay/monitor/listen: where. */
#include "unit/unit.h"

#include "monitor/http_guard.h"
#include "monitor/listen.h"

#define JSON "application/json"

static const struct {
	enum guard guard;
	const char *token;
	struct guard_request
		request;   /* authorization, host, origin, fetch_site, content_type */
	unsigned int code; /* 0: allowed */
} cases[] = {
	{GUARD_NONE, "t", {NULL, NULL, "https://evil", "cross-site", NULL}, 0},

	{GUARD_TOKEN, NULL, {NULL, "evil", NULL, NULL, NULL}, 0},
	{GUARD_TOKEN, "t", {NULL, "localhost", NULL, NULL, NULL}, 401},
	{GUARD_TOKEN, "t", {"Bearer t", NULL, NULL, NULL, NULL}, 0},
	{GUARD_TOKEN, "t", {"bearer t", NULL, NULL, NULL, NULL}, 0},
	{GUARD_TOKEN, "t", {"Bearer tt", NULL, NULL, NULL, NULL}, 401},
	{GUARD_TOKEN, "tt", {"Bearer t", NULL, NULL, NULL, NULL}, 401},
	{GUARD_TOKEN, "t", {"Bearer ", NULL, NULL, NULL, NULL}, 401},
	{GUARD_TOKEN, "t", {"Basic t", NULL, NULL, NULL, NULL}, 401},

	{GUARD_FIGURES, NULL, {NULL, "localhost", NULL, NULL, NULL}, 0},
	{GUARD_FIGURES, NULL, {NULL, "LocalHost:9753", NULL, NULL, NULL}, 0},
	{GUARD_FIGURES, NULL, {NULL, "127.0.0.1:9753", NULL, NULL, NULL}, 0},
	{GUARD_FIGURES, NULL, {NULL, "[::1]:9753", NULL, NULL, NULL}, 0},
	{GUARD_FIGURES, NULL, {NULL, "localhost.evil", NULL, NULL, NULL}, 403},
	{GUARD_FIGURES, NULL, {NULL, "127.0.0.1.evil", NULL, NULL, NULL}, 403},
	{GUARD_FIGURES, NULL, {NULL, "evil", NULL, NULL, NULL}, 403},
	{GUARD_FIGURES, NULL, {NULL, NULL, NULL, NULL, NULL}, 403},
	{GUARD_FIGURES, "t", {"Bearer t", "console.example", NULL, NULL, NULL}, 0},
	{GUARD_FIGURES, "t", {NULL, "localhost", NULL, NULL, NULL}, 401},

	{GUARD_ROWS, NULL, {NULL, "localhost", NULL, NULL, NULL}, 403},
	{GUARD_ROWS, NULL, {"Bearer t", "localhost", NULL, NULL, NULL}, 403},
	{GUARD_ROWS, "t", {NULL, "localhost", NULL, NULL, NULL}, 401},
	{GUARD_ROWS, "t", {"Bearer t", "localhost", NULL, NULL, NULL}, 0},

	{GUARD_ACTION, NULL, {"Bearer t", "localhost", NULL, NULL, JSON}, 403},
	{GUARD_ACTION, "t", {NULL, "h", NULL, NULL, JSON}, 401},
	{GUARD_ACTION, "t", {"Bearer t", "h", NULL, NULL, JSON}, 0},
	{GUARD_ACTION, "t", {"Bearer t", "h", "https://h", "same-origin", JSON}, 0},
	{GUARD_ACTION,
	 "t",
	 {"Bearer t", "h:1", "http://H:1", NULL, JSON "; charset=utf-8"},
	 0},
	{GUARD_ACTION, "t", {"Bearer t", "h:1", "http://h:2", NULL, JSON}, 403},
	{GUARD_ACTION, "t", {"Bearer t", "h", "https://h.evil", NULL, JSON}, 403},
	{GUARD_ACTION, "t", {"Bearer t", "h", "null", NULL, JSON}, 403},
	{GUARD_ACTION, "t", {"Bearer t", NULL, "https://h", NULL, JSON}, 403},
	{GUARD_ACTION, "t", {"Bearer t", "h", NULL, "cross-site", JSON}, 403},
	{GUARD_ACTION, "t", {"Bearer t", "h", NULL, "none", JSON}, 403},
	{GUARD_ACTION, "t", {"Bearer t", "h", NULL, NULL, "text/plain"}, 415},
	{GUARD_ACTION, "t", {"Bearer t", "h", NULL, NULL, JSON "p"}, 415},
	{GUARD_ACTION, "t", {"Bearer t", "h", NULL, NULL, NULL}, 415},
};

START_TEST(a_request_is_allowed_or_refused_with_the_code_for_it)
{
	unsigned int code;
	const char *problem =
		guard_judge(cases[_i].guard, cases[_i].token, &cases[_i].request, &code);

	if (cases[_i].code == 0) {
		ck_assert_ptr_null(problem);
	} else {
		ck_assert_ptr_nonnull(problem);
		ck_assert_uint_eq(code, cases[_i].code);
	}
}
END_TEST

static const struct {
	const char *listen;
	bool is_legal, is_loopback;
} addresses[] = {
	{"127.0.0.1:9753", true, true},
	{"127.8.9.1:1", true, true},
	{"[::1]:9753", true, true},
	{"0.0.0.0:9753", true, false},
	{"[::]:65535", true, false},
	{"128.0.0.1:80", true, false},
	{"[::ffff:127.0.0.1]:1", true, false},
	{"off", true, false},
	{"localhost:9753", false, false},
	{"127.0.0.1", false, false},
	{"::1:9753", false, false},
	{"127.0.0.1:65536", false, false},
};

START_TEST(an_address_is_on_loopback_or_not)
{
	struct error err;

	ck_assert_int_eq(listen_check(addresses[_i].listen, &err) == 0,
			 addresses[_i].is_legal);
	ck_assert_int_eq(listen_is_loopback(addresses[_i].listen),
			 addresses[_i].is_loopback);
}
END_TEST

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

Suite *unit_suite(void)
{
	Suite *suite = suite_create("http_guard");
	TCase *tc = tcase_create("http_guard");

	tcase_add_loop_test(tc, a_request_is_allowed_or_refused_with_the_code_for_it, 0,
			    COUNT(cases));
	tcase_add_loop_test(tc, an_address_is_on_loopback_or_not, 0, COUNT(addresses));
	suite_add_tcase(suite, tc);
	return suite;
}
