#ifndef MONITOR_HTTP_H
#define MONITOR_HTTP_H

#include "base/error.h"
#include "engine/status.h"
#include "monitor/console.h"
#include "monitor/upkeep.h"
#include "monitor/webhook.h"

/*
 * The relay's state over HTTP, by libmicrohttpd in a thread of its own: GET and HEAD of
 *
 *   /livez     200 while the relay's loop turns, else 503
 *   /readyz    200 while both sides are usable and rows get settled, else 503; JSON with reasons
 *   /metrics   Prometheus' text format; wants the token where there is one
 *   /console/  a page for people, with the files it is made of
 *   /api/…     what it asks; see monitor/console_api.h, and monitor/http_guard.h for whom it answers
 *
 * It answers from the boards alone, so a frozen database or broker slows no answer; what needs the
 * database waits for monitor/console.h, and nothing else waits for that. Bounded: connections, time
 * without a byte, and bytes of a request.
 */

#define HTTP_CONNECTIONS_MAX   64
#define HTTP_IDLE_S            10
#define HTTP_REQUEST_BYTES_MAX 16384 /* without the body */
#define HTTP_BODY_BYTES_MAX    65536

struct http_settings {
	const char *listen; /* see monitor/listen.h */
	const char *token;  /* "Authorization: Bearer …"; NULL: none */
	const char *relay_name;
	const char *libraries;               /* as --version prints them */
	struct status_board *board;          /* outlives the server */
	struct upkeep_board *upkeep;         /* so does this */
	const struct webhook_counts *alerts; /* and these; NULL: none */
	struct console *console; /* and this; NULL: neither /console/ nor /api/ */
};

struct http;

/* Binds and begins to serve; copies the settings. *out is NULL where it is off. -1 and
   ERROR_REFUSED: the address is taken, or not ours. */
int http_start(const struct http_settings *settings, struct http **out,
	       struct error *err);

/* Waits for answers under way, a moment. After console_stop(), so that none is left there. NULL is
   legal. */
void http_stop(struct http *h);

/* The version of libmicrohttpd, as loaded. */
const char *http_library(void);

#endif
