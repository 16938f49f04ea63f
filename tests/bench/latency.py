"""From the commit to the consumer, at an offered rate: woken by the doorbell, polling, or no relay."""

import contextlib
import json

from measure import Relay, interleaved, spread

TITLE = "Latency from commit to consumer"
NOTE = ("`latency.c` inserts 256-byte rows at even distances, each in a transaction of its own, and "
        "consumes the quorum queue; one process, one clock. Milliseconds, from the answer to the "
        "COMMIT until the consumer has the message; `insert` is what the application waited for "
        "that answer. Without a relay `latency.c` publishes each message itself once its row is "
        "committed, as an application does that may lose messages: what database, broker and "
        "machine take, whoever carries it. The spread is over the turns.")

CONNECTIONS = 16
WAYS = {"doorbell": {}, "poll 1 s": {"wake": "poll"},
        "poll 100 ms": {"wake": "poll", "poll_interval": "100ms"},
        "no relay": None}


def once(bench, rate, seconds, settings):
    bench.query("TRUNCATE message_log")
    bench.settled()
    with contextlib.ExitStack() as stack:
        queue = stack.enter_context(bench.queue("quorum"))
        if settings is None:
            direct = ["direct"]
            stack.callback(bench.query, "TRUNCATE message_log")  # the next relay's work else
        else:
            direct = []
            stack.enter_context(Relay(bench, relay=settings).running())
        return json.loads(bench.run("latency", queue, rate, seconds, CONNECTIONS, 256, *direct)[1])


def line(rate, way, results):
    def times(what, which):
        return spread([result[what][which] / 1000 for result in results])
    return (rate, way, spread([result["inserted"] / result["seconds"] for result in results]),
            *(times("commit_to_consumer", which) for which in ("p50", "p99", "p99.9", "max")),
            times("insert", "p50"), times("insert_to_consumer", "p50"),
            times("insert_to_consumer", "p99"))


def run(bench):
    seconds, repeats = bench.pick(1, 10, 60), bench.turns(2, 3)
    rates = bench.pick((500,), (10, 500, 5000))
    lines, reach = [], {}
    for rate in rates:
        found = interleaved(repeats, {
            f"{way}, {rate}/s": lambda settings=settings: once(bench, rate, seconds, settings)
            for way, settings in WAYS.items()})
        for way, results in zip(WAYS, found.values()):
            lines.append(line(rate, way, results))
            if rate == 500 and way == "doorbell":
                reach = {"p50": lines[-1][3], "p99": lines[-1][4]}
    columns = ("offered/s", "relay", "inserted/s", "p50", "p99", "p99.9", "max", "insert p50",
               "insert to consumer p50", "p99")
    return {"settings": f"{seconds} s each, {CONNECTIONS} sessions, {repeats} turns",
            "reach": reach, "tables": [{"columns": columns, "rows": lines}]}
