#include "bench/poller.h"

#include <endian.h>
#include <inttypes.h>
#include <libpq-fe.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/publisher.h"

/* Of an id in the array literal. */
#define DIGITS 21

static PGconn *connect_database(void)
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

static void prepare(PGconn *db, const char *name, const char *sql)
{
	PQclear(checked(db, PQprepare(db, name, sql, 0, NULL)));
}

static void run(PGconn *db, const char *sql)
{
	PQclear(checked(db, PQexec(db, sql)));
}

static PGresult *execute(PGconn *db, const char *name, int count,
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

static char *publish(struct publisher *p, const PGresult *rows)
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

static int turn(PGconn *db, struct publisher *p, bool in_one_transaction)
{
	PGresult *rows;
	int count;

	if (in_one_transaction)
		run(db, "BEGIN");
	rows = execute(db, "claim", 0, NULL);
	count = PQntuples(rows);
	if (count > 0) {
		char *ids = publish(p, rows);

		PQclear(execute(db, "settle", 1, (const char *const[]){ids}));
		free(ids);
	}
	PQclear(rows);
	if (in_one_transaction)
		run(db, "COMMIT");
	return count;
}

int poller_drain(const char *claim, const char *settle, bool in_one_transaction)
{
	const char *url = getenv("AMQP_URL");
	struct publisher *p = publisher_open(url ? url : "");
	PGconn *db = connect_database();

	prepare(db, "claim", claim);
	prepare(db, "settle", settle);
	while (turn(db, p, in_one_transaction) > 0)
		;
	PQfinish(db);
	publisher_close(p);
	return 0;
}
