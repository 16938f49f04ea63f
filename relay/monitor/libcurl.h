#ifndef MONITOR_LIBCURL_H
#define MONITOR_LIBCURL_H

/* Its functions are called through a table, which the checking macros would go around. */
#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>

#include "base/error.h"

/*
 * libcurl, loaded when it is first asked for: a relay without alerts should not carry it and the
 * eight libraries that it brings (1.3 MiB resident with those of Debian 12).
 */

#define LIBCURL_FUNCTIONS(X)   \
	X(easy_cleanup)        \
	X(easy_getinfo)        \
	X(easy_init)           \
	X(easy_reset)          \
	X(easy_setopt)         \
	X(easy_strerror)       \
	X(free)                \
	X(global_init)         \
	X(multi_add_handle)    \
	X(multi_cleanup)       \
	X(multi_info_read)     \
	X(multi_init)          \
	X(multi_perform)       \
	X(multi_poll)          \
	X(multi_remove_handle) \
	X(multi_wakeup)        \
	X(slist_append)        \
	X(slist_free_all)      \
	X(url)                 \
	X(url_cleanup)         \
	X(url_get)             \
	X(url_set)             \
	X(version_info)

/* curl->easy_init is curl_easy_init(), and so on. */
struct libcurl {
#define X(name) __typeof__(curl_##name) *name;
	LIBCURL_FUNCTIONS(X)
#undef X
};

/*
 * Loads it, once; it stays for the life of the process, initialised. Reads files, blocks for
 * milliseconds. NULL and ERROR_CONFIG with the loader's words where that fails; the next call tries
 * again. Of the main thread: others use what it returned.
 */
const struct libcurl *libcurl_load(struct error *err);

/* "libcurl 7.88.1"; NULL while it is not loaded. Of the main thread. */
const char *libcurl_version(void);

#endif
