#ifndef TESTS_UNIT_H
#define TESTS_UNIT_H

#include <check.h>

/* Each tests/unit/test_<module>.c defines this; unit.c is the main of all of them. */
Suite *unit_suite(void);

/* A new folder of this test's own below $TMPDIR or /tmp. Whoever made it removes it; the runner
   sets TMPDIR and removes what crashed tests left behind. Valid until the next call. */
const char *unit_folder(void);

/* How often to repeat a random test: less where UNIT_QUICK is set, for slow machinery. */
int unit_rounds(int rounds);

#endif
