#include "pg_private.h"

#include <assert.h>
#include <endian.h>
#include <string.h>

const struct pg_result *pg_result(const struct pg *pg, int index)
{
	assert(index >= 0 && index < pg->statements);
	return pg->results[index];
}

struct pg_result *pg_result_take(struct pg *pg, int index)
{
	PGresult *r = pg->results[index];

	pg->results[index] = NULL;
	return r;
}

void pg_result_free(struct pg_result *r)
{
	PQclear(r);
}

int pg_rows(const struct pg_result *r)
{
	return PQntuples(r);
}

bool pg_is_null(const struct pg_result *r, int row, int column)
{
	return PQgetisnull(r, row, column);
}

bool pg_bool(const struct pg_result *r, int row, int column)
{
	return *PQgetvalue(r, row, column) != 0;
}

int64_t pg_int(const struct pg_result *r, int row, int column)
{
	const char *value = PQgetvalue(r, row, column);
	uint16_t two;
	uint32_t four;
	uint64_t eight;

	switch (PQgetlength(r, row, column)) {
	case sizeof(eight):
		memcpy(&eight, value, sizeof(eight));
		return (int64_t)be64toh(eight);
	case sizeof(four):
		memcpy(&four, value, sizeof(four));
		return (int32_t)be32toh(four);
	case sizeof(two):
		memcpy(&two, value, sizeof(two));
		return (int16_t)be16toh(two);
	default:
		return 0; /* NULL */
	}
}

struct slice pg_slice(const struct pg_result *r, int row, int column)
{
	int size = PQgetlength(r, row, column);

	if (size == 0 && PQgetisnull(r, row, column))
		return (struct slice){0};
	return (struct slice){PQgetvalue(r, row, column), (size_t)size};
}
