"""The rate on a table that holds many rows sent long ago."""

from measure import Relay, interleaved, ratios, spread

TITLE = "Growth of the table"
NOTE = ("The same number of due rows of 256 bytes, behind so many that are `sent`; `mark`, quorum "
        "queue. The first line is the small table that the others are compared with.")


class Table:
    """A schema of its own with `sent` old rows, to which each turn adds its own."""

    def __init__(self, bench, sent):
        self.bench, self.sent, self.schema = bench, sent, f"sent_{sent}"
        self.name = f"{self.schema}.message_log"
        bench.migrate(self.schema)
        for begun in range(0, sent, 1_000_000):
            bench.fill("", min(1_000_000, sent - begun), 256, self.name, "sent")
        bench.settled(self.name)

    def rate(self, due):
        with self.bench.queue("quorum", expect=due) as queue:
            if not self.sent:
                self.bench.query(f"TRUNCATE {self.name}")
            self.bench.fill(queue, due, 256, self.name)
            self.bench.settled(self.name)
            usage = Relay(self.bench, database={"schema": self.schema}).run_until_empty()
            self.bench.check_all_sent(self.name)
        return due / usage.seconds

    def drop(self):
        self.bench.query(f"DROP SCHEMA {self.schema} CASCADE")


def run(bench):
    due = bench.rows(100, 100_000, 1_000_000)
    sizes = [0, bench.rows(900, 90_000)]
    sizes += bench.pick([], [10 * sizes[1]], [10 * sizes[1], 100 * sizes[1]])
    repeats = bench.turns(3)
    tables = {sent: Table(bench, sent) for sent in sizes}
    found = interleaved(repeats, {
        f"behind {sent:,}": lambda table=table: table.rate(due) for sent, table in tables.items()})
    for table in tables.values():
        table.drop()
    rates = dict(zip(sizes, found.values()))
    to_small = {sent: spread(ratios(rates[sent], rates[0])) for sent in sizes}
    return {"settings": f"{due:,} due rows, {repeats} turns", "reach": {"growth": to_small[sizes[-1]]},
            "tables": [{"columns": ("rows sent before", "messages/s", "× small table"),
                        "rows": [(sent, spread(rates[sent]), to_small[sent]) for sent in sizes]}]}
