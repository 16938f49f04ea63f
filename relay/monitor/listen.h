#ifndef MONITOR_LISTEN_H
#define MONITOR_LISTEN_H

#include <stdbool.h>

#include "base/error.h"

/*
 * Where to listen: "127.0.0.1:9753", "[::1]:9753", "0.0.0.0:9753", or "off". No names, whose
 * addresses might be several, or others tomorrow.
 */

bool listen_is_off(const char *listen);

/* -1 and ERROR_CONFIG: it is neither. */
int listen_check(const char *listen, struct error *err);

/* Is it reached from this machine only? False where it is no address. */
bool listen_is_loopback(const char *listen);

/* A socket that listens, non-blocking. -1 and ERROR_REFUSED: the address is taken, or not ours. */
int listen_open(const char *listen, int backlog, struct error *err);

#endif
