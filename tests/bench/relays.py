"""Several relays on one table."""

from measure import Relay, interleaved, ratios, spread

TITLE = "Several relays on one table"
NOTE = ("One backlog of 256-byte rows, `mark`, quorum queue; until the last relay has ended. They share "
        "the processors with the database and the broker.")


def rate(bench, relays, rows):
    with bench.queue("quorum", expect=rows) as queue:
        bench.refill(queue, rows, 256)
        processes = [Relay(bench, relay={"name": f"relay-{n}"}).start_until_empty()
                     for n in range(relays)]
        # One reads the clock after the other: the last one has waited for all.
        seconds = max(process.wait().seconds for process in processes)
        bench.check_all_sent()
    return rows / seconds


def run(bench):
    rows, repeats = bench.rows(300, 100_000, 200_000), bench.turns(3)
    counts = (1, 2, 4)
    found = interleaved(repeats, {f"{count} relays": lambda count=count: rate(bench, count, rows)
                                  for count in counts})
    rates = dict(zip(counts, found.values()))
    return {"settings": f"{rows:,} rows, {repeats} turns", "reach": {},
            "tables": [{"columns": ("relays", "messages/s", "× one relay"), "rows": [
                (count, spread(rates[count]), spread(ratios(rates[count], rates[1])))
                for count in counts]}]}
