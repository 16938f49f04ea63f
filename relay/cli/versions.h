#ifndef CLI_VERSIONS_H
#define CLI_VERSIONS_H

#include <stddef.h>

/* "libpq 15.18, librabbitmq 0.11.0, libyaml 0.2.5, …": all libraries, as loaded, not as built;
   libcurl only with alerts. */
void versions_describe(char *out, size_t size);

#endif
