#include "core.h"

#include <sys/prctl.h>
#include <sys/resource.h>

void core_forbid(void)
{
	struct rlimit limit = {.rlim_cur = 0, .rlim_max = 0};

	prctl(PR_SET_DUMPABLE, 0);
	/* Where a service manager has set it already, its filter of system calls may not
	   let us. */
	if (getrlimit(RLIMIT_CORE, &limit) == 0 && limit.rlim_max == 0)
		return;
	limit.rlim_cur = limit.rlim_max = 0;
	setrlimit(RLIMIT_CORE, &limit);
}
