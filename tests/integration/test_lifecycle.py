"""Starting, stopping, reloading and logging of one process."""

import contextlib
import json
import os
import pathlib
import re
import resource
import signal
import subprocess

import pytest

from harness import Database, merge, quick_config, run, wait_until
from harness.peer import Peer
from harness.program import RELEASE, _environment, parse_line

DEAD = "127.0.0.1:1"  # nobody listens on this port
CANARY = "c4nary-in-the-mine"


def lines(text):
    return [parse_line(line) for line in text.splitlines()]


# --- stopping --------------------------------------------------------------------------------


@pytest.mark.scenario(7, fault="SIGTERM, SIGINT with acks held back")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_waits_for_what_is_in_flight_and_exits_0(database, make_relay, number):
    with Peer() as peer:
        relay = make_relay(quick_config(database.url, peer.url)).start()
        for _ in range(5):
            database.insert()
        wait_until(lambda: len(peer.published) == 5, what="five publishes")
        relay.signal(number)
        relay.wait_for("stopping")
        database.insert()  # is left for a next relay
        assert relay.is_running()
        for publish in list(peer.published):
            publish.ack()
        assert relay.wait() == 0
        assert database.statuses() == {"sent": 5, "sending": 1}
        assert len(peer.published) == 5
        assert database.claims() == 0


@pytest.mark.scenario(7, fault="SIGTERM under load, again and again")
def test_a_signal_under_load_loses_and_repeats_nothing(database, broker, make_relay):
    exchange = broker.exchange()
    queue = broker.queue(exchange)
    config = merge(quick_config(database.url, broker.url), {"relay": {"batch_size": 100}})
    database.insert_many(5000, exchange, "key", 100)
    starts = 0
    while database.statuses().get("sending"):
        relay = make_relay(config).start()
        sent = database.statuses().get("sent", 0)
        wait_until(lambda: database.statuses().get("sent", 0) >= min(sent + 1000, 5000),
                   what="a thousand more")
        assert relay.stop() == 0
        assert database.claims() == 0
        starts += 1
    assert starts >= 2
    ids = [m.message_id for m in broker.drain(queue)]
    assert len(ids) == len(set(ids)) == 5000


@pytest.mark.scenario(8)
def test_a_signal_while_the_broker_blocks_ends_in_time_and_gives_the_claim_back(
        database, make_relay):
    with Peer(lambda publish: publish.session.block()) as peer:
        relay = make_relay(merge(quick_config(database.url, peer.url),
                                 {"relay": {"shutdown_timeout": "2s"}})).start()
        for _ in range(5):
            database.insert()
        relay.wait_for("broker blocks publishing")
        relay.signal(signal.SIGTERM)
        assert relay.wait(10) == 0
        assert database.statuses() == {"sending": 5}
        assert database.attempts() == {0: 5}
        assert database.claims() == 0


def test_a_signal_while_both_sides_are_down_ends_the_process(make_relay):
    relay = make_relay(quick_config(f"postgresql://a:b@{DEAD}/c", f"amqp://{DEAD}")).start()
    relay.wait_for("cannot connect", side="broker")
    relay.wait_for("cannot connect", side="database")
    assert relay.stop(10) == 0


@pytest.mark.scenario(
    7, fault="SIGTERM while the database is away",
    expected="exit 75: the lease has to run out")
def test_a_signal_when_the_database_has_gone_with_work_in_hand_exits_75(
        spare_postgres, make_relay):
    database = Database(spare_postgres).create()
    with Peer() as peer:
        relay = make_relay(merge(quick_config(database.url, peer.url),
                                 {"relay": {"shutdown_timeout": "1s"}}))
        relay.run("migrate")
        relay.start()
        database.insert()
        wait_until(lambda: peer.published, what="a publish")
        database.close()
        spare_postgres.stop("postgres")
        assert relay.stop(10, check=None) == 75  # EX_TEMPFAIL: the lease has to run out
        spare_postgres.start("postgres")
    database.drop()


@pytest.mark.scenario(9)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_the_process_at_once(database, make_relay, number):
    with Peer() as peer:
        relay = make_relay(merge(quick_config(database.url, peer.url),
                                 {"relay": {"shutdown_timeout": "10m"}})).start()
        database.insert()
        wait_until(lambda: peer.published, what="a publish")
        relay.signal(signal.SIGTERM)
        relay.wait_for("stopping")
        relay.signal(number)
        assert relay.wait(10, check=None) == 128 + number


# --- reloading -------------------------------------------------------------------------------


def test_sighup_loads_a_valid_file(database, broker, relay):
    exchange = broker.exchange()
    broker.queue(exchange)
    relay.start()
    relay.wait_for("connected", side="broker")
    relay.configure(merge(relay.config, {"relay": {"on_sent": "delete", "name": "renamed"}}))
    relay.signal(signal.SIGHUP)
    relay.wait_for("configuration", section="relay", name="renamed")
    relay.wait_for("connected", side="broker", count=2)
    database.insert(exchange)
    wait_until(lambda: database.statuses() == {}, what="a deleted row")
    assert database.value("""SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'outbox-relay renamed'""") == 1
    assert relay.stop() == 0


@pytest.mark.scenario(11)
def test_sighup_under_load_loses_and_repeats_nothing(database, broker, relay):
    exchange = broker.exchange()
    queue = broker.queue(exchange)
    relay.configure(merge(relay.config, {"relay": {"batch_size": 50}}))
    database.insert_many(3000, exchange, "key", 100)
    relay.start()
    for n in range(1, 4):
        relay.wait_for("connected", side="broker", count=n)
        relay.configure(merge(relay.config, {"relay": {"batch_size": 50 + n}}))
        relay.signal(signal.SIGHUP)
    database.wait_for_statuses(sent=3000)
    assert relay.stop() == 0
    ids = [m.message_id for m in broker.drain(queue)]
    assert len(ids) == len(set(ids)) == 3000
    assert database.attempts() == {0: 3000}


@pytest.mark.scenario(10)
def test_sighup_with_a_broken_file_changes_nothing(database, broker, relay):
    exchange = broker.exchange()
    broker.queue(exchange)
    relay.start()
    relay.wait_for("connected", side="broker")
    relay.config_file.write_text("database:\n  url: x\n  frobnicate: 1\n")
    relay.signal(signal.SIGHUP)
    line = relay.wait_for("configuration refused, the old one stays")
    assert line["level"] == "error"
    assert f"{relay.config_file}:3:3: " in line["error"]
    id = database.insert(exchange)
    database.wait_for_status(id, "sent")
    assert len(relay.events("connected", side="broker")) == 1
    assert relay.stop() == 0


# --- --until-empty ---------------------------------------------------------------------------


def test_until_empty_exits_0_when_there_is_nothing_to_do(database, relay):
    assert relay.run_until_empty() == 0


def test_until_empty_does_not_wait_for_rows_that_are_due_later(database, broker, relay):
    queue = broker.queue()
    later = database.insert("", queue, next_retry="tomorrow")
    now = database.insert("", queue)
    assert relay.run_until_empty() == 0
    assert database.row(now)["status"] == "sent"
    assert database.row(later)["status"] == "sending"


def test_until_empty_exits_69_when_the_broker_cannot_be_reached(database, make_relay):
    relay = make_relay(quick_config(database.url, f"amqp://{DEAD}"))
    database.insert()
    assert relay.run_until_empty(check=69) == 69
    assert database.statuses() == {"sending": 1}
    assert database.claims() == 0


def test_until_empty_exits_69_when_the_database_cannot_be_reached(broker, make_relay):
    relay = make_relay(quick_config(f"postgresql://a:b@{DEAD}/c", broker.url))
    assert relay.run_until_empty(check=69) == 69


# --- wrong configuration ---------------------------------------------------------------------


@pytest.mark.parametrize("text, position, words", [
    ("database:\n  url: x\n  frobnicate: 1\n", "3:3", "frobnicate"),
    ("database:\n  url: x\nbroker:\n  urls: [amqp://x]\n  heartbeat: 10\n", "5:14", "heartbeat"),
    ("database:\n  url: x\n  url: y\n", "3:3", "url"),
    ("database: {url: x\n", "2:1", ""),
    ("database:\n  url: x\nrelay:\n  lease: 1s\n", "4:10", "lease"),
])
def test_a_wrong_configuration_exits_78_and_touches_nothing(tmp_path, text, position, words):
    file = tmp_path / "wrong.yaml"
    file.write_text(text)
    for command in ("run", "check", "migrate"):
        done = run(command, "-c", file, check=78)
        assert f"{file}:{position}: " in done.stdout + done.stderr
        assert words in done.stdout + done.stderr


def test_a_wrong_configuration_is_refused_before_anybody_is_called(make_relay):
    with Peer() as database, Peer() as broker:
        port = database.url.rpartition(":")[2]
        relay = make_relay(merge(
            quick_config(f"postgresql://a:b@127.0.0.1:{port}/c", broker.url),
            {"relay": {"lease": "1ms"}}))
        relay.start()
        assert relay.wait(check=None) == 78
        assert not database.sessions and not broker.sessions


def test_a_missing_file_exits_78_and_a_wrong_option_64(tmp_path):
    assert "nowhere" in run("run", "-c", tmp_path / "nowhere", check=78).stderr
    assert "--frobnicate" in run("run", "--frobnicate", check=64).stderr


# --- secrets ---------------------------------------------------------------------------------


def test_a_password_is_never_seen_in_logs_or_arguments(database, broker, make_relay, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text(CANARY + "\n")
    host = database.url.partition("@")[2]
    amqp = broker.url.partition("@")[2]
    for config in [
        quick_config(f"postgresql://outbox:{CANARY}@{host}", f"amqp://guest:{CANARY}@{amqp}"),
        {**quick_config(f"postgresql://outbox@{host}", f"amqp://guest@{amqp}"),
         "database": {"url": f"postgresql://outbox@{host}", "password_file": str(secret)},
         "broker": {"urls": [f"amqp://guest@{amqp}"], "password_file": str(secret)}},
        quick_config(f"host=127.0.0.1 port=1 password={CANARY}",
                     f"amqp://guest:{CANARY}@{DEAD}"),
    ]:
        relay = make_relay(config).start()
        relay.wait_for("cannot connect", side="database")
        relay.wait_for("cannot connect", side="broker")
        arguments = pathlib.Path(f"/proc/{relay.process.pid}/cmdline").read_bytes()
        assert b"run" in arguments and CANARY.encode() not in arguments
        relay.stop()
        assert CANARY not in relay.log
        check = relay.run("check", check=69)
        assert CANARY not in check.stdout + check.stderr
        migrate = relay.run("migrate", check=None)
        assert CANARY not in migrate.stdout + migrate.stderr


@pytest.mark.parametrize("options, dumps", [((), False), (("--core-dumps",), True)])
def test_a_crash_leaves_a_core_file_only_where_that_was_asked_for(
        database, broker, make_relay, options, dumps):
    relay = make_relay(quick_config(database.url, broker.url), program=RELEASE)
    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    if os.geteuid() == 0:
        most = resource.RLIM_INFINITY
    elif most == 0:
        pytest.skip("no core files for us anyway")
    with open(relay.log_file, "ab") as log:
        relay.process = subprocess.Popen(
            [str(RELEASE), "run", "-c", str(relay.config_file), *options], stderr=log,
            cwd=relay.folder, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE,
                                                                    (most, most)))
    relay.wait_for("connected", side="broker")
    os.kill(relay.process.pid, signal.SIGABRT)
    _, status = os.waitpid(relay.process.pid, 0)
    relay.process.returncode = -signal.SIGABRT
    assert os.WTERMSIG(status) == signal.SIGABRT
    assert os.WCOREDUMP(status) == dumps
    for core in relay.folder.glob("core*"):
        assert dumps
        core.unlink()


@pytest.mark.parametrize("text", [
    "database: {url: 'postgresql://a:%s@h:port/x', frobnicate: 1}",
    "database: {url: x}\nbroker: {urls: ['amqp://a:%s@h:port']}",
    "database: {url: x}\nbroker: {urls: ['amqp://a:%s@h/too/many']}",
    "database: {url: x}\nbroker: {urls: 'amqp://a:%s@h'}",
    "database: {url: x}\nbroker: {urls: [amqp://h]}\nrelay: {lease: 'amqp://a:%s@h'}",
    "database: {url: x}\nbroker: {urls: [amqp://h]}\nrelay: {wake: 'password=%s'}",
], ids=["unknown key", "bad port", "bad host", "no list", "wrong type", "wrong word"])
def test_a_password_in_a_file_that_is_refused_is_not_shown(tmp_path, text):
    file = tmp_path / "wrong.yaml"
    file.write_text(text % CANARY + "\n")
    for command in ("run", "check"):
        done = run(command, "-c", file, check=78)
        assert str(file) in done.stdout + done.stderr
        assert CANARY not in done.stdout + done.stderr


def test_passwords_come_from_files_and_from_the_environment(database, broker, make_relay, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text(database.servers.env["PASSWORD"] + "\n")
    queue = broker.queue()
    host = database.url.partition("@")[2]
    amqp = broker.url.partition("@")[2]
    config = merge(quick_config(f"postgresql://outbox@{host}", f"amqp://guest:${{SECRET}}@{amqp}"),
                   {"database": {"password_file": str(secret)}})
    database.insert("", queue)
    _, _, password = database.servers.amqp_login.partition(":")  # encoded, as the URL wants it
    make_relay(config, env={"SECRET": password}).run_until_empty()
    assert broker.count(queue) == 1


# --- the log ---------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["logfmt", "json"])
def test_every_line_of_the_log_can_be_parsed(database, broker, make_relay, form):
    relay = make_relay(merge(quick_config(database.url, broker.url), {"log": {"format": form}}))
    database.insert("no such exchange, \"quoted\"\n= ä", "k", b"never logged: " + CANARY.encode(),
                    headers={"header": CANARY}, message_id="id = \"ä\"\n")
    relay.start()
    database.wait_for_statuses(failed=1)
    relay.stop()
    events = lines(relay.log)
    for event in events:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", event["ts"])
        assert event["level"] in ("debug", "info", "warn", "error")
        assert event["event"]
    assert [e["event"] for e in events][0] == "starting"
    assert [e["event"] for e in events][-1] == "stopped"
    (failed,) = [e for e in events if e["event"] == "failed"]
    assert failed["exchange"] == "no such exchange, \"quoted\"\n= ä"
    assert failed["message_id"] == "id = \"ä\"\n"
    assert CANARY not in relay.log
    if form == "json":
        assert all(isinstance(json.loads(line), dict) for line in relay.log.splitlines())
    else:
        assert all("=" in line and not line.startswith("{") for line in relay.log.splitlines())


def test_the_start_shows_versions_and_the_effective_configuration(database, relay):
    relay.run_until_empty()
    (starting,) = relay.events("starting")
    assert re.match(r"\d+\.\d+\.\d+", starting["version"])
    for library in ("libpq", "librabbitmq", "libyaml"):
        assert library in starting["libraries"]
    shown = {(event["section"], key) for event in relay.events("configuration") for key in event}
    assert {("database", "url"), ("broker", "urls"), ("broker", "max_in_flight"),
            ("relay", "lease"), ("retry", "max_attempts"), ("log", "level")} <= shown


def full_pipe():
    """Both ends; a blocking write to it would last for ever."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 4096)
    os.set_blocking(writer, True)
    return reader, writer


def broken_pipe():
    reader, writer = os.pipe()
    os.close(reader)
    return (writer,)


@pytest.mark.scenario(18, fault="the log is full, closed, a broken pipe, a pipe that nobody reads")
@pytest.mark.parametrize("standard_error", [
    lambda: (os.open("/dev/full", os.O_WRONLY),), full_pipe, broken_pipe, lambda: ()],
    ids=["full", "a pipe that nobody reads", "a broken pipe", "closed"])
def test_a_relay_goes_on_when_its_log_is(database, broker, relay, standard_error):
    queue = broker.queue()
    files = standard_error()
    command = [relay.program, "run", "-c", relay.config_file]
    if not files:
        command = ["sh", "-c", 'exec "$@" 2>&-', "sh", *command]
    relay.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, env=_environment(),
                                     stdout=subprocess.DEVNULL, stderr=files and files[-1] or None)
    # Every refused row is worth a line.
    database.insert_many(50, "", "no such queue")
    database.insert_many(50, "", queue)
    database.wait_for_statuses(sent=50, failed=50)
    assert broker.count(queue) == 50
    assert relay.stop() == 0
    for file in files:
        os.close(file)
