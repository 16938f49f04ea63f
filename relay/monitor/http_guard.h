#ifndef MONITOR_HTTP_GUARD_H
#define MONITOR_HTTP_GUARD_H

/*
 * Who may see and do what over HTTP. Pure.
 *
 * Rows are an application's data: without a token they are shown to nobody, not even on this
 * machine, where other users may reach the address, too. A browser is made to send requests by
 * whatever site it looks at: the console's answers are therefore for those who know the token, or,
 * where there is none, for those who named this machine as localhost (a site whose name suddenly
 * means 127.0.0.1 did not). An action must be JSON, with the token in a header that no form can
 * send, and from the console's own pages: there are no cookies that a request could bring along.
 */

enum guard {
	GUARD_NONE,
	GUARD_TOKEN,   /* the token, where there is one */
	GUARD_FIGURES, /* the same, and without a token from localhost */
	GUARD_ROWS,    /* never without a token */
	GUARD_ACTION,  /* the same, and not from another site */
};

/* Headers of the request; NULL: none. */
struct guard_request {
	const char *authorization, *host, *origin, *fetch_site, *content_type;
};

/* NULL: it is allowed. Else why not, and the code of HTTP. */
const char *guard_judge(enum guard guard, const char *token,
			const struct guard_request *request, unsigned int *code);

#endif
