"""/livez, /readyz and /metrics of a running relay."""

import contextlib
import http.client
import json
import os
import resource
import shutil
import signal
import socket
import subprocess

import pytest

from harness import DEAD, free_port, merge, wait_until
from harness.client import Client
from harness.scenario import seen

MIB = 1 << 20


@pytest.fixture
def served(relay):
    """The relay with a port of its own, not started, and a client for it."""
    client = Client(free_port())
    relay.configure(merge(relay.config, {"http": {"listen": f"127.0.0.1:{client.port}"}}))
    return relay, client


@pytest.fixture
def serving(served):
    relay, client = served
    relay.start()
    wait_until(lambda: relay.events("serving health and metrics"))
    wait_until(lambda: client.status("/readyz") == 200)
    return relay, client


def test_a_running_relay_is_live_and_ready(serving):
    relay, client = serving
    assert client.request("/livez")[0::2] == (200, "ok\n")
    answer = client.ready()
    assert answer["ready"] is True and answer["reasons"] == []
    assert answer["database"]["up"] and answer["broker"]["up"]
    relay.stop()


def test_metrics_count_what_happened_to_each_row(database, broker, serving):
    relay, client = serving
    exchange = broker.exchange()
    broker.queue(exchange, "good")
    database.insert_many(50, exchange, "good")
    bad = database.insert(exchange, "nowhere")
    database.wait_for_status(bad, "failed")
    database.wait_for_statuses(sent=50, failed=1)
    wait_until(lambda: client.metrics()['outbox_relay_rows_settled_total{fate="failed"}'] == 1)
    seen = client.metrics()
    assert seen['outbox_relay_rows_settled_total{fate="sent"}'] == 50
    assert seen['outbox_relay_rows_settled_total{fate="retry"}'] == 2
    assert seen['outbox_relay_verdicts_total{verdict="confirmed"}'] == 50
    assert seen['outbox_relay_verdicts_total{verdict="returned"}'] == 3
    assert seen["outbox_relay_messages_published_total"] == 53
    assert seen["outbox_relay_possible_duplicates_total"] == 0
    assert seen["outbox_relay_confirm_seconds_count"] == 50
    assert seen["outbox_relay_delivery_seconds_count"] == 50
    assert 0 < seen["outbox_relay_delivery_seconds_sum"] < 50 * 60
    assert seen["outbox_relay_rows_in_hand"] == 0
    assert seen["process_open_fds"] > 3
    relay.stop()


def test_promtool_finds_nothing_to_say_about_the_metrics(serving):
    relay, client = serving
    promtool = shutil.which("promtool")
    assert promtool, "deploy/packages.sh tests installs it (package prometheus)"
    wait_until(lambda: "outbox_relay_figures_age_seconds" in client.metrics())
    done = subprocess.run([promtool, "check", "metrics"], input=client.get("/metrics"), text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")
    relay.stop()


def test_a_parked_destination_is_a_metric(database, broker, serving):
    relay, client = serving
    missing = broker.prefix + "missing"
    database.query("INSERT INTO message_log (exchange, payload) SELECT %s, '' "
                   "FROM generate_series(1, 50)", [missing])
    wait_until(lambda: client.metrics()["outbox_relay_parked_destinations"] == 1)
    name = f'outbox_relay_destination_parked_seconds{{exchange="{missing}",routing_key=""}}'
    assert client.metrics()[name] >= 0
    assert client.metrics()["outbox_relay_destinations_parked_total"] == 1
    (parked,) = client.ready()["parked"]
    assert parked["exchange"] == missing and "404 NOT_FOUND" in parked["error"]
    assert client.status("/readyz") == 200
    relay.stop()


def test_without_a_broker_it_is_live_but_not_ready_and_says_why(database, make_relay, served):
    relay, client = served
    relay.configure(merge(relay.config, {"broker": {"urls": [f"amqp://{DEAD}"]}}))
    relay.start()
    relay.wait_for("cannot connect", side="broker")
    wait_until(lambda: client.ready()["broker"].get("failed_tries", 0) >= 2)
    assert client.status("/readyz") == 503
    answer = client.ready()
    assert answer["reasons"] == ["the broker is down"]
    assert "refused" in answer["broker"]["error"]
    assert client.status("/livez") == 200
    assert client.metrics()['outbox_relay_connected{side="broker"}'] == 0
    relay.stop()


@pytest.mark.scenario(79, fault="asked while the broker is frozen", expected="answers all the same")
def test_a_frozen_broker_slows_no_answer(database, spare_rabbitmq, served):
    relay, client = served
    relay.configure(merge(relay.config, {"broker": {"urls": [spare_rabbitmq.amqp_url]}}))
    relay.start()
    relay.wait_for("connected", side="broker")
    wait_until(lambda: client.status("/readyz") == 200)
    spare_rabbitmq.pause("rabbitmq")
    database.insert("", "nobody")
    wait_until(lambda: client.metrics()["outbox_relay_messages_in_flight"] == 1)
    for path in ("/livez", "/metrics"):
        assert client.status(path) == 200
    spare_rabbitmq.resume("rabbitmq")
    relay.stop()


@pytest.mark.scenario(79, fault="paths and methods that there are not", expected="404, 405")
@pytest.mark.parametrize("path, method, status", [
    ("/", "GET", 404), ("/metrics/", "GET", 404), ("/../etc/passwd", "GET", 404),
    ("/metrics", "POST", 405), ("/livez", "DELETE", 405), ("/metrics", "HEAD", 200)])
def test_what_there_is_not_is_refused(serving, path, method, status):
    relay, client = serving
    got, headers, body = client.request(path, method, body=b"x" if method == "POST" else None)
    assert got == status
    if status == 405:
        assert headers["Allow"] == "GET, HEAD"
    if method == "HEAD":
        assert body == "" and int(headers["Content-Length"]) > 1000
    relay.stop()


@pytest.mark.parametrize("given, status", [
    (None, 401), ("Bearer wrong", 401), ("Bearer secre", 401), ("Bearer secrets", 401),
    ("Bearer ", 401), ("Basic secret", 401), ("Bearer secret", 200)])
def test_metrics_want_the_token_and_probes_do_not(served, tmp_path, given, status):
    relay, client = served
    token = tmp_path / "token"
    token.write_text("secret\n")
    relay.configure(merge(relay.config, {"http": {"token_file": str(token)}}))
    relay.start()
    wait_until(lambda: relay.events("serving health and metrics"))
    headers = {"Authorization": given} if given else {}
    assert client.request("/metrics", headers=headers)[0] == status
    wait_until(lambda: client.status("/readyz") == 200)
    assert "secret" not in relay.log
    relay.stop()


# What is sent -> how the answer begins; b"": the connection is closed without one.
GARBAGE = {
    "zeros": (b"\x00\xff\xfe\r\n\r\n", b""),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b""),
    "empty lines": (b"\r\n" * 5000, b""),
    "a version to come": (b"GET / HTTP/9.9\r\n\r\n", b"HTTP/1.1 505 "),
    "nine thousand headers": (b"GET /livez HTTP/1.1\r\n" + b"X: y\r\n" * 9000, b"HTTP/1.1 431 "),
    "a header of 1 MiB": (b"GET /livez HTTP/1.1\r\nX: " + b"y" * MIB + b"\r\n\r\n",
                          b"HTTP/1.1 431 "),
    "a path of 1 MiB": (b"GET /" + b"a" * MIB + b" HTTP/1.1\r\n\r\n", b"HTTP/1.1 414 "),
    "a body of -5 bytes": (b"POST /metrics HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
                           b"HTTP/1.1 400 "),
    "a body that does not come": (b"POST /metrics HTTP/1.1\r\nHost: h\r\n"
                                  b"Content-Length: 1099511627776\r\n\r\n", b""),
}


@pytest.mark.scenario(79, fault="garbage, endless headers, paths and bodies",
                      expected="refused or closed; others are answered")
@pytest.mark.parametrize("what", GARBAGE)
def test_garbage_harms_nobody(serving, what):
    relay, client = serving
    sent, answer = GARBAGE[what]
    got = b""
    with socket.create_connection(("127.0.0.1", client.port), 30) as s:
        with contextlib.suppress(OSError):
            s.sendall(sent)
            s.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionError):
            while more := s.recv(4096):
                got += more
    # A close with bytes unread is a reset, which may overtake the answer.
    assert got.startswith(answer) if answer and got else not got, got
    assert got or not answer or len(sent) > 10000
    assert client.status("/livez") == 200
    assert relay.is_running()
    relay.stop()


@pytest.mark.scenario(79, fault="slowloris: every connection is taken by somebody who says no more",
                      expected="they are closed; others are answered again")
def test_connections_that_fall_silent_are_given_up(serving):
    relay, client = serving
    before = client.metrics()["process_open_fds"]
    crowd = [socket.create_connection(("127.0.0.1", client.port), 60) for _ in range(64)]
    for s in crowd:
        with contextlib.suppress(ConnectionError):
            s.sendall(b"GET /livez HTTP/1.1\r\nX: ")
    wait_until(lambda: len(os.listdir(f"/proc/{relay.process.pid}/fd")) >= before + 60)
    wait_until(lambda: _scrape(client), 60, what="room for somebody else")
    for s in crowd:  # by the relay's doing: here they are all open
        with contextlib.suppress(ConnectionError):
            assert b"200 OK" not in s.recv(4096)
        s.close()
    relay.stop()


@pytest.fixture
def many_files():
    """How many files this process may open, raised as far as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 12000 if hard == resource.RLIM_INFINITY else min(hard, 12000)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield max(soft, wanted)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.scenario(79, fault="10,000 connections at a time",
                      expected="64 are served, no more descriptors are used, rows go on")
def test_more_connections_than_allowed_do_not_use_up_descriptors(database, broker, serving, many_files):
    relay, client = serving
    exchange = broker.exchange()
    broker.queue(exchange)
    before = client.metrics()["process_open_fds"]
    folder = f"/proc/{relay.process.pid}/fd"
    crowd, most = [], 0
    for n in range(min(10000, many_files - 500)):
        crowd.append(socket.socket())
        crowd[-1].setblocking(False)
        crowd[-1].connect_ex(("127.0.0.1", client.port))
        if n % 100 == 0:
            most = max(most, len(os.listdir(folder)))
    wait_until(lambda: len(os.listdir(folder)) >= before + 60)
    database.insert_many(100, exchange)
    database.wait_for_statuses(sent=100)
    most = max(most, len(os.listdir(folder)))
    assert most <= before + 70
    # Those beyond wait in the kernel's queue, of as many again, or are not let in.
    states = [s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] for s in crowd]
    established = states.count(1)  # TCP_ESTABLISHED
    seen(note=f"{len(crowd)} connections begun, {established} of them established, "
              f"{most - int(before)} descriptors at most")
    for s in crowd:
        s.close()
    wait_until(lambda: _scrape(client), 60)
    relay.stop()


def _scrape(client):
    with contextlib.suppress(OSError, http.client.HTTPException):
        return client.status("/livez") == 200


def test_counters_go_on_over_a_reload(database, broker, serving):
    relay, client = serving
    exchange = broker.exchange()
    broker.queue(exchange)
    database.insert_many(5, exchange)
    database.wait_for_statuses(sent=5)
    relay.signal(signal.SIGHUP)
    relay.wait_for("drained")
    relay.wait_for("starting", count=2)
    database.insert_many(5, exchange)
    database.wait_for_statuses(sent=10)
    wait_until(lambda: client.metrics()['outbox_relay_rows_settled_total{fate="sent"}'] == 10)
    relay.stop()


def test_a_refused_reload_is_counted(serving):
    relay, client = serving
    relay.config_file.write_text("nonsense: true\n")
    relay.signal(signal.SIGHUP)
    relay.wait_for("configuration refused, the old one stays")
    wait_until(lambda: client.metrics()["outbox_relay_config_reloads_refused_total"] == 1)
    relay.stop()


def test_a_reload_moves_to_another_port_and_stays_where_that_is_taken(serving):
    relay, client = serving
    other = Client(free_port())
    relay.configure(merge(relay.config, {"http": {"listen": f"127.0.0.1:{other.port}"}}))
    relay.signal(signal.SIGHUP)
    wait_until(lambda: _scrape(other))
    assert not _scrape(client)
    with socket.create_server(("127.0.0.1", client.port)):
        relay.configure(merge(relay.config, {"http": {"listen": f"127.0.0.1:{client.port}"}}))
        relay.signal(signal.SIGHUP)
        error = relay.wait_for("cannot serve health and metrics")["error"]
        assert "Address already in use" in error
        assert _scrape(other)
    relay.stop()


@pytest.mark.scenario(80)
def test_a_port_that_is_taken_ends_a_start_with_69(served):
    relay, client = served
    with socket.create_server(("127.0.0.1", client.port)):
        relay.start()
        assert relay.wait(check=69) == 69
        assert "Address already in use" in relay.log
        # A job beside a relay is no server.
        relay.run_until_empty()


@pytest.mark.parametrize("listen", ["9753", "localhost:9753", "127.0.0.1", "127.0.0.1:0",
                                    "127.0.0.1:65536", "127.0.0.1:1x", "::1:9753", ":9753"])
def test_an_address_that_makes_no_sense_is_refused_with_its_place(relay, listen):
    relay.configure(merge(relay.config, {"http": {"listen": listen}}))
    done = relay.run("run", check=78)
    assert "http.listen: must be" in done.stderr


def test_off_serves_nothing(relay):
    relay.start()
    relay.wait_for("connected", side="broker")
    assert relay.events("serving health and metrics") == []
    relay.stop()
