#include "exposition.h"

void exposition_head(struct buffer *out, const char *name, const char *type,
		     const char *help)
{
	buffer_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void exposition_number(struct buffer *out, const char *name, const char *type,
		       const char *help, double value)
{
	exposition_head(out, name, type, help);
	buffer_printf(out, "%s %.15g\n", name, value);
}

/* Label values escape backslash, quote and newline. */
void exposition_label(struct buffer *out, const char *name, const char *value)
{
	buffer_printf(out, "%s=\"", name);
	for (; *value; value++) {
		if (*value == '\n')
			buffer_printf(out, "\\n");
		else
			buffer_printf(out,
				      *value == '\\' || *value == '"' ? "\\%c" : "%c",
				      *value);
	}
	buffer_printf(out, "\"");
}
