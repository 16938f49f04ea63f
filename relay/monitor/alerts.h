#ifndef MONITOR_ALERTS_H
#define MONITOR_ALERTS_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/status.h"

/*
 * What people are to be told, decided from one status after the other. Pure.
 *
 * An alert fires, and is resolved when its cause has been gone for a while. Changes are gathered
 * and told in one message: group_wait after the first of them, and group_interval after the
 * message before at the earliest. What comes and goes in between is not told. Failed rows always
 * are, by number and with the latest as examples; that alert is resolved when no row failed for
 * ALERTS_QUIET_INTERVALS. What still fires is told again every repeat_interval.
 *
 *	alerts_look(a, &status, …);	every half second or so
 *	if (now_ms >= alerts_due_ms(a))
 *		tell(alerts_take(a, now_ms));
 *
 * Times are of clock_ms(). Never a payload: names, ids, and the words of database and broker.
 */

#define ALERTS_QUIET_INTERVALS 10

/* One of each kind, and parked destinations: those that are, and those that were. */
#define ALERTS_MAX (ALERT_DESTINATION_PARKED + 2 * PARKING_MAX)

enum alert_kind {
	ALERT_ROWS_FAILED,
	ALERT_OLDEST_DUE,
	ALERT_DATABASE_DOWN,
	ALERT_BROKER_DOWN,
	ALERT_BROKER_BLOCKED,
	ALERT_DESTINATION_PARKED,
};

struct alert {
	enum alert_kind kind;
	bool is_firing;   /* else resolved */
	int64_t since_ms; /* when its cause began */
	int64_t until_ms; /* resolved: when it was gone */
	char error[512];  /* DOWN, BLOCKED, PARKED: why */

	uint64_t rows;       /* ROWS_FAILED: since the message before this one */
	uint64_t rows_total; /* ROWS_FAILED: since it fired */

	bool has_key; /* PARKED: that routing key only */
	char exchange[256], routing_key[256];
};

struct alert_message {
	int64_t at_ms;
	int count;
	struct alert alerts[ALERTS_MAX];
	struct report_row examples[REPORT_LATEST]; /* of ROWS_FAILED, the newest first */
	int example_count;
};

struct alerts_settings {
	int64_t oldest_due_ms; /* how long a row may be due */
	int64_t down_ms;       /* how long a side may be down, or take no messages */
	int64_t group_wait_ms; /* also how long a cause has to be gone */
	int64_t group_interval_ms;
	int64_t repeat_interval_ms;
};

struct alerts;

/* Rows that failed before, by counts.failed, are none of its business. */
struct alerts *alerts_new(const struct alerts_settings *settings, uint64_t failed);
void alerts_free(struct alerts *a); /* NULL is legal */

/* `overdue_since_ms`: when a row of the table was due that is due for too long; CLOCK_NEVER: none
   is known. Rows in hand are looked at in the status. */
void alerts_look(struct alerts *a, const struct status *s, int64_t overdue_since_ms,
		 int64_t now_ms);

/* When the next message is to be told; CLOCK_NEVER: there is nothing to tell. */
int64_t alerts_due_ms(const struct alerts *a);

/* The message, due or not; count is 0 where there is nothing to tell. Valid until the next call,
   and not empty again: what is in it counts as told. */
const struct alert_message *alerts_take(struct alerts *a, int64_t now_ms);

#endif
