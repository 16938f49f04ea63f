#include "broker/rabbitmq_config.h"

#include <string.h>

#include "unit/unit.h"

static const struct {
	const char *url, *user, *password, *host, *vhost;
	int port;
	bool is_tls, has_user;
} accepted[] = {
	{"amqp://host", "guest", "guest", "host", "/", 5672, false, false},
	{"amqp://host:1/v", "guest", "guest", "host", "v", 1, false, false},
	{"amqps://host", "guest", "guest", "host", "/", 5671, true, false},
	{"amqps://u@host:65535", "u", "guest", "host", "/", 65535, true, true},
	{"amqp://u:p@host/%2f", "u", "p", "host", "/", 5672, false, true},
	{"amqp://us%40er:p%3a%2F%25@host:5673/a%2fb", "us@er", "p:/%", "host", "a/b",
	 5673, false, true},
	{"amqp://[::1]:5673/v", "guest", "guest", "::1", "v", 5673, false, false},
};

START_TEST(an_amqp_uri_is_read_as_rabbitmq_defines_it)
{
	struct rabbitmq_url u;
	struct error err;

	if (rabbitmq_config_url(&u, accepted[_i].url, &err) < 0)
		ck_abort_msg("%s", err.text);
	ck_assert_str_eq(u.user, accepted[_i].user);
	ck_assert_str_eq(u.password, accepted[_i].password);
	ck_assert_str_eq(u.host, accepted[_i].host);
	ck_assert_str_eq(u.vhost, accepted[_i].vhost);
	ck_assert_int_eq(u.port, accepted[_i].port);
	ck_assert_int_eq(u.is_tls, accepted[_i].is_tls);
	ck_assert_int_eq(u.has_user, accepted[_i].has_user);
	rabbitmq_config_url_release(&u);
}
END_TEST

static const char *const refused[] = {
	"",
	"host",
	"http://secret@host",
	"amqp://u:secret@more@host",
	"amqp://u:sec/ret@host",
	"amqp://u:secret%zz@host",
	"amqp://u:secret@host:port",
	"amqp://u:secret@host:0",
	"amqp://u:secret@host:65536",
	"amqp://u:secret@host/v/w",
	"amqp://u:secret@host/v?heartbeat=5",
	"amqp://u:secret@host/",
	"amqp://u:secret@[::1/v",
};

START_TEST(what_is_no_amqp_uri_is_refused_without_quoting_it)
{
	struct rabbitmq_url u;
	struct error err;

	ck_assert_int_eq(rabbitmq_config_url(&u, refused[_i], &err), -1);
	ck_assert_int_eq(err.kind, ERROR_CONFIG);
	ck_assert_ptr_null(strstr(err.text, "secret"));
	ck_assert_ptr_null(strstr(err.text, "ret@"));
}
END_TEST

static char plain[] = "amqp://one", tls[] = "amqps://one", wrong[] = "amqp:/two";

START_TEST(the_check_names_the_url_that_is_wrong)
{
	char *urls[] = {plain, wrong};
	struct rabbitmq_config c = {.urls = {urls, 2}, .tls.verify = true};
	struct error err;

	ck_assert_int_eq(rabbitmq_config_check(&c, &err), -1);
	ck_assert_ptr_nonnull(strstr(err.text, "broker.urls[1]"));
	c.urls.count = 1;
	ck_assert_int_eq(rabbitmq_config_check(&c, &err), 0);
	c.urls.count = 0;
	ck_assert_int_eq(rabbitmq_config_check(&c, &err), -1);
}
END_TEST

START_TEST(tls_settings_without_tls_are_refused)
{
	char *urls[] = {plain};
	struct rabbitmq_config c = {.urls = {urls, 1},
				    .tls = {.ca_file = "x", .verify = true}};
	struct error err;

	ck_assert_int_eq(rabbitmq_config_check(&c, &err), -1);
	ck_assert_ptr_nonnull(strstr(err.text, "nothing would be encrypted"));
	c.tls.ca_file = NULL;
	c.tls.verify = false;
	ck_assert_int_eq(rabbitmq_config_check(&c, &err), -1);
}
END_TEST

START_TEST(tls_files_must_be_readable)
{
	char *urls[] = {tls};
	struct rabbitmq_config c = {.urls = {urls, 1}, .tls = {.verify = true}};
	struct error err;

	ck_assert_int_eq(rabbitmq_config_check(&c, &err), 0);
	c.tls.ca_file = "/nowhere/ca.pem";
	ck_assert_int_eq(rabbitmq_config_check(&c, &err), -1);
	ck_assert_int_eq(err.kind, ERROR_CONFIG);
	ck_assert_ptr_nonnull(strstr(err.text, "broker.tls: CA file /nowhere/ca.pem: "));
	c.tls.ca_file = NULL;
	c.tls.key_file = "/nowhere/key.pem";
	ck_assert_int_eq(rabbitmq_config_check(&c, &err), -1);
	ck_assert_ptr_nonnull(strstr(err.text, "without a certificate file"));
}
END_TEST

START_TEST(every_option_row_has_help_and_a_place_in_the_struct)
{
	for (const struct option *o = rabbitmq_config_options; o->key; o++) {
		ck_assert_msg(o->help != NULL, "%s", o->key);
		ck_assert_uint_lt(o->offset, sizeof(struct rabbitmq_config));
		ck_assert_int_eq(o->type == OPTION_ROWS, o->rows != NULL);
	}
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("rabbitmq_config");
	TCase *cases = tcase_create("config");

	tcase_add_loop_test(cases, an_amqp_uri_is_read_as_rabbitmq_defines_it, 0,
			    sizeof(accepted) / sizeof(accepted[0]));
	tcase_add_loop_test(cases, what_is_no_amqp_uri_is_refused_without_quoting_it, 0,
			    sizeof(refused) / sizeof(refused[0]));
	tcase_add_test(cases, the_check_names_the_url_that_is_wrong);
	tcase_add_test(cases, tls_settings_without_tls_are_refused);
	tcase_add_test(cases, tls_files_must_be_readable);
	tcase_add_test(cases, every_option_row_has_help_and_a_place_in_the_struct);
	suite_add_tcase(suite, cases);
	return suite;
}
