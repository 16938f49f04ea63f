"""What the deletion of rows that were sent long ago takes from a busy relay."""

from beside import BusyRelay, check_backlog, fill, latency
from measure import interleaved, ratios, spread

TITLE = "Retention beside the work"
NOTE = ("The table has rows that were sent long ago. One relay keeps them (`retention.sent: 0s`), the "
        "other deletes them (`1h`) while 500 rows a second come in (a quorum queue; milliseconds from "
        "commit to consumer), and then while it works off a backlog that does not end. They take turns, "
        "on tables that are filled anew.")

WAYS = {"kept": {"sent": "0s"}, "deleted": {"sent": "1h"}}


def once(bench, retention, old, backlog, seconds):
    bench.query("TRUNCATE message_log, message_log_attempt")
    busy = BusyRelay(bench, retention=retention)

    def deleted():
        return busy.metric("retention_rows_deleted_total")

    with bench.queue("classic") as queue, bench.queue("quorum") as fresh:
        fill(bench, queue, old, "sent", "1 d")
        fill(bench, queue, 1, "sending")
        bench.settled()
        with busy.running():
            before = deleted()
            p50, p99 = latency(bench, fresh, 500, max(round(seconds), 1))
            between = deleted()
            fill(bench, queue, backlog, "sending")
            begun = deleted()
            rate = busy.rate(seconds)
            after = deleted()
            check_backlog(bench)
    assert bench.size == "quick" or after < old, "all was deleted before the measurement ended: too few rows"
    return {"rate": rate, "p50": p50, "p99": p99, "deleted": (after - begun) / seconds,
            "deleted first": (between - before) / max(round(seconds), 1)}


def run(bench):
    old = bench.rows(50_000, 600_000)
    backlog = bench.pick(20_000, 400_000)
    seconds, repeats = bench.pick(0.3, 8), bench.turns(5, 7)
    found = interleaved(repeats, {
        way: lambda retention=retention: once(bench, retention, old, backlog, seconds)
        for way, retention in WAYS.items()})

    def values(way, name):
        return [one[name] for one in found[way]]

    def line(way):
        return (way, *(spread(values(way, name)) for name in ("p50", "p99", "deleted first", "rate")),
                spread(ratios(values(way, "rate"), values("kept", "rate"))), spread(values(way, "deleted")))

    columns = ("rows sent long ago", "p50 at 500/s", "p99 at 500/s", "deleted/s meanwhile",
               "backlog, messages/s", "× kept", "deleted/s meanwhile")
    return {"settings": f"{old:,} old rows, a backlog of {backlog:,}, {repeats} turns",
            "reach": {"retention": line("deleted")[5]},
            "tables": [{"columns": columns, "rows": [line(way) for way in WAYS]}]}
