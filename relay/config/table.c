#include "table.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "config/expand.h"
#include "config/redact.h"
#include "config/typo.h"

#define VALUE_SHOWN_MAX 80

/* What stays the same on one level of rows. */
struct scope {
	const struct table *tables;
	const char *file;
	const char
		*label; /* before the keys in error texts: "broker.topology.queues[0]." */
	struct error *err;
};

/* A place for a value, with the name that error texts give it. */
struct slot {
	const struct scope *scope;
	const struct option *option;
	void *base;
	const char *name;
};

static int fill_map(const struct scope *s, const struct yaml_node *map,
		    const char *section);

bool table_next(const struct table *tables, struct table_row *row)
{
	if (row->option) {
		row->option++;
	} else {
		row->table = tables;
		row->option = tables->options;
	}
	while (row->option && !row->option->key) {
		row->table++;
		row->option = row->table->options;
	}
	if (!row->option)
		return false;
	snprintf(row->key, sizeof(row->key), "%s%s", row->table->prefix,
		 row->option->key);
	return true;
}

static const struct yaml_node *find_innermost(const struct yaml_node *root,
					      const char *key, bool *is_whole)
{
	const struct yaml_node *node = root;

	for (;;) {
		size_t size = strcspn(key, ".");
		const struct yaml_node *next = yaml_member(node, key, size);

		*is_whole = next && !key[size];
		if (!next || !key[size])
			return next ? next : node;
		node = next;
		key += size + 1;
	}
}

const struct yaml_node *table_find(const struct yaml_node *root, const char *key)
{
	bool is_whole;
	const struct yaml_node *node = find_innermost(root, key, &is_whole);

	return is_whole ? node : NULL;
}

struct yaml_position table_position(const struct yaml_node *root, const char *key)
{
	bool is_whole;
	const struct yaml_node *node = find_innermost(root, key, &is_whole);

	return node->key ? node->key_at : node->at;
}

static int refuse(const struct slot *slot, const struct yaml_node *node,
		  const char *reason)
{
	return yaml_error(slot->scope->file, node->at, slot->scope->err, "%s: %s",
			  slot->name, reason);
}

/* "0 is out of range…", '"often" is not a whole number': the value as the file has it. */
static int refuse_value(const struct slot *slot, const struct yaml_node *node,
			const char *reason)
{
	unsigned int hidden = OPTION_SECRET | OPTION_URL | OPTION_FILE;
	char *shown;
	const char *quote;

	if (slot->option->flags & hidden || !*node->text)
		return refuse(slot, node, reason);
	shown = redact_value(node->text);
	quote = isdigit((unsigned char)*shown) || *shown == '-' ? "" : "\"";
	yaml_error(slot->scope->file, node->at, slot->scope->err, "%s: %s%.*s%s %s",
		   slot->name, quote, VALUE_SHOWN_MAX, shown, quote, reason);
	free(shown);
	return -1;
}

/* The text of a scalar with the environment put in, or NULL. */
static char *scalar(const struct slot *slot, const struct yaml_node *node)
{
	struct error reason;
	char *text;

	if (node->kind != YAML_SCALAR) {
		refuse(slot, node, "must be a single value");
		return NULL;
	}
	if (yaml_is_null(node)) {
		refuse(slot, node, "has no value; leave the key out for its default");
		return NULL;
	}
	text = expand_env(node->text, &reason);
	if (!text)
		refuse(slot, node, reason.text);
	return text;
}

static int fill_file(const struct slot *slot, const struct yaml_node *node)
{
	struct error reason;
	char *shown;

	if (option_read_file(slot->option, slot->base, &reason) == 0)
		return 0;
	/* The path as the file has it: ${NAME} may have held the secret itself. Nor is
	   everything a path that somebody writes there. */
	shown = redact_value(node->text);
	yaml_error(slot->scope->file, node->at, slot->scope->err, "%s: %s: %s",
		   slot->name, shown, reason.text);
	free(shown);
	return -1;
}

static int fill_scalar(const struct slot *slot, const struct yaml_node *node)
{
	struct error reason;
	char *text = scalar(slot, node);
	int result;

	if (!text)
		return -1;
	result = option_parse(slot->option, text, slot->base, &reason);
	free(text);
	if (result < 0)
		return refuse_value(slot, node, reason.text);
	return slot->option->flags & OPTION_FILE ? fill_file(slot, node) : 0;
}

static int check_list(const struct slot *slot, const struct yaml_node *node)
{
	if (node->kind != YAML_LIST)
		return refuse(slot, node,
			      "must be a list ([a, b], or lines with \"- \")");
	if (slot->option->flags & OPTION_REQUIRED && !node->children)
		return refuse(slot, node, "must not be empty");
	return 0;
}

static int fill_strings(const struct slot *slot, const struct yaml_node *node)
{
	struct string_list *list = slot->base;

	if (check_list(slot, node) < 0)
		return -1;
	list->items = xcalloc(node->child_count, sizeof(*list->items));
	for (const struct yaml_node *n = node->children; n; n = n->next) {
		char *name = xasprintf("%s[%zu]", slot->name, list->count);
		struct slot item = *slot;
		char *text;

		item.name = name;
		text = scalar(&item, n);
		free(name);
		if (!text)
			return -1;
		list->items[list->count++] = text;
		if (!*text)
			return refuse(slot, n, "must not have empty items");
	}
	return 0;
}

/* Quotes make anything a string; without them the value is what it looks like. */
static void guess_kind(struct setting *setting, bool is_plain)
{
	bool is_true = strcmp(setting->text, "true") == 0;
	int64_t number;

	setting->kind = SETTING_STRING;
	if (!is_plain)
		return;
	if (is_true || strcmp(setting->text, "false") == 0) {
		setting->kind = SETTING_BOOL;
		setting->number = is_true;
	} else if (option_is_int(setting->text, &number)) {
		setting->kind = SETTING_INT;
		setting->number = number;
	}
}

static int fill_setting(const struct slot *slot, const struct yaml_node *node,
			struct setting_map *map)
{
	char *name = xasprintf("%s.%s", slot->name, yaml_printable_key(node->key));
	struct setting setting = {0};
	struct slot item = *slot;
	int result = -1;

	item.name = name;
	setting.text = scalar(&item, node);
	if (setting.text) {
		guess_kind(&setting, node->is_plain);
		setting.name = xstrdup(node->key);
		map->items[map->count++] = setting;
		result = 0;
		if (setting.kind == SETTING_INT && llabs(setting.number) == INT64_MAX)
			result = refuse_value(&item, node, "is out of range");
	}
	free(name);
	return result;
}

static int fill_settings(const struct slot *slot, const struct yaml_node *node)
{
	struct setting_map *map = slot->base;

	if (node->kind != YAML_MAP)
		return refuse(slot, node,
			      "must be a map ({name: value}, or lines of it)");
	map->items = xcalloc(node->child_count, sizeof(*map->items));
	for (const struct yaml_node *n = node->children; n; n = n->next) {
		if (fill_setting(slot, n, map) < 0)
			return -1;
	}
	return 0;
}

static int check_required(const struct scope *s, const struct yaml_node *root)
{
	for (struct table_row row = {0}; table_next(s->tables, &row);) {
		if (row.option->flags & OPTION_REQUIRED && !table_find(root, row.key))
			return yaml_error(s->file, table_position(root, row.key), s->err,
					  "%s%s: must be set", s->label, row.key);
	}
	return 0;
}

static int fill_row(const struct slot *slot, const struct yaml_node *node, void *base)
{
	struct table tables[] = {{"", slot->option->rows, base}, {0}};
	char *label = xasprintf("%s.", slot->name);
	struct scope s = {tables, slot->scope->file, label, slot->scope->err};
	int result;

	if (node->kind != YAML_MAP)
		result = refuse(slot, node,
				"must be a map ({key: value}, or lines of it)");
	else
		result = fill_map(&s, node, "");
	if (result == 0)
		result = check_required(&s, node);
	free(label);
	return result;
}

static int fill_rows(const struct slot *slot, const struct yaml_node *node)
{
	const struct option *o = slot->option;
	struct row_list *list = slot->base;

	if (check_list(slot, node) < 0)
		return -1;
	list->items = xcalloc(node->child_count, o->row_size);
	for (const struct yaml_node *n = node->children; n; n = n->next) {
		void *base = (char *)list->items + list->count * o->row_size;
		char *name = xasprintf("%s[%zu]", slot->name, list->count);
		struct slot item = *slot;
		int result;

		item.name = name;
		option_defaults(o->rows, base);
		list->count++;
		result = fill_row(&item, n, base);
		free(name);
		if (result < 0)
			return -1;
	}
	return 0;
}

static int fill_value(const struct slot *slot, const struct yaml_node *node)
{
	struct slot list = *slot;

	list.base = (char *)slot->base + slot->option->offset;
	switch (slot->option->type) {
	case OPTION_STRINGS:
		return fill_strings(&list, node);
	case OPTION_MAP:
		return fill_settings(&list, node);
	case OPTION_ROWS:
		return fill_rows(&list, node);
	default:
		return fill_scalar(slot, node);
	}
}

static bool find_row(const struct scope *s, const char *key, struct table_row *row)
{
	*row = (struct table_row){0};
	while (table_next(s->tables, row)) {
		if (strcmp(row->key, key) == 0)
			return true;
	}
	return false;
}

static bool is_section(const struct scope *s, const char *key)
{
	size_t size = strlen(key);

	for (struct table_row row = {0}; table_next(s->tables, &row);) {
		if (strncmp(row.key, key, size) == 0 && row.key[size] == '.')
			return true;
	}
	return false;
}

/* Cuts a known key to as many components as `key` has: a section may be misspelt, too. */
static void cut_to_depth(char *known, const char *key)
{
	while (known && (key = strchr(key, '.'))) {
		key++;
		known = strchr(known, '.');
		known += known != NULL;
	}
	if (known && (known = strchr(known, '.')))
		*known = '\0';
}

static const char *last_component(const char *key)
{
	const char *dot = strrchr(key, '.');

	return dot ? dot + 1 : key;
}

/* The same word in another place: nearest where the outermost section is the same. */
static size_t elsewhere_distance(const char *known, const char *key)
{
	size_t size = strcspn(key, ".") + 1;

	return strncmp(known, key, size) == 0 ? 0 : 1;
}

/* The known key that was probably meant, "" when none is near; the caller frees it. */
static char *nearest(const struct scope *s, const char *key)
{
	size_t best = strlen(last_component(key)) / 3 + 1;
	char *found = xstrdup("");

	for (struct table_row row = {0}; table_next(s->tables, &row);) {
		bool is_elsewhere =
			strcmp(last_component(row.key), last_component(key)) == 0;
		size_t distance;

		if (!is_elsewhere)
			cut_to_depth(row.key, key);
		distance = is_elsewhere ? elsewhere_distance(row.key, key)
					: typo_distance(row.key, key);
		if (distance >= best)
			continue;
		best = distance;
		free(found);
		found = xstrdup(row.key);
	}
	return found;
}

static int refuse_key(const struct scope *s, const struct yaml_node *node,
		      const char *section)
{
	const char *shown = yaml_printable_key(node->key);
	char *key = xasprintf("%s%s", section, shown);
	char *meant = nearest(s, key);

	yaml_error(s->file, node->key_at, s->err, "%s%s: unknown key%s%s%s", s->label,
		   key, *meant ? ", did you mean " : "", meant, *meant ? "?" : "");
	free(key);
	free(meant);
	return -1;
}

static int fill_section(const struct scope *s, const struct yaml_node *node,
			const char *key)
{
	char *section;
	int result;

	/* A section whose lines are all commented out. */
	if (yaml_is_null(node))
		return 0;
	if (node->kind != YAML_MAP)
		return yaml_error(
			s->file, node->at, s->err,
			"%s%s: must be a section (indented \"key: value\" lines)",
			s->label, key);
	section = xasprintf("%s.", key);
	result = fill_map(s, node, section);
	free(section);
	return result;
}

static int fill_row_value(const struct scope *s, const struct table_row *row,
			  const struct yaml_node *node)
{
	char *name = xasprintf("%s%s", s->label, row->key);
	struct slot slot = {s, row->option, row->table->base, name};
	int result = fill_value(&slot, node);

	free(name);
	return result;
}

static int fill_member(const struct scope *s, const struct yaml_node *node,
		       const char *section)
{
	char *key = xasprintf("%s%s", section, node->key);
	struct table_row row;
	int result;

	if (strchr(node->key, '.'))
		result =
			yaml_error(s->file, node->key_at, s->err,
				   "%s: unknown key; sections are nested lines, not dots",
				   yaml_printable_key(node->key));
	else if (find_row(s, key, &row))
		result = fill_row_value(s, &row, node);
	else if (is_section(s, key))
		result = fill_section(s, node, key);
	else
		result = refuse_key(s, node, section);
	free(key);
	return result;
}

/* `section` is "" or ends with a dot. */
static int fill_map(const struct scope *s, const struct yaml_node *map,
		    const char *section)
{
	for (const struct yaml_node *n = map->children; n; n = n->next) {
		if (fill_member(s, n, section) < 0)
			return -1;
	}
	return 0;
}

int table_fill(const struct table *tables, const char *file, const struct yaml_node *root,
	       struct error *err)
{
	struct scope s = {tables, file, "", err};

	if (fill_map(&s, root, "") < 0)
		return -1;
	return check_required(&s, root);
}

int table_fill_key(const struct table *tables, const char *file,
		   const struct yaml_node *root, const char *key, struct error *err)
{
	struct scope s = {tables, file, "", err};
	const struct yaml_node *node = table_find(root, key);
	struct table_row row;

	if (!node || !find_row(&s, key, &row))
		return 0;
	return fill_row_value(&s, &row, node);
}
