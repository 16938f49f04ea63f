#include "message.h"

const char *verdict_name(enum verdict verdict)
{
	static const char *const names[VERDICT_COUNT] = {
		[VERDICT_NONE] = "interrupted",  [VERDICT_SENT] = "confirmed",
		[VERDICT_RETURNED] = "returned", [VERDICT_NACKED] = "nacked",
		[VERDICT_REFUSED] = "refused",   [VERDICT_UNCLEAR] = "unclear",
		[VERDICT_INVALID] = "invalid",   [VERDICT_OVERDUE] = "overdue",
		[VERDICT_DEFERRED] = "deferred", [VERDICT_CRASHED] = "crashed",
	};

	return names[verdict];
}
