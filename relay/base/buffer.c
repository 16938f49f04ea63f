#include "buffer.h"

#include <assert.h>
#include <endian.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_CAPACITY 256

void buffer_init(struct buffer *b, size_t limit)
{
	*b = (struct buffer){.limit = limit};
}

void buffer_release(struct buffer *b)
{
	free(b->data);
	*b = (struct buffer){.limit = b->limit};
}

void buffer_clear(struct buffer *b)
{
	b->start = b->end = 0;
}

size_t buffer_size(const struct buffer *b)
{
	return b->end - b->start;
}

size_t buffer_room(const struct buffer *b)
{
	return b->limit ? b->limit - buffer_size(b) : SIZE_MAX;
}

char *buffer_reserve(struct buffer *b, size_t size)
{
	size_t used = buffer_size(b);

	assert(size <= buffer_room(b));
	if (b->capacity - b->end >= size && b->data)
		return b->data + b->end;
	if (b->start > 0) {
		memmove(b->data, b->data + b->start, used);
		b->start = 0;
		b->end = used;
	}
	if (b->capacity - used < size || !b->data) {
		size_t wanted = b->capacity ? b->capacity : FIRST_CAPACITY;

		while (wanted - used < size)
			wanted *= 2;
		b->data = xrealloc(b->data, wanted);
		b->capacity = wanted;
	}
	return b->data + b->end;
}

void buffer_commit(struct buffer *b, size_t size)
{
	assert(size <= b->capacity - b->end);
	b->end += size;
}

void buffer_append(struct buffer *b, const void *data, size_t size)
{
	if (size == 0)
		return;
	memcpy(buffer_reserve(b, size), data, size);
	b->end += size;
}

void buffer_printf(struct buffer *b, const char *format, ...)
{
	va_list args;
	int size;

	va_start(args, format);
	size = vsnprintf(NULL, 0, format, args);
	va_end(args);
	assert(size >= 0);
	va_start(args, format);
	vsnprintf(buffer_reserve(b, (size_t)size + 1), (size_t)size + 1, format, args);
	va_end(args);
	b->end += (size_t)size;
}

void buffer_put_u8(struct buffer *b, uint8_t value)
{
	buffer_append(b, &value, 1);
}

static void put_big_endian(struct buffer *b, uint64_t value, size_t size)
{
	uint64_t bytes = htobe64(value << (64 - 8 * size));

	memcpy(buffer_reserve(b, size), &bytes, size);
	b->end += size;
}

void buffer_put_u16(struct buffer *b, uint16_t value)
{
	put_big_endian(b, value, 2);
}

void buffer_put_u32(struct buffer *b, uint32_t value)
{
	put_big_endian(b, value, 4);
}

void buffer_put_u64(struct buffer *b, uint64_t value)
{
	put_big_endian(b, value, 8);
}

void buffer_consume(struct buffer *b, size_t size)
{
	assert(size <= buffer_size(b));
	b->start += size;
	if (b->start == b->end)
		b->start = b->end = 0;
}

const char *buffer_text(struct buffer *b)
{
	*buffer_reserve(b, 1) = '\0';
	return b->data + b->start;
}
