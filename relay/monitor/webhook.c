#include "webhook.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/backoff.h"
#include "base/buffer.h"
#include "base/clock.h"
#include "base/hmac.h"
#include "base/log.h"
#include "config/redact.h"
#include "monitor/libcurl.h"

#define CONNECT_TIMEOUT_MS 3000
#define RETRY_AFTER_MAX_MS 60000

#define NO_URL "is not a URL such as https://host/path"

static const struct backoff delay = {.first_ms = 1000,
				     .multiplier = 2,
				     .max_ms = 60000,
				     .jitter_percent = 20};

struct webhook {
	char *url, *secret, *ca_file;
	char *place; /* the URL as it may be shown */
	char *path;  /* of the URL; what must not be shown */
	long timeout_ms;
	int64_t retry_for_ms;
	bool allow_http;
	struct webhook_counts *counts;

	const struct libcurl *curl;
	CURLM *multi;
	CURL *easy;
	char *body; /* NULL: idle */
	bool is_trying;
	int tries;
	int64_t began_ms; /* the first try */
	int64_t try_at_ms;
	struct curl_slist *headers;
	size_t answered; /* bytes */
	char error[CURL_ERROR_SIZE];
};

/* --- the URL --- */

static bool is_loopback(const char *host)
{
	return strcmp(host, "localhost") == 0 || strncmp(host, "127.", 4) == 0 ||
	       strcmp(host, "[::1]") == 0;
}

static int judge_url(const struct libcurl *curl, CURLU *u, bool allow_http,
		     bool *is_exposed, struct error *err)
{
	char *scheme = NULL, *host = NULL;
	bool is_https, is_http;
	int result = 0;

	if (curl->url_get(u, CURLUPART_SCHEME, &scheme, 0) ||
	    curl->url_get(u, CURLUPART_HOST, &host, 0)) {
		curl->free(scheme);
		return error_set(err, ERROR_CONFIG, NO_URL);
	}
	is_https = strcmp(scheme, "https") == 0;
	is_http = strcmp(scheme, "http") == 0;
	if (!is_https && !is_http)
		result = error_set(err, ERROR_CONFIG, "must begin with https://");
	else if (is_http && !allow_http)
		result = error_set(err, ERROR_CONFIG,
				   "http:// is not protected: use https://, or set "
				   "alerts.webhook.allow_http");
	else
		*is_exposed = is_http && !is_loopback(host);
	curl->free(scheme);
	curl->free(host);
	return result;
}

int webhook_check(const char *url, bool allow_http, bool *is_exposed, struct error *err)
{
	const struct libcurl *curl = libcurl_load(err);
	CURLU *u;
	int result;

	if (!curl)
		return -1;
	u = curl->url();
	if (!u)
		return error_set(err, ERROR_MEMORY, "out of memory");
	/* Of https:///path libcurl would make a host out of the path. */
	if (strstr(url, ":///") || curl->url_set(u, CURLUPART_URL, url, 0))
		result = error_set(err, ERROR_CONFIG, NO_URL);
	else
		result = judge_url(curl, u, allow_http, is_exposed, err);
	curl->url_cleanup(u);
	return result;
}

static char *path_of(const char *url)
{
	const char *host = strstr(url, "://");

	host = host ? host + 3 : url;
	host += strcspn(host, "/?#");
	return xstrdup(*host == '/' ? host + 1 : host);
}

/* --- life --- */

int webhook_open(const struct webhook_settings *settings, struct webhook **out,
		 struct error *err)
{
	const struct libcurl *curl = libcurl_load(err);
	struct webhook *w;

	if (!curl)
		return -1;
	w = xcalloc(1, sizeof(*w));
	w->url = xstrdup(settings->url);
	w->secret = settings->secret ? xstrdup(settings->secret) : NULL;
	w->ca_file = settings->ca_file ? xstrdup(settings->ca_file) : NULL;
	w->place = redact_path(settings->url);
	w->path = path_of(settings->url);
	w->timeout_ms = settings->timeout_ms;
	w->retry_for_ms = settings->retry_for_ms;
	w->allow_http = settings->allow_http;
	w->counts = settings->counts;
	w->curl = curl;
	w->multi = curl->multi_init();
	w->easy = curl->easy_init();
	if (w->multi && w->easy) {
		*out = w;
		return 0;
	}
	webhook_close(w);
	return error_set(err, ERROR_MEMORY, "libcurl cannot be set up");
}

static void wipe(char *text)
{
	if (text)
		explicit_bzero(text, strlen(text));
	free(text);
}

static void end_try(struct webhook *w)
{
	if (w->is_trying)
		w->curl->multi_remove_handle(w->multi, w->easy);
	w->curl->slist_free_all(w->headers);
	w->headers = NULL;
	w->is_trying = false;
}

static void end_message(struct webhook *w, _Atomic uint64_t *count)
{
	end_try(w);
	free(w->body);
	w->body = NULL;
	(*count)++;
}

void webhook_close(struct webhook *w)
{
	if (!w)
		return;
	if (w->body) {
		log_warn("alert dropped", LOG_STR("webhook", w->place),
			 LOG_INT("tries", w->tries), LOG_STR("reason", "the relay ends"));
		end_message(w, &w->counts->dropped);
	}
	w->curl->easy_cleanup(w->easy);
	if (w->multi)
		w->curl->multi_cleanup(w->multi);
	wipe(w->url);
	wipe(w->secret);
	wipe(w->path);
	free(w->ca_file);
	free(w->place);
	free(w);
}

bool webhook_is_idle(const struct webhook *w)
{
	return !w->body;
}

void webhook_send(struct webhook *w, char *body)
{
	if (!body) {
		w->counts->dropped++;
		log_error("alert dropped", LOG_STR("reason", "out of memory"));
		return;
	}
	w->body = body;
	w->tries = 0;
	w->began_ms = w->try_at_ms = clock_ms();
}

void webhook_wake(struct webhook *w)
{
	w->curl->multi_wakeup(w->multi);
}

const char *webhook_library(void)
{
	return libcurl_version();
}

/* --- a try --- */

/* What is too long is cut off. */
static size_t take_answer(char *data, size_t size, size_t count, void *context)
{
	struct webhook *w = context;

	(void)data;
	w->answered += size * count;
	return w->answered > WEBHOOK_ANSWER_MAX ? 0 : size * count;
}

static int add_header(struct webhook *w, const char *line)
{
	struct curl_slist *longer = w->curl->slist_append(w->headers, line);

	if (!longer)
		return -1;
	w->headers = longer;
	return 0;
}

static int sign(struct webhook *w)
{
	long long seconds = clock_wall_ms() / 1000;
	char *text = xasprintf("%lld.%s", seconds, w->body);
	char digest[HMAC_TEXT_SIZE], line[HMAC_TEXT_SIZE + 64];
	int result = hmac_sha256(w->secret, text, strlen(text), digest);

	free(text);
	if (result < 0)
		return -1;
	snprintf(line, sizeof(line), "X-Outbox-Relay-Timestamp: %lld", seconds);
	if (add_header(w, line) < 0)
		return -1;
	snprintf(line, sizeof(line), "X-Outbox-Relay-Signature: sha256=%s", digest);
	return add_header(w, line);
}

/* An empty Expect keeps libcurl from asking before it sends. */
static int make_headers(struct webhook *w)
{
	if (add_header(w, "Content-Type: application/json") < 0 ||
	    add_header(w, "Expect:") < 0)
		return -1;
	return w->secret ? sign(w) : 0;
}

static void set_limits(struct webhook *w)
{
	long connect_ms =
		w->timeout_ms < CONNECT_TIMEOUT_MS ? w->timeout_ms : CONNECT_TIMEOUT_MS;

	w->curl->easy_setopt(w->easy, CURLOPT_CONNECTTIMEOUT_MS, connect_ms);
	w->curl->easy_setopt(w->easy, CURLOPT_TIMEOUT_MS, w->timeout_ms);
	w->curl->easy_setopt(w->easy, CURLOPT_NOSIGNAL, 1L);
	w->curl->easy_setopt(w->easy, CURLOPT_FOLLOWLOCATION, 0L);
	w->curl->easy_setopt(w->easy, CURLOPT_FORBID_REUSE, 1L);
	w->curl->easy_setopt(w->easy, CURLOPT_PROXY, "");
	w->curl->easy_setopt(w->easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
#if LIBCURL_VERSION_NUM >= 0x075500
	w->curl->easy_setopt(w->easy, CURLOPT_PROTOCOLS_STR,
			     w->allow_http ? "http,https" : "https");
#else
	w->curl->easy_setopt(w->easy, CURLOPT_PROTOCOLS,
			     (long)(CURLPROTO_HTTPS |
				    (w->allow_http ? CURLPROTO_HTTP : 0)));
#endif
#if LIBCURL_VERSION_NUM >= 0x075700
	/* A name that is still being looked up is left to its thread. */
	w->curl->easy_setopt(w->easy, CURLOPT_QUICK_EXIT, 1L);
#endif
	if (w->ca_file) {
		w->curl->easy_setopt(w->easy, CURLOPT_CAINFO, w->ca_file);
		w->curl->easy_setopt(w->easy, CURLOPT_CAPATH, NULL);
	}
}

/* Options of which a copy is made can fail, for want of memory. */
static int prepare(struct webhook *w)
{
	w->curl->easy_reset(w->easy);
	set_limits(w);
	if (make_headers(w) < 0 || w->curl->easy_setopt(w->easy, CURLOPT_URL, w->url) ||
	    w->curl->easy_setopt(w->easy, CURLOPT_USERAGENT, "outbox-relay/" VERSION))
		return -1;
	w->curl->easy_setopt(w->easy, CURLOPT_HTTPHEADER, w->headers);
	w->curl->easy_setopt(w->easy, CURLOPT_POSTFIELDS, w->body);
	w->curl->easy_setopt(w->easy, CURLOPT_WRITEFUNCTION, take_answer);
	w->curl->easy_setopt(w->easy, CURLOPT_WRITEDATA, w);
	w->curl->easy_setopt(w->easy, CURLOPT_ERRORBUFFER, w->error);
	w->error[0] = '\0';
	w->answered = 0;
	return 0;
}

/* --- and its end --- */

static bool is_delivered(long status)
{
	return status >= 200 && status < 300;
}

static bool is_worth_another(long status)
{
	return status < 200 || status == 408 || status == 429 || status >= 500;
}

/* libcurl's own words name the host at most; should they ever show more, they are not shown. */
static void explain(const struct webhook *w, CURLcode code, long status, char *out,
		    size_t size)
{
	const char *text = w->error[0] ? w->error : w->curl->easy_strerror(code);

	if (status >= 300 && status < 400)
		snprintf(out, size, "HTTP %ld: redirects are not followed", status);
	else if (status >= 200)
		snprintf(out, size, "HTTP %ld", status);
	else
		snprintf(out, size, "%s",
			 *w->path && strstr(text, w->path) ? w->curl->easy_strerror(code)
							   : text);
}

static int64_t next_delay(const struct webhook *w)
{
	curl_off_t asked_s = 0;
	int64_t asked_ms, ms = backoff_ms(&delay, w->tries - 1, backoff_random());

	w->curl->easy_getinfo(w->easy, CURLINFO_RETRY_AFTER, &asked_s);
	asked_ms = clock_min(asked_s, RETRY_AFTER_MAX_MS / 1000) * 1000;
	return asked_ms > ms ? asked_ms : ms;
}

static void fail(struct webhook *w, const char *reason, bool may_retry)
{
	int64_t now_ms = clock_ms(), delay_ms = next_delay(w);

	if (may_retry && now_ms + delay_ms - w->began_ms <= w->retry_for_ms) {
		log_warn("alert not delivered yet", LOG_STR("webhook", w->place),
			 LOG_STR("error", reason), LOG_INT("tries", w->tries),
			 LOG_INT("retry_in_ms", delay_ms));
		w->try_at_ms = now_ms + delay_ms;
		end_try(w);
		return;
	}
	log_error("alert not delivered", LOG_STR("webhook", w->place),
		  LOG_STR("error", reason), LOG_INT("tries", w->tries));
	end_message(w, &w->counts->failed);
}

/* The status alone counts: an answer that then goes on for ever has been given. */
static void finish(struct webhook *w, CURLcode code)
{
	char reason[CURL_ERROR_SIZE];
	long status = 0;

	w->curl->easy_getinfo(w->easy, CURLINFO_RESPONSE_CODE, &status);
	if (is_delivered(status)) {
		log_info("alert delivered", LOG_STR("webhook", w->place),
			 LOG_INT("tries", w->tries));
		end_message(w, &w->counts->sent);
		return;
	}
	explain(w, code, status, reason, sizeof(reason));
	fail(w, reason, is_worth_another(status));
}

static void begin(struct webhook *w)
{
	w->tries++;
	if (prepare(w) == 0 && w->curl->multi_add_handle(w->multi, w->easy) == CURLM_OK)
		w->is_trying = true;
	else
		fail(w, "out of memory", true);
}

static void collect(struct webhook *w)
{
	CURLMsg *message;
	int left;

	while ((message = w->curl->multi_info_read(w->multi, &left))) {
		if (message->msg == CURLMSG_DONE) {
			finish(w, message->data.result);
			return;
		}
	}
}

void webhook_run(struct webhook *w, int64_t until_ms)
{
	int running;

	if (w->body && !w->is_trying && clock_ms() >= w->try_at_ms)
		begin(w);
	w->curl->multi_perform(w->multi, &running);
	if (w->is_trying)
		collect(w);
	if (w->body && !w->is_trying)
		until_ms = clock_min(until_ms, w->try_at_ms);
	w->curl->multi_poll(w->multi, NULL, 0, clock_wait_ms(until_ms, clock_ms()), NULL);
}
