"""What carrying a message costs the application's database, counted and not timed."""

from backlog import LEASE_TABLE, Contenders
from backlog import NAMES as CONTENDERS
from measure import Cost, interleaved, ratios, spread

TITLE = "Cost on the database"
NOTE = ("For each message of 256 bytes, beyond the application's own INSERT, which is the first "
        "line. Statements are those that the server saw, transaction control included. Dead versions "
        "are what vacuum has to clear away, of rows and of claims. The last two columns are of a run "
        "right after a checkpoint, when each page that is touched is dirtied and logged whole; the "
        "first ones of pages that the INSERT has just touched, as in steady work. The pollers are those "
        "of the backlog.")

NAMES = {"insert": "the application's INSERT", **CONTENDERS}
TABLES = ["message_log", "message_log_lease", "message_log_claim"]


class Counted(Contenders):
    """Each method returns two Costs of draining `rows`: on warm pages, and after a checkpoint."""

    def _drain(self, table, run):
        return self._counted(table, run, False), self._counted(table, run, True)

    def _counted(self, table, run, is_cold):
        bench = self.bench
        with bench.queue(self.kind, expect=self.rows) as queue:
            bench.query(f"TRUNCATE {table}")
            bench.query("CHECKPOINT")
            bench.fill(queue, self.rows, self.body, table)
            bench.query(f"VACUUM (ANALYZE) {table}")
            if is_cold:
                bench.query("CHECKPOINT")
            with Cost(bench, TABLES) as cost:
                run()
                bench.await_end_of_sessions()
            bench.check_all_sent(table)
        return cost

    def insert(self):
        """The application's own part, in one statement."""
        bench = self.bench
        costs = []
        for is_cold in (False, True):
            bench.query("TRUNCATE message_log")
            bench.fill("", self.rows, self.body)  # warm: pages that are there already
            bench.query("DELETE FROM message_log")
            bench.query("VACUUM message_log")
            if is_cold:
                bench.query("CHECKPOINT")
            with Cost(bench, TABLES) as cost:
                bench.fill("", self.rows, self.body)
            costs.append(cost)
        return costs


def autovacuum(bench, word):
    for table in TABLES:
        bench.query(f"ALTER TABLE {table} {word}")


def line(name, costs, rows):
    def each(which, attribute, scale=1):
        values = [getattr(pair[which], attribute) for pair in costs]
        return None if None in values else spread([value * scale / rows for value in values])
    # The INSERT is one statement of another user here, and many in real life.
    statements = None if name == "insert" else each(0, "statements", 1000)
    dirtied = None if name == "insert" else each(1, "dirtied")
    return (NAMES[name], each(0, "wal_bytes"), statements, each(0, "dead"), each(1, "wal_bytes"), dirtied)


def run(bench):
    rows, repeats = bench.rows(300, 50_000, 200_000), bench.turns(2, 3)
    names = [name for name in NAMES if name != "bare"]
    bench.query(LEASE_TABLE)
    autovacuum(bench, "SET (autovacuum_enabled = off)")
    counted = Counted(bench, "classic", rows, 256)
    found = interleaved(repeats, {name: getattr(counted, name) for name in names}, stolen_max=1)
    autovacuum(bench, "RESET (autovacuum_enabled)")
    wal = {name: [pair[0].wal_bytes for pair in costs] for name, costs in found.items()}
    return {"settings": f"{rows:,} rows, {repeats} turns, autovacuum off",
            "reach": {"wal_mark": spread(ratios(wal["mark"], wal["lease"])),
                      "wal_delete": spread(ratios(wal["delete"], wal["lease"])),
                      "wal_mark_full": spread(ratios(wal["mark"], wal["lease_full"]))},
            "tables": [{"columns": ("who", "WAL bytes", "statements per 1,000", "dead versions",
                                    "WAL bytes after a checkpoint", "buffers dirtied"),
                        "rows": [line(name, found[name], rows) for name in names]}]}
