"""How soon the backlog of a broker outage is gone."""

import contextlib
import threading
import time

from measure import Relay, spread

TITLE = "Recovery after an outage of the broker"
NOTE = ("An application commits 256-byte rows at a steady rate while the broker is stopped and started "
        "again. Times count from the broker's own word that it is up; the relay finds it at its next "
        "attempt to connect. Caught up is when no more than a quarter of a second's rows wait.")

TICK = 0.1


class Application(threading.Thread):
    """Commits rows at a rate, in steps of a tenth of a second, until told to stop."""

    def __init__(self, bench, queue, rate):
        super().__init__(daemon=True)
        self._connection = bench.session()
        self._queue, self._rows = queue, int(rate * TICK)
        self._done = threading.Event()
        self.error = None

    def run(self):
        due = time.monotonic()
        try:
            with contextlib.closing(self._connection) as connection:
                while not self._done.is_set():
                    connection.cursor().execute(
                        "INSERT INTO message_log (exchange, routing_key, payload) SELECT '', %s,"
                        " convert_to(repeat('x', 256), 'UTF8') FROM generate_series(1, %s)",
                        [self._queue, self._rows])
                    due += TICK
                    self._done.wait(max(0, due - time.monotonic()))
        except Exception as error:  # told by the thread that waits for us
            self.error = error

    def stop(self):
        self._done.set()
        self.join()
        if self.error:
            raise self.error


def _waiting(bench, limit):
    """Rows not sent, counted up to `limit`."""
    return bench.value("SELECT count(*) FROM (SELECT FROM message_log WHERE status = 'sending'"
                       " LIMIT %s) AS waiting", [limit])


def _await(condition):
    """Seconds until then."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < 300, "the relay does not recover"
        time.sleep(0.05)
    return time.monotonic() - began


def once(bench, rate, seconds):
    bench.query("TRUNCATE message_log")
    bench.settled()
    with bench.queue("classic") as queue, Relay(bench, log={"level": "error"}).running():
        application = Application(bench, queue, rate)
        application.start()
        try:
            time.sleep(2)
            bench.control("stop", "rabbitmq")
            time.sleep(seconds)
            bench.control("start", "rabbitmq")
            began, backlog = time.monotonic(), _waiting(bench, 10_000_000)
            _await(lambda: _waiting(bench, rate // 4 + 1) <= rate // 4)
            took = time.monotonic() - began
        finally:
            application.stop()
        _await(lambda: _waiting(bench, 1) == 0)
    return backlog, took


def run(bench):
    rate, seconds, repeats = bench.pick(500, 2000), bench.pick(1, 10, 60), bench.turns(2, 3)
    found = [once(bench, rate, seconds) for _ in range(repeats)]
    return {"settings": f"{rate:,} rows a second, {repeats} outages of {seconds} s and the broker's start",
            "reach": {},
            "tables": [{"columns": ("rows waiting when the broker was back", "seconds until caught up"),
                        "rows": [(spread([backlog for backlog, _ in found]),
                                  spread([took for _, took in found]))]}]}
