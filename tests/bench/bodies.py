"""The same backlog with larger bodies."""

from backlog import COLUMNS, contest, size

TITLE = "Bodies from 1 KiB to 1 MiB"
NOTE = "As above, on a quorum queue. Bodies are random bytes, so that PostgreSQL cannot compress them."


def run(bench):
    sizes = {1 << 10: bench.rows(100, 60_000, 200_000), 16 << 10: bench.rows(10, 10_000, 40_000),
             1 << 20: bench.rows(2, 200, 1000)}
    repeats = bench.turns(3)
    lines = []
    for body, rows in sizes.items():
        lines += contest(bench, "quorum", rows, body, repeats, ["bare", "mark", "delete"])[0]
    told = ", ".join(f"{rows:,} of {size(body)}" for body, rows in sizes.items())
    return {"settings": f"{told}; {repeats} turns", "reach": {},
            "tables": [{"columns": COLUMNS, "rows": lines}]}
