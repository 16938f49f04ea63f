#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/log.h"
#include "base/tls.h"
#include "config/option.h"

/*
 * The configuration file, read once and const from then on.
 *
 * A file is accepted whole or refused whole with "file:line:column: message" for the
 * first thing that is wrong: unknown or duplicate keys, wrong types, values out of range,
 * aliases, tags, several documents, too deep, too large, unset variables, unreadable
 * secret files. That happens before anything touches a database or a broker.
 */

enum database_pooling { POOLING_NONE, POOLING_TRANSACTION };
enum relay_wake { WAKE_DOORBELL, WAKE_POLL };
enum relay_on_sent { ON_SENT_MARK, ON_SENT_DELETE };

enum http_console { CONSOLE_LOOPBACK, CONSOLE_ON, CONSOLE_OFF };

enum alerts_format { ALERTS_GENERIC, ALERTS_SLACK, ALERTS_ALERTMANAGER };

struct config_database {
	char *url; /* libpq URI or key=value string; may be unset: PG* variables serve
		      then */
	struct secret_file password; /* overrides whatever url says */
	struct tls_options tls;      /* without server_name */
	char *schema;
	int pooling; /* enum database_pooling */
	int64_t connect_timeout_ms;
	int64_t statement_timeout_ms;
	int64_t lock_timeout_ms;
};

struct config_broker {
	int64_t connect_timeout_ms;
	int64_t confirm_timeout_ms;
	int64_t max_in_flight;
};

struct config_relay {
	char *name; /* in application_name and logs */
	int64_t poll_interval_ms;
	int wake;    /* enum relay_wake */
	int on_sent; /* enum relay_on_sent */
	int64_t batch_size;
	int64_t batch_bytes;
	int64_t max_message_bytes;
	int64_t lease_ms;
	int64_t shutdown_timeout_ms;
};

struct config_retry {
	int64_t max_attempts;
	int64_t first_delay_ms;
	double multiplier;
	int64_t max_delay_ms;
	int64_t jitter_percent;
	bool count_outages;
};

struct config_retention {
	int64_t sent_ms; /* 0: kept for ever */
};

struct config_http {
	char *listen; /* "127.0.0.1:9753" or "off" */
	struct secret_file token;
	int console; /* enum http_console */
};

struct config_webhook {
	char *url;                   /* "https://…"; NULL: no alerts */
	struct secret_file url_file; /* overrides url */
	struct secret_file secret;   /* signs what is sent; unset: not signed */
	char *ca_file;               /* PEM; NULL: the system's authorities */
	int format;                  /* enum alerts_format */
	bool allow_http;
	int64_t timeout_ms;
	int64_t retry_for_ms;
};

struct config_alerts {
	struct config_webhook webhook;
	int64_t oldest_due_ms;
	int64_t down_ms;
	int64_t group_wait_ms;
	int64_t group_interval_ms;
	int64_t repeat_interval_ms;
};

struct config_log {
	int level;  /* enum log_level */
	int format; /* enum log_format */
};

struct config {
	struct config_database database;
	struct config_broker broker;
	struct config_relay relay;
	struct config_retry retry;
	struct config_retention retention;
	struct config_http http;
	struct config_alerts alerts;
	struct config_log log;
	size_t driver;       /* index into the list of drivers given to config_load() */
	void *driver_config; /* filled by that driver's rows */
	/* private to config.c */
	const struct config_driver *drivers;
	char *path;
	char *kind; /* drivers[driver].name */
};

/* What the configuration needs to know of a broker driver. */
struct config_driver {
	const char *name;             /* broker.kind */
	const struct option *options; /* keys relative to "broker." */
	size_t config_size;           /* of the struct those options fill */

	/* What no single row can tell; NULL: nothing. -1 with a text that begins with the
	   key at fault ("broker.tls: …", "broker.urls[1]: …"), so that the file's line is
	   found. */
	int (*check)(const void *config, struct error *err);
};

/* As above, for what the caller knows of the other keys. */
typedef int config_check(const struct config *c, struct error *err);

/*
 * Reads the file. `drivers` ends with a name of NULL and must outlive the config; `check`
 * may be NULL. Returns NULL and ERROR_CONFIG when the file is refused. Blocks only for
 * reading regular files.
 */
struct config *config_load(const char *path, const struct config_driver *drivers,
			   config_check *check, struct error *err);
void config_free(struct config *c);

/*
 * Calls `row` for every scalar and every list of strings that is set, with its value as
 * it would be written and secrets masked: "database.url" "postgresql://app:***@db/shop".
 * In the order of the tables, the driver's last. Maps and rows (a topology) are left out.
 */
void config_print(const struct config *c,
		  void (*row)(void *context, const char *key, const char *value),
		  void *context);

/* The rows that do not belong to a driver, with whole keys, for struct config. */
const struct option *config_options(void);

#endif
