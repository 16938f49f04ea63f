"""A relay with nothing to do."""

import time

from measure import Cost, Relay, interleaved, spread

TITLE = "Idle"
NOTE = "A connected relay and an empty table. The processor's time is the scheduler's own count."

WAYS = {"doorbell": {}, "poll 1 s": {"wake": "poll"}}


def once(bench, seconds, settings):
    bench.query("TRUNCATE message_log")
    with Relay(bench, relay=settings).running() as process:
        time.sleep(bench.pick(0.5, 2))  # it may still be settling down
        with Cost(bench, []) as cost:
            began, cpu = time.monotonic(), process.cpu_seconds()
            time.sleep(seconds)
            took, cpu = time.monotonic() - began, process.cpu_seconds() - cpu
    return cost.statements, cpu, took


def run(bench):
    seconds, repeats = bench.pick(1, 10, 60), bench.turns(3)
    found = interleaved(repeats, {
        way: lambda settings=settings: once(bench, seconds, settings)
        for way, settings in WAYS.items()})
    lines = []
    for way, results in found.items():
        statements = None
        if bench.has_statements:
            statements = spread([count / took for count, _, took in results])
        lines.append((way, statements, spread([100 * cpu / took for _, cpu, took in results])))
    reach = {"idle_cpu": lines[0][2]}
    if bench.has_statements:
        reach["idle_statements"] = lines[0][1]
    return {"settings": f"{seconds} s, {repeats} turns", "reach": reach,
            "tables": [{"columns": ("relay", "statements/s", "CPU %"), "rows": lines}]}
