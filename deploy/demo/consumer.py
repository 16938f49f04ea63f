#!/usr/bin/python3
"""The other end of the demo: takes order messages from RabbitMQ until it gets SIGTERM.

    consumer.py AMQP_URL FILE

Prints the first ones, and keeps what it received in FILE, one JSON object a line, in the order
of arrival. `ms` is the time since the shop inserted the row, just before its commit.
"""

import json
import signal
import sys
import time

import pika

PRINTED = 10


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    url, path = sys.argv[1:]
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    channel.exchange_declare("shop", "topic", durable=True)
    channel.queue_declare("orders", durable=True, arguments={"x-queue-type": "quorum"})
    channel.queue_bind("orders", "shop", "order.*")
    channel.basic_qos(prefetch_count=200)

    seen = set()
    with open(path, "w") as received:
        print("ready", file=received, flush=True)

        def take(channel, method, properties, body):
            message = json.loads(body)
            ms = (time.time() - message["at"]) * 1000
            # At least once: the same message may come again after a fault. Its id tells.
            again = properties.message_id in seen
            seen.add(properties.message_id)
            line = {"id": properties.message_id, "order": message["order"], "ms": ms}
            print(json.dumps(line), file=received, flush=True)
            if len(seen) <= PRINTED and not again:
                print(f"  consumer  order {message['order']} received after {ms:.1f} ms",
                      flush=True)
            channel.basic_ack(method.delivery_tag)

        channel.basic_consume("orders", take)
        channel.start_consuming()


if __name__ == "__main__":
    main()
