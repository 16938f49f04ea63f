#ifndef CONFIG_TYPO_H
#define CONFIG_TYPO_H

#include <stddef.h>

/* Longer words are never near each other. */
#define TYPO_SIZE_MAX 63

/*
 * How many single slips lead from one word to the other: a character too many, one
 * missing, one wrong, or two neighbours swapped. SIZE_MAX when a word is longer than
 * TYPO_SIZE_MAX.
 */
size_t typo_distance(const char *a, const char *b);

#endif
