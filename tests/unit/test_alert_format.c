#include "monitor/alert_format.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit/unit.h"

#define AT_MS   5000000
#define WALL_MS INT64_C(1790000000000) /* 2026-09-21T14:13:20Z */

static struct alert_message m;
static json_t *body;

static void setup(void)
{
	memset(&m, 0, sizeof(m));
	m.at_ms = AT_MS;
	body = NULL;
}

static void teardown(void)
{
	json_decref(body);
}

static void add_alert(struct alert alert)
{
	m.alerts[m.count++] = alert;
}

static void add_failed(uint64_t rows, uint64_t total)
{
	add_alert((struct alert){.kind = ALERT_ROWS_FAILED,
				 .is_firing = true,
				 .since_ms = AT_MS - 5000,
				 .rows = rows,
				 .rows_total = total});
}

static void add_example(int64_t id)
{
	struct report_row *row = &m.examples[m.example_count++];

	*row = (struct report_row){.id = id,
				   .exchange = "shop",
				   .routing_key = "order.created",
				   .reason = "returned: 312 NO_ROUTE",
				   .try_count = 3};
	snprintf(row->message_id, sizeof(row->message_id), "order-%d", (int)id);
}

static const char *get(json_t *o, const char *key)
{
	const char *text = json_string_value(json_object_get(o, key));

	ck_assert_msg(text != NULL, "no %s", key);
	return text;
}

static json_t *write_as(enum alerts_format format)
{
	char *text = alert_format_write(format, &m, "web-1", WALL_MS);

	ck_assert_ptr_nonnull(text);
	json_decref(body);
	body = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	ck_assert_msg(body != NULL, "no JSON: %s", text);
	free(text);
	return body;
}

/* --- what is said of each --- */

static const struct {
	struct alert alert;
	const char *status, *summary;
} said[] = {
	{{.kind = ALERT_ROWS_FAILED, .is_firing = true, .rows = 1, .rows_total = 1},
	 "firing",
	 "1 row failed"},
	{{.kind = ALERT_ROWS_FAILED, .is_firing = true, .rows = 7, .rows_total = 17},
	 "firing",
	 "7 rows failed, 17 in all"},
	{{.kind = ALERT_ROWS_FAILED, .is_firing = true, .rows = 0, .rows_total = 17},
	 "firing",
	 "no more rows fail; 17 did"},
	{{.kind = ALERT_ROWS_FAILED, .rows = 2, .rows_total = 2},
	 "firing",
	 "2 rows failed"},
	{{.kind = ALERT_ROWS_FAILED, .rows_total = 17},
	 "resolved",
	 "no more rows fail; 17 did"},
	{{.kind = ALERT_OLDEST_DUE, .is_firing = true, .since_ms = AT_MS - 1260000},
	 "firing",
	 "a row has been due for 21 min"},
	{{.kind = ALERT_OLDEST_DUE}, "resolved", "no row is overdue any more"},
	{{.kind = ALERT_DATABASE_DOWN,
	  .is_firing = true,
	  .since_ms = AT_MS - 75900,
	  .error = "connection refused"},
	 "firing",
	 "the database has been down for 75 s: connection refused"},
	{{.kind = ALERT_DATABASE_DOWN,
	  .since_ms = AT_MS - 900000,
	  .until_ms = AT_MS - 600000,
	  .error = "connection refused"},
	 "resolved",
	 "the database is up again after 5 min"},
	{{.kind = ALERT_BROKER_DOWN,
	  .is_firing = true,
	  .since_ms = AT_MS - 7200000,
	  .error = ""},
	 "firing",
	 "the broker has been down for 2 h"},
	{{.kind = ALERT_BROKER_BLOCKED,
	  .is_firing = true,
	  .since_ms = AT_MS - 60000,
	  .error = "low on memory"},
	 "firing",
	 "the broker has taken no messages for 60 s: low on memory"},
	{{.kind = ALERT_BROKER_BLOCKED, .since_ms = AT_MS - 61000, .until_ms = AT_MS},
	 "resolved",
	 "the broker takes messages again after 61 s"},
	{{.kind = ALERT_DESTINATION_PARKED,
	  .is_firing = true,
	  .exchange = "shop",
	  .error = "404 NOT_FOUND"},
	 "firing",
	 "shop, any routing key, is parked: 404 NOT_FOUND"},
	{{.kind = ALERT_DESTINATION_PARKED,
	  .since_ms = AT_MS - 3000,
	  .until_ms = AT_MS,
	  .has_key = true,
	  .routing_key = "order.created"},
	 "resolved",
	 "(default exchange), routing key order.created, is no longer parked, after 3 s"},
};

START_TEST(each_alert_is_said_in_a_line)
{
	json_t *o;

	add_alert(said[_i].alert);
	o = json_array_get(json_object_get(write_as(ALERTS_GENERIC), "alerts"), 0);
	ck_assert_str_eq(get(o, "summary"), said[_i].summary);
	ck_assert_str_eq(get(o, "status"), said[_i].status);
	ck_assert_str_eq(get(body, "status"), said[_i].status);
}
END_TEST

/* --- generic --- */

START_TEST(the_generic_message_has_numbers_times_and_examples)
{
	json_t *o, *e;

	add_failed(120, 10120);
	add_example(7);
	add_example(6);
	write_as(ALERTS_GENERIC);
	ck_assert_int_eq(json_integer_value(json_object_get(body, "version")), 1);
	ck_assert_str_eq(get(body, "relay"), "web-1");
	ck_assert_str_eq(get(body, "at"), "2026-09-21T14:13:20.000Z");
	o = json_array_get(json_object_get(body, "alerts"), 0);
	ck_assert_str_eq(get(o, "alert"), "rows_failed");
	ck_assert_str_eq(get(o, "severity"), "critical");
	ck_assert_str_eq(get(o, "since"), "2026-09-21T14:13:15.000Z");
	ck_assert_ptr_null(json_object_get(o, "until"));
	ck_assert_int_eq(json_integer_value(json_object_get(o, "rows")), 120);
	ck_assert_int_eq(json_integer_value(json_object_get(o, "rows_total")), 10120);
	ck_assert_uint_eq(json_array_size(json_object_get(o, "examples")), 2);
	e = json_array_get(json_object_get(o, "examples"), 0);
	ck_assert_int_eq(json_integer_value(json_object_get(e, "id")), 7);
	ck_assert_str_eq(get(e, "message_id"), "order-7");
	ck_assert_str_eq(get(e, "exchange"), "shop");
	ck_assert_str_eq(get(e, "routing_key"), "order.created");
	ck_assert_str_eq(get(e, "error"), "returned: 312 NO_ROUTE");
	ck_assert_int_eq(json_integer_value(json_object_get(e, "attempts")), 3);
}
END_TEST

START_TEST(the_generic_message_names_what_is_parked_and_why_something_is_down)
{
	json_t *list, *o;

	add_alert(said[12].alert);
	add_alert(said[13].alert);
	add_alert(said[7].alert);
	list = json_object_get(write_as(ALERTS_GENERIC), "alerts");
	ck_assert_str_eq(get(body, "status"), "firing");
	o = json_array_get(list, 0);
	ck_assert_str_eq(get(o, "alert"), "destination_parked");
	ck_assert_str_eq(get(o, "exchange"), "shop");
	ck_assert_str_eq(get(o, "error"), "404 NOT_FOUND");
	ck_assert(json_is_null(json_object_get(o, "routing_key")));
	o = json_array_get(list, 1);
	ck_assert_str_eq(get(o, "routing_key"), "order.created");
	ck_assert_str_eq(get(o, "until"), "2026-09-21T14:13:20.000Z");
	ck_assert_str_eq(get(json_array_get(list, 2), "error"), "connection refused");
}
END_TEST

/* --- Slack --- */

START_TEST(the_slack_message_is_one_text_with_a_line_an_alert_and_example)
{
	add_failed(2, 2);
	add_example(7);
	add_example(6);
	add_alert(said[8].alert);
	write_as(ALERTS_SLACK);
	ck_assert_uint_eq(json_object_size(body), 1);
	ck_assert_str_eq(get(body, "text"),
			 "outbox-relay web-1\n"
			 "FIRING: 2 rows failed\n"
			 "    id 7, message-id order-7, to shop with order.created: "
			 "returned: 312 NO_ROUTE\n"
			 "    id 6, message-id order-6, to shop with order.created: "
			 "returned: 312 NO_ROUTE\n"
			 "resolved: the database is up again after 5 min");
}
END_TEST

/* Whoever may insert a row may not call a whole channel. */
START_TEST(names_cannot_mention_a_channel_in_slack)
{
	add_failed(1, 1);
	add_example(7);
	snprintf(m.examples[0].routing_key, sizeof(m.examples[0].routing_key),
		 "<!channel> & <https://x|y>");
	write_as(ALERTS_SLACK);
	ck_assert_ptr_null(strchr(get(body, "text"), '<'));
	ck_assert_ptr_nonnull(
		strstr(get(body, "text"), "with &lt;!channel&gt; &amp; &lt;https:"));
}
END_TEST

/* Everything as long as it can be, and each character five. */
static void fill_up(char byte)
{
	for (int i = 0; i < ALERTS_MAX; i++) {
		struct alert *a = &m.alerts[m.count++];

		*a = (struct alert){.kind = i == 0 ? ALERT_ROWS_FAILED
						   : ALERT_DESTINATION_PARKED,
				    .is_firing = true,
				    .has_key = true,
				    .rows = UINT64_MAX,
				    .rows_total = UINT64_MAX};
		memset(a->error, byte, sizeof(a->error) - 1);
		memset(a->exchange, byte, sizeof(a->exchange) - 1);
		memset(a->routing_key, byte, sizeof(a->routing_key) - 1);
	}
	for (int i = 0; i < REPORT_LATEST; i++) {
		struct report_row *row = &m.examples[m.example_count++];

		row->id = INT64_MAX;
		memset(row->message_id, byte, sizeof(row->message_id) - 1);
		memset(row->exchange, byte, sizeof(row->exchange) - 1);
		memset(row->routing_key, byte, sizeof(row->routing_key) - 1);
		memset(row->reason, byte, sizeof(row->reason) - 1);
	}
}

START_TEST(the_slack_message_stays_below_what_slack_shows)
{
	const char *text;

	fill_up('&');
	text = get(write_as(ALERTS_SLACK), "text");
	ck_assert_uint_lt(strlen(text), 4000);
	ck_assert_ptr_nonnull(strstr(text, " more"));
	for (; (text = strchr(text, '&')); text++)
		ck_assert_int_eq(strncmp(text, "&amp;", 5), 0);
}
END_TEST

/* --- Alertmanager --- */

START_TEST(alertmanager_gets_a_list_of_labels_annotations_and_times)
{
	json_t *o, *labels;

	add_failed(2, 2);
	add_example(7);
	add_alert(said[12].alert);
	add_alert(said[13].alert);
	write_as(ALERTS_ALERTMANAGER);
	ck_assert_uint_eq(json_array_size(body), 3);
	o = json_array_get(body, 0);
	labels = json_object_get(o, "labels");
	ck_assert_uint_eq(json_object_size(labels), 3);
	ck_assert_str_eq(get(labels, "alertname"), "OutboxRelayRowsFailed");
	ck_assert_str_eq(get(labels, "relay"), "web-1");
	ck_assert_str_eq(get(labels, "severity"), "critical");
	ck_assert_str_eq(get(json_object_get(o, "annotations"), "summary"),
			 "2 rows failed");
	ck_assert_ptr_nonnull(
		strstr(get(json_object_get(o, "annotations"), "description"), "id 7, "));
	ck_assert_str_eq(get(o, "startsAt"), "2026-09-21T14:13:15.000Z");
	ck_assert_str_eq(get(o, "endsAt"), "2026-09-21T14:17:20.000Z");
	labels = json_object_get(json_array_get(body, 1), "labels");
	ck_assert_str_eq(get(labels, "exchange"), "shop");
	ck_assert_ptr_null(json_object_get(labels, "routing_key"));
	o = json_array_get(body, 2);
	ck_assert_str_eq(get(json_object_get(o, "labels"), "routing_key"),
			 "order.created");
	ck_assert_str_eq(get(o, "endsAt"), "2026-09-21T14:13:20.000Z");
}
END_TEST

/* Alertmanager knows an alert by its labels: they must not change while it fires. */
START_TEST(labels_of_an_alert_are_the_same_when_it_is_resolved)
{
	for (int i = 0; i < (int)(sizeof(said) / sizeof(said[0])); i++) {
		json_t *firing;

		m.count = 0;
		add_alert(said[i].alert);
		m.alerts[0].is_firing = true;
		firing = json_deep_copy(
			json_object_get(json_array_get(write_as(ALERTS_ALERTMANAGER), 0),
					"labels"));
		m.alerts[0].is_firing = false;
		m.alerts[0].error[0] = '\0';
		m.alerts[0].rows = 0;
		write_as(ALERTS_ALERTMANAGER);
		ck_assert(json_equal(firing,
				     json_object_get(json_array_get(body, 0), "labels")));
		json_decref(firing);
	}
}
END_TEST

/* --- all --- */

static const enum alerts_format formats[] = {ALERTS_GENERIC, ALERTS_SLACK,
					     ALERTS_ALERTMANAGER};

START_TEST(names_that_are_no_utf_8_do_not_spoil_the_message)
{
	char *text;

	add_failed(1, 1);
	add_example(7);
	snprintf(m.examples[0].exchange, sizeof(m.examples[0].exchange), "caf\xe9");
	add_alert(said[12].alert);
	snprintf(m.alerts[1].exchange, sizeof(m.alerts[1].exchange), "\xff\xfe");
	text = json_dumps(write_as(formats[_i]), 0);
	ck_assert_ptr_nonnull(strstr(text, "caf?"));
	ck_assert_ptr_nonnull(strstr(text, "??"));
	free(text);
}
END_TEST

START_TEST(the_longest_message_is_whole)
{
	fill_up('\xff');
	write_as(formats[_i]);
	m.count = m.example_count = 0;
	fill_up('"');
	write_as(formats[_i]);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("alert_format");
	TCase *tc = tcase_create("alert_format");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, each_alert_is_said_in_a_line, 0,
			    sizeof(said) / sizeof(said[0]));
	tcase_add_test(tc, the_generic_message_has_numbers_times_and_examples);
	tcase_add_test(
		tc, the_generic_message_names_what_is_parked_and_why_something_is_down);
	tcase_add_test(tc,
		       the_slack_message_is_one_text_with_a_line_an_alert_and_example);
	tcase_add_test(tc, names_cannot_mention_a_channel_in_slack);
	tcase_add_test(tc, the_slack_message_stays_below_what_slack_shows);
	tcase_add_test(tc, alertmanager_gets_a_list_of_labels_annotations_and_times);
	tcase_add_test(tc, labels_of_an_alert_are_the_same_when_it_is_resolved);
	tcase_add_loop_test(tc, names_that_are_no_utf_8_do_not_spoil_the_message, 0, 3);
	tcase_add_loop_test(tc, the_longest_message_is_whole, 0, 3);
	suite_add_tcase(suite, tc);
	return suite;
}
