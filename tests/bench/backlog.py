"""A backlog of small messages: the relay against the ceiling and against pollers written by hand."""

from measure import Relay, Usage, interleaved, ratios, say, spread

TITLE = "Backlog of 256-byte messages"
NOTE = ("Rates are from the start of a process to its end, connecting and stopping included. The "
        "processor's time is less that of a run with nothing to do, which is the last column. "
        "The bare publisher is librabbitmq with confirms, without a database. "
        "The pollers are `poller_locked.c` (SELECT … FOR UPDATE SKIP LOCKED, 500 rows a "
        "transaction) and `poller_lease.c` (UPDATE … RETURNING with lease columns). Their tables have "
        "the same fillfactor as the relay's.")

BODY = 256
LEASE_TABLE = """
    CREATE TABLE IF NOT EXISTS message_log_lease
        (LIKE message_log INCLUDING ALL, locked_by integer, locked_until timestamptz)
        WITH (fillfactor = 50);
    ALTER TABLE message_log_lease OWNER TO outbox"""


class Contenders:
    """Each method drains or publishes `rows` messages into a fresh queue; returns its Usage."""

    def __init__(self, bench, kind, rows, body):
        self.bench, self.kind, self.rows, self.body = bench, kind, rows, body
        bench.query(LEASE_TABLE)

    def bare(self):
        window = min(4096, max(16, (64 << 20) // self.body))
        with self.bench.queue(self.kind, expect=self.rows) as queue:
            return self.bench.run("bare", queue, self.rows, self.body, window)[0]

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

    def _drain(self, table, run) -> Usage:
        with self.bench.queue(self.kind, expect=self.rows) as queue:
            self.bench.refill(queue, self.rows, self.body, table)
            usage = run()
            self.bench.check_all_sent(table)
        return usage


NAMES = {"bare": "bare publisher", "mark": "relay, `mark`", "delete": "relay, `delete`",
         "locked": "poller, row locks", "lease": "poller, lease columns"}
COLUMNS = ("queue", "body", "who", "messages/s", "× bare", "CPU µs a message", "user",
           "system", "start and stop, CPU ms")


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
                for part in ("cpu", "user", "system")), idle[name].cpu * 1000)
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
                      "cpu": cpu["mark"]}
        else:
            reach["mark_classic"] = spread(to_bare["mark"])
    return {"settings": f"{rows:,} rows, {repeats} turns", "reach": reach,
            "tables": [{"columns": COLUMNS, "rows": lines}]}
