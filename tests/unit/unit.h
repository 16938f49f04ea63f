#ifndef TESTS_UNIT_H
#define TESTS_UNIT_H

#include <check.h>

/* Each tests/unit/test_<module>.c defines this; unit.c is the main of all of them. */
Suite *unit_suite(void);

#endif
