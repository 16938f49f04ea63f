#ifndef BASE_BUFFER_H
#define BASE_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"

/*
 * Growable bytes.
 *
 * A struct buffer is zero-initialised or set up by buffer_init(); data[start, end) is its
 * content. Consuming from the front moves `start`; room is made by moving the content
 * down before it is made by growing. A limit of 0 means none.
 */
struct buffer {
	char *data;
	size_t start;
	size_t end;
	size_t capacity;
	size_t limit; /* most bytes of content; asking for more is a bug (assert) */
};

void buffer_init(struct buffer *b, size_t limit);
void buffer_release(struct buffer *b);

/* Forgets the content, keeps the memory. */
void buffer_clear(struct buffer *b);

size_t buffer_size(const struct buffer *b);

/* Bytes that may still be added under the limit. */
size_t buffer_room(const struct buffer *b);

/*
 * Room for `size` more bytes at the end, contiguous; buffer_commit() then makes `size`
 * (or fewer) of them content. The pointer is valid until the next call on this buffer.
 */
char *buffer_reserve(struct buffer *b, size_t size);
void buffer_commit(struct buffer *b, size_t size);

void buffer_append(struct buffer *b, const void *data, size_t size);
void buffer_printf(struct buffer *b, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Big-endian integers, as AMQP and PostgreSQL's binary formats want them. */
void buffer_put_u8(struct buffer *b, uint8_t value);
void buffer_put_u16(struct buffer *b, uint16_t value);
void buffer_put_u32(struct buffer *b, uint32_t value);
void buffer_put_u64(struct buffer *b, uint64_t value);

/* Drops `size` bytes from the front. */
void buffer_consume(struct buffer *b, size_t size);

/* The content as a string: a NUL behind it that does not count. */
const char *buffer_text(struct buffer *b);

#endif
