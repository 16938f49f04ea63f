import collections
import contextlib
import hashlib
import random
import threading
import time

import pika
import psycopg2

from .waiting import wait_until


def body_hash(body):
    return hashlib.sha1(bytes(body)).hexdigest()[:16]


class _Party:
    """A thread that goes on until it is told to stop: _run(), which looks at _done."""

    def __init__(self):
        self.error = None  # of the thread itself: a mistake in a test
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._guarded, daemon=True)

    def start(self):
        self._thread.start()
        return self

    def stop(self, timeout=60):
        """Ends behind what is under way."""
        self._done.set()
        self._thread.join(timeout)
        assert not self._thread.is_alive(), f"{type(self).__name__} hangs"
        if self.error:
            raise self.error

    def abandon(self):
        """At the end of a test that has failed already."""
        self._done.set()

    def _guarded(self):
        try:
            self._run()
        except Exception as error:  # pylint: disable=broad-except
            self.error = error

    def _run(self):
        raise NotImplementedError


class Writer(_Party):
    """An application: a thread that commits rows of message_log, several a transaction, and
    remembers what it knows of each. It goes on over any outage of the database.

    Every tenth transaction is rolled back on purpose: none of its rows may ever be delivered.
    """

    def __init__(self, url, exchange, name="writer", rate=200, rows=5, routing_keys=("key",),
                 size=256, rolled_back=0.1, seed=1):
        super().__init__()
        self.url = url
        self.exchange = exchange
        self.name = name
        self.rate = rate  # rows a second, at most; None: as fast as it goes
        self.rows = rows  # a transaction, at most
        self.routing_keys = routing_keys
        self.size = size
        self.rolled_back_share = rolled_back
        self.committed = {}  # message_id -> hash of the body
        self.unknown = {}  # COMMIT was sent, and its answer never came
        self.rolled_back = {}
        self.times = {}  # message_id -> wall clock, when that was known
        self._random = random.Random(f"{name} {seed}")
        self._count = 0
        self._connection = None

    def wait_for_commits(self, count, timeout=60):
        wait_until(lambda: len(self.committed) >= count or self.error, timeout,
                   what=lambda: f"{count} commits of {self.name}, but {len(self.committed)}")
        if self.error:
            raise self.error

    def _run(self):
        with self._closing():
            while not self._done.is_set():
                begin = time.monotonic()
                count = self._transaction()
                if self.rate:
                    self._done.wait(max(0, begin + count / self.rate - time.monotonic()))

    @contextlib.contextmanager
    def _closing(self):
        yield
        if self._connection:
            self._connection.close()

    def _transaction(self):
        rows = {}
        for _ in range(self._random.randint(1, self.rows)):
            self._count += 1
            message_id = f"{self.name}-{self._count}"
            rows[message_id] = (message_id + " ").encode().ljust(self.size, b"x")
        hashes = {message_id: body_hash(body) for message_id, body in rows.items()}
        keep = self._random.random() >= self.rolled_back_share
        self._write(rows, hashes, keep)
        return len(rows)

    def _write(self, rows, hashes, keep):
        known = self.rolled_back  # unless we get further
        try:
            connection = self._connect()
            with connection.cursor() as cursor:
                for message_id, body in rows.items():
                    cursor.execute(
                        "INSERT INTO message_log (message_id, exchange, routing_key, payload)"
                        " VALUES (%s, %s, %s, %s)",
                        [message_id, self._exchange(), self._random.choice(self.routing_keys),
                         body])
            if keep:
                known = self.unknown
                connection.commit()
                known = self.committed
            else:
                connection.rollback()
        except psycopg2.Error:
            with contextlib.suppress(psycopg2.Error):
                if self._connection:
                    self._connection.close()
            self._connection = None
            self._done.wait(0.1)
        known.update(hashes)
        self.times.update(dict.fromkeys(hashes, time.time()))

    def _exchange(self):
        return self.exchange

    def _connect(self):
        if self._connection is None:
            self._connection = psycopg2.connect(
                self.url, connect_timeout=2, tcp_user_timeout=5000, keepalives_idle=2,
                application_name=self.name, options="-c statement_timeout=10s")
        return self._connection


class Delivery(collections.namedtuple("Delivery", "message_id hash redelivered at")):
    """One message as the consumer got it; `at` is the wall clock."""


class Consumer(_Party):
    """A thread that takes everything out of one queue and records it, over any restart of the
    broker. What was on its way when a connection ended comes again, `redelivered`; a broker that
    was killed may forget an ack and that mark. For exact counts leave the messages in a queue and
    take them with `received()`."""

    def __init__(self, url, queue):
        super().__init__()
        self.url = url
        self.queue = queue
        self.deliveries = []
        self.sessions = 0

    def copies(self):
        """message_id -> deliveries that are not the broker's own repetitions. (One that was lost
        on its way to us comes `redelivered` and is the first that we see.)"""
        fresh = collections.Counter(d.message_id for d in self.deliveries if not d.redelivered)
        return collections.Counter({d.message_id: max(1, fresh[d.message_id])
                                    for d in self.deliveries})

    def _run(self):
        while not self._done.is_set():
            try:
                self._session()
            except (pika.exceptions.AMQPError, OSError):
                self._done.wait(0.2)

    def _session(self):
        parameters = pika.URLParameters(self.url)
        parameters.heartbeat = 5
        parameters.socket_timeout = parameters.blocked_connection_timeout = 5
        with contextlib.closing(pika.BlockingConnection(parameters)) as connection:
            self.sessions += 1
            channel = connection.channel()
            channel.basic_qos(prefetch_count=500)
            for method, properties, body in channel.consume(self.queue, inactivity_timeout=0.1):
                if self._done.is_set():
                    return
                if method is None:
                    continue
                self.deliveries.append(Delivery(properties.message_id, body_hash(body),
                                                method.redelivered, time.time()))
                channel.basic_ack(method.delivery_tag)


def received(broker, queue):
    """All that is in the queue, as (message_id, hash of the body), in order: one for each
    publish that the broker took, and so the exact number of copies."""
    return broker.drain(queue, timeout=600, keep=lambda m: (m.message_id, body_hash(m.body)))
