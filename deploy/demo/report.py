#!/usr/bin/python3
"""Waits until the relay has nothing more to do, then compares what was committed with what arrived.

    report.py DATABASE_URL FILE

FILE is the consumer's. Exits with 1 when a claim of the demo does not hold.
"""

import json
import statistics
import sys
import time

import psycopg2

PATIENCE = 45  # seconds


def query(connection, statement):
    with connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall()


def received(path):
    with open(path) as lines:
        next(lines)  # "ready"
        return [json.loads(line) for line in lines if line.endswith("\n")]


def watch(connection, path):
    """Until no row is left to send and all that was sent has arrived, or patience ends."""
    told = {}
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        # Counted before the attempts are told: else the last one may go untold.
        ((sending, sent),) = query(
            connection, "SELECT count(*) FILTER (WHERE status = 'sending'),"
                        " count(*) FILTER (WHERE status = 'sent') FROM message_log")
        for key, attempts, error, status in query(
                connection, "SELECT routing_key, try_count, last_error, status FROM message_log"
                            " WHERE try_count > 0 ORDER BY id"):
            if told.get(key, 0) < attempts:
                told[key] = attempts
                end = ", now failed" if status == "failed" else ""
                print(f"  relay     {key}, attempt {attempts}{end}: {error}", flush=True)
        if sending == 0 and len(received(path)) >= sent:
            return
        time.sleep(0.1)


def summary(connection, path):
    messages = received(path)
    arrived = [message["order"] for message in messages]
    ((issued,),) = query(connection, "SELECT last_value FROM orders_id_seq")
    orders = {number for (number,) in query(connection, "SELECT id FROM orders")}
    rolled_back = set(range(1, issued + 1)) - orders
    status = dict(query(connection, "SELECT status, count(*) FROM message_log GROUP BY 1"))
    failed = query(connection, "SELECT routing_key, try_count, last_error FROM message_log"
                               " WHERE status = 'failed'")
    ms = sorted(message["ms"] for message in messages[:10])
    all_ms = sorted(message["ms"] for message in messages)

    rows = [
        ("orders committed", len(orders)),
        ("their messages received", f"{len(orders & set(arrived))}"),
        ("of these more than once", len(arrived) - len(set(arrived))),
        ("orders rolled back", len(rolled_back)),
        ("their messages received", len(rolled_back & set(arrived))),
        ("rows sent / failed / waiting",
         " / ".join(str(status.get(s, 0)) for s in ("sent", "failed", "sending"))),
    ]
    if ms:
        rows.append(("from insert to consumer, single", f"{statistics.median(ms):.1f} ms median"))
        rows.append(("from insert to consumer, all",
                     f"{all_ms[len(all_ms) * 99 // 100]:.1f} ms for 99 %"))
    print()
    for name, value in rows:
        print(f"  {name:34}{value}")

    claims = [
        ("every committed order arrived", orders and orders <= set(arrived)),
        ("each of them once, as nothing failed", len(arrived) == len(set(arrived))),
        ("no rolled-back order arrived", rolled_back and not rolled_back & set(arrived)),
        ("nothing arrived that was not committed", set(arrived) <= orders),
        ("what nobody listens to failed after three attempts, with the reason",
         [(key, attempts) for key, attempts, error in failed if "NO_ROUTE" in (error or "")]
         == [("invoice.printed", 3)]),
        ("no row is left waiting", status.get("sending", 0) == 0),
    ]
    print()
    for claim, holds in claims:
        print(f"  {mark(holds)} {claim}")
    return all(holds for _, holds in claims)


def mark(holds):
    text = "ok    " if holds else "FAILED"
    if not sys.stdout.isatty():
        return text
    return f"\033[{32 if holds else 31}m{text}\033[0m"


def main():
    connection = psycopg2.connect(sys.argv[1])
    watch(connection, sys.argv[2])
    sys.exit(0 if summary(connection, sys.argv[2]) else 1)


if __name__ == "__main__":
    main()
