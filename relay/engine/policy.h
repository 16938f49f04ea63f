#ifndef ENGINE_POLICY_H
#define ENGINE_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/backoff.h"
#include "base/message.h"
#include "store/batch.h"

/*
 * What a verdict means for a row: pure, and a table. Only what is about this very row is
 * charged to it; an outage of any length charges nobody.
 */
struct policy {
	int max_attempts;
	bool counts_outages; /* retry.count_outages: a lost connection charges what was in
				flight */
	struct backoff delay; /* between attempts of one row */
};

enum policy_action {
	POLICY_DECIDE, /* tell the database: *decision */
	POLICY_AGAIN,  /* publish it again, with the others */
	POLICY_ALONE,  /* publish it again, with nothing else in flight */
};

/* VERDICT_NONE stands for: in flight when the connection was lost. */
enum policy_action policy_decide(const struct policy *p, enum verdict verdict,
				 int64_t try_count, uint32_t random,
				 struct decision *decision);

#endif
