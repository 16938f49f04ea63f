#ifndef CONFIG_OPTION_H
#define CONFIG_OPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/*
 * One row per key of the configuration file. The tables of such rows drive parsing,
 * defaults, range checks, redaction, the effective configuration that start-up logs, and
 * the test that keeps config/outbox-relay.yaml complete. config/config.c holds the common
 * rows; a broker driver brings its own, so that a new broker changes nothing here.
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
	OPTION_ROWS, /* struct row_list of `row_size` bytes each, described by `rows` */
};

enum option_flag {
	OPTION_REQUIRED = 1 << 0, /* the file must have it, and not empty */
	OPTION_SECRET = 1 << 1,   /* never printed: "***" */
	OPTION_URL = 1 << 2,  /* printed with user-info and passwords masked; if SECRET,
				     too, with all but scheme and host */
	OPTION_FILE = 1 << 3, /* names a file whose first line is read into the string at
				 load time; the content is secret, the name is not. The
				 struct member is a struct secret_file. */
};

struct option {
	const char *key; /* "database.url"; in a driver's table relative to "broker.", in
			    a row table relative to the row; NULL ends a table */
	enum option_type type;
	unsigned int flags;
	size_t offset;        /* of the member in the struct that the table fills */
	const char *fallback; /* the default, as written in the file; NULL: unset. Lists,
				 maps and rows start empty: "[]" or NULL */
	int64_t min, max; /* INT, REAL, DURATION (ms), SIZE (bytes); STRING: length, where
			     a max of 0 means no limit */
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
	enum setting_kind
		kind; /* an unquoted integer or true/false is what it looks like */
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

/*
 * Stores the scalar that `text` stands for in the member of `base`, in place of what is
 * there. Not for lists, maps and rows. -1 and ERROR_CONFIG with the half of a sentence
 * that follows the value: "is out of range 1 to 65535"; the value itself is not in it. Of
 * an OPTION_FILE it stores the path alone.
 */
int option_parse(const struct option *o, const char *text, void *base, struct error *err);

/*
 * Reads the first line of the file that an OPTION_FILE names. -1 and ERROR_CONFIG with
 * the bare reason. A regular file of at most OPTION_FILE_MAX bytes; an empty first line
 * is refused, since an empty password is always a mistake.
 */
#define OPTION_FILE_MAX 65536
int option_read_file(const struct option *o, void *base, struct error *err);

/*
 * The value as it would be written in the file, with secrets masked; the caller frees it.
 * NULL for what is unset, and for maps and rows. Lists of strings come as [a, b].
 */
char *option_print(const struct option *o, const void *base);

/* Sets every member that the table describes to its default; `base` holds nothing yet. */
void option_defaults(const struct option *table, void *base);

/* Frees what the members own, and wipes secrets first. */
void option_release(const struct option *table, void *base);

/* Is it a whole number as the file may have it? Then *value is it, INT64_MAX when too
 * large. */
bool option_is_int(const char *text, int64_t *value);

#endif
