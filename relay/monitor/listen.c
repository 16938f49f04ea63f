#include "listen.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

bool listen_is_off(const char *listen)
{
	return strcmp(listen, "off") == 0;
}

static int split(const char *listen, char *host, size_t size, uint16_t *port)
{
	const char *colon = strrchr(listen, ':');
	size_t length = colon ? (size_t)(colon - listen) : 0;
	char *end;
	long value;

	if (!colon || length == 0 || length >= size)
		return -1;
	if (listen[0] == '[' && listen[length - 1] == ']')
		snprintf(host, size, "%.*s", (int)length - 2, listen + 1);
	else
		snprintf(host, size, "%.*s", (int)length, listen);
	value = strtol(colon + 1, &end, 10);
	if (colon[1] < '0' || colon[1] > '9' || *end || value < 1 || value > 65535)
		return -1;
	*port = (uint16_t)value;
	return 0;
}

static int parse(const char *listen, union address *a, struct error *err)
{
	char host[64];
	uint16_t port;

	memset(a, 0, sizeof(*a));
	if (split(listen, host, sizeof(host), &port) < 0)
		return error_set(err, ERROR_CONFIG,
				 "must be ADDRESS:PORT, [ADDRESS]:PORT or off");
	if (inet_pton(AF_INET, host, &a->v4.sin_addr) == 1) {
		a->v4.sin_family = AF_INET;
		a->v4.sin_port = htons(port);
		return 0;
	}
	if (listen[0] == '[' && inet_pton(AF_INET6, host, &a->v6.sin6_addr) == 1) {
		a->v6.sin6_family = AF_INET6;
		a->v6.sin6_port = htons(port);
		return 0;
	}
	return error_set(err, ERROR_CONFIG,
			 "must be ADDRESS:PORT with an IP address in figures, or off");
}

int listen_check(const char *listen, struct error *err)
{
	union address a;

	return listen_is_off(listen) ? 0 : parse(listen, &a, err);
}

bool listen_is_loopback(const char *listen)
{
	union address a;
	struct error ignored;

	if (listen_is_off(listen) || parse(listen, &a, &ignored) < 0)
		return false;
	return a.any.sa_family == AF_INET
		       ? ntohl(a.v4.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET
		       : IN6_IS_ADDR_LOOPBACK(&a.v6.sin6_addr);
}

int listen_open(const char *listen_on, int backlog, struct error *err)
{
	union address a;
	int one = 1;
	socklen_t size;
	int fd;

	if (parse(listen_on, &a, err) < 0)
		return error_wrap(err, "http.listen: %s", listen_on);
	size = a.any.sa_family == AF_INET ? sizeof(a.v4) : sizeof(a.v6);
	fd = socket(a.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    bind(fd, &a.any, size) < 0 || listen(fd, backlog) < 0) {
		error_set(err, ERROR_REFUSED, "http.listen: %s: %m", listen_on);
		if (fd >= 0)
			close(fd);
		return -1;
	}
	return fd;
}
