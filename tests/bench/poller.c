#include "bench/poller.h"

#include <endian.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of an id in the array literal. */
#define DIGITS 21

PGconn *poller_connect(void)
{
	const char *url = getenv("DATABASE_URL");
	PGconn *db = PQconnectdb(url ? url : "");

	if (PQstatus(db) != CONNECTION_OK)
		die("database", PQerrorMessage(db));
	return db;
}

static PGresult *checked(PGconn *db, PGresult *result)
{
	ExecStatusType status = PQresultStatus(result);

	if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
		die("database", PQerrorMessage(db));
	return result;
}

void poller_prepare(PGconn *db, const char *name, const char *sql)
{
	PQclear(checked(db, PQprepare(db, name, sql, 0, NULL)));
}

void poller_run(PGconn *db, const char *sql)
{
	PQclear(checked(db, PQexec(db, sql)));
}

PGresult *poller_execute(PGconn *db, const char *name, int count,
			 const char *const *values)
{
	return checked(db, PQexecPrepared(db, name, count, values, NULL, NULL, 1));
}

static amqp_bytes_t field(const PGresult *rows, int row, int column)
{
	return (amqp_bytes_t){
		.len = (size_t)PQgetlength(rows, row, column),
		.bytes = PQgetvalue(rows, row, column),
	};
}

static int64_t id_of(const PGresult *rows, int row)
{
	uint64_t raw;

	memcpy(&raw, PQgetvalue(rows, row, 0), sizeof(raw));
	return (int64_t)be64toh(raw);
}

char *poller_publish(struct publisher *p, const PGresult *rows)
{
	int count = PQntuples(rows);
	size_t size = (size_t)count * DIGITS + 3, length = 0;
	char *ids = malloc(size);

	if (!ids)
		die("poller", "out of memory");
	for (int i = 0; i < count; i++) {
		publisher_send(p, field(rows, i, 2), field(rows, i, 3), field(rows, i, 1),
			       field(rows, i, 4));
		length += (size_t)snprintf(ids + length, size - length, "%c%" PRId64,
					   i ? ',' : '{', id_of(rows, i));
	}
	snprintf(ids + length, size - length, "}");
	while (publisher_unconfirmed(p) > 0)
		publisher_await(p);
	return ids;
}
