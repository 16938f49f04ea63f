#!/usr/bin/python3
"""The application of the demo: commits orders, each with its message in the same transaction.

    shop.py DATABASE_URL

It knows the database only. Nothing here talks to RabbitMQ.
"""

import json
import sys
import time

import psycopg2

SINGLE = 10
BURST = 1000


def say(text):
    print(f"  shop      {text}", flush=True)


def order(cursor, item):
    """The business row and its message. The caller commits both, or neither."""
    cursor.execute("INSERT INTO orders (item) VALUES (%s) RETURNING id", [item])
    (number,) = cursor.fetchone()
    body = json.dumps({"order": number, "item": item, "at": time.time()})
    cursor.execute("SELECT message_log_send('shop', 'order.created', %s::jsonb)", [body])
    return number


def main():
    connection = psycopg2.connect(sys.argv[1])
    cursor = connection.cursor()
    cursor.execute("CREATE TABLE IF NOT EXISTS orders (id bigint GENERATED ALWAYS AS IDENTITY"
                   " PRIMARY KEY, item text NOT NULL)")
    connection.commit()

    for n in range(SINGLE):
        number = order(cursor, "a book")
        connection.commit()
        say(f"order {number} committed")
        time.sleep(0.1)  # customers take their time

    number = order(cursor, "a book out of stock")
    connection.rollback()
    say(f"order {number} rolled back: its message must never be seen")

    started = time.monotonic()
    for n in range(BURST):
        order(cursor, "a pen")
        if n % 10 == 9:
            connection.commit()
    seconds = time.monotonic() - started
    say(f"{BURST} more orders committed within {seconds:.1f} s, 10 a transaction")

    cursor.execute("SELECT message_log_send('shop', 'invoice.printed', '{}'::jsonb)")
    connection.commit()
    say("a message with routing key invoice.printed committed: no queue takes those")


if __name__ == "__main__":
    main()
