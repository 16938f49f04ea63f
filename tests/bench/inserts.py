"""How much slower the application's inserts become by a trigger that wakes a relay."""

import pathlib
import random
import re
import statistics

from measure import Process, say, spread

TITLE = "Slow-down of the application's inserts"
NOTE = ("`pgbench`, nothing but one INSERT of 256 bytes a transaction, which is the worst case: a real "
        "transaction also does something else. No relay runs, so that only the trigger is measured; "
        "the writers then share the bell's lock, as they do while a relay works. The naive trigger "
        "calls `pg_notify` for each row. A turn is many short slices, in which the contenders come "
        "in random order: what a disk or a neighbour does for some seconds is more than what a "
        "trigger costs, and so is who came before.")

SCRIPT = ("INSERT INTO message_log (exchange, routing_key, payload)"
          " VALUES ('', 'q', convert_to(repeat('x', 256), 'UTF8'));\n")
NAIVE = """
    CREATE OR REPLACE FUNCTION naive_notify() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN PERFORM pg_notify(''naive'', NEW.id::text); RETURN NULL; END';
    CREATE TRIGGER naive AFTER INSERT ON message_log
        FOR EACH ROW EXECUTE FUNCTION naive_notify();
    ALTER TABLE message_log DISABLE TRIGGER naive"""
TRIGGERS = {"no trigger": (), "doorbell": ("message_log_doorbell",), "naive NOTIFY": ("naive",)}


def pgbench():
    found = pathlib.Path("/usr/lib/postgresql").glob("*/bin/pgbench")
    return max(found, key=lambda path: int(path.parts[-3]))


def rate(bench, clients, length, triggers):
    """Transactions a second."""
    bench.query("ALTER TABLE message_log DISABLE TRIGGER USER")
    for trigger in triggers:
        bench.query(f"ALTER TABLE message_log ENABLE TRIGGER {trigger}")
    bench.query("TRUNCATE message_log")
    bench.settled()
    script = bench.folder / "insert.sql"
    script.write_text(SCRIPT)
    process = Process([pgbench(), "-n", "-M", "prepared", "-f", script, "-c", clients, "-j",
                       min(clients, 2), *length], bench.superuser_environment,
                      bench.folder / "pgbench.log")
    process.wait()
    return float(re.search(r"tps = ([\d.]+)", process.output).group(1))


def turn(bench, clients, length, slices):
    """By trigger, the mean rate over all slices."""
    say(f"  {clients} clients")
    found = {name: [] for name in TRIGGERS}
    for _ in range(slices):
        for name in random.sample(list(TRIGGERS), len(TRIGGERS)):
            found[name].append(rate(bench, clients, length, TRIGGERS[name]))
    return {name: statistics.mean(rates) for name, rates in found.items()}


def run(bench):
    # Of a second on a busy machine not a single transaction may be left.
    length = bench.pick(("-t", 20), ("-T", 1), ("-T", 2))
    slices, repeats = bench.pick(1, 12, 30), bench.turns(5, 7)
    bench.query(NAIVE)
    lines, costs = [], []
    try:
        for clients in (1, 16):
            turns = [turn(bench, clients, length, slices) for _ in range(repeats)]
            rates = {name: [rates[name] for rates in turns] for name in TRIGGERS}
            slower = {name: spread([100 * (1 - value / without) for value, without
                                    in zip(values, rates["no trigger"])])
                      for name, values in rates.items()}
            lines += [(clients, name, spread(rates[name]), slower[name]) for name in TRIGGERS]
            costs.append(slower["doorbell"])
    finally:
        bench.query("DROP FUNCTION naive_notify CASCADE")
        bench.query("ALTER TABLE message_log ENABLE TRIGGER USER")
    what = "transactions a session" if length[0] == "-t" else "s"
    return {"settings": f"{repeats} turns, in each {slices} slices of {length[1]} {what}",
            "reach": {"inserts": max(costs, key=lambda cell: cell["median"])},
            "tables": [{"columns": ("clients", "trigger", "inserts/s", "slower by %"),
                        "rows": lines}]}
