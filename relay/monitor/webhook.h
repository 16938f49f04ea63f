#ifndef MONITOR_WEBHOOK_H
#define MONITOR_WEBHOOK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/*
 * One message at a time to one webhook: POST by libcurl (monitor/libcurl.h).
 *
 * An answer of 2xx has delivered it. No answer, 408, 429 and 5xx are tried again after 1 s, 2 s,
 * 4 s … 60 s, or later if the answer says so, for `retry_for_ms` at most; any other answer is
 * final. Redirects are not followed, and of what the answer says but its status nothing is read
 * that exceeds WEBHOOK_ANSWER_MAX. A connection serves one try. No proxy, no cookies, no .netrc; TLS
 * 1.2 or newer and a certificate that is valid and made for the host.
 *
 * With a secret each try has the headers
 *
 *	X-Outbox-Relay-Timestamp: 1790000000
 *	X-Outbox-Relay-Signature: sha256=<HMAC-SHA256 of timestamp "." body, in hexadecimal>
 *
 * All but the host of the URL is a secret: it is in no error and no line of the log. Of one thread,
 * but for webhook_wake().
 */

#define WEBHOOK_ANSWER_MAX 65536

/* Messages: any thread may read them. They go on over a reload. */
struct webhook_counts {
	_Atomic uint64_t sent;
	_Atomic uint64_t failed;  /* refused, or tried for too long */
	_Atomic uint64_t dropped; /* undelivered when the process ended, or no memory */
};

struct webhook_settings {
	const char *url;
	const char *secret;  /* NULL: not signed */
	const char *ca_file; /* NULL: the system's authorities */
	bool allow_http;
	int timeout_ms; /* of one try, the connection included */
	int64_t retry_for_ms;
	struct webhook_counts *counts; /* outlives the webhook */
};

/* Can it be sent to, by its form? -1 and ERROR_CONFIG, without the URL in it, or
   libcurl_load()'s. *is_exposed: it is
   spoken to in plain text, and not on this machine. */
int webhook_check(const char *url, bool allow_http, bool *is_exposed, struct error *err);

struct webhook;

/* Copies the settings; no I/O. -1 and ERROR_MEMORY, or libcurl_load()'s. Of the main thread. */
int webhook_open(const struct webhook_settings *settings, struct webhook **out,
		 struct error *err);
void webhook_close(
	struct webhook *w); /* NULL is legal; what is not delivered is dropped */

/* Nothing is being delivered. */
bool webhook_is_idle(const struct webhook *w);

/* While idle only. Takes `body` over, from malloc(); NULL counts as dropped. */
void webhook_send(struct webhook *w, char *body);

/* Goes on delivering; waits until then, or until something happened. */
void webhook_run(struct webhook *w, int64_t until_ms);

/* Ends the wait in webhook_run(); any thread may call it. */
void webhook_wake(struct webhook *w);

/* "libcurl 7.88.1"; NULL while it is not loaded. Of the main thread. */
const char *webhook_library(void);

#endif
