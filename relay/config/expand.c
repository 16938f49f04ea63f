#include "expand.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"

#define NAME_MAX_BYTES 127

static size_t name_size(const char *text)
{
	size_t size = 0;

	if (isdigit((unsigned char)*text))
		return 0;
	while (isalnum((unsigned char)text[size]) || text[size] == '_')
		size++;
	return size;
}

/* One reference, `text` standing behind its "${". Returns what follows it, or NULL. */
static const char *put_reference(struct buffer *out, const char *text, struct error *err)
{
	size_t size = name_size(text);
	const char *rest = text + size;
	const char *end = strchr(rest, '}');
	bool has_default = strncmp(rest, ":-", 2) == 0;
	char name[NAME_MAX_BYTES + 1];
	const char *value;

	if (size == 0 || size > NAME_MAX_BYTES || !end || !(has_default || rest == end)) {
		error_set(err, ERROR_CONFIG,
			  "has a malformed ${…}: write ${NAME} or ${NAME:-default}, and "
			  "$${ "
			  "for a literal ${");
		return NULL;
	}
	memcpy(name, text, size);
	name[size] = '\0';
	value = getenv(name);
	if (has_default && !(value && *value)) {
		buffer_append(out, rest + 2, (size_t)(end - rest - 2));
	} else if (value) {
		buffer_append(out, value, strlen(value));
	} else {
		error_set(err, ERROR_CONFIG, "the environment variable %s is not set",
			  name);
		return NULL;
	}
	return end + 1;
}

char *expand_env(const char *text, struct error *err)
{
	struct buffer out = {0};

	while (text && *text) {
		if (strncmp(text, "$${", 3) == 0) {
			buffer_append(&out, "${", 2);
			text += 3;
		} else if (strncmp(text, "${", 2) == 0) {
			text = put_reference(&out, text + 2, err);
		} else {
			buffer_append(&out, text++, 1);
		}
	}
	if (!text) {
		buffer_release(&out);
		return NULL;
	}
	buffer_text(&out);
	return out.data;
}
