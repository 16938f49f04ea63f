#include "policy.h"

struct rule {
	int charge;
	enum policy_action action;
	enum fate fate; /* of DECIDE; RETRY becomes FAILED with the last attempt */
};

static const struct rule rules[VERDICT_COUNT] = {
	[VERDICT_NONE] = {0, POLICY_AGAIN, FATE_RETRY},
	[VERDICT_SENT] = {0, POLICY_DECIDE, FATE_SENT},
	[VERDICT_RETURNED] = {1, POLICY_DECIDE, FATE_RETRY},
	[VERDICT_NACKED] = {1, POLICY_DECIDE, FATE_RETRY},
	[VERDICT_REFUSED] = {1, POLICY_DECIDE, FATE_RETRY},
	[VERDICT_UNCLEAR] = {0, POLICY_ALONE, FATE_RETRY},
	[VERDICT_INVALID] = {0, POLICY_DECIDE, FATE_FAILED},
	[VERDICT_OVERDUE] = {1, POLICY_DECIDE, FATE_RETRY},
	[VERDICT_DEFERRED] = {0, POLICY_DECIDE, FATE_RETRY},
	[VERDICT_CRASHED] = {1, POLICY_DECIDE, FATE_RETRY},
};

static const struct rule outage_charged = {1, POLICY_DECIDE, FATE_RETRY};

enum policy_action policy_decide(const struct policy *p, enum verdict verdict,
				 int64_t try_count, uint32_t random,
				 struct decision *decision)
{
	bool is_outage = verdict == VERDICT_NONE || verdict == VERDICT_DEFERRED;
	const struct rule *rule = &rules[verdict];
	int64_t attempts;

	if (is_outage && p->counts_outages)
		rule = &outage_charged;
	attempts = try_count + rule->charge;
	*decision = (struct decision){.fate = rule->fate, .charge = rule->charge};
	if (rule->fate != FATE_RETRY)
		return rule->action;
	if (rule->charge && attempts >= p->max_attempts)
		decision->fate = FATE_FAILED;
	else
		decision->delay_ms =
			backoff_ms(&p->delay, (int)(attempts ? attempts - 1 : 0), random);
	return rule->action;
}
