/* A configuration file, as `run` and `check` load it: YAML, options, cross-checks. */

#include <fcntl.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/setup.h"
#include "config/yaml.h"
#include "fuzz/fuzz.h"

static char path[64];
static int file;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	file = memfd_create("outbox-relay.yaml", MFD_CLOEXEC);
	must(file >= 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	return 0;
}

static void count_row(void *context, const char *key, const char *value)
{
	must(key && value);
	++*(int *)context;
}

static void count_warning(void *context, const char *side, const char *reason)
{
	must(side && reason);
	++*(int *)context;
}

/* "path:line:column: text", where the line is in the file. */
static void check_place(const char *text, const uint8_t *data, size_t size)
{
	size_t lines = 1;
	int line = 0, column = 0, end = 0;

	for (size_t i = 0; i < size; i++)
		lines += data[i] == '\n' || data[i] == '\r' || data[i] == 0x85 ||
			 data[i] == 0xa8 || data[i] == 0xa9; /* YAML's other line ends */
	must(strncmp(text, path, strlen(path)) == 0);
	text += strlen(path);
	must(sscanf(text, ":%d:%d: %n", &line, &column, &end) == 2 && end > 0);
	must(text[end] != '\0');
	must(line >= 1 && (size_t)line <= lines + 1 && column >= 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct cli cli = {.config_path = path};
	struct error err = {.text = ""};
	struct config *c;
	int rows = 0;

	must(ftruncate(file, 0) == 0 && pwrite(file, data, size, 0) == (ssize_t)size);
	c = setup_config(&cli, &err);
	if (c) {
		config_print(c, count_row, &rows);
		must(rows > 0);
		setup_warnings(c, count_warning, &rows);
		config_free(c);
	} else {
		must(err.kind == ERROR_CONFIG);
		check_place(err.text, data, size);
	}
	return 0;
}
