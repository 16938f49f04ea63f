#ifndef BASE_MEMORY_H
#define BASE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Allocation that cannot fail, and what happens when memory runs out.
 *
 * memory_reserve() sets memory aside at the start. The first allocation that fails gives
 * it back to the heap and is tried again; from then on memory_is_short(), and the relay
 * ends in good order on what the reserve held: it settles what it knows, releases its
 * claims, and exits with EX_OSERR. An allocation that fails after that ends the process at
 * once, with one line on standard error and the same code: every step of the relay may be
 * repeated after a crash, so dying is safe, and half-handled failures are not.
 *
 * Any thread may call these; the one that finds memory short gives the reserve up for all.
 *
 * Libraries that fail to allocate report it as an error of their own, and their connection
 * is opened anew. Where they cannot tell us, or would tell something else, call
 * memory_spare() and try again:
 *
 *	while (!(memory = library_new()))
 *		memory_spare();
 */
void *xmalloc(size_t size);
void *xcalloc(size_t count, size_t size);
void *xrealloc(void *old, size_t size);
char *xstrdup(const char *text);
char *xasprintf(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Once, before anything else; costs address space, and no memory until it is given up. */
void memory_reserve(void);

/* Gives the reserve up, for a second try; without one (any more) it does not return. */
void memory_spare(void);

/* The reserve was given up. */
bool memory_is_short(void);

#endif
