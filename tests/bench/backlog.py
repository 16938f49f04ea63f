"""A backlog of small messages: the relay against the ceiling and against pollers written by hand."""

import contextlib

from measure import Relay, Usage, interleaved, ratios, say, spread

TITLE = "Backlog of 256-byte messages"
NOTE = ("Rates are from the start of a process to its end, connecting and stopping included. The "
        "processor's time is less that of a run with nothing to do, which is the next column; the last "
        "ones are what the servers took meanwhile. "
        "The bare publisher is librabbitmq with confirms, without a database. "
        "The pollers are `poller_locked.c` (SELECT … FOR UPDATE SKIP LOCKED, 500 rows a "
        "transaction) and `poller_lease.c` (UPDATE … RETURNING with lease columns). They work on the "
        "relay's table, which leaves room for new versions on each page, and on one with full pages, "
        "as PostgreSQL makes it for who writes a poller by hand and sets no fillfactor.")

BODY = 256
LEASE_TABLE = """
    CREATE TABLE IF NOT EXISTS message_log_lease
        (LIKE message_log INCLUDING ALL, locked_by integer, locked_until timestamptz)
        WITH (fillfactor = 50);
    ALTER TABLE message_log_lease OWNER TO outbox"""


@contextlib.contextmanager
def full_pages(bench, table):
    """Without the room that our migrations leave in table and indexes; holds from TRUNCATE on."""
    relations = bench.query("""
        SELECT CASE relkind WHEN 'i' THEN 'INDEX' ELSE 'TABLE' END, oid::regclass::text, option_value
        FROM pg_class, pg_options_to_table(reloptions)
        WHERE option_name = 'fillfactor'
            AND (oid = %s::regclass OR oid IN (SELECT indexrelid FROM pg_index WHERE indrelid = %s::regclass))
        """, [table, table])
    for kind, name, _ in relations:
        bench.query(f"ALTER {kind} {name} RESET (fillfactor)")
    try:
        yield
    finally:
        for kind, name, room in relations:
            bench.query(f"ALTER {kind} {name} SET (fillfactor = {room})")


class Contenders:
    """Each method drains or publishes `rows` messages into a fresh queue; returns its Usage."""

    def __init__(self, bench, kind, rows, body):
        self.bench, self.kind, self.rows, self.body = bench, kind, rows, body
        bench.query(LEASE_TABLE)

    def bare(self):
        window = min(4096, max(16, (64 << 20) // self.body))
        with self.bench.queue(self.kind, expect=self.rows) as queue:
            return self._with_servers(
                lambda: self.bench.run("bare", queue, self.rows, self.body, window)[0])

    def relay(self, on_sent):
        relay = Relay(self.bench, relay={"on_sent": on_sent})
        return self._drain("message_log", relay.run_until_empty)

    def mark(self):
        return self.relay("mark")

    def delete(self):
        return self.relay("delete")

    def locked(self):
        return self._drain("message_log", lambda: self.bench.run("poller_locked")[0])

    def lease(self):
        return self._drain("message_log_lease", lambda: self.bench.run("poller_lease")[0])

    def locked_full(self):
        with full_pages(self.bench, "message_log"):
            return self.locked()

    def lease_full(self):
        with full_pages(self.bench, "message_log_lease"):
            return self.lease()

    def _drain(self, table, run) -> Usage:
        with self.bench.queue(self.kind, expect=self.rows) as queue:
            self.bench.refill(queue, self.rows, self.body, table)
            usage = self._with_servers(run)
            self.bench.check_all_sent(table)
        return usage

    def _with_servers(self, run) -> Usage:
        """Also knows how many seconds of processor the servers took meanwhile, by name."""
        before = self.bench.servers_cpu()
        usage = run()
        self.bench.await_end_of_sessions()
        usage.servers = {name: cpu - before[name] for name, cpu in self.bench.servers_cpu().items()}
        return usage


NAMES = {"bare": "bare publisher", "mark": "relay, `mark`", "delete": "relay, `delete`",
         "locked": "poller, row locks", "lease": "poller, lease columns",
         "locked_full": "poller, row locks, full pages", "lease_full": "poller, lease columns, full pages"}
COLUMNS = ("queue", "body", "who", "messages/s", "× bare", "CPU µs a message", "user",
           "system", "start and stop, CPU ms", "PostgreSQL's CPU µs a message", "RabbitMQ's")


def contest(bench, kind, rows, body, repeats, names):
    """Lines of a table with COLUMNS, and ratios to bare by name."""
    say(f"  {rows:,} rows of {size(body)}, {kind} queue")
    contenders, nothing = Contenders(bench, kind, rows, body), Contenders(bench, kind, 0, body)
    idle = {name: getattr(nothing, name)() for name in names}
    found = interleaved(repeats, {name: getattr(contenders, name) for name in names})
    rates = {name: [rows / usage.seconds for usage in usages] for name, usages in found.items()}
    to_bare = {name: ratios(values, rates["bare"]) for name, values in rates.items()}
    lines = [(kind, size(body), NAMES[name], spread(rates[name]), spread(to_bare[name]),
              *(spread([usage.less(idle[name], part) / rows * 1e6 for usage in found[name]])
                for part in ("cpu", "user", "system")), idle[name].cpu * 1000,
              *(spread([usage.servers[server] / rows * 1e6 for usage in found[name]])
                for server in ("postgres", "rabbitmq")))
             for name in names]
    return lines, to_bare, {name: line[5] for name, line in zip(names, lines)}


def size(count):
    for unit, name in ((1 << 20, "MiB"), (1 << 10, "KiB")):
        if count >= unit:
            return f"{count // unit} {name}"
    return f"{count} B"


def run(bench):
    rows, repeats = bench.rows(300, 200_000), bench.turns(5, 7)
    lines, reach = [], {}
    for kind in ("quorum", "classic"):
        more, to_bare, cpu = contest(bench, kind, rows, BODY, repeats, list(NAMES))
        lines += more
        if kind == "quorum":
            reach |= {"mark": spread(to_bare["mark"]), "delete": spread(to_bare["delete"]),
                      "poller": spread(ratios(to_bare["mark"], to_bare["locked"])),
                      "poller_full": spread(ratios(to_bare["mark"], to_bare["locked_full"])),
                      "cpu": cpu["mark"]}
        else:
            reach["mark_classic"] = spread(to_bare["mark"])
    return {"settings": f"{rows:,} rows, {repeats} turns", "reach": reach,
            "tables": [{"columns": COLUMNS, "rows": lines}]}
