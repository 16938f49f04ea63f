#ifndef BASE_ERROR_H
#define BASE_ERROR_H

/*
 * What failed, and what the caller should do about it.
 *
 * A function that can fail takes a `struct error *` as its last argument and returns -1
 * after filling it; it leaves its other outputs alone then. It does not touch the error
 * on success. A bad message is not an error but a verdict (base/message.h): it never
 * reaches the paths that reconnect.
 *
 * The text is one line without a newline and never holds a secret or a payload. Context
 * grows outwards: error_wrap(err, "settle") turns "server closed the connection" into
 * "settle: server closed the connection".
 */

enum error_kind {
	ERROR_NONE,
	ERROR_CONFIG,  /* what the user wrote is wrong: exit 78, no retry */
	ERROR_LOST,    /* the other side is gone or was never there: close, back off,
		     reopen */
	ERROR_TIMEOUT, /* no answer before the deadline: treat like LOST */
	ERROR_MEMORY, /* no room for the answer, here or at the other side: treat like LOST, and
		     ask for less */
	ERROR_REFUSED, /* the other side answers but will not have us as things are
			  (password, right, missing table): somebody has to mend
			  something; retry slowly */
	ERROR_STOPPED, /* we were asked to stop while waiting: leave cleanly */
};

struct error {
	enum error_kind kind;
	char text[512];
};

/* Both return -1, so that a failing function can end in `return error_set(…)`. */
int error_set(struct error *err, enum error_kind kind, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
int error_wrap(struct error *err, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#endif
