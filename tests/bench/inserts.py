"""How much slower the application's inserts become by a trigger that wakes a relay."""

import contextlib
import pathlib
import random
import signal
import time

from measure import Process, interleaved, spread

TITLE = "Slow-down of the application's inserts"
NOTE = ("`pgbench`, nothing but one INSERT of 256 bytes a transaction, which is the worst case: a real "
        "transaction also does something else. No relay runs, so that only the trigger is measured; "
        "the writers then share the bell's lock, as they do while a relay works. The naive trigger "
        "calls `pg_notify` for each row. What a disk or a neighbour does is more than what a trigger "
        "costs. So each contender has a pgbench and a table of its own, all stand still but one, and "
        "after a quarter of a second another goes on, in random order; a turn is the sum of these. "
        "The second without a trigger is the first once more: it shows how exact the others are.")

NAIVE = """
    CREATE FUNCTION {0}.naive_notify() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN PERFORM pg_notify(''naive'', NEW.id::text); RETURN NULL; END';
    CREATE TRIGGER naive AFTER INSERT ON {0}.message_log
        FOR EACH ROW EXECUTE FUNCTION {0}.naive_notify()"""
NO_TRIGGER = "ALTER TABLE {0}.message_log DISABLE TRIGGER message_log_doorbell"
# By name, the schema of a contender and what makes it of a migrated one.
CONTENDERS = {"no trigger": ("silent", [NO_TRIGGER]),
              "no trigger, once more": ("silent_again", [NO_TRIGGER]),
              "doorbell": ("doorbell", []),
              "naive NOTIFY": ("naive", [NO_TRIGGER, NAIVE])}


def pgbench():
    found = pathlib.Path("/usr/lib/postgresql").glob("*/bin/pgbench")
    return max(found, key=lambda path: int(path.parts[-3]))


class Writers:
    """A pgbench of so many sessions, which stands still unless told to go on."""

    def __init__(self, bench, schema, clients):
        self._bench, self._schema = bench, schema
        bench.query(f"TRUNCATE {schema}.message_log")
        script = bench.folder / f"{schema}.sql"
        script.write_text(f"INSERT INTO {schema}.message_log (exchange, routing_key, payload)"
                          " VALUES ('', 'q', convert_to(repeat('x', 256), 'UTF8'));\n")
        self._process = Process(
            [pgbench(), "-n", "-M", "prepared", "-f", script, "-c", clients, "-j", min(clients, 2),
             "-T", 3600], bench.superuser_environment, bench.folder / f"{schema}.log")
        self.seconds = self.inserts = 0

    def _inserted(self):
        """So far; of a sequence each session sees the newest value."""
        return self._bench.value(f"SELECT last_value FROM {self._schema}.message_log_id_seq")

    def go_on(self, seconds):
        """So long, and until at least one row was inserted."""
        before, began = self._inserted(), time.monotonic()
        self._process.send(signal.SIGCONT)
        time.sleep(seconds)
        while (after := self._inserted()) == before:
            time.sleep(0.001)
        self._process.send(signal.SIGSTOP)
        self.seconds += time.monotonic() - began
        self.inserts += after - before

    def warm_up(self):
        self.go_on(0.5)
        self.seconds = self.inserts = 0

    def end(self):
        self._process.end()


def turn(bench, clients, rounds):
    """By contender, inserts a second."""
    with contextlib.ExitStack() as stack:
        writers = {}
        for name, (schema, _) in CONTENDERS.items():
            writers[name] = Writers(bench, schema, clients)
            stack.callback(writers[name].end)
            writers[name].warm_up()
        bench.query("CHECKPOINT")
        for _ in range(rounds):
            for name in random.sample(list(writers), len(writers)):
                writers[name].go_on(0.25)
        return {name: each.inserts / each.seconds for name, each in writers.items()}


def run(bench):
    rounds, repeats = bench.pick(1, 40), bench.turns(7)
    for schema, statements in CONTENDERS.values():
        bench.migrate(schema)
        for statement in statements:
            bench.query(statement.format(schema))
    try:
        turns = interleaved(repeats, {clients: lambda clients=clients: turn(bench, clients, rounds)
                                      for clients in (1, 16)})
    finally:
        for schema, _ in CONTENDERS.values():
            bench.query(f"DROP SCHEMA {schema} CASCADE")
    lines, costs = [], []
    for clients, found in turns.items():
        for name in CONTENDERS:
            slower = spread([100 * (1 - rates[name] / rates["no trigger"]) for rates in found])
            lines.append((clients, name, spread([rates[name] for rates in found]), slower))
            if name == "doorbell":
                costs.append(slower)
    return {"settings": f"{repeats} turns of {rounds} quarters of a second for each",
            "reach": {"inserts": max(costs, key=lambda cell: cell["median"])},
            "tables": [{"columns": ("sessions", "trigger", "inserts/s", "slower by %"),
                        "rows": lines}]}
