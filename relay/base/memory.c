#include "memory.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

/* More than what settling and releasing the largest claims takes. */
#define RESERVE_SIZE (4 * 1024 * 1024)

static void *_Atomic reserve;
static _Atomic bool is_short;

void memory_reserve(void)
{
	if (!reserve)
		reserve = malloc(RESERVE_SIZE);
}

void memory_spare(void)
{
	static const char text[] = "outbox-relay: out of memory\n";
	void *spare = atomic_exchange(&reserve, NULL);

	is_short = true;
	if (!spare) {
		/* Nothing is left to do should that fail, too. */
		if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
			_exit(EX_OSERR);
		_exit(EX_OSERR);
	}
	free(spare);
}

bool memory_is_short(void)
{
	return is_short;
}

void *xmalloc(size_t size)
{
	void *memory;

	while (!(memory = malloc(size ? size : 1)))
		memory_spare();
	return memory;
}

void *xcalloc(size_t count, size_t size)
{
	void *memory;

	while (!(memory = calloc(count ? count : 1, size ? size : 1)))
		memory_spare();
	return memory;
}

void *xrealloc(void *old, size_t size)
{
	void *memory;

	while (!(memory = realloc(old, size ? size : 1)))
		memory_spare();
	return memory;
}

char *xstrdup(const char *text)
{
	size_t size = strlen(text) + 1;

	return memcpy(xmalloc(size), text, size);
}

char *xasprintf(const char *format, ...)
{
	char *text;
	va_list args;
	int size;

	for (;;) {
		va_start(args, format);
		size = vasprintf(&text, format, args);
		va_end(args);
		if (size >= 0)
			return text;
		memory_spare();
	}
}
