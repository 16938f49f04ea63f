#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buffer.h"
#include "config/table.h"
#include "config/yaml.h"

/* PostgreSQL cuts application_name there (NAMEDATALEN - 1). */
#define NAME_SIZE_MAX 63

#define S    INT64_C(1000)
#define MIN  (60 * S)
#define HOUR (60 * MIN)
#define DAY  (24 * HOUR)
#define KIB  INT64_C(1024)
#define MIB  (1024 * KIB)
#define GIB  (1024 * MIB)

/* key, member of struct config, default, what it may be, help */
#define STRING(name, member, fallback, min, max, flags, help)                          \
	{                                                                              \
		name, OPTION_STRING, flags, offsetof(struct config, member), fallback, \
			min, max, NULL, NULL, 0, help                                  \
	}
#define NUMBER(name, type, member, fallback, min, max, help)                        \
	{                                                                           \
		name, type, 0, offsetof(struct config, member), fallback, min, max, \
			NULL, NULL, 0, help                                         \
	}
#define INT(name, ...)      NUMBER(name, OPTION_INT, __VA_ARGS__)
#define REAL(name, ...)     NUMBER(name, OPTION_REAL, __VA_ARGS__)
#define DURATION(name, ...) NUMBER(name, OPTION_DURATION, __VA_ARGS__)
#define SIZE(name, ...)     NUMBER(name, OPTION_SIZE, __VA_ARGS__)
#define BOOL(name, member, fallback, help) \
	NUMBER(name, OPTION_BOOL, member, fallback, 0, 0, help)
#define CHOICE(name, member, fallback, names, help)                                    \
	{                                                                              \
		name, OPTION_ENUM, 0, offsetof(struct config, member), fallback, 0, 0, \
			names, NULL, 0, help                                           \
	}

static const char *const pooling_names[] = {"none", "transaction", NULL};
static const char *const wake_names[] = {"doorbell", "poll", NULL};
static const char *const on_sent_names[] = {"mark", "delete", NULL};
static const char *const console_names[] = {"loopback", "on", "off", NULL};
static const char *const alerts_format_names[] = {"generic", "slack", "alertmanager",
						  NULL};
static const char *const level_names[] = {"debug", "info", "warn", "error", NULL};
static const char *const format_names[] = {"logfmt", "json", NULL};

static const struct option options[] = {
	STRING("database.url", database.url, NULL, 0, 0, OPTION_URL,
	       "libpq URI or key=value string"),
	STRING("database.password_file", database.password, NULL, 1, 0, OPTION_FILE,
	       "file whose first line is the password"),
	STRING("database.tls.ca_file", database.tls.ca_file, NULL, 1, 4096, 0,
	       "PEM file with the authorities that sign the server's certificate"),
	STRING("database.tls.cert_file", database.tls.cert_file, NULL, 1, 4096, 0,
	       "PEM file with a certificate of our own, when the server wants one"),
	STRING("database.tls.key_file", database.tls.key_file, NULL, 1, 4096, 0,
	       "PEM file with its key; default: inside tls.cert_file"),
	BOOL("database.tls.verify", database.tls.verify, "true",
	     "false: take any certificate; whoever sits in between can read "
	     "everything"),
	STRING("database.schema", database.schema, "public", 1, NAME_SIZE_MAX, 0,
	       "schema that holds message_log"),
	CHOICE("database.pooling", database.pooling, "none", pooling_names,
	       "the pooler in between"),
	DURATION("database.connect_timeout", database.connect_timeout_ms, "5s", 1 * S,
		 60 * S, "longest wait for a connection to one host"),
	DURATION("database.statement_timeout", database.statement_timeout_ms, "30s",
		 1 * S, 10 * MIN, "longest run of one statement"),
	DURATION("database.lock_timeout", database.lock_timeout_ms, "5s", 100, 10 * MIN,
		 "longest wait for a lock"),

	STRING("broker.kind", kind, "rabbitmq", 1, 0, 0, "which driver to use"),
	DURATION("broker.connect_timeout", broker.connect_timeout_ms, "5s", 1 * S, 60 * S,
		 "longest wait for connecting and logging in"),
	DURATION("broker.confirm_timeout", broker.confirm_timeout_ms, "30s", 1 * S,
		 10 * MIN, "longest wait for the confirm of a message"),
	INT("broker.max_in_flight", broker.max_in_flight, "4096", 1, 65535,
	    "messages published and not yet confirmed"),

	STRING("relay.name", relay.name, NULL, 1, NAME_SIZE_MAX, 0,
	       "name in logs and application_name"),
	DURATION("relay.poll_interval", relay.poll_interval_ms, "1s", 10, 1 * HOUR,
		 "longest sleep while nothing is due"),
	CHOICE("relay.wake", relay.wake, "doorbell", wake_names,
	       "what ends that sleep early"),
	INT("relay.batch_size", relay.batch_size, "1000", 1, 16384,
	    "most rows in one claim"),
	SIZE("relay.batch_bytes", relay.batch_bytes, "2MiB", 64 * KIB, 1 * GIB,
	     "most payload in one claim"),
	SIZE("relay.max_message_bytes", relay.max_message_bytes, "128MiB", 1 * KIB,
	     512 * MIB, "larger payloads fail without being read"),
	DURATION("relay.lease", relay.lease_ms, "30s", 2 * S, 1 * HOUR,
		 "how long a claim outlives a silent relay"),
	CHOICE("relay.on_sent", relay.on_sent, "mark", on_sent_names,
	       "what becomes of a sent row"),
	DURATION("relay.shutdown_timeout", relay.shutdown_timeout_ms, "20s", 1 * S,
		 10 * MIN, "longest time from SIGTERM to the end"),

	INT("retry.max_attempts", retry.max_attempts, "3", 1, 100,
	    "charged attempts until failed"),
	DURATION("retry.first_delay", retry.first_delay_ms, "10s", 0, 1 * DAY,
		 "delay after the first charged attempt"),
	REAL("retry.multiplier", retry.multiplier, "2", 1, 100, "growth of the delay"),
	DURATION("retry.max_delay", retry.max_delay_ms, "10m", 0, 30 * DAY,
		 "longest delay"),
	INT("retry.jitter", retry.jitter_percent, "20", 0, 100,
	    "spread of the delay, in percent"),
	BOOL("retry.count_outages", retry.count_outages, "false",
	     "charge attempts for lost connections, too"),

	DURATION("retention.sent", retention.sent_ms, "0s", 0, 3650 * DAY,
		 "how long sent rows are kept; 0s: for ever"),

	STRING("http.listen", http.listen, "127.0.0.1:9753", 1, 64, 0,
	       "where to serve health and metrics"),
	STRING("http.token_file", http.token, NULL, 1, 0, OPTION_FILE,
	       "file whose first line is the bearer token for metrics and console"),
	CHOICE("http.console", http.console, "loopback", console_names,
	       "where the console is served: on loopback only, on any address, or not"),

	STRING("alerts.webhook.url", alerts.webhook.url, NULL, 1, 4096,
	       OPTION_URL | OPTION_SECRET, "where alerts are sent to; unset: nowhere"),
	STRING("alerts.webhook.url_file", alerts.webhook.url_file, NULL, 1, 0,
	       OPTION_FILE, "file whose first line is that URL"),
	CHOICE("alerts.webhook.format", alerts.webhook.format, "generic",
	       alerts_format_names, "how alerts are written"),
	STRING("alerts.webhook.secret_file", alerts.webhook.secret, NULL, 1, 0,
	       OPTION_FILE, "file whose first line is the key that signs them"),
	STRING("alerts.webhook.tls.ca_file", alerts.webhook.ca_file, NULL, 1, 4096, 0,
	       "PEM file with the authorities that sign the webhook's certificate"),
	BOOL("alerts.webhook.allow_http", alerts.webhook.allow_http, "false",
	     "take http:// URLs, too: whoever is in between can read everything"),
	DURATION("alerts.webhook.timeout", alerts.webhook.timeout_ms, "5s", 100, 60 * S,
		 "longest wait for the webhook's answer"),
	DURATION("alerts.webhook.retry_for", alerts.webhook.retry_for_ms, "10m", 0,
		 1 * DAY, "how long a message is tried again"),
	DURATION("alerts.oldest_due", alerts.oldest_due_ms, "5m", 1 * S, 30 * DAY,
		 "how long a row may be due"),
	DURATION("alerts.down", alerts.down_ms, "1m", 0, 30 * DAY,
		 "how long a side may be down"),
	DURATION("alerts.group_wait", alerts.group_wait_ms, "5s", 0, 10 * MIN,
		 "how long a first alert waits for others"),
	DURATION("alerts.group_interval", alerts.group_interval_ms, "30s", 1 * S, 1 * DAY,
		 "least time between two messages"),
	DURATION("alerts.repeat_interval", alerts.repeat_interval_ms, "4h", 1 * MIN,
		 30 * DAY, "when to tell again what still fires"),

	CHOICE("log.level", log.level, "info", level_names, "least level that is logged"),
	CHOICE("log.format", log.format, "logfmt", format_names, "form of the lines"),
	{0},
};

const struct option *config_options(void)
{
	return options;
}

static void list_tables(const struct config *c, struct table tables[3])
{
	tables[0] = (struct table){"", options, (void *)c};
	tables[1] = (struct table){0};
	tables[2] = (struct table){0};
	if (c->driver_config)
		tables[1] = (struct table){"broker.", c->drivers[c->driver].options,
					   c->driver_config};
}

static int refuse_kind(const struct config *c, const struct yaml_node *root,
		       struct error *err)
{
	struct buffer names = {0};

	for (size_t i = 0; c->drivers[i].name; i++)
		buffer_printf(&names, "%s%s", i ? ", " : "", c->drivers[i].name);
	yaml_error(c->path, table_position(root, "broker.kind"), err,
		   "broker.kind: must be one of %s", buffer_text(&names));
	buffer_release(&names);
	return -1;
}

/* The kind decides which keys the rest of the file may have. */
static int choose_driver(struct config *c, const struct yaml_node *root,
			 struct error *err)
{
	struct table tables[3];

	list_tables(c, tables);
	if (table_fill_key(tables, c->path, root, "broker.kind", err) < 0)
		return -1;
	for (c->driver = 0; c->drivers[c->driver].name; c->driver++) {
		const struct config_driver *driver = &c->drivers[c->driver];

		if (strcmp(driver->name, c->kind) != 0)
			continue;
		c->driver_config = xcalloc(1, driver->config_size);
		option_defaults(driver->options, c->driver_config);
		return 0;
	}
	return refuse_kind(c, root, err);
}

static int check_name(const struct config *c, const struct yaml_node *root,
		      struct error *err)
{
	for (const char *byte = c->relay.name; *byte; byte++) {
		if (*byte < ' ' || *byte > '~')
			return yaml_error(c->path, table_position(root, "relay.name"),
					  err,
					  "relay.name: must be printable ASCII, since "
					  "PostgreSQL's application_name is");
	}
	return 0;
}

static int check_pooling(const struct config *c, const struct yaml_node *root,
			 struct error *err)
{
	const char *key =
		table_find(root, "relay.wake") ? "relay.wake" : "database.pooling";

	if (c->database.pooling != POOLING_TRANSACTION || c->relay.wake == WAKE_POLL)
		return 0;
	return yaml_error(
		c->path, table_position(root, key), err,
		"%s: database.pooling: transaction needs relay.wake: poll, since the "
		"doorbell's LISTEN and lock live in a session, which such a pooler "
		"does not keep",
		key);
}

static int check_delays(const struct config *c, const struct yaml_node *root,
			struct error *err)
{
	const char *key = table_find(root, "retry.max_delay") ? "retry.max_delay"
							      : "retry.first_delay";

	if (c->retry.max_delay_ms >= c->retry.first_delay_ms)
		return 0;
	return yaml_error(c->path, table_position(root, key), err,
			  "%s: retry.max_delay is shorter than retry.first_delay", key);
}

/* A text that begins with the key at fault, "broker.urls[0]: …", is given its place. */
static int place(const struct config *c, const struct yaml_node *root,
		 const struct error *reason, struct error *err)
{
	char *key = xasprintf("%.*s", (int)strcspn(reason->text, "[:"), reason->text);

	yaml_error(c->path, table_position(root, key), err, "%s", reason->text);
	free(key);
	return -1;
}

static int check_driver(const struct config *c, const struct yaml_node *root,
			struct error *err)
{
	const struct config_driver *driver = &c->drivers[c->driver];
	struct error reason;

	if (!driver->check || driver->check(c->driver_config, &reason) == 0)
		return 0;
	return place(c, root, &reason, err);
}

/* What no single key can tell. */
static int validate(const struct config *c, const struct yaml_node *root,
		    config_check *check, struct error *err)
{
	struct error reason;

	if (check_name(c, root, err) < 0 || check_pooling(c, root, err) < 0 ||
	    check_delays(c, root, err) < 0)
		return -1;
	if (check && check(c, &reason) < 0)
		return place(c, root, &reason, err);
	return check_driver(c, root, err);
}

static void default_name(struct config *c)
{
	char host[NAME_SIZE_MAX + 1] = "";

	if (c->relay.name)
		return;
	/* A longer name comes back cut, and perhaps without its NUL. */
	gethostname(host, NAME_SIZE_MAX);
	c->relay.name = xstrdup(*host ? host : "outbox-relay");
}

static int fill(struct config *c, const struct yaml_node *root, config_check *check,
		struct error *err)
{
	struct table tables[3];

	option_defaults(options, c);
	if (choose_driver(c, root, err) < 0)
		return -1;
	list_tables(c, tables);
	if (table_fill(tables, c->path, root, err) < 0)
		return -1;
	default_name(c);
	return validate(c, root, check, err);
}

struct config *config_load(const char *path, const struct config_driver *drivers,
			   config_check *check, struct error *err)
{
	struct yaml_node *root = yaml_read(path, err);
	struct config *c;

	if (!root)
		return NULL;
	c = xcalloc(1, sizeof(*c));
	c->path = xstrdup(path);
	c->drivers = drivers;
	if (fill(c, root, check, err) < 0) {
		config_free(c);
		c = NULL;
	}
	yaml_node_free(root);
	return c;
}

void config_free(struct config *c)
{
	if (!c)
		return;
	if (c->driver_config)
		option_release(c->drivers[c->driver].options, c->driver_config);
	free(c->driver_config);
	option_release(options, c);
	free(c->path);
	free(c);
}

void config_print(const struct config *c,
		  void (*row)(void *context, const char *key, const char *value),
		  void *context)
{
	struct table tables[3];

	list_tables(c, tables);
	for (struct table_row r = {0}; table_next(tables, &r);) {
		char *value = option_print(r.option, r.table->base);

		if (value)
			row(context, r.key, value);
		free(value);
	}
}
