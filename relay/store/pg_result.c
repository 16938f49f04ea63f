#include "pg_private.h"

#include <assert.h>

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
	const unsigned char *bytes = (const unsigned char *)PQgetvalue(r, row, column);
	int size = PQgetlength(r, row, column);
	uint64_t value = size > 0 && bytes[0] & 0x80 ? UINT64_MAX : 0;

	for (int i = 0; i < size; i++)
		value = value << 8 | bytes[i];
	return (int64_t)value;
}

struct slice pg_slice(const struct pg_result *r, int row, int column)
{
	if (PQgetisnull(r, row, column))
		return (struct slice){0};
	return (struct slice){PQgetvalue(r, row, column),
			      (size_t)PQgetlength(r, row, column)};
}
