#include "scrape.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/stream.h"

#define ANSWER_MAX (1024 * 1024)
#define PARKED     "\noutbox_relay_destination_parked_seconds{exchange=\""

/* --- parsing --- */

/* A label's value from behind its opening quote; returns what follows the closing one. */
static const char *take_label(const char *c, char *out, size_t size)
{
	size_t n = 0;

	for (; *c && *c != '"' && *c != '\n'; c++) {
		char value = *c;

		if (value == '\\' && c[1])
			value = *++c == 'n' ? '\n' : *c;
		if (n + 1 < size)
			out[n++] = value;
	}
	out[n] = '\0';
	return *c == '"' ? c + 1 : NULL;
}

static void take_parked(const char *c, struct scrape_parked *out)
{
	static const char next[] = ",routing_key=\"";

	c = take_label(c, out->exchange, sizeof(out->exchange));
	if (!c || strncmp(c, next, strlen(next)) != 0)
		return;
	c = take_label(c + strlen(next), out->routing_key, sizeof(out->routing_key));
	if (c && strncmp(c, "} ", 2) == 0)
		out->seconds = strtod(c + 2, NULL);
}

int scrape_parse(const char *answer, struct scrape *out, struct error *err)
{
	const char *status = strchr(answer, ' ');

	*out = (struct scrape){0};
	if (strncmp(answer, "HTTP/1.", 7) != 0 || !status)
		return error_set(err, ERROR_REFUSED, "that is no relay");
	if (strncmp(status, " 401", 4) == 0)
		return error_set(err, ERROR_REFUSED, "it wants http.token_file");
	if (strncmp(status, " 200", 4) != 0)
		return error_set(err, ERROR_REFUSED, "it answers%.4s", status);
	for (const char *c = answer; (c = strstr(c, PARKED));) {
		c += strlen(PARKED);
		if (out->parked_count < SCRAPE_PARKED_MAX)
			take_parked(c, &out->parked[out->parked_count++]);
	}
	return 0;
}

/* --- asking --- */

static int exchange(struct stream *s, struct buffer *request, struct buffer *answer,
		    const struct stream_wait *wait, struct error *err)
{
	ssize_t n;

	while (buffer_size(request) > 0) {
		n = stream_write(s, request->data + request->start, buffer_size(request),
				 err);
		if (n < 0 || (n == 0 && stream_poll(s, POLLOUT, wait, err) < 0))
			return -1;
		buffer_consume(request, (size_t)n);
	}
	while (buffer_size(answer) < ANSWER_MAX) {
		n = stream_read(s, buffer_reserve(answer, 4096), 4096, err);
		if (n > 0)
			buffer_commit(answer, (size_t)n);
		else if (n < 0) /* HTTP/1.0: the answer ends with the connection */
			return buffer_size(answer) > 0 ? 0 : -1;
		else if (stream_poll(s, POLLIN, wait, err) < 0)
			return -1;
	}
	return error_set(err, ERROR_REFUSED, "it does not stop talking");
}

/* "127.0.0.1:9753", "[::1]:9753"; who listens everywhere listens on loopback. */
static void split(const char *listen, char *host, size_t size, int *port)
{
	const char *colon = strrchr(listen, ':');
	bool is_ip6 = listen[0] == '[';
	int length = colon ? (int)(colon - listen) : 0;

	snprintf(host, size, "%.*s", length - 2 * is_ip6, listen + is_ip6);
	if (strcmp(host, "0.0.0.0") == 0)
		snprintf(host, size, "127.0.0.1");
	else if (strcmp(host, "::") == 0)
		snprintf(host, size, "::1");
	*port = colon ? (int)strtol(colon + 1, NULL, 10) : 0;
}

int scrape_relay(const char *listen, const char *token, struct scrape *out,
		 struct error *err)
{
	const struct stream_wait wait = {.deadline_ms = clock_ms() + SCRAPE_TIMEOUT_MS,
					 .stop_fd = -1};
	struct stream_target target = {0};
	struct buffer request = {0}, answer = {0};
	struct stream s;
	char host[256];
	int rc;

	stream_init(&s);
	split(listen, host, sizeof(host), &target.port);
	target.host = host;
	buffer_printf(&request, "GET /metrics HTTP/1.0\r\nHost: %s\r\n", listen);
	if (token)
		buffer_printf(&request, "Authorization: Bearer %s\r\n", token);
	buffer_printf(&request, "\r\n");
	rc = stream_connect(&s, &target, &wait, err);
	if (rc == 0)
		rc = exchange(&s, &request, &answer, &wait, err);
	stream_close(&s);
	if (rc == 0)
		rc = scrape_parse(buffer_text(&answer), out, err);
	if (token)
		explicit_bzero(request.data, request.capacity);
	buffer_release(&request);
	buffer_release(&answer);
	return rc;
}
