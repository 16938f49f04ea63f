#ifndef FAKE_MALLOC_H
#define FAKE_MALLOC_H

/*
 * Allocations that fail, for `-Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc`, and
 * --wrap=emalloc,--wrap=erealloc, by which those of Check are told apart. What libraries
 * allocate is not seen; tests/preload/malloc.c is for that.
 */

/* The `at`-th allocation from now on (1: the next) fails, and the count - 1 behind it. */
void fake_malloc_fail(unsigned long at, unsigned long count);

/* Allocations since the last call of fake_malloc_fail(). */
unsigned long fake_malloc_count(void);

#endif
