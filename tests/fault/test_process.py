"""What the machine does to a relay: signals, clocks, descriptors, its log."""

import contextlib
import glob
import os
import random
import re
import resource
import signal
import subprocess
import time

import pytest

from harness import merge, quick_config, seen, wait_until
from harness.peer import Peer
from harness.program import RELEASE, _environment, parse_line


def ids_in(broker, queue, count):
    """All messages, of which there are `count`, each once."""
    ids = [message.message_id for message in broker.drain(queue)]
    assert len(ids) == len(set(ids)) == count
    seen(lost=0, duplicates=0)


# --- signals ---------------------------------------------------------------------------------


@pytest.mark.scenario(7, fault="SIGTERM with 1000 rows in flight, of which 600 are acked")
def test_a_signal_with_1000_rows_in_flight_settles_and_gives_back(database, make_relay):
    with Peer() as peer:
        relay = make_relay(merge(quick_config(database.url, peer.url),
                                 {"relay": {"shutdown_timeout": "4s"}}))
        relay.start()
        # It takes so many in hand only when it has seen how fast they are acked.
        acked = 0
        database.insert_many(2000)
        while acked < 2000:
            wait_until(lambda: len(peer.published) > acked, 30, what="further publishes")
            acked = len(peer.published)
            peer.published[acked - 1].ack(multiple=True)
        database.insert_many(1000)
        wait_until(lambda: len(peer.published) == 3000, 30, what="a thousand publishes")
        relay.signal(signal.SIGTERM)
        relay.wait_for("stopping", in_flight=1000)
        peer.published[2599].ack(multiple=True)
        assert relay.wait() == 0
        assert database.statuses() == {"sent": 2600, "sending": 400}
        assert database.attempts() == {0: 3000}
        assert database.claims() == 0
        seen(lost=0, charged=0)


@pytest.mark.scenario(20)
def test_a_storm_of_signals_under_load_ends_in_order(database, broker, relay):
    """Under the sanitizers of RELAY; a finding ends the relay with another status."""
    exchange = broker.exchange()
    queue = broker.queue(exchange)
    relay.configure(merge(relay.config, {"relay": {"batch_size": 50}}))
    relay.start()
    relay.wait_for("connected", side="broker")
    chance = random.Random(20)
    for _ in range(30):
        database.insert_many(100, exchange, "key", 100)
        for _ in range(chance.randrange(1, 12)):
            relay.signal(chance.choice([signal.SIGHUP, signal.SIGHUP, signal.SIGPIPE,
                                        signal.SIGSTOP]))
            relay.signal(signal.SIGCONT)
    database.wait_for_statuses(sent=3000, timeout=60)
    assert relay.events("reloading")
    relay.stop()
    assert database.claims() == 0 and database.attempts() == {0: 3000}
    ids_in(broker, queue, 3000)


# --- many relays -----------------------------------------------------------------------------


@pytest.mark.scenario(14)
def test_twenty_relays_share_ten_rows(database, broker, make_relay):
    exchange = broker.exchange()
    queue = broker.queue(exchange)
    # Twenty starts at once take a loaded machine longer than the defaults allow for, and a lease of
    # 3 s may run out while its owner waits for the processor: neither is what is looked at here.
    config = merge(quick_config(database.url, broker.url),
                   {"relay": {"batch_size": 1, "lease": "60s"},
                    "database": {"connect_timeout": "60s"}, "broker": {"connect_timeout": "60s"}})
    relays = [make_relay(merge(config, {"relay": {"name": f"relay {n}"}}), program=RELEASE)
              for n in range(20)]
    for relay in relays:
        relay.start()
    for relay in relays:
        relay.wait_for("connected", side="broker", timeout=120)
        relay.wait_for("connected", side="database", timeout=120)
    for n in range(1, 6):
        database.insert_many(10, exchange, "key", 100)
        database.wait_for_statuses(sent=10 * n, timeout=60)
    before = {relay: (relay.cpu_seconds(), time.monotonic()) for relay in relays}
    # Nobody is left spinning for a lock or the bell.
    time.sleep(2)
    for relay, (cpu, then) in before.items():
        assert (relay.cpu_seconds() - cpu) / (time.monotonic() - then) < 0.05
    for relay in relays:
        relay.signal(signal.SIGTERM)
    for relay in relays:
        relay.wait(60)
        assert not relay.events(level="warn") and not relay.events(level="error"), relay.log
    assert sum(relay.events("stopped")[0]["sent"] for relay in relays) == 50
    assert database.attempts() == {0: 50} and database.claims() == 0
    ids_in(broker, queue, 50)


# --- the clock -------------------------------------------------------------------------------


def faketime(file):
    """An environment in which the wall clock, and no other, is what the file says."""
    (library,) = glob.glob("/usr/lib/*/faketime/libfaketime.so.1")
    return {"LD_PRELOAD": library, "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_NO_CACHE": "1"}


@pytest.mark.scenario(15)
def test_the_wall_clock_jumps_by_an_hour_and_nothing_happens(
        database, broker, make_relay, tmp_path):
    queue = broker.queue()
    clock = tmp_path / "clock"
    clock.write_text("+0s\n")
    relay = make_relay(quick_config(database.url, broker.url), program=RELEASE,
                       env=faketime(clock)).start()
    hours = []
    for n, jump in enumerate(["+0s", "+3600s", "-3600s", "+86400s", "+0s"], 1):
        clock.write_text(jump + "\n")
        database.insert_many(20, "", queue)
        database.insert("", "no.such.queue", properties={"type": jump})
        database.wait_for_statuses(sent=20 * n, failed=n)
        wait_until(lambda: len(relay.events("failed")) == n, what="a line about it")
        stamp = relay.events("failed")[-1]["ts"]
        seconds = time.mktime(time.strptime(stamp[:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone
        hours.append(round((seconds - time.time()) / 3600))
    assert hours == [0, 1, -1, 24, 0]  # the relay did see it
    relay.stop()
    assert len(relay.events("connected")) == 2
    assert not relay.events("claim lost") and not relay.events("disconnected")
    assert relay.events("stopped")[0]["interrupted"] == 0
    assert database.attempts() == {0: 100, 3: 5}
    ids_in(broker, queue, 100)


# --- descriptors -----------------------------------------------------------------------------


def limit_files(relay, count):
    resource.prlimit(relay.process.pid, resource.RLIMIT_NOFILE, (count, 1024))


@pytest.mark.scenario(16)
@pytest.mark.parametrize("room", [pytest.param(0, marks=pytest.mark.quick), 1])
def test_without_descriptors_a_relay_says_so_and_waits(database, broker, make_relay, room):
    """Room for none of its connections, or for one of the two."""
    queue = broker.queue()
    database.insert("", queue)
    relay = make_relay(quick_config(database.url, broker.url), program=RELEASE)
    own = 5  # standard input, output and error, and the pipe that signals write to
    relay.wrapper = ["prlimit", f"--nofile={own + room}:1024"]
    relay.start()
    line = relay.wait_for("cannot connect", side="broker")
    assert "Too many open files" in line["error"], line
    if not room:
        assert "Too many open files" in relay.wait_for("cannot connect", side="database")["error"]
    begin, cpu, lines = time.monotonic(), relay.cpu_seconds(), len(relay.events())
    time.sleep(3)
    seconds = time.monotonic() - begin
    busy = (relay.cpu_seconds() - cpu) / seconds
    assert busy < 0.05 and len(relay.events()) - lines < 2 * seconds
    assert database.statuses() == {"sending": 1}
    limit_files(relay, 1024)
    database.wait_for_statuses(sent=1)
    assert database.attempts() == {0: 1}
    relay.stop()
    ids_in(broker, queue, 1)
    seen(charged=0, note=f"{100 * busy:.1f} % CPU without descriptors")


# --- the log ---------------------------------------------------------------------------------


@pytest.mark.quick
@pytest.mark.scenario(19)
def test_lines_that_nobody_reads_are_dropped_and_counted(database, broker, relay):
    queue = broker.queue()
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b"full\n")
    os.set_blocking(writer, True)
    relay.process = subprocess.Popen(
        [relay.program, "run", "-c", relay.config_file], stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=writer, env=_environment())
    os.close(writer)
    database.insert_many(40, "", "no such queue")
    database.insert_many(40, "", queue)
    database.wait_for_statuses(sent=40, failed=40)
    text = os.read(reader, 1 << 20).decode()
    relay.signal(signal.SIGTERM)
    while chunk := os.read(reader, 1 << 16):
        text += chunk.decode()
    assert relay.process.wait(30) == 0
    os.close(reader)
    lines = [parse_line(line) for line in text.splitlines() if line != "full"]
    assert all(re.match(r"\d{4}-", line["ts"]) for line in lines)  # none is cut
    dropped = sum(line.get("dropped", 0) for line in lines)
    assert dropped > 0 and lines[-1]["log_lines_dropped"] == dropped
    ids_in(broker, queue, 40)
    seen(note=f"{dropped} lines dropped")
