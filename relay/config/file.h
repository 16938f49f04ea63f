#ifndef CONFIG_FILE_H
#define CONFIG_FILE_H

#include <stddef.h>

#include "base/buffer.h"
#include "base/error.h"

/*
 * Reads the whole of a small regular file behind what `out` holds. Never waits: a FIFO or
 * a device is refused, not read. -1 and ERROR_CONFIG with the bare reason ("No such file
 * or directory", "is larger than 65536 bytes"): the caller knows how to call the file.
 */
int file_read(const char *path, size_t limit, struct buffer *out, struct error *err);

#endif
