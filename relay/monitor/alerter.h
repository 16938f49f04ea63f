#ifndef MONITOR_ALERTER_H
#define MONITOR_ALERTER_H

#include "config/config.h"
#include "engine/status.h"
#include "monitor/upkeep.h"
#include "monitor/webhook.h"

/*
 * The thread that tells people: it looks at the two boards twice a second, decides by
 * monitor/alerts.h, and delivers by monitor/webhook.h. The relay never waits for it: while a
 * message is on its way, changes gather for the next one.
 */
struct alerter;

/* What no single key can tell. -1 with a text that begins with the key at fault. */
int alerter_check(const struct config_alerts *c, struct error *err);

/* Why somebody in between could read what is sent; NULL: nobody could. */
const char *alerter_warning(const struct config_alerts *c);

/* Would a start with these do the same? */
bool alerter_is_same(const struct config *a, const struct config *b);

/* Copies what it needs; boards and counts outlive it. *out is NULL where no webhook is
   configured. -1: there is no memory for it. */
int alerter_start(const struct config *c, struct status_board *board,
		  struct upkeep_board *upkeep, struct webhook_counts *counts,
		  struct alerter **out, struct error *err);

/* From now on nothing waits to be told together with other things: the end is near. */
void alerter_hurry(struct alerter *a); /* NULL is legal */

/* Looks once more, and tries to deliver what there is for so long at most. NULL is legal. */
void alerter_stop(struct alerter *a, int64_t within_ms);

#endif
