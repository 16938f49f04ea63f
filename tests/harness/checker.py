import collections
import dataclasses

REPLICATION_LAG = 5  # seconds


@dataclasses.dataclass
class Report:
    """What became of every row. All sets hold message_ids."""

    committed: int  # rows whose COMMIT was answered
    delivered: int  # different messages that came out of the broker
    lost: set  # committed, and neither delivered nor failed nor still to be sent
    unsent: set  # marked sent, and never delivered
    vanished: set  # committed, and not in the table any more (unless it deletes what is sent)
    never_committed: set  # delivered, and never committed
    altered: set  # delivered with another body
    duplicated: set  # delivered more than once
    copies: int  # deliveries beyond the first of each
    unexplained: set  # duplicated, though settled before, or committed after, every fault
    forgotten: set  # by the database: committed or delivered, and not in the table any more
    recovered: set  # the answer of their COMMIT was lost; delivered
    statuses: dict
    attempts: dict  # charged attempts -> rows
    failed: set

    @property
    def charged(self):
        """Rows that were charged at least one attempt."""
        return sum(count for attempts, count in self.attempts.items() if attempts)

    def problems(self):
        """What may never be, whatever happened: {} when all is well."""
        names = ("lost", "unsent", "vanished", "never_committed", "altered", "unexplained")
        return {name: sorted(getattr(self, name))[:5] for name in names if getattr(self, name)}


def check(rows, writers, received, faults=(), deletes_sent=False, forgotten=None):
    """Compares what the writers know, what stands in the table, and what came out of the broker,
    as Jepsen's checker of a total queue does. It asks the relay nothing.

    `rows`: the table, as dictionaries with message_id, status, try_count, created_at and
    updated_at (seconds). `writers`: with committed, unknown and rolled_back. `received`: pairs of
    message_id and hash. `faults`: pairs of wall clock times (begin, end); a duplicate must have
    been committed before the end and not yet settled at the begin of one of them. `forgotten`: a
    time; the database may have lost rows that were committed from shortly before it on.
    """
    committed, unknown, rolled_back = (_union(writers, name) for name in
                                       ("committed", "unknown", "rolled_back"))
    table = {row["message_id"]: row for row in rows}
    known = {**committed, **unknown}
    copies = collections.Counter(message_id for message_id, _ in received)
    delivered = set(copies)
    failed = {i for i, row in table.items() if row["status"] == "failed"}
    waiting = {i for i, row in table.items() if row["status"] == "sending"}
    sent = {i for i, row in table.items() if row["status"] == "sent"}
    duplicated = {i for i, count in copies.items() if count > 1}
    # Without a trace in a table that keeps them, an unknown COMMIT did not happen.
    uncommitted = set() if deletes_sent else set(unknown) - set(table)
    gone = set()
    if forgotten is not None:
        times = _union(writers, "times")
        gone = {i for i in set(known) - set(table) if times[i] > forgotten - REPLICATION_LAG}
    return Report(
        committed=len(committed),
        delivered=len(delivered),
        lost=set(committed) - delivered - failed - waiting - gone,
        unsent=sent - delivered,
        vanished=set() if deletes_sent else set(committed) - set(table) - gone,
        never_committed=(delivered - set(known)) | (delivered & set(rolled_back)) |
                        (delivered & (uncommitted - gone)),
        altered={i for i, digest in received if i in known and known[i] != digest},
        duplicated=duplicated,
        copies=sum(copies.values()) - len(copies),
        unexplained={i for i in duplicated if i in table and not _is_explained(table[i], faults)},
        forgotten=gone,
        recovered=set(unknown) & delivered,
        statuses=dict(collections.Counter(row["status"] for row in rows)),
        attempts=dict(collections.Counter(row["try_count"] for row in rows)),
        failed=failed)


def _union(writers, name):
    result = {}
    for writer in writers:
        result.update(getattr(writer, name))
    return result


def _is_explained(row, faults):
    # The stamps are those of the begin of a transaction, which is a moment before its commit.
    return any(row["created_at"] <= end and row["updated_at"] >= begin - 1
               for begin, end in faults)


def table_of(database):
    """The rows for check()."""
    return database.query("""SELECT message_id, status, try_count,
        extract(epoch FROM created_at)::float8 AS created_at,
        extract(epoch FROM updated_at)::float8 AS updated_at FROM message_log""")
