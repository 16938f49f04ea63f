#include "yaml.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/buffer.h"
#include "config/file.h"

#define KEY_SHOWN_MAX 63

struct reading {
	yaml_parser_t parser;
	const char *name;
	const char *text;
	size_t size;
	struct yaml_node *root;
	struct yaml_node *open[YAML_DEPTH_MAX]; /* root to innermost open list or map */
	int depth;
	struct yaml_node *pending; /* its key was read, its value not yet */
	size_t node_count;
	bool has_document;
	bool is_done;
	struct error *err;
};

int yaml_error(const char *name, struct yaml_position at, struct error *err,
	       const char *format, ...)
{
	char text[sizeof(err->text)];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return error_set(err, ERROR_CONFIG, "%s:%d:%d: %s", name, at.line, at.column,
			 text);
}

const char *yaml_printable_key(const char *key)
{
	size_t size = strlen(key);

	if (size == 0 || size > KEY_SHOWN_MAX)
		return "(not a key)";
	for (const char *c = key; *c; c++) {
		if (!isalnum((unsigned char)*c) && !strchr("_-.", *c))
			return "(not a key)";
	}
	return key;
}

void yaml_node_free(struct yaml_node *node)
{
	struct yaml_node *child, *next;

	if (!node)
		return;
	for (child = node->children; child; child = next) {
		next = child->next;
		yaml_node_free(child);
	}
	free(node->key);
	free(node->text);
	free(node);
}

struct yaml_node *yaml_member(const struct yaml_node *map, const char *key, size_t size)
{
	if (map->kind != YAML_MAP)
		return NULL;
	for (struct yaml_node *n = map->children; n; n = n->next) {
		if (strlen(n->key) == size && memcmp(n->key, key, size) == 0)
			return n;
	}
	return NULL;
}

bool yaml_is_null(const struct yaml_node *node)
{
	return node->kind == YAML_SCALAR && node->is_plain &&
	       (!*node->text || strcmp(node->text, "~") == 0 ||
		strcmp(node->text, "null") == 0);
}

static struct yaml_position position(yaml_mark_t mark)
{
	return (struct yaml_position){(int)mark.line + 1, (int)mark.column + 1};
}

static bool is_character_start(char byte)
{
	return ((unsigned char)byte & 0xc0) != 0x80;
}

static struct yaml_position position_of_offset(const char *text, size_t offset)
{
	struct yaml_position at = {1, 1};

	for (size_t i = 0; i < offset; i++) {
		if (text[i] == '\n')
			at = (struct yaml_position){at.line + 1, 1};
		else if (is_character_start(text[i]))
			at.column++;
	}
	return at;
}

/* libyaml counts characters, also in mark.index. */
static bool is_tab_at(const struct reading *r, yaml_mark_t mark)
{
	size_t characters = 0;

	for (size_t i = 0; i < r->size; i++) {
		if (is_character_start(r->text[i]) && characters++ == mark.index)
			return r->text[i] == '\t';
	}
	return false;
}

static int syntax_error(struct reading *r)
{
	const yaml_parser_t *p = &r->parser;

	if (p->error == YAML_MEMORY_ERROR) {
		if (!memory_is_short())
			memory_spare(); /* the caller will see it */
		return error_set(r->err, ERROR_CONFIG, "out of memory");
	}
	if (p->error == YAML_READER_ERROR)
		return yaml_error(r->name, position_of_offset(r->text, p->problem_offset),
				  r->err, "%s", p->problem);
	if (is_tab_at(r, p->problem_mark))
		return yaml_error(r->name, position(p->problem_mark), r->err,
				  "found a tab where YAML allows only spaces");
	return yaml_error(r->name, position(p->problem_mark), r->err, "%s%s%s",
			  p->problem, p->context ? " " : "",
			  p->context ? p->context : "");
}

static int refuse(struct reading *r, const yaml_event_t *event, const char *reason)
{
	return yaml_error(r->name, position(event->start_mark), r->err, "%s", reason);
}

static char *scalar_text(const yaml_event_t *event)
{
	return xstrdup((const char *)event->data.scalar.value);
}

static int check_scalar(struct reading *r, const yaml_event_t *event)
{
	const char *text = (const char *)event->data.scalar.value;

	if (event->data.scalar.anchor)
		return refuse(r, event, "anchors (&name) are not allowed");
	if (event->data.scalar.tag)
		return refuse(r, event, "tags (!name) are not allowed");
	if (memchr(text, '\0', event->data.scalar.length))
		return refuse(r, event, "NUL characters are not allowed");
	return 0;
}

static int check_collection(struct reading *r, const yaml_event_t *event)
{
	bool is_map = event->type == YAML_MAPPING_START_EVENT;

	if (is_map ? event->data.mapping_start.anchor : event->data.sequence_start.anchor)
		return refuse(r, event, "anchors (&name) are not allowed");
	if (is_map ? event->data.mapping_start.tag : event->data.sequence_start.tag)
		return refuse(r, event, "tags (!name) are not allowed");
	/* libyaml 0.2.5 takes time quadratic in the depth: stop here, not at the end. */
	if (r->depth == YAML_DEPTH_MAX)
		return yaml_error(r->name, position(event->start_mark), r->err,
				  "nested deeper than %d levels", YAML_DEPTH_MAX);
	return 0;
}

/* Not for the root. */
static struct yaml_node *parent(const struct reading *r)
{
	return r->open[r->depth - 1];
}

static int take_key(struct reading *r, const yaml_event_t *event)
{
	const char *key = (const char *)event->data.scalar.value;
	struct yaml_node *earlier;

	if (event->type != YAML_SCALAR_EVENT)
		return refuse(r, event, "a key must be plain text");
	earlier = yaml_member(parent(r), key, strlen(key));
	if (earlier)
		return yaml_error(r->name, position(event->start_mark), r->err,
				  "%s: duplicate key, first seen in line %d",
				  yaml_printable_key(key), earlier->key_at.line);
	r->pending = xcalloc(1, sizeof(*r->pending));
	r->pending->key = scalar_text(event);
	r->pending->key_at = position(event->start_mark);
	return 0;
}

static void append_child(struct yaml_node *list, struct yaml_node *child)
{
	if (list->last_child)
		list->last_child->next = child;
	else
		list->children = child;
	list->last_child = child;
	list->child_count++;
}

static void take_value(struct reading *r, const yaml_event_t *event)
{
	struct yaml_node *node = r->pending ? r->pending : xcalloc(1, sizeof(*node));

	r->pending = NULL;
	node->at = position(event->start_mark);
	if (r->depth)
		append_child(parent(r), node);
	else
		r->root = node;
	if (event->type == YAML_SCALAR_EVENT) {
		node->kind = YAML_SCALAR;
		node->text = scalar_text(event);
		node->is_plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
		return;
	}
	node->kind = event->type == YAML_MAPPING_START_EVENT ? YAML_MAP : YAML_LIST;
	r->open[r->depth++] = node;
}

static int take_node(struct reading *r, const yaml_event_t *event)
{
	int checked = event->type == YAML_SCALAR_EVENT ? check_scalar(r, event)
						       : check_collection(r, event);

	if (checked < 0)
		return -1;
	if (r->node_count++ == YAML_NODES_MAX)
		return yaml_error(r->name, position(event->start_mark), r->err,
				  "more than %d keys and values", YAML_NODES_MAX);
	if (r->depth && parent(r)->kind == YAML_MAP && !r->pending)
		return take_key(r, event);
	take_value(r, event);
	return 0;
}

static int take_event(struct reading *r, const yaml_event_t *event)
{
	switch (event->type) {
	case YAML_DOCUMENT_START_EVENT:
		if (r->has_document)
			return refuse(r, event, "a second document starts here");
		r->has_document = true;
		return 0;
	case YAML_ALIAS_EVENT:
		return refuse(r, event, "aliases (*name) are not allowed");
	case YAML_SCALAR_EVENT:
	case YAML_SEQUENCE_START_EVENT:
	case YAML_MAPPING_START_EVENT:
		return take_node(r, event);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		r->depth--;
		return 0;
	case YAML_STREAM_END_EVENT:
		r->is_done = true;
		return 0;
	default:
		return 0;
	}
}

static int read_events(struct reading *r)
{
	yaml_event_t event;
	int result = 0;

	while (!yaml_parser_initialize(&r->parser))
		memory_spare();
	yaml_parser_set_encoding(&r->parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&r->parser, (const unsigned char *)r->text, r->size);
	while (result == 0 && !r->is_done) {
		if (!yaml_parser_parse(&r->parser, &event)) {
			result = syntax_error(r);
			break;
		}
		result = take_event(r, &event);
		yaml_event_delete(&event);
	}
	yaml_parser_delete(&r->parser);
	return result;
}

static int check_bytes(const struct reading *r)
{
	const char *nul = memchr(r->text, '\0', r->size);

	if (r->size >= 2 &&
	    (memcmp(r->text, "\xff\xfe", 2) == 0 || memcmp(r->text, "\xfe\xff", 2) == 0))
		return yaml_error(r->name, (struct yaml_position){1, 1}, r->err,
				  "is UTF-16; save it as UTF-8");
	if (nul)
		return yaml_error(r->name,
				  position_of_offset(r->text, (size_t)(nul - r->text)),
				  r->err, "NUL bytes are not allowed");
	return 0;
}

static int check_root(struct reading *r)
{
	if (!r->root || yaml_is_null(r->root)) {
		yaml_node_free(r->root);
		r->root = xcalloc(1, sizeof(*r->root));
		r->root->kind = YAML_MAP;
		r->root->at = (struct yaml_position){1, 1};
	}
	if (r->root->kind != YAML_MAP)
		return yaml_error(r->name, r->root->at, r->err,
				  "must consist of sections (name: and indented lines)");
	return 0;
}

struct yaml_node *yaml_parse(const char *name, const char *text, size_t size,
			     struct error *err)
{
	struct reading r = {.name = name, .text = text, .size = size, .err = err};

	if (size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
		r.text += 3;
		r.size -= 3;
	}
	if (check_bytes(&r) == 0 && read_events(&r) == 0 && check_root(&r) == 0)
		return r.root;
	yaml_node_free(r.pending);
	yaml_node_free(r.root);
	return NULL;
}

struct yaml_node *yaml_read(const char *path, struct error *err)
{
	struct buffer text = {0};
	struct yaml_node *root = NULL;

	if (file_read(path, YAML_SIZE_MAX, &text, err) == 0)
		root = yaml_parse(path, buffer_text(&text), buffer_size(&text), err);
	else
		error_wrap(err, "%s", path);
	buffer_release(&text);
	return root;
}

const char *yaml_library(void)
{
	return yaml_get_version_string();
}
