#include "unit/unit.h"

#include <stdio.h>
#include <stdlib.h>

const char *unit_folder(void)
{
	static char folder[256];
	const char *parent = getenv("TMPDIR");

	snprintf(folder, sizeof(folder), "%s/outbox-relay-unit-XXXXXX",
		 parent ? parent : "/tmp");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	return folder;
}

int unit_rounds(int rounds)
{
	return getenv("UNIT_QUICK") ? rounds / 20 + 1 : rounds;
}

int main(void)
{
	SRunner *runner = srunner_create(unit_suite());
	int failed;

	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
