"""What a message costs the relay: system calls, and memory however many wait."""

import time

from measure import Relay, spread

TITLE = "Cost of the relay"
NOTE = ("System calls are counted by `strace -f -c` while a backlog of 256-byte rows is carried, "
        "less those of a run with nothing to do. Memory is VmHWM, the most that was ever resident, "
        "at a backlog of 1 KiB rows. The processor's time is in the table of backlogs above.")


def system_calls(bench, rows, on_sent):
    """Of one run over so many rows."""
    summary = bench.folder / "strace"
    relay = Relay(bench, wrapper=["strace", "-f", "-c", "-o", summary], relay={"on_sent": on_sent})
    with bench.queue("quorum", expect=rows) as queue:
        bench.query("TRUNCATE message_log")
        if rows:
            bench.fill(queue, rows, 256)
        bench.settled()
        relay.run_until_empty()
    counts = {}
    for line in summary.read_text().splitlines():
        fields = line.split()
        if len(fields) >= 5 and fields[0].replace(".", "").isdigit() and fields[-1] != "total":
            counts[fields[-1]] = int(fields[3])
    return counts


def calls_line(bench, rows, on_sent):
    idle, busy = system_calls(bench, 0, on_sent), system_calls(bench, rows, on_sent)
    more = {name: count - idle.get(name, 0) for name, count in busy.items()}
    top = sorted(more, key=more.get, reverse=True)[:4]
    return (on_sent, sum(more.values()) / rows,
            ", ".join(f"{name} {more[name] / rows:.4f}" for name in top))


def memory(bench, backlog, seconds):
    """After so many seconds of work, or when all is sent."""
    with bench.queue("quorum") as queue:
        relay = Relay(bench)
        bench.query("TRUNCATE message_log")
        bench.settled()
        with relay.running() as process:
            bench.fill(queue, backlog, 1024)
            deadline = time.monotonic() + seconds
            while time.monotonic() < deadline and bench.query(
                    "SELECT 1 FROM message_log WHERE status = 'sending' LIMIT 1"):
                time.sleep(0.2)
            if time.monotonic() < deadline:
                bench.check_all_sent()
            return process.peak_memory() / (1 << 20)


def run(bench):
    rows = bench.rows(500, 20_000)
    backlogs = [bench.rows(size, size) for size in bench.pick(
        (300,), (1_000, 100_000, 1_000_000), (1_000, 100_000, 1_000_000, 10_000_000))]
    seconds = bench.pick(5, 5, 30)
    calls = [calls_line(bench, rows, on_sent) for on_sent in ("mark", "delete")]
    memories = []
    for backlog in backlogs:
        memories.append((backlog, spread([memory(bench, backlog, seconds)])))
        bench.query("TRUNCATE message_log")
    return {"settings": f"{rows:,} rows under strace; memory after {seconds} s of work",
            "reach": {"memory": max((line[1] for line in memories), key=lambda cell: cell["median"])},
            "tables": [{"columns": ("`on_sent`", "system calls a message", "of these"), "rows": calls},
                       {"columns": ("backlog", "MiB resident at most"), "rows": memories}]}
