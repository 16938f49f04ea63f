"""Outages of either side, of any kind: nothing is lost, nobody is charged, and the relay goes on
by itself, without filling the log meanwhile."""

import collections
import contextlib
import os
import signal
import socket
import time

import psycopg2
import pytest

from harness import DEAD, SHORT, merge, quick_config, seen, wait_until
from harness.peer import Peer


@pytest.fixture
def relay_between(make_relay):
    """relay_between(database, broker, changes…): with short timeouts."""
    def make(database, broker, *changes):
        config = merge(quick_config(database.url, broker.url), SHORT)
        for change in changes:
            config = merge(config, change)
        return make_relay(config)
    return make


@contextlib.contextmanager
def few_lines(relay):
    """Fewer than two lines a second, after a handful for the change itself; no try is told twice.

    (A reason is repeated after a minute, but no outage here is that long.)
    """
    lines = len(events(relay))
    begin = time.monotonic()
    yield
    written = events(relay)[lines:]
    assert len(written) < 6 + 2 * (time.monotonic() - begin), written
    tries = [(e["side"], e["error"]) for e in written if e["event"] == "cannot connect"]
    assert len(tries) == len(set(tries)), written


def events(relay):
    return [e for e in relay.events() if e["event"] not in ("starting", "configuration")]


def wait_for_some(database, count=1):
    wait_until(lambda: database.statuses().get("sent", 0) >= count,
               what=lambda: f"{count} sent rows, but {database.statuses()}")


def check_all_arrived(database, broker, queue, count, timeout=40):
    """Every row sent, none charged, and each in the queue."""
    database.wait_for_statuses(sent=count, timeout=timeout)
    assert database.attempts() == {0: count}
    wait_until(lambda: database.value("SELECT count(*) FROM message_log_claim") == 0,
               what="no claim left")
    arrived = collections.Counter(m.message_id for m in broker.drain(queue))
    seen(lost=count - len(arrived), duplicates=sum(arrived.values()) - len(arrived), charged=0)
    assert len(arrived) == count
    return arrived


def tries(database):
    """How many sessions relays have opened."""
    return database.value("SELECT last_value FROM message_log_relay_id")


# --- PostgreSQL ------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [
    pytest.param("restarted", marks=pytest.mark.scenario(21)),
    pytest.param("killed", marks=pytest.mark.scenario(22))])
def test_postgres_is(spare_postgres, spare_database, broker, relay_between, how):
    exchange = broker.exchange()
    queue = broker.queue(exchange)
    relay = relay_between(spare_database, broker)
    spare_database.insert_many(3000, exchange)
    relay.start()
    wait_for_some(spare_database, 100)
    with few_lines(relay):
        if how == "killed":
            spare_postgres.kill("postgres")
        else:
            spare_postgres.stop("postgres")
        relay.wait_for("disconnected", side="database")
        spare_postgres.start("postgres")
        spare_database.close()
        relay.wait_for("connected", side="database", count=2)
    spare_database.insert_many(100, exchange)
    check_all_arrived(spare_database, broker, queue, 3100)
    relay.stop()


@pytest.mark.scenario(23)
def test_postgres_is_down_at_the_start(spare_postgres, spare_database, broker, relay_between):
    exchange = broker.exchange()
    queue = broker.queue(exchange)
    relay = relay_between(spare_database, broker)
    spare_database.insert_many(10, exchange)
    spare_database.close()
    spare_postgres.stop("postgres")
    relay.start()
    with few_lines(relay):
        relay.wait_for("cannot connect", side="database")
        spare_postgres.start("postgres")
        relay.wait_for("connected", side="database")
    check_all_arrived(spare_database, broker, queue, 10)
    relay.stop()


@pytest.mark.scenario(25)
def test_postgres_turns_read_only_and_back(spare_postgres, spare_database, broker, relay_between):
    exchange = broker.exchange()
    queue = broker.queue(exchange)
    relay = relay_between(spare_database, broker)
    spare_database.insert_many(10, exchange)
    relay.start()
    spare_database.wait_for_statuses(sent=10)
    # Due when writing is forbidden: a relay with nothing to do would not notice.
    spare_database.query("""INSERT INTO message_log (exchange, payload, next_retry)
                            VALUES (%s, '', now() + interval '1s')""", [exchange])
    set_read_only(spare_postgres, "on")
    try:
        with few_lines(relay):
            relay.wait_for("cannot connect", side="database")
            assert spare_database.statuses() == {"sent": 10, "sending": 1}
    finally:
        set_read_only(spare_postgres, "off")
    relay.wait_for("connected", side="database", count=2)
    check_all_arrived(spare_database, broker, queue, 11)
    relay.stop()


def set_read_only(servers, value):
    connection = psycopg2.connect(**servers.superuser())
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute(f"ALTER SYSTEM SET default_transaction_read_only = {value}")
    cursor.execute("SELECT pg_reload_conf()")
    connection.close()


def relay_backends(database):
    return [row["pid"] for row in database.query(
        """SELECT pid FROM pg_stat_activity
            WHERE datname = current_database() AND application_name LIKE 'outbox-relay%'""")]


@pytest.mark.scenario(26)
def test_sessions_of_the_relay_are_terminated_again_and_again(database, broker, relay_between):
    exchange = broker.exchange()
    queue = broker.queue(exchange)
    relay = relay_between(database, broker)
    database.insert_many(5000, exchange)
    relay.start()
    relay.wait_for("connected", side="database")
    for _ in range(6):
        before = tries(database)
        for pid in wait_until(lambda: relay_backends(database), what="a session"):
            database.query("SELECT pg_terminate_backend(%s)", [pid])
        wait_until(lambda: tries(database) > before, what="another session")
        database.insert_many(100, exchange)
    check_all_arrived(database, broker, queue, 5600)
    relay.stop()


@pytest.mark.scenario(37, fault="the server's process of the session is frozen")
def test_the_session_of_the_relay_hangs(database, broker, relay_between):
    """As behind a network that has forgotten the connection: nothing answers, nothing closes."""
    exchange = broker.exchange()
    queue = broker.queue(exchange)
    relay = relay_between(database, broker, {"database": {"statement_timeout": "1s"}})
    database.insert_many(10, exchange)
    relay.start()
    database.wait_for_statuses(sent=10)
    (pid,) = relay_backends(database)
    os.kill(pid, signal.SIGSTOP)
    try:
        database.insert_many(10, exchange)
        with few_lines(relay):
            relay.wait_for("disconnected", side="database")
        check_all_arrived(database, broker, queue, 20)
    finally:
        os.kill(pid, signal.SIGCONT)
    relay.stop()


@pytest.mark.scenario(27)
def test_the_table_is_locked_for_longer_than_lock_timeout(database, broker, relay_between):
    exchange = broker.exchange()
    queue = broker.queue(exchange)
    relay = relay_between(database, broker)
    database.insert_many(2000, exchange)
    relay.start()
    wait_for_some(database)
    other = database.connect()
    with few_lines(relay):
        other.cursor().execute("LOCK TABLE message_log IN ACCESS EXCLUSIVE MODE")
        before = tries(database)
        wait_until(lambda: tries(database) >= before + 3, what="three tries")
    other.rollback()
    other.close()
    arrived = check_all_arrived(database, broker, queue, 2000)
    assert set(arrived.values()) == {1}  # what was confirmed is kept in memory and settled
    relay.stop()


@pytest.mark.scenario(31)
def test_a_revoked_right_leads_to_no_duplicates_however_often_it_is_tried(
        database, broker, relay_between):
    exchange = broker.exchange()
    queue = broker.queue(exchange)
    relay = relay_between(database, broker)
    database.insert_many(2000, exchange)
    relay.start()
    wait_for_some(database)
    with few_lines(relay):
        database.query("REVOKE UPDATE ON message_log FROM outbox")
        before = tries(database)
        wait_until(lambda: tries(database) >= before + 3, what="three tries")
        assert "permission denied" in relay.wait_for("disconnected", side="database")["error"]
    database.query("GRANT UPDATE ON message_log TO outbox")
    arrived = check_all_arrived(database, broker, queue, 2000)
    assert set(arrived.values()) == {1}
    relay.stop()


@pytest.mark.scenario(29)
def test_the_table_is_missing_for_a_while(database, broker, relay_between):
    exchange = broker.exchange()
    queue = broker.queue(exchange)
    relay = relay_between(database, broker)
    database.insert_many(10, exchange)
    database.query("ALTER TABLE message_log RENAME TO elsewhere")
    relay.start()
    with few_lines(relay):
        line = relay.wait_for("cannot connect", side="database")
        assert "message_log" in line["error"]
        database.query("ALTER TABLE elsewhere RENAME TO message_log")
        relay.wait_for("connected", side="database")
    check_all_arrived(database, broker, queue, 10)
    relay.stop()


@pytest.mark.scenario(
    fault="the first of two PostgreSQL hosts is dead",
    expected="goes to the second")
def test_the_first_of_two_postgres_hosts_is_dead(database, broker, relay_between):
    queue = broker.queue()
    port = database.servers.env["PGPORT"]
    relay = relay_between(database, broker, {"database": {
        "url": f"postgresql://{database.servers.database_login}@{DEAD},127.0.0.1:{port}"
               f"/{database.name}"}})
    database.insert("", queue)
    relay.run_until_empty()
    check_all_arrived(database, broker, queue, 1)


# --- RabbitMQ --------------------------------------------------------------------------------


@pytest.mark.scenario(43)
def test_rabbitmq_is_restarted(spare_rabbitmq, database, spare_broker, relay_between):
    exchange = spare_broker.exchange()
    queue = spare_broker.queue(exchange)
    relay = relay_between(database, spare_broker)
    database.insert_many(3000, exchange)
    relay.start()
    wait_for_some(database, 100)
    spare_rabbitmq.stop("rabbitmq")
    with few_lines(relay):
        relay.wait_for("cannot connect", side="broker")
        database.insert_many(100, exchange)
        spare_rabbitmq.start("rabbitmq")
        relay.wait_for("connected", side="broker", count=2)
    check_all_arrived(database, spare_broker.reconnected(), queue, 3100)
    relay.stop()


@pytest.mark.scenario(43, fault="not started yet", expected="waits, backing off; claims nothing")
def test_the_broker_is_down_at_the_start(database, make_relay):
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    relay = make_relay(merge(quick_config(database.url, f"amqp://127.0.0.1:{port}"), SHORT))
    database.insert_many(10)
    relay.start()
    with few_lines(relay):
        relay.wait_for("cannot connect", side="broker")
        relay.wait_for("connected", side="database")
        assert database.value("SELECT count(*) FROM message_log_claim") == 0
        with Peer(lambda publish: publish.ack(), port) as peer:
            database.wait_for_statuses(sent=10)
            assert len(peer.published) == 10
            assert database.attempts() == {0: 10}
            relay.stop()


@pytest.mark.scenario(48, fault="frozen until it is noticed")
def test_rabbitmq_is_frozen(spare_rabbitmq, database, spare_broker, relay_between):
    exchange = spare_broker.exchange()
    queue = spare_broker.queue(exchange)
    relay = relay_between(database, spare_broker)
    database.insert_many(3000, exchange)
    relay.start()
    wait_for_some(database, 100)
    spare_rabbitmq.pause("rabbitmq")
    with few_lines(relay):
        relay.wait_for("disconnected", side="broker")
        relay.wait_for("cannot connect", side="broker")
    spare_rabbitmq.resume("rabbitmq")
    check_all_arrived(database, spare_broker, queue, 3000)
    relay.stop()


@pytest.mark.scenario(45)
def test_rabbitmq_raises_its_memory_alarm(spare_rabbitmq, database, spare_broker, relay_between):
    queue = spare_broker.queue()
    relay = relay_between(database, spare_broker, {"broker": {"confirm_timeout": "1s"}})
    relay.start()
    relay.wait_for("connected", side="broker")
    spare_rabbitmq.rabbitmqctl("set_vm_memory_high_watermark", "0")
    try:
        database.insert_many(100, "", queue)
        with few_lines(relay):
            relay.wait_for("broker blocks publishing")
            assert database.statuses() == {"sending": 100}
            assert database.attempts() == {0: 100}
    finally:
        spare_rabbitmq.rabbitmqctl("set_vm_memory_high_watermark", "0.4")
    relay.wait_for("broker takes messages again")
    arrived = check_all_arrived(database, spare_broker, queue, 100)
    assert set(arrived.values()) == {1}
    assert not relay.events("disconnected")
    relay.stop()


@pytest.mark.scenario(60)
def test_rabbitmq_closes_all_connections(spare_rabbitmq, database, spare_broker, relay_between):
    exchange = spare_broker.exchange()
    queue = spare_broker.queue(exchange)
    relay = relay_between(database, spare_broker)
    relay.start()
    relay.wait_for("connected", side="broker")
    database.insert_many(3000, exchange)
    spare_rabbitmq.rabbitmqctl("close_all_connections", "maintenance")
    line = relay.wait_for("disconnected", side="broker")
    assert "320" in line["error"] and "maintenance" in line["error"]
    database.insert_many(100, exchange)
    check_all_arrived(database, spare_broker.reconnected(), queue, 3100)
    relay.stop()


@pytest.mark.scenario(fault="the first of two RabbitMQ URLs is dead", expected="goes to the second")
def test_the_first_of_two_rabbitmq_urls_is_dead(database, broker, relay_between):
    queue = broker.queue()
    relay = relay_between(database, broker,
                          {"broker": {"urls": [f"amqp://{DEAD}", broker.url]}})
    database.insert("", queue)
    relay.run_until_empty()
    check_all_arrived(database, broker, queue, 1)


# --- both ------------------------------------------------------------------------------------


@pytest.mark.scenario(44, fault="kill -9 of RabbitMQ, PostgreSQL and one of two relays")
def test_rabbitmq_postgres_and_one_of_two_relays_are_killed(
        spare_postgres, spare_rabbitmq, spare_database, spare_broker, relay_between):
    # Not a quorum queue: one of RabbitMQ 3.10.8 that is younger than some minutes finds no
    # leader after a kill -9 of its only node, and confirms nothing any more.
    exchange = spare_broker.exchange()
    queue = spare_broker.queue(exchange)
    relays = [relay_between(spare_database, spare_broker) for _ in range(2)]
    spare_database.insert_many(3000, exchange)
    for relay in relays:
        relay.start()
    for relay in relays:
        relay.wait_for("connected", side="broker")
    wait_for_some(spare_database, 100)
    spare_rabbitmq.kill("rabbitmq")
    relays[0].kill()
    spare_postgres.kill("postgres")
    relay = relays[1]
    with few_lines(relay):
        relay.wait_for("cannot connect", side="broker")
        spare_postgres.start("postgres")
        spare_database.close()
        spare_rabbitmq.start("rabbitmq")
        relay.wait_for("connected", side="broker", count=2)
    check_all_arrived(spare_database, spare_broker.reconnected(), queue, 3000)
    relay.stop()
