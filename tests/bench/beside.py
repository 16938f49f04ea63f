"""What goes on beside a busy relay, and what it takes from it."""

import contextlib
import json
import os
import socket
import time
import urllib.request

import psycopg2

from measure import PROGRAM, Process, Relay


def free_address():
    with contextlib.closing(socket.socket()) as s:
        s.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{s.getsockname()[1]}"


class BusyRelay:
    """A relay that tells what it has done; give it a backlog that does not end."""

    def __init__(self, bench, **sections):
        self.address = free_address()
        self.relay = Relay(bench, http={"listen": self.address}, **sections)

    def metric(self, name):
        with urllib.request.urlopen(f"http://{self.address}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        return next((float(line.rpartition(" ")[2]) for line in lines
                     if line.startswith(f"outbox_relay_{name} ")), 0)

    def sent(self):
        return self.metric('rows_settled_total{fate="sent"}')

    @contextlib.contextmanager
    def running(self):
        """Until it has begun to send; stopped at the end, whatever is left."""
        process = self.relay.start()
        try:
            deadline = time.monotonic() + 60
            while not self._has_begun():
                assert time.monotonic() < deadline, "the relay does not begin"
                time.sleep(0.05)
            yield process
            process.stop()
        finally:
            process.end()

    def _has_begun(self):
        with contextlib.suppress(OSError):
            return self.sent() > 0

    def rate(self, seconds=None, until=None):
        """Messages a second for so long, or until until() is true."""
        began, before = time.monotonic(), self.sent()
        while time.monotonic() - began < (seconds or 600) and not (until and until()):
            time.sleep(0.02)
        return (self.sent() - before) / (time.monotonic() - began)


def fill(bench, queue, rows, status, age="0 s"):
    """As bench.fill(), of that status and age; bodies of 256 bytes."""
    bench.query("INSERT INTO message_log (exchange, routing_key, payload, status, try_count, updated_at)"
                " SELECT '', %s, %s, %s, CASE %s WHEN 'failed' THEN 3 ELSE 0 END, now() - %s::interval"
                " FROM generate_series(1, %s)",
                [queue, psycopg2.Binary(os.urandom(256)), status, status, age, rows])


def check_backlog(bench):
    """A quick run proves that it works, not how fast."""
    if bench.size == "quick":
        return
    left = bench.query("SELECT id FROM message_log WHERE status = 'sending' LIMIT 1")
    assert left, "the backlog came to an end: the relay had nothing to do for a while"


def latency(bench, queue, rate, seconds):
    """p50 and p99 from commit to consumer, in milliseconds."""
    found = json.loads(bench.run("latency", queue, rate, seconds, 16, 256)[1])
    return [found["commit_to_consumer"][which] / 1000 for which in ("p50", "p99")]


def command(bench, relay, *arguments):
    """An operator's command on the relay's configuration, started."""
    return Process([PROGRAM, *arguments, "-c", relay.file], {}, bench.folder / f"{arguments[0]}.log")
