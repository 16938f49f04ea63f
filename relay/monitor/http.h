#ifndef MONITOR_HTTP_H
#define MONITOR_HTTP_H

#include "base/error.h"
#include "engine/status.h"
#include "monitor/upkeep.h"
#include "monitor/webhook.h"

/*
 * The relay's state over HTTP, by libmicrohttpd in a thread of its own: GET and HEAD of
 *
 *   /livez    200 while the relay's loop turns, else 503
 *   /readyz   200 while both sides are usable and rows get settled, else 503; JSON with reasons
 *   /metrics  Prometheus' text format; wants the token where there is one
 *
 * It answers from the boards alone, so a frozen database or broker slows no answer. Bounded:
 * connections, time without a byte, and bytes of a request.
 */

#define HTTP_CONNECTIONS_MAX   64
#define HTTP_IDLE_S            10
#define HTTP_REQUEST_BYTES_MAX 16384

/* "127.0.0.1:9753", "[::1]:9753", "0.0.0.0:9753"; "off": no server. */
struct http_settings {
	const char *listen;
	const char *token; /* "Authorization: Bearer …" for /metrics; NULL: for all */
	const char *libraries;               /* as --version prints them */
	struct status_board *board;          /* outlives the server */
	struct upkeep_board *upkeep;         /* so does this */
	const struct webhook_counts *alerts; /* and these; NULL: none */
};

/* Can it be listened on, by its form? -1 and ERROR_CONFIG. */
int http_check_listen(const char *listen, struct error *err);

struct http;

/* Binds and begins to serve; copies the settings. *out is NULL where it is off. -1 and
   ERROR_REFUSED: the address is taken, or not ours. */
int http_start(const struct http_settings *settings, struct http **out,
	       struct error *err);

/* Waits for answers under way, a moment. NULL is legal. */
void http_stop(struct http *h);

/* The version of libmicrohttpd, as loaded. */
const char *http_library(void);

#endif
