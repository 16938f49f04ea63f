#ifndef MONITOR_ALERT_FORMAT_H
#define MONITOR_ALERT_FORMAT_H

#include "config/config.h"
#include "monitor/alerts.h"

/*
 * A message as the body of a POST. Pure.
 *
 *   generic       all there is, as one object; README.md shows one
 *   slack         {"text": …}, for Slack, Mattermost, Rocket.Chat, and others that take it
 *   alertmanager  the list that POST /api/v2/alerts takes. Alertmanager forgets an alert that is
 *                 not told again before its endsAt, so repeat_interval must be
 *                 ALERT_FORMAT_REPEAT_MS then
 *
 * `relay` is relay.name; `wall_ms` is clock_wall_ms() of the message's at_ms. The caller frees the
 * text; NULL: no memory.
 */

#define ALERT_FORMAT_REPEAT_MS 60000

char *alert_format_write(enum alerts_format format, const struct alert_message *m,
			 const char *relay, int64_t wall_ms);

#endif
