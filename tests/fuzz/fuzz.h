#ifndef TESTS_FUZZ_H
#define TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Each tests/fuzz/fuzz_<name>.c is a libFuzzer target: `make fuzz` runs all of them, from
 * the seeds in tests/fuzz/corpus/<name>/. What a target looks at besides crashes and
 * sanitizer findings it says with must(); clocks and sizes are the fuzzer's own limits
 * (tests/fuzz/run.sh).
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

#define must(fact)                                                                 \
	do {                                                                       \
		if (!(fact)) {                                                     \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, \
				#fact);                                            \
			abort();                                                   \
		}                                                                  \
	} while (0)

/* The input as a string of its own, so that reading behind its end is seen. */
static inline char *fuzz_text(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	memcpy(text, data, size);
	text[size] = '\0';
	return text;
}

#endif
