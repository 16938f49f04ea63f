"""All measurements, or those that are named:

    python3 tests/bench/run.py [backlog] [latency] …

Starts private servers, measures, shows tables, and writes results.json, RESULTS.md and results.svg
into tests/bench (with QUICK=1, which proves only that the benchmarks work, into build/bench).
In the environment: QUICK=1 or FULL=1 (sizes), SCALE=0.2 (fewer rows), REPEATS (turns), HOLD (seconds
that the vacuum horizon is pinned), OUT (another folder for the results), SERVERS (see measure.Bench).
"""

import importlib
import os
import pathlib
import signal
import sys
import time

import results
from measure import ROOT, Bench, disturbed, say

NAMES = ("backlog", "bodies", "latency", "database", "inserts", "relay_cost", "idle", "growth",
         "horizon", "relays", "outage", "requeue", "retention",
         "status")


def size():
    chosen = [name for name in ("quick", "full") if os.environ.get(name.upper()) not in (None, "", "0")]
    return chosen[0] if chosen else "normal"


def folder():
    default = ROOT / ("build/bench" if size() == "quick" else "tests/bench")
    return pathlib.Path(os.environ.get("OUT") or default)


def measure(bench, name, this_run):
    module = importlib.import_module(name)
    say(f"\n== {module.TITLE}")
    began = time.monotonic()
    disturbed.clear()
    section = module.run(bench)
    if disturbed:
        section["settings"] += f"; disturbed: {len(disturbed)}"
    say(f"{section['settings']}; took {time.monotonic() - began:.0f} s")
    for table in section["tables"]:
        say("\n" + results.on_terminal(table["columns"], table["rows"]))
    return {"title": module.TITLE, "note": module.NOTE, "run": this_run, **section}


def main(names):
    unknown = set(names) - set(NAMES)
    if unknown:
        sys.exit(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    sections = results.load(folder())
    with Bench(size()) as bench:
        this_run = results.describe_run(bench)
        say("\n".join(f"{name}: {value}" for name, value in this_run.items()))
        for name in names or NAMES:
            sections[name] = measure(bench, name, this_run)
            # After each, so that an interrupted run has not been for nothing.
            results.save(folder(), sections, NAMES)
    say("\n== Numbers to reach\n" + results.on_terminal(
        results.REACH_COLUMNS, results.reach_rows(sections)))
    say(f"\nwritten: RESULTS.md, results.json and results.svg in {folder()}")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    main(sys.argv[1:])
