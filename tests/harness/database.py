import itertools
import json

import psycopg2
import psycopg2.extras

from .waiting import wait_until
from .worker import WORKER

_numbers = itertools.count(1)
_SESSIONS = """ FROM pg_stat_activity WHERE datname = current_database()
    AND application_name LIKE 'outbox-relay%' AND application_name <> 'outbox-relay upkeep' """


class Database:
    """One database of its own for one test, with the role `outbox` as its owner."""

    def __init__(self, servers, template="template1"):
        self.servers = servers
        self.name = f"test{WORKER}{next(_numbers)}"
        self.url = servers.database_url(self.name)
        self._template = template
        self._connection = None

    def create(self):
        self.servers.as_superuser(
            f"CREATE DATABASE {self.name} OWNER outbox TEMPLATE {self._template}")
        return self

    def drop(self):
        self.close()
        self.servers.as_superuser(f"DROP DATABASE IF EXISTS {self.name} WITH (FORCE)")

    def as_superuser(self, statement):
        """In this database."""
        return self.servers.as_superuser(statement, database=self.name)

    def close(self):
        if self._connection:
            self._connection.close()
            self._connection = None

    def connect(self):
        """A further session, in transactions; close it yourself."""
        return psycopg2.connect(self.url)

    @property
    def connection(self):
        """The session of the methods below: one transaction a statement, opened at need."""
        if self._connection is None or self._connection.closed:
            self._connection = self.connect()
            self._connection.autocommit = True
        return self._connection

    def query(self, statement, arguments=None):
        """All rows, as dictionaries; an empty list for a statement without a result."""
        with self.connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor) as cursor:
            cursor.execute(statement, arguments)
            return [dict(row) for row in cursor.fetchall()] if cursor.description else []

    def ask(self, statement, arguments=None):
        """query(), of a server that may be away: then an empty list, and the session is closed."""
        try:
            return self.query(statement, arguments)
        except psycopg2.Error:
            self.close()
            return []

    def value(self, statement, arguments=None):
        """The only column of the only row."""
        (row,) = self.query(statement, arguments)
        (value,) = row.values()
        return value

    def insert(self, exchange="", routing_key="", payload=b"", **columns):
        """One row of message_log; returns its id. Dictionaries become jsonb."""
        columns = {"exchange": exchange, "routing_key": routing_key, "payload": payload, **columns}
        names = ", ".join(columns)
        holes = ", ".join(["%s"] * len(columns))
        return self.value(f"INSERT INTO message_log ({names}) VALUES ({holes}) RETURNING id",
                          [_parameter(value) for value in columns.values()])

    def insert_many(self, count, exchange="", routing_key="", size=256):
        """`count` rows in one transaction, bodies of `size` bytes that start with "1 ", "2 ", …"""
        self.query("""INSERT INTO message_log (exchange, routing_key, payload)
                      SELECT %s, %s, convert_to(rpad(n || ' ', %s, 'x'), 'UTF8')
                        FROM generate_series(1, %s) n ORDER BY n""",
                   [exchange, routing_key, size, count])

    def row(self, id):
        (row,) = self.query("SELECT * FROM message_log WHERE id = %s", [id])
        return row

    def statuses(self):
        """{"sent": 3, "failed": 1}"""
        rows = self.query("SELECT status, count(*) FROM message_log GROUP BY status")
        return {row["status"]: row["count"] for row in rows}

    def attempts(self):
        """The number of rows by charged attempts: {0: 99, 3: 1}"""
        rows = self.query("SELECT try_count, count(*) FROM message_log GROUP BY try_count")
        return {row["try_count"]: row["count"] for row in rows}

    def claims(self):
        """How many claims are held."""
        return self.value("SELECT count(*) FROM message_log_claim")

    def is_drained(self):
        """No row is left to be sent, and no claim is held? A server that is away has not said so."""
        rows = self.ask("""SELECT (SELECT count(*) FROM message_log WHERE status = 'sending')
                                + (SELECT count(*) FROM message_log_claim) AS left""")
        return bool(rows) and rows[0]["left"] == 0

    def is_settled_since(self, begin, end):
        """Has a row that was committed after `begin` been settled as sent after `end`?"""
        return bool(self.ask(
            """SELECT 1 FROM message_log WHERE status = 'sent' AND created_at > to_timestamp(%s)
                  AND updated_at > to_timestamp(%s) LIMIT 1""", [begin, end]))

    def is_slept_on(self):
        """Does a relay hold the bell?"""
        return self.value("""SELECT count(*) FROM pg_locks
            WHERE locktype = 'advisory' AND mode = 'ExclusiveLock' AND granted
              AND classid = 1650814060 -- SQL_BELL_KEY
              AND database = (SELECT oid FROM pg_database WHERE datname = current_database())""") > 0

    def relay_sessions(self, and_that=""):
        """Process ids of the relays' sessions in this database."""
        return [row["pid"] for row in self.query("SELECT pid" + _SESSIONS + and_that)]

    def terminate_relay_sessions(self, and_that=""):
        self.query("SELECT pg_terminate_backend(pid)" + _SESSIONS + and_that)

    def wait_for_statuses(self, timeout=60, **expected):
        """For exactly these: wait_for_statuses(sent=3, failed=1)"""
        wait_until(lambda: self.statuses() == expected, timeout,
                   what=lambda: f"statuses {expected}, but {self.statuses()}")

    def wait_for_status(self, id, status, timeout=60):
        wait_until(lambda: self.row(id)["status"] == status, timeout,
                   what=lambda: f"{status}, but {self.row(id)}")
        return self.row(id)


def _parameter(value):
    return json.dumps(value) if isinstance(value, (dict, list)) else value
