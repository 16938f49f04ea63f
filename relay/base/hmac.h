#ifndef BASE_HMAC_H
#define BASE_HMAC_H

#include <stddef.h>

/* 64 hexadecimal digits, and a NUL. */
#define HMAC_TEXT_SIZE 65

/* HMAC-SHA256 in lower case. -1: no memory. */
int hmac_sha256(const char *key, const void *data, size_t size, char out[HMAC_TEXT_SIZE]);

#endif
