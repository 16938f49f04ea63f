"""How long an operator waits for `outbox-relay status`, however large the table."""

import contextlib

from beside import command
from measure import Relay, spread

TITLE = "Status of a large table"
NOTE = ("`outbox-relay status`, from the start of the process to its end, connecting included, while a "
        "relay runs. Of the rows one in a hundred waits for later or has failed, the others were sent; ANALYZE ran.")


def fill(bench, rows):
    bench.query("TRUNCATE message_log")
    with contextlib.closing(bench.session()) as other:
        # Nobody rings for them, and no relay is there yet.
        other.cursor().execute(
            "INSERT INTO message_log (exchange, routing_key, payload, status, next_retry)"
            " SELECT '', 'nowhere', 'x', CASE WHEN n %% 200 = 0 THEN 'failed'"
            "  WHEN n %% 200 = 1 THEN 'sending' ELSE 'sent' END,"
            "  CASE WHEN n %% 200 = 1 THEN 'infinity' ELSE now() END"
            " FROM generate_series(1, %s) n", [rows])
    bench.settled()


def run(bench):
    rows = bench.rows(2_000, 1_000_000, 10_000_000)
    fill(bench, rows)
    relay = Relay(bench)
    with relay.running():
        times = []
        for _ in range(bench.turns(5, 7)):
            times.append(command(bench, relay, "status").wait().seconds * 1000)
    bench.query("TRUNCATE message_log")
    return {"settings": f"{rows:,} rows, {len(times)} times",
            "reach": {"status": spread(times)},
            "tables": [{"columns": ("rows", "milliseconds"), "rows": [(f"{rows:,}", spread(times))]}]}
