#include "hmac.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>

int hmac_sha256(const char *key, const void *data, size_t size, char out[HMAC_TEXT_SIZE])
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned int length;

	if (!HMAC(EVP_sha256(), key, (int)strlen(key), data, size, digest, &length))
		return -1;
	for (unsigned int i = 0; i < length; i++)
		snprintf(out + (size_t)i * 2, 3, "%02x", digest[i]);
	return 0;
}
