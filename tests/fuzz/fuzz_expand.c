/* Values with ${VARIABLES}. */

#include <stdbool.h>

#include "config/expand.h"
#include "fuzz/fuzz.h"

#define VALUE "a${B}c$"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	clearenv();
	setenv("A", VALUE, 1);
	setenv("EMPTY", "", 1);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = fuzz_text(data, size);
	struct error err = {.text = ""};
	char *out = expand_env(text, &err);

	if (!out) {
		must(err.kind == ERROR_CONFIG && err.text[0]);
		must(strstr(text, "${"));
		must(!strstr(err.text, VALUE));
	} else if (!strstr(text, "${")) {
		must(strcmp(out, text) == 0);
	} else if (strcmp(text, "${A}") == 0) {
		must(strcmp(out, VALUE) == 0); /* not expanded again */
	} else {
		/* No more than a value for each three bytes, or the text itself. */
		must(strlen(out) <= (strlen(text) + 1) * sizeof(VALUE));
	}
	free(out);
	free(text);
	return 0;
}
