"""Rows and configuration files of every odd kind."""

import os
import random
import struct

import psycopg2
import pytest

from harness import Database, Relay, merge, quick_config, run, seen
from harness.config import DEAD
from harness.peer import Peer
from harness.program import RELEASE

MIB = 1 << 20


@pytest.fixture
def queue(broker):
    return broker.queue()


# --- rows ------------------------------------------------------------------------------------


@pytest.mark.quick
@pytest.mark.scenario(68, fault="headers that look odd and are right", expected="mapped exactly")
def test_odd_headers_arrive_as_they_are(database, relay, broker, queue):
    headers = {"n" * size: size for size in (128, 129, 255)}
    headers |= {"": "empty name", "max": 2**63 - 1, "min": -2**63, "minus zero": -0.0,
                "tiny": 5e-324, "large": 1.5e15, "null": None, "ä☃": "ü",
                "yes": True, "no": False, "list": [1, "x", None, [], {}], "empty": {}}
    headers |= {f"h{n}": n for n in range(1000)}
    database.insert("", queue, b"x", headers=headers)
    database.insert("", queue, b"y", headers='{"a": 1, "a": 2}')  # jsonb keeps the last
    database.insert("", queue, b"z", headers='{"a":' + "[" * 48 + "]" * 48 + "}")
    relay.run_until_empty()
    assert database.statuses() == {"sent": 3}
    odd, twice, deep = broker.drain(queue)
    assert odd.headers == headers
    # A numeric of PostgreSQL knows no -0.
    assert struct.pack(">d", odd.headers["minus zero"]) in (bytes(8), b"\x80" + bytes(7))
    assert twice.headers == {"a": 2}
    nested = deep.headers["a"]
    while nested:
        (nested,) = nested
    assert nested == []


@pytest.mark.quick
@pytest.mark.scenario(67, fault="a routing key that is no UTF-8, from a SQL_ASCII database",
                      expected="arrives byte for byte; others arrive")
def test_a_routing_key_of_any_bytes_harms_nobody(servers, broker, make_relay):
    database = Database(servers, "template0 ENCODING 'SQL_ASCII'").create()
    try:
        relay = make_relay(quick_config(database.url, broker.url))
        relay.run("migrate")
        exchange = broker.exchange()
        queue = broker.queue(exchange)
        database.connection.set_client_encoding("SQL_ASCII")
        database.insert(exchange, "before", b"1")
        database.query("INSERT INTO message_log (exchange, routing_key, payload) "
                       "VALUES (%s, E'\\xff\\xfe', '2')", [exchange])
        database.insert(exchange, "after", b"3")
        relay.run_until_empty()
        assert database.statuses() == {"sent": 3} and database.attempts() == {0: 3}
        keys = [message.routing_key for message in broker.drain(queue)]
        assert keys[0] == "before" and keys[2] == "after"
        assert keys[1] in (b"\xff\xfe", "\udcff\udcfe", "\ufffd\ufffd")
        seen(lost=0, charged=0)
    finally:
        database.drop()


@pytest.mark.quick
@pytest.mark.scenario(67, fault="a NUL in a routing key", expected="PostgreSQL refuses it")
def test_a_nul_in_a_routing_key_is_refused(database):
    with pytest.raises(psycopg2.Error):
        database.query("INSERT INTO message_log (exchange, routing_key, payload) "
                       "VALUES ('', E'a\\x00b', '')")


@pytest.mark.quick
@pytest.mark.scenario(70, fault="bodies of 0 and 1 bytes")
def test_the_smallest_bodies_arrive(database, relay, broker, queue):
    for body in (b"", b"\0", b"\xce", b"x"):
        database.insert("", queue, body)
    relay.run_until_empty()
    assert [message.body for message in broker.drain(queue)] == [b"", b"\0", b"\xce", b"x"]


@pytest.mark.scenario(70, fault="128 MiB, one byte more, 200 MiB",
                      expected="the limit itself arrives, what is above fails unread")
def test_bodies_around_the_limit_of_128_mib(database, release_relay, broker, queue):
    relay = release_relay
    body = random.Random(128).randbytes(MIB)
    database.insert("", queue, b"before")
    ids = [database.value("INSERT INTO message_log (exchange, routing_key, payload) VALUES "
                          "('', %s, decode(repeat(encode(%s, 'hex'), %s), 'hex') || %s) "
                          "RETURNING id", [queue, body, count, more])
           for count, more in ((128, b""), (128, b"x"), (200, b""))]
    database.insert("", queue, b"after")
    relay.run_until_empty(timeout=300)
    assert [database.row(id)["status"] for id in ids] == ["sent", "failed", "failed"]
    assert database.attempts() == {0: 5}
    messages = broker.drain(queue, timeout=120)
    assert sorted(len(message.body) for message in messages) == [5, 6, 128 * MIB]
    assert max((message.body for message in messages), key=len) == body * 128
    seen(lost=0, charged=0)


@pytest.mark.quick
@pytest.mark.scenario(73)
def test_a_row_that_always_kills_the_connection_fails_alone(database, make_relay):
    def on_publish(publish):
        if publish.message_id == "poison":
            publish.session.close(541, "INTERNAL_ERROR")
        else:
            publish.ack()

    with Peer(on_publish) as peer:
        relay = make_relay(quick_config(database.url, peer.url)).start()
        for n in range(40):
            database.insert("", "q", message_id="poison" if n == 20 else f"m{n}")
        database.wait_for_statuses(sent=39, failed=1, timeout=60)
        assert database.attempts() == {0: 39, 3: 1}
        (row,) = database.query("SELECT last_error FROM message_log WHERE message_id = 'poison'")
        assert "541" in row["last_error"]
        relay.stop()
        others = [publish.message_id for publish in peer.published
                  if publish.message_id != "poison"]
        seen(lost=0, charged=0, duplicates=len(others) - len(set(others)))


# --- configuration files ---------------------------------------------------------------------


# What the file holds -> where it is refused, or None.
FILES = {
    "a duplicate key": (b"relay:\n  lease: 3s\n  lease: 4s\n", "3:3"),
    "an unknown key": (b"relay:\n  leese: 3s\n", "2:3"),
    "a tab": (b"relay:\n\tlease: 3s\n", "2:1"),
    "two documents": (b"relay: {}\n---\nrelay: {}\n", "2:1"),
    "an anchor": (b"relay: &a {}\n", "1:8"),
    "an alias of itself": (b"relay: &a [*a]\n", "1:8"),
    "a bomb of aliases": (b"a: &a [x, x]\n" + b"".join(
        b"%c: &%c [*%c, *%c]\n" % (c, c, c - 1, c - 1) for c in range(98, 120)), "1:"),
    "a tag": (b"relay: !!map {}\n", "1:8"),
    "depth of 20000": (b"relay: " + b"[" * 20000, "1:"),
    "depth of 20000 maps": (b"{a: " * 20000, "1:"),
    "a million values": (b"relay: [" + b"x, " * 300000 + b"]\n", "1:"),
    "a NUL byte": (b"relay: {name: a\0b}\n", "1:"),
    "a NUL escape": (b'relay: {name: "a\\0b"}\n', "1:"),
    "UTF-16, little end first": ("\ufeffrelay: {}\n".encode("utf-16-le"), "1:1"),
    "UTF-16, big end first": ("\ufeffrelay: {}\n".encode("utf-16-be"), "1:1"),
    "no UTF-8": (b"relay: {name: \xff}\n", "1:"),
    "yes for true, as a number": (b"relay: {batch_size: yes}\n", "1:"),
    "1e3": (b"relay: {batch_size: 1e3}\n", "1:"),
    "0o17": (b"relay: {batch_size: 0o17}\n", "1:"),
    "nothing behind a colon, a list": (b"- relay\n", "1:1"),
    "100 MiB": (b"#" * (100 * MIB), ""),
}


def check_file(file):
    """In two seconds of processor time, and 512 MiB of address space."""
    limits = file.parent / "limited"
    limits.write_text(f'#!/bin/sh\nulimit -t 2 -v 524288\nexec {RELEASE} "$@"\n')
    limits.chmod(0o755)
    return run("check", "-c", file, program=limits)


@pytest.mark.quick
@pytest.mark.scenario(74)
@pytest.mark.parametrize("what", FILES)
def test_a_configuration_file_is_refused_for(tmp_path, what):
    text, place = FILES[what]
    file = tmp_path / "outbox-relay.yaml"
    file.write_bytes(text)
    done = check_file(file)
    assert done.returncode == 78, (done.returncode, done.stderr[:500])
    said = done.stdout + done.stderr
    assert f"{file}:{place}" in said, said[:500]
    assert len(said) < 1000


@pytest.mark.quick
@pytest.mark.scenario(74, fault="what is no file: a directory, a FIFO, a device, nothing",
                      expected="refused at once, nothing is waited for")
@pytest.mark.parametrize("kind", ["directory", "FIFO", "device", "nothing", "not readable"])
def test_a_configuration_that_is_no_file_is_refused(tmp_path, kind):
    file = tmp_path / "outbox-relay.yaml"
    if kind == "directory":
        file.mkdir()
    elif kind == "FIFO":
        os.mkfifo(file)
    elif kind == "device":
        file = type(file)("/dev/zero")
    elif kind == "not readable":
        file.symlink_to(file)  # a loop: even root cannot read it
    done = run("check", "-c", file, program=RELEASE)
    assert done.returncode == 78, done.stderr
    assert str(file) in done.stdout + done.stderr


@pytest.mark.quick
@pytest.mark.scenario(74, fault="a byte order mark of UTF-8", expected="taken")
def test_a_byte_order_mark_is_taken(tmp_path):
    relay = Relay(tmp_path, merge(quick_config("postgresql://x@" + DEAD, "amqp://" + DEAD), {}))
    text = relay.config_file.read_bytes()
    relay.config_file.write_bytes(b"\xef\xbb\xbf" + text)
    assert relay.run("check", check=None).returncode == 69  # nobody there, but it was read


@pytest.mark.quick
@pytest.mark.scenario(75)
@pytest.mark.parametrize("section, key, value", [
    ("relay", "batch_size", 0), ("relay", "batch_size", 16385), ("relay", "lease", "1s"),
    ("relay", "batch_bytes", "2GiB"), ("relay", "max_message_bytes", "1GiB"),
    ("relay", "poll_interval", "0s"), ("broker", "max_in_flight", 65536),
    ("broker", "max_in_flight", -1), ("retry", "max_attempts", 0), ("retry", "jitter", 101),
    ("retry", "multiplier", 0.5), ("relay", "shutdown_timeout", "99999999999999999999s"),
    ("relay", "batch_size", 2**63), ("relay", "batch_size", "1000.5"),
])
def test_a_number_out_of_range_is_refused_with_the_reason(tmp_path, section, key, value):
    config = quick_config("postgresql://x@" + DEAD, "amqp://" + DEAD)
    relay = Relay(tmp_path, merge(config, {section: {key: value}}))
    done = relay.run("check", check=78)
    said = done.stdout + done.stderr
    assert f"{section}.{key}" in said and ".yaml:" in said, said
