#ifndef CONFIG_YAML_H
#define CONFIG_YAML_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

/*
 * The plain part of YAML that a configuration needs, as a tree whose nodes know where
 * they stood: maps with scalar keys, lists, and scalars. Everything is text; what it
 * means is for the tables of options to say.
 *
 * Refused with "file:line:column: reason", at the first place where it shows: syntax
 * errors, anchors, aliases, tags, a second document, keys that are no scalars, duplicate
 * keys, NUL bytes, anything but UTF-8, more than YAML_DEPTH_MAX levels, more than
 * YAML_NODES_MAX values, files above YAML_SIZE_MAX. Reading such a file takes bounded
 * time and memory.
 */
#define YAML_SIZE_MAX  (1024 * 1024)
#define YAML_DEPTH_MAX 8
#define YAML_NODES_MAX 10000

enum yaml_kind { YAML_SCALAR, YAML_LIST, YAML_MAP };

/* Both count from 1; columns are characters, not bytes. */
struct yaml_position {
	int line;
	int column;
};

struct yaml_node {
	enum yaml_kind kind;
	struct yaml_position at;     /* of the value */
	char *key;                   /* in a map; NULL in a list and for the root */
	struct yaml_position key_at; /* of the key */
	char *text;                  /* SCALAR */
	bool is_plain;               /* SCALAR: written without quotes */
	struct yaml_node *children;  /* LIST, MAP: the first; in the order of the file */
	struct yaml_node *last_child;
	size_t child_count;
	struct yaml_node *next; /* sibling */
};

/*
 * The root is always a map; a file without content is an empty one. NULL and ERROR_CONFIG
 * when refused. `name` stands for the file in error texts and is not kept.
 */
struct yaml_node *yaml_read(const char *path, struct error *err);
struct yaml_node *yaml_parse(const char *name, const char *text, size_t size,
			     struct error *err);

/* NULL is legal. */
void yaml_node_free(struct yaml_node *node);

/* The member of a map, or NULL; also NULL when `map` is none. */
struct yaml_node *yaml_member(const struct yaml_node *map, const char *key, size_t size);

/* No value was given: nothing behind the colon, "~" or "null", without quotes. */
bool yaml_is_null(const struct yaml_node *node);

/* Sets ERROR_CONFIG with "name:line:column: " before the text. Returns -1. */
int yaml_error(const char *name, struct yaml_position at, struct error *err,
	       const char *format, ...) __attribute__((format(printf, 4, 5)));

/*
 * A key as error texts may quote it. What does not look like one may be a secret in the
 * wrong place, and becomes "(not a key)".
 */
const char *yaml_printable_key(const char *key);

/* libyaml's run-time version. */
const char *yaml_library(void);

#endif
