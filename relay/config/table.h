#ifndef CONFIG_TABLE_H
#define CONFIG_TABLE_H

#include <stdbool.h>

#include "base/error.h"
#include "config/option.h"
#include "config/yaml.h"

/*
 * Tables of options applied to a tree: every key of the tree is found in one of the
 * tables, and its value, with the environment put in, is stored in that table's struct.
 *
 * A list of tables ends with options of NULL. What is refused is refused with
 * "file:line:column: section.key: reason"; values that may be secrets are left out or
 * masked, and a value that came from the environment is shown as the file has it.
 */
struct table {
	const char *prefix; /* stands before the keys of `options`: "broker.", or "" */
	const struct option *options;
	void *base; /* the struct that `options` describe, defaults set */
};

/* A walk over all rows: start with {0}, false behind the last. */
struct table_row {
	const struct table *table;
	const struct option *option;
	char key[128]; /* whole: "broker.tls.verify" */
};
bool table_next(const struct table *tables, struct table_row *row);

/* All of the tree. Keys that the tree does not have keep what they hold. */
int table_fill(const struct table *tables, const char *file, const struct yaml_node *root,
	       struct error *err);

/* Only `key`, when the tree has it. */
int table_fill_key(const struct table *tables, const char *file,
		   const struct yaml_node *root, const char *key, struct error *err);

/*
 * Where to point to for a dotted key: the key, or, when the tree does not have it, the
 * innermost section of it that it has.
 */
struct yaml_position table_position(const struct yaml_node *root, const char *key);

/* Does the tree have the dotted key? The node, or NULL. */
const struct yaml_node *table_find(const struct yaml_node *root, const char *key);

#endif
