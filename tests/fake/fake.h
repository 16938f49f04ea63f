#ifndef FAKE_H
#define FAKE_H

#include <check.h>

/* As ck_assert_msg(), which also writes a mark to a file each time: too slow for every call. */
#define fake_assert_msg(condition, text)          \
	do {                                      \
		if (!(condition))                 \
			ck_abort_msg("%s", text); \
	} while (0)

#define fake_assert(condition) fake_assert_msg(condition, #condition)

#endif
