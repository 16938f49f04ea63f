#ifndef CLI_SCRAPE_H
#define CLI_SCRAPE_H

#include <stddef.h>

#include "base/buffer.h"
#include "base/error.h"

/*
 * What a running relay tells at /metrics of http.listen, for what only it knows: which
 * destinations it has parked.
 */

#define SCRAPE_TIMEOUT_MS 1000
#define SCRAPE_PARKED_MAX 32

struct scrape_parked {
	char exchange[256], routing_key[256]; /* "": any. Escape them */
	double seconds;
};

struct scrape {
	struct scrape_parked parked[SCRAPE_PARKED_MAX];
	int parked_count;
};

/* Blocks up to SCRAPE_TIMEOUT_MS. `token` may be NULL. -1: nobody answers, or says no. */
int scrape_relay(const char *listen, const char *token, struct scrape *out,
		 struct error *err);

/* An HTTP answer as a whole. Pure. */
int scrape_parse(const char *answer, struct scrape *out, struct error *err);

#endif
