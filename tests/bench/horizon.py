"""The rate while another session pins the vacuum horizon, so that nothing dead can be cleared."""

import contextlib
import json
import os
import time

from measure import Relay, least_stolen, say, spread, stolen_during

TITLE = "Pinned vacuum horizon"
NOTE = ("One relay runs all the time and carries one backlog after the other: some before another "
        "session takes a snapshot and keeps it, then as many as there is time for, and some after it is "
        "let go, since a machine is not the same for ten minutes. Each is timed from its commit until "
        "all is in the (classic) queue; VACUUM runs before each. Of nine in a row the three count from "
        "which other virtual machines took least of the processors. Compared are the last ones while "
        "pinned with those before and after. Then the same for a steady flow of rows: the latency from "
        "commit to consumer (`latency.c`, quorum queue), in turns, the first without the snapshot.")

GROUP, COUNTED = 9, 3
ASKED = 600  # seconds of being pinned
FLOW_RATE = 1000


def carry(bench, rows):
    """Messages a second of one backlog, by a relay that runs and sleeps, and what was stolen."""
    with bench.queue("classic") as queue, contextlib.closing(bench.amqp()) as connection:
        channel = connection.channel()
        bench.settled()
        bench.fill(queue, rows, 256)

        def rate():
            began = time.monotonic()
            while channel.queue_declare(queue, passive=True).method.message_count < rows:
                assert time.monotonic() - began < 600, "the backlog does not get empty"
                time.sleep(0.01)
            return rows / (time.monotonic() - began)

        return stolen_during(rate)


def group(bench, rows):
    return least_stolen([carry(bench, rows) for _ in range(GROUP)], COUNTED)


def pin(session):
    session.cursor().execute("BEGIN ISOLATION LEVEL REPEATABLE READ;"
                             " SELECT 1 FROM message_log LIMIT 1")


def once(bench, on_sent, rows, seconds):
    bench.query("TRUNCATE message_log, message_log_claim")
    with Relay(bench, relay={"on_sent": on_sent}).running():
        carry(bench, rows)  # the first one warms up
        before = group(bench, rows)
        with contextlib.closing(bench.session()) as other:
            pin(other)
            began, during = time.monotonic(), []
            while time.monotonic() - began < seconds or len(during) < 2 * GROUP:
                during.append(carry(bench, rows))
        say(f"  {on_sent}: {len(during)} backlogs while pinned")
        return before, during, group(bench, rows)


def flow(bench, seconds, turns):
    """Milliseconds (p50, p99) of each turn; from the second on a snapshot is held."""
    bench.query("TRUNCATE message_log, message_log_claim")
    found = []
    with Relay(bench).running(), contextlib.closing(bench.session()) as other:
        for turn in range(turns):
            if turn == 1:
                pin(other)
            with bench.queue("quorum") as queue:
                result = json.loads(bench.run("latency", queue, FLOW_RATE, seconds, 16, 256)[1])
            found.append([result["commit_to_consumer"][which] / 1000 for which in ("p50", "p99")])
    return found


def run(bench):
    rows = bench.rows(200, 50_000, 100_000)
    seconds = int(os.environ.get("HOLD") or bench.pick(1, 60, ASKED))
    lines, reach = [], []
    for on_sent in ("mark", "delete"):
        before, during, after = once(bench, on_sent, rows, seconds)
        middle = spread(before + after)["median"]
        first, last = (least_stolen(some, COUNTED) for some in (during[:GROUP], during[-GROUP:]))
        ratio = spread([rate / middle for rate in last])
        lines.append((on_sent, spread(before), spread(first), spread(last), spread(after), ratio,
                      len(during) * rows))
        reach.append(ratio)
    turn_seconds = bench.pick(1, 15, 60)
    latency = [(n * turn_seconds * FLOW_RATE, *times)
               for n, times in enumerate(flow(bench, turn_seconds, bench.pick(2, 5, 7)))]
    return {"settings": f"backlogs of {rows:,}, pinned for {seconds} s;"
                        f" {FLOW_RATE:,} rows a second, {turn_seconds} s a turn",
            "reach": {"horizon": min(reach, key=lambda cell: cell["median"])},
            "as_asked": seconds >= ASKED,
            "tables": [{"columns": ("`on_sent`", "messages/s before", "first while pinned",
                                    "last while pinned", "after", "× without", "rows while pinned"),
                        "rows": lines},
                       {"columns": ("rows sent before", "p50", "p99"), "rows": latency}]}
