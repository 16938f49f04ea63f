#include "config/config.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buffer.h"
#include "broker/rabbitmq_config.h"
#include "config/file.h"
#include "config/table.h"
#include "unit/unit.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define SAMPLE       "config/outbox-relay.yaml"

/* A driver with a row of every kind. */
struct fake {
	struct string_list urls;
	struct secret_file password;
	char *token;
	char *ca_file;
	bool verify;
	struct row_list queues;
	struct setting_map extra;
};

struct fake_queue {
	char *name;
	bool durable;
	struct setting_map arguments;
};

#define QUEUE(member) offsetof(struct fake_queue, member)
#define FAKE(member)  offsetof(struct fake, member)

static const struct option queue_rows[] = {
	{.key = "name",
	 .type = OPTION_STRING,
	 .flags = OPTION_REQUIRED,
	 .offset = QUEUE(name)},
	{.key = "durable",
	 .type = OPTION_BOOL,
	 .offset = QUEUE(durable),
	 .fallback = "true"},
	{.key = "arguments", .type = OPTION_MAP, .offset = QUEUE(arguments)},
	{.key = NULL},
};

static const struct option fake_options[] = {
	{.key = "urls",
	 .type = OPTION_STRINGS,
	 .flags = OPTION_REQUIRED | OPTION_URL,
	 .offset = FAKE(urls)},
	{.key = "password_file",
	 .type = OPTION_STRING,
	 .flags = OPTION_FILE,
	 .offset = FAKE(password)},
	{.key = "token",
	 .type = OPTION_STRING,
	 .flags = OPTION_SECRET,
	 .offset = FAKE(token),
	 .max = 8},
	{.key = "tls.ca_file", .type = OPTION_STRING, .offset = FAKE(ca_file)},
	{.key = "tls.verify",
	 .type = OPTION_BOOL,
	 .offset = FAKE(verify),
	 .fallback = "true"},
	{.key = "topology.queues",
	 .type = OPTION_ROWS,
	 .offset = FAKE(queues),
	 .rows = queue_rows,
	 .row_size = sizeof(struct fake_queue)},
	{.key = "extra", .type = OPTION_MAP, .offset = FAKE(extra)},
	{.key = NULL},
};

static int fake_check(const void *config, struct error *err)
{
	const struct fake *f = config;

	if (strncmp(f->urls.items[0], "bad", 3) == 0)
		return error_set(err, ERROR_CONFIG, "broker.urls[0]: not a URL");
	if (!f->verify)
		return error_set(err, ERROR_CONFIG, "broker.tls: not without a check");
	return 0;
}

static const struct config_driver drivers[] = {
	{"rabbitmq", fake_options, sizeof(struct fake), fake_check},
	{"pigeon", queue_rows, sizeof(struct fake_queue), NULL},
	{.name = NULL},
};

static const char *folder;
static char path[300];
static char secret_path[300];

static void write_file(const char *name, const char *content)
{
	FILE *file = fopen(name, "w");

	ck_assert_ptr_nonnull(file);
	fputs(content, file);
	fclose(file);
}

static void set_up(void)
{
	folder = unit_folder();
	snprintf(path, sizeof(path), "%s/relay.yaml", folder);
	snprintf(secret_path, sizeof(secret_path), "%s/secret", folder);
	write_file(secret_path, "from the file\n");
	setenv("SECRET_FILE", secret_path, 1);
	setenv("CANARY", "hunter2", 1);
	setenv("BATCH", "10", 1);
	setenv("NOTHING", "", 1);
	unsetenv("UNSET");
}

static void tear_down(void)
{
	unlink(path);
	unlink(secret_path);
	rmdir(folder);
}

static struct config *load(const char *text, struct error *err)
{
	write_file(path, text);
	return config_load(path, drivers, NULL, err);
}

/* The text is accepted, given the one key that must be set. */
static struct config *accept(const char *text)
{
	struct error err;
	struct config *c = load(text, &err);

	ck_assert_msg(c != NULL, "%s", err.text);
	return c;
}

static const char *after_path(const struct error *err)
{
	ck_assert_msg(strncmp(err->text, path, strlen(path)) == 0, "%s", err->text);
	return err->text + strlen(path) + 1;
}

#define URLS "broker: {urls: [amqp://h]}\n"

static const struct {
	const char *text;
	const char *error; /* behind "path:" */
} refused[] = {
	/* keys */
	{"", "1:1: broker.urls: must be set"},
	{"broker:\n  kind: rabbitmq\n", "1:1: broker.urls: must be set"},
	{"log: {}\nbroker:\n", "2:1: broker.urls: must be set"},
	{"broker:\n  urls: []\n", "2:9: broker.urls: must not be empty"},
	{"relay:\n  bach_size: 5\n",
	 "2:3: relay.bach_size: unknown key, did you mean relay.batch_size?"},
	{"relay:\n  speed_limit: 5\n", "2:3: relay.speed_limit: unknown key"},
	{"databse:\n  url: x\n", "1:1: databse: unknown key, did you mean database?"},
	{"retry:\n  lease: 5s\n",
	 "2:3: retry.lease: unknown key, did you mean relay.lease?"},
	{"broker:\n  tsl:\n    verify: false\n",
	 "2:3: broker.tsl: unknown key, did you mean broker.tls?"},
	{"broker:\n  tls:\n    verfy: false\n",
	 "3:5: broker.tls.verfy: unknown key, did you mean broker.tls.verify?"},
	{"broker:\n  verify: false\n",
	 "2:3: broker.verify: unknown key, did you mean broker.tls.verify?"},
	{"lag: {}\n", "1:1: lag: unknown key, did you mean log?"},
	{"lab: {}\n", "1:1: lab: unknown key"},
	{"data: {}\n", "1:1: data: unknown key"},
	{"alarms:\n  url: x\n", "1:1: alarms: unknown key, did you mean alerts?"},
	{"relay.lease: 5s\n",
	 "1:1: relay.lease: unknown key; sections are nested lines, not dots"},
	{"database:\n  postgresql://u:hunter2@h/x: 1\n",
	 "2:3: database.(not a key): unknown key"},
	{"broker: {kind: pigeon, name: x, urls: [a]}\n",
	 "1:33: broker.urls: unknown key"},
	{"relay: 5\n", "1:8: relay: must be a section (indented \"key: value\" lines)"},
	{"broker:\n  tls: [a]\n",
	 "2:8: broker.tls: must be a section (indented \"key: value\" lines)"},
	/* scalars */
	{"relay:\n  batch_size: 0\n",
	 "2:15: relay.batch_size: 0 is out of range 1 to 16384"},
	{"relay:\n  batch_size: -1\n",
	 "2:15: relay.batch_size: -1 is out of range 1 to 16384"},
	{"relay:\n  batch_size: many\n",
	 "2:15: relay.batch_size: \"many\" is not a whole number"},
	{"relay:\n  batch_size:\n",
	 "2:14: relay.batch_size: has no value; leave the key out for its default"},
	{"relay:\n  batch_size: ~\n",
	 "2:15: relay.batch_size: has no value; leave the key out for its default"},
	{"relay:\n  batch_size: ''\n", "2:15: relay.batch_size: is not a whole number"},
	{"relay:\n  batch_size: [1]\n", "2:15: relay.batch_size: must be a single value"},
	{"relay:\n  lease: 30\n",
	 "2:10: relay.lease: 30 is not a duration such as 500ms, 5s, 2m, 1h or 7d"},
	{"relay:\n  lease: 1s\n", "2:10: relay.lease: 1s is out of range 2s to 1h"},
	{"relay:\n  batch_bytes: 1MB\n",
	 "2:16: relay.batch_bytes: 1MB is not a size such as 512B, 64KiB, 4MiB or 1GiB"},
	{"relay:\n  wake: bell\n",
	 "2:9: relay.wake: \"bell\" is not one of doorbell, poll"},
	{"retry:\n  count_outages: yes\n",
	 "2:18: retry.count_outages: \"yes\" is neither true nor false"},
	{"retry:\n  multiplier: 0.5\n",
	 "2:15: retry.multiplier: 0.5 is out of range 1 to 100"},
	{"database:\n  schema: ''\n", "2:11: database.schema: must not be empty"},
	/* secrets stay out */
	{"relay:\n  wake: amqp://u:hunter2@h\n",
	 "2:9: relay.wake: \"amqp://u:***@h\" is not one of doorbell, poll"},
	{"relay:\n  batch_size: ${CANARY}\n",
	 "2:15: relay.batch_size: \"${CANARY}\" is not a whole number"},
	{"database:\n  password_file: ${CANARY}\n",
	 "2:18: database.password_file: ${CANARY}: No such file or directory"},
	{"database:\n  password_file: amqp://u:hunter2@h\n",
	 "2:18: database.password_file: amqp://u:***@h: No such file or directory"},
	{"database:\n  url: [postgresql://u:hunter2@h]\n",
	 "2:8: database.url: must be a single value"},
	{"broker:\n  token: hunter2hunter2\n",
	 "2:10: broker.token: must be 0 to 8 bytes long"},
	{"alerts:\n  webhook:\n    format: https://h/hunter2\n",
	 "3:13: alerts.webhook.format: \"https://h/***\" is not one of generic, slack, "
	 "alertmanager"},
	{"alerts:\n  webhook: https://h/hunter2\n",
	 "2:12: alerts.webhook: must be a section (indented \"key: value\" lines)"},
	{"alerts:\n  webhook: {url_file: https://h/hunter2}\n",
	 "2:23: alerts.webhook.url_file: https://h/***: No such file or directory"},
	{"broker:\n  urls: amqp://u:hunter2@h\n",
	 "2:9: broker.urls: must be a list ([a, b], or lines with \"- \")"},
	{"broker:\n  extra: {amqp://u:hunter2@h: []}\n",
	 "2:31: broker.extra.(not a key): must be a single value"},
	{"broker:\n  kind: hunter2\n",
	 "2:3: broker.kind: must be one of rabbitmq, pigeon"},
	{"broker:\n  kind: [x]\n", "2:9: broker.kind: must be a single value"},
	/* environment and files */
	{"relay:\n  name: a${UNSET}\n",
	 "2:9: relay.name: the environment variable UNSET is not set"},
	{"broker:\n  urls: [a, '${UNSET}']\n",
	 "2:13: broker.urls[1]: the environment variable UNSET is not set"},
	{"database:\n  password_file: /nowhere/x\n",
	 "2:18: database.password_file: /nowhere/x: No such file or directory"},
	{"database:\n  password_file: /proc\n",
	 "2:18: database.password_file: /proc: is a directory"},
	{"database:\n  password_file: ''\n",
	 "2:18: database.password_file: must not be empty"},
	/* lists, maps, rows */
	{"broker:\n  urls: [[a]]\n", "2:10: broker.urls[0]: must be a single value"},
	{"broker:\n  urls: [a, '']\n", "2:13: broker.urls: must not have empty items"},
	{"broker:\n  urls:\n  - a\n  -\n",
	 "4:4: broker.urls[1]: has no value; leave the key out for its default"},
	{"broker:\n  extra: x\n",
	 "2:10: broker.extra: must be a map ({name: value}, or lines of it)"},
	{"broker:\n  extra: {a: 9223372036854775808}\n",
	 "2:14: broker.extra.a: 9223372036854775808 is out of range"},
	{"broker:\n  topology:\n    queues: {name: x}\n",
	 "3:13: broker.topology.queues: must be a list ([a, b], or lines with \"- \")"},
	{"broker:\n  topology:\n    queues:\n    - name: x\n    - y\n",
	 "5:7: broker.topology.queues[1]: must be a map ({key: value}, or lines of it)"},
	{"broker:\n  topology:\n    queues:\n    - durable: true\n",
	 "4:7: broker.topology.queues[0].name: must be set"},
	{"broker:\n  topology:\n    queues:\n    - name: ''\n",
	 "4:13: broker.topology.queues[0].name: must not be empty"},
	{"broker:\n  topology:\n    queues:\n    - name: x\n      durible: true\n",
	 "5:7: broker.topology.queues[0].durible: unknown key, did you mean durable?"},
	{"broker:\n  topology:\n    queues:\n    - name: x\n      durable: 1\n",
	 "5:16: broker.topology.queues[0].durable: 1 is neither true nor false"},
	{"broker:\n  topology:\n    queues:\n    - name: x\n      arguments: {a: []}\n",
	 "5:22: broker.topology.queues[0].arguments.a: must be a single value"},
	/* what no single key can tell */
	{URLS "database:\n  pooling: transaction\n",
	 "3:3: database.pooling: database.pooling: transaction needs relay.wake: poll, "
	 "since "
	 "the doorbell's LISTEN and lock live in a session, which such a pooler does not "
	 "keep"},
	{URLS "relay:\n  wake: doorbell\ndatabase:\n  pooling: transaction\n",
	 "3:3: relay.wake: database.pooling: transaction needs relay.wake: poll, since "
	 "the doorbell's LISTEN and lock live in a session, which such a pooler does not "
	 "keep"},
	{URLS "retry:\n  first_delay: 1h\n",
	 "3:3: retry.first_delay: retry.max_delay is shorter than retry.first_delay"},
	{URLS "retry:\n  max_delay: 1s\n",
	 "3:3: retry.max_delay: retry.max_delay is shorter than retry.first_delay"},
	{URLS "relay:\n  name: \"a\\tb\"\n", "3:3: relay.name: must be printable ASCII, "
					     "since PostgreSQL's application_name is"},
	{URLS "relay:\n  name: \"\\x7f\"\n", "3:3: relay.name: must be printable ASCII, "
					     "since PostgreSQL's application_name is"},
	{URLS "relay:\n  name: \xc3\xa4\n", "3:3: relay.name: must be printable ASCII, "
					    "since PostgreSQL's application_name is"},
	{"broker:\n  urls: [bad]\n", "2:3: broker.urls[0]: not a URL"},
	{"broker:\n  urls: [a]\n  tls: {verify: false}\n",
	 "3:3: broker.tls: not without a check"},
	/* syntax */
	{"relay:\n  lease: 5s\n  lease: 6s\n",
	 "3:3: lease: duplicate key, first seen in line 2"},
};

START_TEST(what_is_wrong_is_named_with_its_line_and_column)
{
	struct error err = {0};

	ck_assert_ptr_null(load(refused[_i].text, &err));
	ck_assert_str_eq(after_path(&err), refused[_i].error);
	ck_assert_int_eq(err.kind, ERROR_CONFIG);
	ck_assert_ptr_null(strstr(err.text, "hunter2"));
}
END_TEST

START_TEST(a_missing_file_is_named)
{
	struct error err;

	ck_assert_ptr_null(config_load("/nowhere/relay.yaml", drivers, NULL, &err));
	ck_assert_str_eq(err.text, "/nowhere/relay.yaml: No such file or directory");
	config_free(NULL);
}
END_TEST

START_TEST(a_default_kind_without_its_driver_is_refused)
{
	static const struct config_driver others[] = {{"pigeon", queue_rows,
						       sizeof(struct fake_queue), NULL},
						      {.name = NULL}};
	struct error err;

	write_file(path, "relay:\n");
	ck_assert_ptr_null(config_load(path, others, NULL, &err));
	ck_assert_str_eq(after_path(&err), "1:1: broker.kind: must be one of pigeon");
}
END_TEST

START_TEST(every_key_reaches_its_member)
{
	struct config *c = accept(
		"database: {url: host=h, schema: s, pooling: transaction, "
		"connect_timeout: 7s,\n"
		"  statement_timeout: 8s, lock_timeout: 9s, password_file: "
		"'${SECRET_FILE}',\n"
		"  tls: {ca_file: ca, cert_file: cert, key_file: key, verify: false}}\n"
		"broker: {urls: [a, b], connect_timeout: 11s, confirm_timeout: 12s,\n"
		"  max_in_flight: 13}\n"
		"relay: {name: n, poll_interval: 14ms, wake: poll, batch_size: "
		"'${BATCH}',\n"
		"  batch_bytes: 65KiB, max_message_bytes: 2KiB, lease: 15s, on_sent: "
		"delete,\n"
		"  shutdown_timeout: 16s}\n"
		"retry: {max_attempts: 17, first_delay: 18ms, multiplier: 1.5, "
		"max_delay: 19s,\n"
		"  jitter: 21, count_outages: true}\n"
		"log: {level: error, format: json}\n");

	ck_assert_str_eq(c->database.url, "host=h");
	ck_assert_str_eq(c->database.password.text, "from the file");
	ck_assert_str_eq(c->database.tls.ca_file, "ca");
	ck_assert_str_eq(c->database.tls.cert_file, "cert");
	ck_assert_str_eq(c->database.tls.key_file, "key");
	ck_assert(!c->database.tls.verify);
	ck_assert_str_eq(c->database.schema, "s");
	ck_assert_int_eq(c->database.pooling, POOLING_TRANSACTION);
	ck_assert_int_eq(c->database.connect_timeout_ms, 7000);
	ck_assert_int_eq(c->database.statement_timeout_ms, 8000);
	ck_assert_int_eq(c->database.lock_timeout_ms, 9000);
	ck_assert_int_eq(c->broker.connect_timeout_ms, 11000);
	ck_assert_int_eq(c->broker.confirm_timeout_ms, 12000);
	ck_assert_int_eq(c->broker.max_in_flight, 13);
	ck_assert_str_eq(c->relay.name, "n");
	ck_assert_int_eq(c->relay.poll_interval_ms, 14);
	ck_assert_int_eq(c->relay.wake, WAKE_POLL);
	ck_assert_int_eq(c->relay.batch_size, 10);
	ck_assert_int_eq(c->relay.batch_bytes, 65 * 1024);
	ck_assert_int_eq(c->relay.max_message_bytes, 2048);
	ck_assert_int_eq(c->relay.lease_ms, 15000);
	ck_assert_int_eq(c->relay.on_sent, ON_SENT_DELETE);
	ck_assert_int_eq(c->relay.shutdown_timeout_ms, 16000);
	ck_assert_int_eq(c->retry.max_attempts, 17);
	ck_assert_int_eq(c->retry.first_delay_ms, 18);
	ck_assert(c->retry.multiplier > 1.49 && c->retry.multiplier < 1.51);
	ck_assert_int_eq(c->retry.max_delay_ms, 19000);
	ck_assert_int_eq(c->retry.jitter_percent, 21);
	ck_assert(c->retry.count_outages);
	ck_assert_int_eq(c->log.level, LOG_LEVEL_ERROR);
	ck_assert_int_eq(c->log.format, LOG_FORMAT_JSON);
	config_free(c);
}
END_TEST

START_TEST(the_driver_gets_its_own_keys)
{
	struct config *c = accept("broker:\n"
				  "  kind: rabbitmq\n"
				  "  urls: ['amqp://u:${CANARY}@h']\n"
				  "  tls:\n"
				  "    ca_file: /ca\n"
				  "  topology:\n"
				  "    queues:\n"
				  "    - name: one\n"
				  "    - {name: two, durable: false,\n"
				  "       arguments: {limit: -5, on: true, off: false,\n"
				  "                   text: '5', from: '${BATCH}',\n"
				  "                   a.b/c: x}}\n"
				  "  extra: {n: '${BATCH}'}\n");
	const struct fake *f = c->driver_config;
	const struct fake_queue *queues = f->queues.items;
	const struct setting *s = queues[1].arguments.items;

	ck_assert_int_eq(c->driver, 0);
	ck_assert_str_eq(f->urls.items[0], "amqp://u:hunter2@h");
	ck_assert_str_eq(f->ca_file, "/ca");
	ck_assert(f->verify);
	ck_assert_int_eq(f->queues.count, 2);
	ck_assert_str_eq(queues[0].name, "one");
	ck_assert(queues[0].durable);
	ck_assert_str_eq(queues[1].name, "two");
	ck_assert(!queues[1].durable);
	ck_assert_int_eq(queues[1].arguments.count, 6);
	ck_assert_int_eq(s[0].kind, SETTING_INT);
	ck_assert_int_eq(s[0].number, -5);
	ck_assert_int_eq(s[1].kind, SETTING_BOOL);
	ck_assert_int_eq(s[1].number, 1);
	ck_assert_int_eq(s[2].kind, SETTING_BOOL);
	ck_assert_int_eq(s[2].number, 0);
	ck_assert_int_eq(s[3].kind, SETTING_STRING);
	ck_assert_str_eq(s[3].text, "5");
	ck_assert_int_eq(s[4].kind, SETTING_STRING);
	ck_assert_str_eq(s[4].text, "10");
	ck_assert_str_eq(s[5].name, "a.b/c");
	ck_assert_str_eq(s[5].text, "x");
	config_free(c);
}
END_TEST

START_TEST(another_kind_brings_other_keys)
{
	struct config *c = accept("broker: {kind: pigeon, name: coo}\n");

	ck_assert_int_eq(c->driver, 1);
	ck_assert_str_eq(((struct fake_queue *)c->driver_config)->name, "coo");
	config_free(c);
}
END_TEST

START_TEST(a_single_key_is_filled_only_when_tree_and_tables_have_it)
{
	struct fake f = {0};
	struct table tables[] = {{"", fake_options, &f}, {0}};
	static const char text[] = "token: x\nother: y\n";
	struct error err;
	struct yaml_node *root = yaml_parse("f", text, strlen(text), &err);

	ck_assert_int_eq(table_fill_key(tables, "f", root, "other", &err), 0);
	ck_assert_int_eq(table_fill_key(tables, "f", root, "extra", &err), 0);
	ck_assert_ptr_null(f.token);
	ck_assert_int_eq(table_fill_key(tables, "f", root, "token", &err), 0);
	ck_assert_str_eq(f.token, "x");
	option_release(fake_options, &f);
	yaml_node_free(root);
}
END_TEST

START_TEST(sections_with_nothing_in_them_keep_the_defaults)
{
	struct config *c = accept("database:\nrelay: {}\nretry: ~\n"
				  "broker:\n  urls: [a]\n  tls:\n");

	ck_assert_int_eq(c->relay.batch_size, 1000);
	config_free(c);
}
END_TEST

START_TEST(a_relay_without_a_name_is_called_like_its_host)
{
	struct config *c = accept(URLS);
	char host[256];

	gethostname(host, sizeof(host));
	ck_assert(strlen(c->relay.name) > 0 && strlen(c->relay.name) <= 63);
	ck_assert_int_eq(strncmp(host, c->relay.name, strlen(c->relay.name)), 0);
	config_free(c);
}
END_TEST

static void collect(void *context, const char *key, const char *value)
{
	buffer_printf(context, "%s=%s\n", key, value);
}

START_TEST(the_effective_configuration_is_complete_and_without_secrets)
{
	struct buffer out = {0};
	struct config *c = accept(
		"database: {url: 'postgresql://u:hunter2@h/db',\n"
		"  password_file: '${SECRET_FILE}'}\n"
		"broker: {urls: ['amqp://u:hunter2@h', amqp://b], token: hunter2}\n"
		"relay: {name: n}\n");

	config_print(c, collect, &out);
	buffer_text(&out);
	ck_assert_ptr_null(strstr(out.data, "hunter2"));
	ck_assert_ptr_null(strstr(out.data, "from the file"));
	ck_assert_ptr_nonnull(strstr(out.data, "database.url=postgresql://u:***@h/db\n"
					       "database.password_file=/tmp/"));
	ck_assert_ptr_nonnull(strstr(out.data, "\nrelay.name=n\nrelay.poll_interval=1s\n"
					       "relay.wake=doorbell\n"));
	ck_assert_msg(strstr(out.data, "\nbroker.urls=[amqp://u:***@h, amqp://b]\n"
				       "broker.token=***\n"
				       "broker.tls.verify=true\n") != NULL,
		      "%s", out.data);
	buffer_release(&out);
	config_free(c);
}
END_TEST

/*
 * The sample. A "#" that touches a key or a "-" hides a line, one with a space behind it
 * begins a comment: without the former, every key has to be there.
 */
static const struct config_driver real_drivers[] = {
	{"rabbitmq", rabbitmq_config_options, sizeof(struct rabbitmq_config), NULL},
	{.name = NULL},
};

static const struct table sample_tables[] = {
	{.prefix = "", .options = NULL},
	{.prefix = "broker.", .options = rabbitmq_config_options},
	{.options = NULL},
};

static bool is_hidden_line(const char *line)
{
	const char *hash = line + strspn(line, " ");

	return *hash == '#' &&
	       (islower((unsigned char)hash[1]) || (strncmp(hash, "#  ", 3) == 0));
}

static struct yaml_node *read_sample(void)
{
	struct buffer content = {0}, shown = {0};
	struct error err;
	struct yaml_node *root;

	ck_assert_msg(file_read(SAMPLE, YAML_SIZE_MAX, &content, &err) == 0, "%s",
		      err.text);
	for (char *line = (char *)buffer_text(&content); *line;) {
		size_t size = strcspn(line, "\n") + 1;

		if (is_hidden_line(line)) {
			char *hash = strchr(line, '#');

			memmove(hash, hash + 1, (size_t)(line + size - hash - 1));
			buffer_append(&shown, line, size - 1);
		} else {
			buffer_append(&shown, line, size);
		}
		line += size;
	}
	root = yaml_parse(SAMPLE, buffer_text(&shown), buffer_size(&shown), &err);
	ck_assert_msg(root != NULL, "%s", err.text);
	buffer_release(&content);
	buffer_release(&shown);
	return root;
}

static void check_option(const struct option *o, const char *key,
			 const struct yaml_node *node);

static void check_row(const struct option *rows, const char *label,
		      const struct yaml_node *row)
{
	char key[160];

	ck_assert_msg(row && row->kind == YAML_MAP && !row->next, "%s: not one row",
		      label);
	for (const struct option *o = rows; o->key; o++) {
		snprintf(key, sizeof(key), "%s.%s", label, o->key);
		check_option(o, key, table_find(row, o->key));
	}
}

static void check_option(const struct option *o, const char *key,
			 const struct yaml_node *node)
{
	ck_assert_msg(node != NULL, "%s is not in %s", key, SAMPLE);
	if (o->type == OPTION_ROWS) {
		check_row(o->rows, key, node->children);
	} else if (o->type == OPTION_MAP) {
		ck_assert_msg(node->kind == YAML_MAP, "%s is no map", key);
	} else if (o->type == OPTION_STRINGS) {
		ck_assert_msg(node->kind == YAML_LIST, "%s is no list", key);
		ck_assert_msg(o->flags & OPTION_REQUIRED || !node->children,
			      "%s is not shown with its default", key);
	} else if (o->fallback) {
		ck_assert_msg(strcmp(node->text, o->fallback) == 0, "%s is %s by default",
			      key, o->fallback);
	}
}

static struct table *common_and_driver(struct table tables[3])
{
	memcpy(tables, sample_tables, sizeof(sample_tables));
	tables[0].options = config_options();
	return tables;
}

START_TEST(the_sample_shows_every_key_with_its_default)
{
	struct yaml_node *root = read_sample();
	struct table tables[3];

	common_and_driver(tables);
	for (struct table_row row = {0}; table_next(tables, &row);)
		check_option(row.option, row.key, table_find(root, row.key));
	yaml_node_free(root);
}
END_TEST

/* Loading refuses unknown keys, so that this covers the rows of lists, too. */
START_TEST(the_sample_shows_no_other_key_and_its_examples_are_valid)
{
	static const char *const secrets[] = {"database.password_file",
					      "broker.password_file", "http.token_file",
					      "alerts.webhook.url_file",
					      "alerts.webhook.secret_file"};
	struct yaml_node *root = read_sample();
	struct config c = {0};
	struct rabbitmq_config broker = {0};
	struct table tables[3];
	struct error err;
	int result;

	common_and_driver(tables);
	tables[0].base = &c;
	tables[1].base = &broker;
	/* The examples name files that are not here. */
	for (size_t i = 0; i < COUNT(secrets); i++) {
		/* Ours: read_sample() has just made it. */
		struct yaml_node *node = (struct yaml_node *)table_find(root, secrets[i]);

		free(node->text);
		node->text = xstrdup(secret_path);
	}
	result = table_fill(tables, SAMPLE, root, &err);
	ck_assert_msg(result == 0, "%s", err.text);
	option_release(config_options(), &c);
	option_release(rabbitmq_config_options, &broker);
	yaml_node_free(root);
}
END_TEST

static char *print_all(const struct config *c)
{
	struct buffer out = {0};

	config_print(c, collect, &out);
	buffer_text(&out);
	return out.data;
}

START_TEST(the_sample_as_shipped_is_the_defaults_and_two_keys)
{
	struct error err;
	struct config *sample = config_load(SAMPLE, real_drivers, NULL, &err);
	struct config *defaults;
	char *a, *b;

	ck_assert_msg(sample != NULL, "%s", err.text);
	write_file(path, "database: {url: 'postgresql://outbox_relay@localhost/app'}\n"
			 "broker: {urls: ['amqp://localhost']}\n");
	defaults = config_load(path, real_drivers, NULL, &err);
	ck_assert_msg(defaults != NULL, "%s", err.text);
	a = print_all(sample);
	b = print_all(defaults);
	ck_assert_str_eq(a, b);
	free(a);
	free(b);
	config_free(sample);
	config_free(defaults);
}
END_TEST

/* A default that would be printed differently could not be found in the sample. */
START_TEST(defaults_are_written_as_they_are_printed)
{
	struct config *c = accept(URLS);

	for (const struct option *o = config_options(); o->key; o++) {
		char *printed = o->fallback ? option_print(o, c) : NULL;

		if (printed)
			ck_assert_str_eq(printed, o->fallback);
		ck_assert_msg(o->help && *o->help, "%s has no help", o->key);
		free(printed);
	}
	config_free(c);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("config");
	TCase *files = tcase_create("files");
	TCase *sample = tcase_create("sample");

	tcase_add_checked_fixture(files, set_up, tear_down);
	tcase_add_loop_test(files, what_is_wrong_is_named_with_its_line_and_column, 0,
			    COUNT(refused));
	tcase_add_test(files, a_missing_file_is_named);
	tcase_add_test(files, a_default_kind_without_its_driver_is_refused);
	tcase_add_test(files, every_key_reaches_its_member);
	tcase_add_test(files, the_driver_gets_its_own_keys);
	tcase_add_test(files, another_kind_brings_other_keys);
	tcase_add_test(files, a_single_key_is_filled_only_when_tree_and_tables_have_it);
	tcase_add_test(files, sections_with_nothing_in_them_keep_the_defaults);
	tcase_add_test(files, a_relay_without_a_name_is_called_like_its_host);
	tcase_add_test(files,
		       the_effective_configuration_is_complete_and_without_secrets);
	tcase_add_test(files, defaults_are_written_as_they_are_printed);
	tcase_add_checked_fixture(sample, set_up, tear_down);
	tcase_add_test(sample, the_sample_shows_every_key_with_its_default);
	tcase_add_test(sample, the_sample_shows_no_other_key_and_its_examples_are_valid);
	tcase_add_test(sample, the_sample_as_shipped_is_the_defaults_and_two_keys);
	suite_add_tcase(suite, files);
	suite_add_tcase(suite, sample);
	return suite;
}
