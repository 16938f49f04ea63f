#ifndef MONITOR_CONSOLE_API_H
#define MONITOR_CONSOLE_API_H

#include <jansson.h>
#include <stdbool.h>

#include "engine/status.h"
#include "monitor/upkeep.h"
#include "store/operate.h"

/*
 * The console's questions and answers, all JSON; an answer that is no success is
 * {"error": "…"}.
 *
 *   GET  /api/status          what the boards have; no database is asked
 *   GET  /api/relays          as `status --json`, without what is parked
 *   GET  /api/rows            a page: ?status=failed&exchange=…&routing_key=…&error=…&older=5m
 *                             &newer=1h&after=ID&limit=50 → {"rows": […], "more": true}
 *   GET  /api/rows/NAME       one row by id or message_id, with its history and the first 4 KiB of
 *                             its body: {…, "payload_kind": "json", "payload": "…"}
 *   POST /api/requeue         one step of it, as in store/change.h: {"ids": [1, 2]} or
 *                             {"filter": {"exchange": …}}, and "dry_run", "after_id", "upto_id" →
 *                             {"matched": 1000, "changed": 998, "after_id": …, "upto_id": …,
 *                             "done": false}; whoever asks goes on with after_id and upto_id until
 *                             it is done
 */

/* For jobs of monitor/console.h: what the database is asked. */
struct console_call {
	const char
		*path;  /* with a slash at its end: what follows is the argument "name" */
	bool is_action; /* POST; else GET */
	bool shows_rows; /* or changes them: never without a token */

	/* The answer's code of HTTP, and the answer, which is the caller's. -1 and err: the session
	   is to be closed. Blocks as operate_run() does. */
	int (*run)(struct operate *o, const json_t *arguments, json_t **answer,
		   struct error *err);
};

/* NULL: none has this path. *name: what follows it, or NULL. */
const struct console_call *console_find_call(const char *path, const char **name);

struct console_view {
	const char *relay_name;
	bool has_token; /* so rows may be looked at, by whoever has it */
};

/* Of /api/status. Pure; the caller owns it. */
json_t *console_status(const struct console_view *view, const struct status *s,
		       const struct upkeep_status *upkeep, int64_t now_ms);

#endif
