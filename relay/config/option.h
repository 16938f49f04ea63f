#ifndef CONFIG_OPTION_H
#define CONFIG_OPTION_H

#include <stddef.h>
#include <stdint.h>

/*
 * One row per key of the configuration file. The tables of such rows drive parsing, defaults,
 * range checks, redaction, the effective configuration that start-up logs, and the test that
 * keeps config/outbox-relay.yaml complete. config/config.c holds the common rows; a broker
 * driver brings its own, so that a new broker changes nothing here.
 */

enum option_type {
	OPTION_BOOL,     /* bool: true, false */
	OPTION_INT,      /* int64_t: decimal */
	OPTION_REAL,     /* double: decimal; min and max are whole */
	OPTION_DURATION, /* int64_t milliseconds: 500ms, 5s, 2m, 1h, 7d */
	OPTION_SIZE,     /* int64_t bytes: 512B, 64KiB, 4MiB, 1GiB */
	OPTION_STRING,   /* char *, NULL when unset */
	OPTION_ENUM,     /* int: index into `names` */
	OPTION_STRINGS,  /* struct string_list */
	OPTION_MAP,      /* struct setting_map: free keys with scalar values */
	OPTION_ROWS,     /* struct row_list of `row_size` bytes each, described by `rows` */
};

enum option_flag {
	OPTION_REQUIRED = 1 << 0, /* the file must have it */
	OPTION_SECRET = 1 << 1,   /* never printed: "***" */
	OPTION_URL = 1 << 2,      /* printed with user-info and passwords masked */
	OPTION_FILE = 1 << 3,     /* names a file whose first line is read into the string at load
				     time; the content is secret, the name is not. The struct member
				     is a struct secret_file. */
};

struct option {
	const char *key; /* "database.url"; in a driver's table relative to "broker.", in a row
			    table relative to the row; NULL ends a table */
	enum option_type type;
	unsigned int flags;
	size_t offset;        /* of the member in the struct that the table fills */
	const char *fallback; /* the default, as written in the file; NULL: unset */
	int64_t min, max;     /* INT, REAL, DURATION (ms), SIZE (bytes); STRING: length */
	const char *const *names;  /* ENUM: ends with NULL */
	const struct option *rows; /* ROWS */
	size_t row_size;           /* ROWS */
	const char *help;          /* one line */
};

struct string_list {
	char **items;
	size_t count;
};

struct row_list {
	void *items; /* array of structs of row_size bytes */
	size_t count;
};

enum setting_kind { SETTING_STRING, SETTING_INT, SETTING_BOOL };

struct setting {
	char *name;
	enum setting_kind kind; /* an unquoted integer or true/false is what it looks like */
	char *text;
	int64_t number; /* INT, BOOL */
};

struct setting_map {
	struct setting *items;
	size_t count;
};

struct secret_file {
	char *path; /* as configured, or NULL */
	char *text; /* its content without the trailing newline, or NULL */
};

#endif
