#include "http_guard.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* In a time that tells nothing of where they differ. */
static bool is_token(const char *token, const char *given)
{
	size_t size = strlen(given), token_size = strlen(token);
	unsigned char difference = size != token_size;

	for (size_t i = 0; i < size; i++)
		difference |= (unsigned char)(given[i] ^ token[i % token_size]);
	return difference == 0;
}

static bool has_token(const char *token, const char *authorization)
{
	return authorization && strncasecmp(authorization, "Bearer ", 7) == 0 &&
	       is_token(token, authorization + 7);
}

/* As a Host header names it, with a port or without. */
static bool is_localhost(const char *host)
{
	static const char *const names[] = {"localhost", "127.0.0.1", "[::1]"};

	for (size_t i = 0; host && i < sizeof(names) / sizeof(names[0]); i++) {
		size_t size = strlen(names[i]);

		if (strncasecmp(host, names[i], size) == 0 &&
		    (!host[size] || host[size] == ':'))
			return true;
	}
	return false;
}

/* What browsers say of where a request comes from; what is no browser says nothing. */
static bool is_from_another_site(const struct guard_request *r)
{
	const char *origin = r->origin ? strstr(r->origin, "://") : NULL;

	if (r->fetch_site && strcmp(r->fetch_site, "same-origin") != 0)
		return true;
	return r->origin && (!origin || !r->host || strcasecmp(origin + 3, r->host) != 0);
}

static bool is_json(const char *type)
{
	static const char json[] = "application/json";

	return type && strncasecmp(type, json, sizeof(json) - 1) == 0 &&
	       strchr(" ;", type[sizeof(json) - 1]);
}

const char *guard_judge(enum guard guard, const char *token,
			const struct guard_request *r, unsigned int *code)
{
	*code = 403;
	if (guard == GUARD_NONE)
		return NULL;
	if (!token && guard >= GUARD_ROWS)
		return "rows are for those who have the token, and http.token_file is not set";
	if (!token && guard >= GUARD_FIGURES && !is_localhost(r->host))
		return "without http.token_file this is for localhost only";
	if (guard == GUARD_ACTION && is_from_another_site(r))
		return "this comes from another site";
	*code = 401;
	if (token && !has_token(token, r->authorization))
		return "a bearer token is wanted";
	*code = 415;
	if (guard == GUARD_ACTION && !is_json(r->content_type))
		return "application/json is wanted";
	return NULL;
}
