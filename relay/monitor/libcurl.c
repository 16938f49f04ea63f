#include "libcurl.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

/* The name has been the same since 2006. */
#define LIBRARY "libcurl.so.4"

static struct libcurl functions;
static const struct libcurl *loaded;

static int find(void *library, const char *name, void *function)
{
	void *found = dlsym(library, name);

	if (!found)
		return -1;
	memcpy(function, &found, sizeof(found)); /* ISO C has no cast for it */
	return 0;
}

static int load(struct error *err)
{
	void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);

	if (!library)
		return error_set(err, ERROR_CONFIG, "webhooks need libcurl: %s",
				 dlerror());
#define X(name)                                                   \
	if (find(library, "curl_" #name, &functions.name) < 0) {  \
		dlclose(library);                                 \
		return error_set(err, ERROR_CONFIG,               \
				 LIBRARY " is too old: it lacks " \
					 "curl_" #name "()");     \
	}
	LIBCURL_FUNCTIONS(X)
#undef X
	if (functions.global_init(CURL_GLOBAL_DEFAULT) == 0)
		return 0;
	dlclose(library);
	return error_set(err, ERROR_MEMORY, "libcurl cannot be set up");
}

const struct libcurl *libcurl_load(struct error *err)
{
	if (!loaded && load(err) == 0)
		loaded = &functions;
	return loaded;
}

const char *libcurl_version(void)
{
	static char text[64];

	if (!loaded)
		return NULL;
	snprintf(text, sizeof(text), "libcurl %s",
		 loaded->version_info(CURLVERSION_NOW)->version);
	return text;
}
