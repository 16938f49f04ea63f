/*
 * Preloaded into the program: allocations that fail, in the libraries, too.
 *
 *   MALLOC_FAIL_AT=n      the n-th allocation of the process fails (from 1) …
 *   MALLOC_FAIL_COUNT=k   … and the k - 1 behind it (1 unless set; 0: all)
 *   MALLOC_FROM=connect   counted from the first connect(2) on: what comes before it, reading
 *                         the configuration, takes ten times as many as all that comes behind
 *   MALLOC_COUNT=file     how many there were is written there when the process ends well
 *
 * Allocations before main() do not count: the loader's and the constructors'.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);

static atomic_ulong count;
static unsigned long first, last;
static bool is_wanted, is_on;

static bool fails(void)
{
	unsigned long n;

	if (!is_on)
		return false;
	n = atomic_fetch_add(&count, 1) + 1;
	if (n < first || n > last)
		return false;
	errno = ENOMEM;
	return true;
}

void *malloc(size_t size)
{
	return fails() ? NULL : __libc_malloc(size);
}

void *calloc(size_t number, size_t size)
{
	return fails() ? NULL : __libc_calloc(number, size);
}

void *realloc(void *old, size_t size)
{
	return fails() ? NULL : __libc_realloc(old, size);
}

int connect(int fd, const struct sockaddr *to, socklen_t size)
{
	is_on = is_wanted;
	return (int)syscall(SYS_connect, fd, to, size);
}

static void tell(void)
{
	const char *path = getenv("MALLOC_COUNT");
	FILE *file;

	is_on = is_wanted = false;
	file = path ? fopen(path, "w") : NULL;
	if (file) {
		fprintf(file, "%lu\n", (unsigned long)count);
		fclose(file);
	}
}

__attribute__((constructor)) static void set_up(void)
{
	const char *at = getenv("MALLOC_FAIL_AT");
	const char *number = getenv("MALLOC_FAIL_COUNT");
	const char *from = getenv("MALLOC_FROM");
	unsigned long many = number ? strtoul(number, NULL, 10) : 1;

	first = at ? strtoul(at, NULL, 10) : -1UL;
	last = many ? first + many - 1 : -1UL;
	atexit(tell);
	is_wanted = true;
	is_on = !from || strcmp(from, "connect") != 0;
}
