#include "http.h"

#include <jansson.h>
#include <microhttpd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/human.h"
#include "monitor/console_assets.h"
#include "monitor/health.h"
#include "monitor/http_guard.h"
#include "monitor/listen.h"
#include "monitor/metrics.h"
#include "monitor/metrics_database.h"

#define TEXT "text/plain; charset=utf-8"
#define JSON "application/json"

#define BODY_TOO_LARGE 413 /* has had several names in libmicrohttpd */

struct http {
	struct MHD_Daemon *daemon;
	struct http_settings settings; /* with texts of our own */
};

struct answer {
	unsigned int code;
	const char *type;
	struct buffer body;
	const char *header, *value; /* one more; NULL: none */
};

/* From its first header to its answer. */
struct request {
	struct MHD_Connection *connection;
	struct buffer body;
	bool is_too_large;
	struct console_job job; /* with a code once the console has answered */
	json_t *arguments;
};

/* --- what the boards answer --- */

static void get_livez(struct http *h, const struct status *s, int64_t now_ms,
		      struct answer *a)
{
	(void)h;
	a->code = health_is_live(s, now_ms) ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE;
	a->type = TEXT;
	buffer_printf(&a->body,
		      a->code == MHD_HTTP_OK ? "ok\n" : "the loop does not turn\n");
}

static void get_readyz(struct http *h, const struct status *s, int64_t now_ms,
		       struct answer *a)
{
	bool is_ready;
	char *text = health_ready(s, now_ms, &is_ready);

	(void)h;
	a->code = is_ready ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE;
	a->type = JSON;
	buffer_printf(&a->body, "%s\n", text ? text : "{}");
	free(text);
}

static void get_metrics(struct http *h, const struct status *s, int64_t now_ms,
			struct answer *a)
{
	struct upkeep_status upkeep;

	a->type = "text/plain; version=0.0.4; charset=utf-8";
	metrics_write(&a->body, s, h->settings.alerts, h->settings.libraries, now_ms);
	upkeep_get(h->settings.upkeep, &upkeep);
	metrics_write_database(&a->body, &upkeep, now_ms);
}

/* Takes `j` over. */
static void put_json(struct answer *a, json_t *j)
{
	char *text = json_dumps(j, JSON_COMPACT | JSON_REAL_PRECISION(9));

	a->type = JSON;
	buffer_printf(&a->body, "%s\n", text ? text : "{}");
	free(text);
	json_decref(j);
}

static void get_status(struct http *h, const struct status *s, int64_t now_ms,
		       struct answer *a)
{
	const struct console_view view = {.relay_name = h->settings.relay_name,
					  .has_token = h->settings.token != NULL};
	struct upkeep_status upkeep;

	upkeep_get(h->settings.upkeep, &upkeep);
	put_json(a, console_status(&view, s, &upkeep, now_ms));
}

/* A link of the page is relative, so that a proxy may put the console anywhere. */
static void get_console(struct http *h, const struct status *s, int64_t now_ms,
			struct answer *a)
{
	(void)h, (void)s, (void)now_ms;
	a->code = MHD_HTTP_MOVED_PERMANENTLY;
	a->type = TEXT;
	a->header = MHD_HTTP_HEADER_LOCATION;
	a->value = "console/";
	buffer_printf(&a->body, "it is at console/\n");
}

/* --- which page --- */

struct page {
	const char *path;
	void (*get)(struct http *h, const struct status *s, int64_t now_ms,
		    struct answer *a);
	enum guard guard;
	bool is_console;
};

static const struct page pages[] = {
	{"/livez", get_livez, GUARD_NONE, false},
	{"/readyz", get_readyz, GUARD_NONE, false},
	{"/metrics", get_metrics, GUARD_TOKEN, false},
	{"/console", get_console, GUARD_NONE, true},
	{"/api/status", get_status, GUARD_FIGURES, true},
};

/* Of what a request means, one is set; none where there is nothing. */
struct target {
	const struct page *page;
	const struct console_asset *asset;
	const struct console_call *call;
	const char *name; /* of the call's row, or NULL */
};

static struct target find_target(const struct http *h, const char *path)
{
	bool has_console = h->settings.console != NULL;
	struct target t = {0};

	for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
		if (strcmp(path, pages[i].path) == 0 &&
		    (has_console || !pages[i].is_console))
			t.page = &pages[i];
	}
	if (!has_console)
		return t;
	for (const struct console_asset *a = console_assets; a->path; a++) {
		if (strcmp(path, a->path) == 0)
			t.asset = a;
	}
	t.call = console_find_call(path, &t.name);
	return t;
}

static enum guard guard_of(const struct target *t)
{
	if (t->page)
		return t->page->guard;
	if (t->asset)
		return GUARD_NONE;
	if (t->call->is_action)
		return GUARD_ACTION;
	return t->call->shows_rows ? GUARD_ROWS : GUARD_FIGURES;
}

/* --- answering --- */

/* Of all answers: nothing is kept, framed, guessed at, or loaded from elsewhere. */
static const char *const headers[][2] = {
	{"Cache-Control", "no-store"},
	{"X-Content-Type-Options", "nosniff"},
	{"X-Frame-Options", "DENY"},
	{"Referrer-Policy", "no-referrer"},
	{"Cross-Origin-Opener-Policy", "same-origin"},
	{"Cross-Origin-Resource-Policy", "same-origin"},
	{"Content-Security-Policy",
	 "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
	 "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
};

static enum MHD_Result respond(struct MHD_Connection *c, struct answer *a)
{
	struct MHD_Response *r =
		MHD_create_response_from_buffer(buffer_size(&a->body), a->body.data,
						MHD_RESPMEM_MUST_COPY);
	enum MHD_Result result = MHD_NO;

	if (r) {
		MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, a->type);
		for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++)
			MHD_add_response_header(r, headers[i][0], headers[i][1]);
		if (a->header)
			MHD_add_response_header(r, a->header, a->value);
		result = MHD_queue_response(c, a->code, r);
		MHD_destroy_response(r);
	}
	buffer_release(&a->body);
	return result;
}

static enum MHD_Result refuse(struct MHD_Connection *c, const char *path,
			      unsigned int code, const char *problem, const char *header,
			      const char *value)
{
	struct answer a = {.code = code, .type = TEXT, .header = header, .value = value};

	if (strncmp(path, "/api/", 5) == 0)
		put_json(&a, json_pack("{s:s}", "error", problem));
	else
		buffer_printf(&a.body, "%s\n", problem);
	return respond(c, &a);
}

static enum MHD_Result serve_page(struct http *h, struct MHD_Connection *c,
				  const struct page *page)
{
	struct answer a = {.code = MHD_HTTP_OK};
	struct status s;

	status_get(h->settings.board, &s);
	page->get(h, &s, clock_ms(), &a);
	return respond(c, &a);
}

static enum MHD_Result serve_asset(struct MHD_Connection *c,
				   const struct console_asset *asset)
{
	struct answer a = {.code = MHD_HTTP_OK, .type = asset->type};

	buffer_append(&a.body, asset->data, strlen(asset->data));
	return respond(c, &a);
}

/* --- what the console's thread answers --- */

static enum MHD_Result add_argument(void *context, enum MHD_ValueKind kind,
				    const char *name, const char *value)
{
	(void)kind;
	if (value)
		json_object_set_new(context, name, human_json(value, strlen(value)));
	return MHD_YES;
}

static json_t *read_arguments(struct request *r, const struct target *t)
{
	json_t *arguments;

	if (t->call->is_action)
		return json_loadb(buffer_text(&r->body), buffer_size(&r->body),
				  JSON_REJECT_DUPLICATES, NULL);
	arguments = json_object();
	MHD_get_connection_values(r->connection, MHD_GET_ARGUMENT_KIND, add_argument,
				  arguments);
	if (t->name)
		json_object_set_new(arguments, "name",
				    human_json(t->name, strlen(t->name)));
	return arguments;
}

static void resume(void *context)
{
	struct request *r = context;

	MHD_resume_connection(r->connection);
}

static enum MHD_Result ask_console(struct http *h, struct request *r, const char *path,
				   const struct target *t)
{
	if (r->is_too_large)
		return refuse(r->connection, path, BODY_TOO_LARGE,
			      "a request has 64 KiB at most", NULL, NULL);
	r->arguments = read_arguments(r, t);
	if (!json_is_object(r->arguments))
		return refuse(r->connection, path, MHD_HTTP_BAD_REQUEST,
			      "not an object of JSON", NULL, NULL);
	r->job = (struct console_job){.call = t->call,
				      .arguments = r->arguments,
				      .done = resume,
				      .context = r};
	MHD_suspend_connection(r->connection);
	console_ask(h->settings.console, &r->job);
	return MHD_YES;
}

static enum MHD_Result tell_answer(struct request *r)
{
	struct answer a = {.code = (unsigned int)r->job.code};

	put_json(&a, r->job.answer);
	r->job.answer = NULL;
	return respond(r->connection, &a);
}

/* --- requests --- */

static const char *header(struct MHD_Connection *c, const char *name)
{
	return MHD_lookup_connection_value(c, MHD_HEADER_KIND, name);
}

static bool is_get(const char *method)
{
	return strcmp(method, MHD_HTTP_METHOD_GET) == 0 ||
	       strcmp(method, MHD_HTTP_METHOD_HEAD) == 0;
}

static enum MHD_Result serve(struct http *h, struct request *r, const char *path,
			     const char *method)
{
	struct MHD_Connection *c = r->connection;
	struct target t = find_target(h, path);
	const struct guard_request asked = {
		.authorization = header(c, MHD_HTTP_HEADER_AUTHORIZATION),
		.host = header(c, MHD_HTTP_HEADER_HOST),
		.origin = header(c, MHD_HTTP_HEADER_ORIGIN),
		.fetch_site = header(c, "Sec-Fetch-Site"),
		.content_type = header(c, MHD_HTTP_HEADER_CONTENT_TYPE),
	};
	bool wants_post = t.call && t.call->is_action;
	const char *problem;
	unsigned int code;

	if (wants_post ? strcmp(method, MHD_HTTP_METHOD_POST) != 0 : !is_get(method))
		return refuse(c, path, MHD_HTTP_METHOD_NOT_ALLOWED,
			      wants_post ? "POST only" : "GET and HEAD only",
			      MHD_HTTP_HEADER_ALLOW, wants_post ? "POST" : "GET, HEAD");
	if (!t.page && !t.asset && !t.call)
		return refuse(c, path, MHD_HTTP_NOT_FOUND,
			      h->settings.console
				      ? "there are /livez, /readyz, /metrics, /console/"
				      : "there are /livez, /readyz, /metrics",
			      NULL, NULL);
	problem = guard_judge(guard_of(&t), h->settings.token, &asked, &code);
	if (problem)
		return refuse(c, path, code, problem,
			      code == MHD_HTTP_UNAUTHORIZED
				      ? MHD_HTTP_HEADER_WWW_AUTHENTICATE
				      : NULL,
			      "Bearer");
	if (t.page)
		return serve_page(h, c, t.page);
	return t.asset ? serve_asset(c, t.asset) : ask_console(h, r, path, &t);
}

static void take_body(struct request *r, const char *data, size_t size)
{
	r->is_too_large |= buffer_size(&r->body) + size > HTTP_BODY_BYTES_MAX;
	if (!r->is_too_large)
		buffer_append(&r->body, data, size);
}

static enum MHD_Result answer(void *context, struct MHD_Connection *c, const char *path,
			      const char *method, const char *version, const char *data,
			      size_t *size, void **request)
{
	struct request *r = *request;

	(void)version;
	/* The first call has the headers only; an answer then would break the connection of
	   a client that still sends. */
	if (!r) {
		*request = r = xcalloc(1, sizeof(*r));
		r->connection = c;
		return MHD_YES;
	}
	if (*size) {
		take_body(r, data, *size);
		*size = 0;
		return MHD_YES;
	}
	/* While the console is asked the connection is suspended, and nobody calls. */
	if (r->job.code)
		return tell_answer(r);
	return serve(context, r, path, method);
}

static void end_request(void *context, struct MHD_Connection *c, void **request,
			enum MHD_RequestTerminationCode how)
{
	struct request *r = *request;

	(void)context, (void)c, (void)how;
	if (!r)
		return;
	json_decref(r->arguments);
	json_decref(r->job.answer);
	buffer_release(&r->body);
	free(r);
	*request = NULL;
}

/* --- life --- */

/* Signals are for the relay's thread. */
static struct MHD_Daemon *start_daemon(struct http *h, int fd)
{
	struct MHD_Daemon *daemon;
	sigset_t all, before;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	daemon = MHD_start_daemon(
		MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL,
		answer, h, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT,
		(unsigned int)HTTP_CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
		(unsigned int)HTTP_IDLE_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
		(size_t)HTTP_REQUEST_BYTES_MAX, MHD_OPTION_NOTIFY_COMPLETED, end_request,
		NULL, MHD_OPTION_END);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return daemon;
}

static char *copy(const char *text)
{
	return text ? xstrdup(text) : NULL;
}

int http_start(const struct http_settings *settings, struct http **out, struct error *err)
{
	struct http *h;
	int fd;

	if (listen_is_off(settings->listen)) {
		*out = NULL;
		return 0;
	}
	fd = listen_open(settings->listen, HTTP_CONNECTIONS_MAX, err);
	if (fd < 0)
		return -1;
	h = xcalloc(1, sizeof(*h));
	h->settings = *settings;
	h->settings.listen = NULL;
	h->settings.token = copy(settings->token);
	h->settings.relay_name = copy(settings->relay_name);
	h->settings.libraries = copy(settings->libraries);
	h->daemon = start_daemon(h, fd);
	if (h->daemon) {
		*out = h;
		return 0;
	}
	close(fd);
	http_stop(h);
	return error_set(err, ERROR_REFUSED, "http.listen: %s: cannot start a server",
			 settings->listen);
}

void http_stop(struct http *h)
{
	if (!h)
		return;
	if (h->daemon)
		MHD_stop_daemon(h->daemon); /* closes the socket, too */
	free((char *)h->settings.token);
	free((char *)h->settings.relay_name);
	free((char *)h->settings.libraries);
	free(h);
}

const char *http_library(void)
{
	return MHD_get_version();
}
