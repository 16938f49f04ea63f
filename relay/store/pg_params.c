#include "pg.h"

#include <assert.h>
#include <endian.h>
#include <string.h>

/* Type oids are fixed in the catalogue (src/include/catalog/pg_type.dat). */
enum {
	TYPE_BOOL = 16,
	TYPE_INT8 = 20,
	TYPE_INT4 = 23,
	TYPE_TEXT = 25,
	TYPE_TEXT_ARRAY = 1009,
	TYPE_INT8_ARRAY = 1016,
	TYPE_TIMESTAMPTZ = 1184,
};

void pg_params_clear(struct pg_params *p)
{
	p->count = 0;
	buffer_clear(&p->bytes);
}

void pg_params_release(struct pg_params *p)
{
	buffer_release(&p->bytes);
	p->count = 0;
}

static void begin(struct pg_params *p, uint32_t type)
{
	assert(p->count < PG_PARAMS_MAX);
	buffer_reserve(&p->bytes, 1); /* NULL would be NULL: even "" wants an address */
	p->items[p->count].type = type;
	p->items[p->count].is_null = false;
	p->items[p->count].offset = buffer_size(&p->bytes);
}

static void end(struct pg_params *p)
{
	p->items[p->count].size = buffer_size(&p->bytes) - p->items[p->count].offset;
	p->count++;
}

static void add_null(struct pg_params *p, uint32_t type)
{
	begin(p, type);
	p->items[p->count].is_null = true;
	end(p);
}

void pg_params_bool(struct pg_params *p, bool value)
{
	begin(p, TYPE_BOOL);
	buffer_put_u8(&p->bytes, value);
	end(p);
}

void pg_params_int4(struct pg_params *p, int32_t value)
{
	begin(p, TYPE_INT4);
	buffer_put_u32(&p->bytes, (uint32_t)value);
	end(p);
}

void pg_params_int8(struct pg_params *p, int64_t value)
{
	begin(p, TYPE_INT8);
	buffer_put_u64(&p->bytes, (uint64_t)value);
	end(p);
}

void pg_params_int8_null(struct pg_params *p)
{
	add_null(p, TYPE_INT8);
}

void pg_params_timestamptz(struct pg_params *p, int64_t microseconds_since_2000)
{
	begin(p, TYPE_TIMESTAMPTZ);
	buffer_put_u64(&p->bytes, (uint64_t)microseconds_since_2000);
	end(p);
}

void pg_params_text(struct pg_params *p, const char *value)
{
	if (!value) {
		add_null(p, TYPE_TEXT);
		return;
	}
	begin(p, TYPE_TEXT);
	buffer_append(&p->bytes, value, strlen(value));
	end(p);
}

/* array_recv(): dimensions, has-nulls flag, element type, then each dimension's size and
   lower bound. An empty array has no dimensions. */
static void array_begin(struct pg_params *p, uint32_t type, uint32_t element,
			size_t count)
{
	begin(p, type);
	buffer_put_u32(&p->bytes, count ? 1 : 0);
	buffer_put_u32(&p->bytes, 0);
	buffer_put_u32(&p->bytes, element);
	if (count) {
		buffer_put_u32(&p->bytes, (uint32_t)count);
		buffer_put_u32(&p->bytes, 1);
	}
}

void pg_params_int8_array(struct pg_params *p, size_t count)
{
	array_begin(p, TYPE_INT8_ARRAY, TYPE_INT8, count);
}

void pg_params_text_array(struct pg_params *p, size_t count)
{
	array_begin(p, TYPE_TEXT_ARRAY, TYPE_TEXT, count);
}

void pg_params_element_int8(struct pg_params *p, int64_t value)
{
	const struct {
		uint32_t size;
		uint64_t value;
	} __attribute__((packed)) element = {htobe32(8), htobe64((uint64_t)value)};

	buffer_append(&p->bytes, &element, sizeof(element));
}

/* array_recv() goes by the size alone, whatever the has-nulls flag says. */
void pg_params_element_text(struct pg_params *p, const char *value)
{
	size_t size = value ? strlen(value) : 0;

	buffer_put_u32(&p->bytes, value ? (uint32_t)size : UINT32_MAX);
	buffer_append(&p->bytes, value, size);
}

void pg_params_array_end(struct pg_params *p)
{
	end(p);
}
