"""What an operator's requeue of very many rows takes from a busy relay."""

from beside import BusyRelay, check_backlog, command, fill
from measure import Cost, interleaved, spread

TITLE = "Requeue under load"
NOTE = ("`outbox-relay requeue --all --yes` over a table of failed rows while the relay works off a "
        "backlog that does not end. Its rate is counted by itself (`/metrics`): for a while before the "
        "command, while it runs, and for a while after it; compared is the middle with the mean of both "
        "sides, within one process. Rows that are requeued join the end of the backlog. Growth is that "
        "of table and indexes over the command and the relay's work meanwhile.")

SIZE = "SELECT pg_total_relation_size('message_log')"


def once(bench, failed, backlog, seconds):
    bench.query("TRUNCATE message_log, message_log_attempt")
    busy = BusyRelay(bench)
    with bench.queue("classic") as queue:
        fill(bench, queue, failed, "failed", "1 h")
        fill(bench, queue, backlog, "sending")
        bench.settled()
        with busy.running():
            before = busy.rate(seconds)
            size = bench.value(SIZE)
            with Cost(bench, ["message_log"]) as cost:
                process = command(bench, busy.relay, "requeue", "--all", "--yes")
                during = busy.rate(until=lambda: process.has_ended())
                usage = process.wait()
            grown = bench.value(SIZE) / size
            left = bench.value("SELECT count(*) FROM message_log WHERE status = 'failed'")
            assert left == 0, f"{left} rows are failed still: {process.output}"
            after = busy.rate(seconds)
            check_backlog(bench)
    return {"before": before, "during": during, "after": after, "rate": failed / usage.seconds,
            "ratio": during / max((before + after) / 2, 1), "grown": grown,
            "wal": cost.wal_bytes / (failed + during * usage.seconds)}


def run(bench):
    failed = bench.rows(2_000, 1_000_000)
    backlog = bench.rows(20_000, 600_000) + bench.pick(0, 300_000)
    seconds = bench.pick(0.2, 4)
    repeats = bench.turns(3)
    found = interleaved(repeats, {"requeue": lambda: once(bench, failed, backlog, seconds)})["requeue"]
    cells = {name: spread([one[name] for one in found]) for name in found[0]}
    columns = ("relay before, messages/s", "while it is requeued", "after", "× before and after",
               "requeued/s", "size, ×", "WAL bytes a row of both")
    return {"settings": f"{failed:,} failed rows and a backlog of {backlog:,}, {repeats} turns",
            "reach": {"requeue": cells["ratio"]},
            "tables": [{"columns": columns, "rows": [tuple(cells[name] for name in (
                "before", "during", "after", "ratio", "rate", "grown", "wal"))]}]}
