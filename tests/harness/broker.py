import dataclasses
import itertools
import struct
import time

import pika
import pika.data

from .waiting import wait_until
from .worker import WORKER

_numbers = itertools.count(1)

# pika 1.2 reads a double as an integer, and a signed integer of 64 bits as an unsigned one.
_MISREAD = {b"d": ">d", b"l": ">q"}
_decode_value = pika.data.decode_value


def _decode_exactly(encoded, offset):
    kind = encoded[offset:offset + 1]
    if kind not in _MISREAD:
        return _decode_value(encoded, offset)
    return struct.unpack_from(_MISREAD[kind], encoded, offset + 1)[0], offset + 9


pika.data.decode_value = _decode_exactly


@dataclasses.dataclass
class Message:
    """One message as a consumer sees it."""

    message_id: str
    body: bytes
    headers: dict
    properties: pika.BasicProperties
    exchange: str
    routing_key: str
    redelivered: bool


class Broker:
    """Exchanges and queues of one test, named so that no other test sees them."""

    def __init__(self, url):
        self.url = url
        self.prefix = f"test{WORKER}{next(_numbers)}."
        self._made = []  # (kind, name)
        self._connection = None
        self._channel = None

    def connect(self):
        """A further connection; close it yourself."""
        parameters = pika.URLParameters(self.url)
        parameters.heartbeat = 0  # nobody serves it while a test looks elsewhere
        return pika.BlockingConnection(parameters)

    def reconnected(self):
        """The same queues over a fresh connection, for a broker that was away."""
        fresh = Broker(self.url)
        fresh.prefix, fresh._made = self.prefix, self._made
        return fresh

    @property
    def channel(self):
        """Opened again at need: the broker closes a channel for every mistake."""
        if self._connection is None or not self._connection.is_open:
            self._connection = self.connect()
            self._channel = None
        if self._channel is None or not self._channel.is_open:
            self._channel = self._connection.channel()
        return self._channel

    def exchange(self, name="exchange", kind="topic", **options):
        """Declares a durable exchange and returns its whole name."""
        name = self.prefix + name
        self.channel.exchange_declare(name, kind, durable=True, **options)
        self._made.append(("exchange", name))
        return name

    def queue(self, exchange=None, routing_key="#", name="queue", **arguments):
        """Declares a durable queue, bound if `exchange` is given, and returns its whole name.

        queue(exchange, "order.*", **{"x-queue-type": "quorum"})
        """
        name = self.prefix + name
        self.channel.queue_declare(name, durable=True, arguments=arguments or None)
        self._made.append(("queue", name))
        if exchange:
            self.bind(name, exchange, routing_key)
        return name

    def bind(self, queue, exchange, routing_key="#"):
        self.channel.queue_bind(queue, exchange, routing_key)

    def unbind(self, queue, exchange, routing_key="#"):
        self.channel.queue_unbind(queue, exchange, routing_key)

    def delete(self, name):
        for made in [made for made in self._made if made[1] == name]:
            getattr(self.channel, f"{made[0]}_delete")(name)
            self._made.remove(made)

    @staticmethod
    def properties(**values):
        """For channel.basic_publish()."""
        return pika.BasicProperties(delivery_mode=2, **values)

    def count(self, queue):
        return self.channel.queue_declare(queue, passive=True).method.message_count

    def wait_for_count(self, queue, count, timeout=60):
        wait_until(lambda: self.count(queue) == count, timeout,
                   what=lambda: f"{count} messages in {queue}, but {self.count(queue)}")

    def drain(self, queue, count=None, timeout=60, keep=lambda message: message):
        """Takes `count` messages out of the queue, waiting for them, or all that are there.

        A queue that holds more than `count` keeps the rest. `keep`: what of a message to return.
        """
        wanted = self.count(queue) if count is None else count
        channel = self.connect().channel()
        channel.basic_qos(prefetch_count=1000)
        messages = []
        deadline = time.monotonic() + timeout
        try:
            while len(messages) < wanted:
                for method, properties, body in channel.consume(queue, inactivity_timeout=0.1):
                    if method is None:
                        break
                    messages.append(keep(_message(method, properties, body)))
                    if len(messages) % 500 == 0 or len(messages) == wanted:
                        channel.basic_ack(method.delivery_tag, multiple=True)
                    if len(messages) == wanted:
                        break
                assert time.monotonic() < deadline, \
                    f"{len(messages)} of {wanted} messages in {queue} within {timeout} s"
        finally:
            channel.connection.close()  # gives back what was prefetched
        return messages

    def close(self):
        """Deletes what the test made. A broker that the test has stopped takes it along."""
        try:
            for kind, name in reversed(self._made):
                getattr(self.channel, f"{kind}_delete")(name)
            self._connection and self._connection.close()
        except pika.exceptions.AMQPError:
            pass


def _message(method, properties, body):
    return Message(properties.message_id, body, properties.headers or {}, properties,
                   method.exchange, method.routing_key, method.redelivered)
