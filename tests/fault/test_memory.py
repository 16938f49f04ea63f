"""Memory runs out: in the relay's own code, in its libraries, once or for good."""

import collections
import pathlib

import pytest

from harness import merge, seen, wait_until
from harness.program import RELEASE, ROOT

pytestmark = pytest.mark.scenario(17)

MALLOC = ROOT / "build/tests/preload/malloc.so"
OSERR = 71
ROWS = 4


class Runs:
    """One run after another over new rows, with allocations that fail."""

    def __init__(self, database, broker, relay, counted):
        self.database, self.relay, self.counted = database, relay, counted
        self.exchange = broker.exchange()
        self.queue = broker.queue(self.exchange)
        self.broker = broker
        self.codes = collections.Counter()
        self.inserted = 0
        # Libraries that cannot allocate may swallow an answer: then a deadline ends the wait.
        # Logging in by password costs 24 000 allocations, and so do the system's certificates.
        place = database.servers.superuser(database.name)
        relay.configure(merge(relay.config, {
            "database": {"url": " ".join(f"{key}={value}" for key, value in place.items()),
                         "statement_timeout": "1s", "connect_timeout": "1s"},
            "broker": {"connect_timeout": "1s"}}))

    def run(self, **settings):
        self.database.insert_many(ROWS - 1, self.exchange, "k")
        self.database.insert(self.exchange, "k", b"x", headers={"a": [1, {"b": "c"}]},
                             properties={"priority": 3})
        self.inserted += ROWS
        self.relay.env = {"LD_PRELOAD": str(MALLOC), "MALLOC_COUNT": str(self.counted),
                          "SSL_CERT_FILE": "/dev/null", "SSL_CERT_DIR": "/dev/null",
                          **{key: str(value) for key, value in settings.items()}}
        self.relay.start("--until-empty")
        code = self.relay.wait(60, check=None)
        self.codes[code] += 1
        assert code in (0, OSERR), f"{settings}: exit {code}\n{self.relay.log[-3000:]}"
        return code

    def count(self, **settings):
        """Of allocations in a run where none fails."""
        assert self.run(**settings) == 0
        return int(self.counted.read_text())

    def finish(self):
        """A last run with all the memory there is: nothing was lost, nobody charged."""
        self.relay.env = None
        self.relay.run_until_empty()
        assert self.database.statuses() == {"sent": self.inserted}
        assert self.database.attempts() == {0: self.inserted}
        assert self.database.claims() == 0
        copies = collections.Counter(message.message_id for message in
                                     self.broker.drain(self.queue))
        ids = {row["message_id"] for row in
               self.database.query("SELECT message_id FROM message_log")}
        assert set(copies) == ids
        seen(lost=0, never_committed=0, duplicates=sum(copies.values()) - len(ids), charged=0,
             note=", ".join(f"{number} x exit {code}" for code, number in
                            sorted(self.codes.items())))


@pytest.fixture
def runs(database, broker, release_relay, tmp_path):
    return Runs(database, broker, release_relay, tmp_path / "count")


def fail_each(runs, stride, **settings):
    total = runs.count(**settings)
    for n in range(1, total + 1, stride):
        runs.run(MALLOC_FAIL_AT=n, **settings)
    assert runs.codes[OSERR] > 0 and runs.codes[0] > 0  # some can be done without, most cannot
    runs.finish()
    seen(note=f"every allocation of {total}" if stride == 1 else
         f"each {stride}th allocation of {total}")


@pytest.mark.quick
def test_one_allocation_in_twenty_fails_from_the_first_connect_on(runs):
    fail_each(runs, 20, MALLOC_FROM="connect")


def test_each_allocation_fails_from_the_first_connect_on(runs):
    fail_each(runs, 1, MALLOC_FROM="connect")


def test_some_allocation_fails_while_the_configuration_is_read(runs):
    fail_each(runs, 97)


@pytest.mark.parametrize("at", [1, 20, 60, 100, 150])
def test_no_memory_at_all_is_left(runs, at):
    assert runs.run(MALLOC_FROM="connect", MALLOC_FAIL_AT=at, MALLOC_FAIL_COUNT=0) == OSERR
    runs.finish()


@pytest.mark.quick
def test_a_message_larger_than_the_memory_waits_uncharged_and_its_neighbours_arrive(
        runs, tmp_path, database, broker):
    """ulimit -v, with room for everything but a body of 40 MiB."""
    runs.run()
    program = tmp_path / "limited"
    program.write_text(f'#!/bin/sh\nulimit -v {(_start_bytes(runs) >> 10) + (60 << 10)}\n'
                       f'exec {RELEASE} "$@"\n')
    program.chmod(0o755)
    relay = runs.relay
    relay.program = program
    relay.env = None
    large = database.insert(runs.exchange, "k", b"l" * (40 << 20))
    database.insert_many(100, runs.exchange, "k")
    runs.inserted += 101
    relay.start()
    wait_until(lambda: (database.row(large)["last_error"] or "").startswith("not fetched"),
               what="the large one being put off", timeout=60)
    wait_until(lambda: database.statuses() == {"sent": runs.inserted - 1, "sending": 1},
               what="its neighbours")
    assert database.row(large)["try_count"] == 0
    assert "memory" in relay.events("disconnected", side="database")[-1]["error"]
    lost = len(relay.events("disconnected", side="database"))
    assert lost < 10, "each connection is lost for less than the one before"
    relay.stop()
    relay.program = RELEASE
    database.query("UPDATE message_log SET next_retry = now() WHERE id = %s", [large])
    runs.finish()
    seen(note=f"{lost} connections lost")


def _start_bytes(runs):
    runs.relay.env = None
    runs.relay.start()
    runs.relay.wait_for("starting", count=2)  # another run has been before
    status = pathlib.Path(f"/proc/{runs.relay.process.pid}/status").read_text()
    runs.relay.kill()
    (line,) = [line for line in status.splitlines() if line.startswith("VmPeak:")]
    return int(line.split()[1]) << 10
