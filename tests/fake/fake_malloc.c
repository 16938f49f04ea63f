#include "fake_malloc.h"

#include <stdbool.h>
#include <stddef.h>

static unsigned long made, first, last;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);

/* Check's own, for each assertion: it is linked into the test. */
void *__real_emalloc(size_t size);
void *__real_erealloc(void *old, size_t size);
void *__wrap_emalloc(size_t size);
void *__wrap_erealloc(void *old, size_t size);

static bool is_checks;

void fake_malloc_fail(unsigned long at, unsigned long count)
{
	made = 0;
	first = at;
	last = at + count;
}

unsigned long fake_malloc_count(void)
{
	return made;
}

static bool fails(void)
{
	if (is_checks)
		return false;
	made++;
	return made >= first && made < last;
}

void *__wrap_malloc(size_t size)
{
	return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
	return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
	return fails() ? NULL : __real_realloc(old, size);
}

void *__wrap_emalloc(size_t size)
{
	void *memory;

	is_checks = true;
	memory = __real_emalloc(size);
	is_checks = false;
	return memory;
}

void *__wrap_erealloc(void *old, size_t size)
{
	void *memory;

	is_checks = true;
	memory = __real_erealloc(old, size);
	is_checks = false;
	return memory;
}
