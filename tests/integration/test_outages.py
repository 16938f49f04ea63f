"""Outages of either side, of any kind: nothing is lost, nobody is charged, and the relay goes on
by itself, without filling the log meanwhile."""

import collections
import contextlib
import os
import signal
import time

import pytest

from harness import DEAD, SHORT, free_port, merge, quick_config, seen, wait_until
from harness.peer import Peer


class Way:
    """A relay with short timeouts, and rows that go through it to one queue: by the default exchange,
    whose bindings are not stored. Stored ones RabbitMQ 3.10.8 loses now and then to a kill -9, as
    others saw, too (rabbitmq-server, issue 1873), and then returns each message."""

    def __init__(self, database, broker, make_relay, *changes):
        config = merge(quick_config(database.url, broker.url), SHORT, *changes)
        self.database, self.broker, self.config = database, broker, config
        self.relay = make_relay(config)
        self.queue = broker.queue()
        self.inserted = 0

    def insert(self, count):
        self.database.insert_many(count, "", self.queue)
        self.inserted += count

    def begin(self, count, sent=1):
        """Returns when so many of them are sent."""
        self.insert(count)
        self.relay.start()
        wait_for_some(self.database, sent)

    def end(self, broker=None):
        """Every row is sent, none was charged, each is in the queue; returns how often."""
        arrived = check_all_arrived(self.database, broker or self.broker, self.queue,
                                    self.inserted)
        self.relay.stop()
        return arrived


@pytest.fixture
def way(make_relay):
    """way(database, broker, changes…)"""
    return lambda database, broker, *changes: Way(database, broker, make_relay, *changes)


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


def check_all_arrived(database, broker, queue, count):
    """Every row sent, none charged, and each in the queue."""
    database.wait_for_statuses(sent=count)
    assert database.attempts() == {0: count}
    wait_until(lambda: database.claims() == 0,
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
def test_postgres_is(spare_postgres, spare_database, broker, way, how):
    way = way(spare_database, broker)
    way.begin(3000, sent=100)
    with few_lines(way.relay):
        if how == "killed":
            spare_postgres.kill("postgres")
        else:
            spare_postgres.stop("postgres")
        way.relay.wait_for("disconnected", side="database")
        spare_postgres.start("postgres")
        spare_database.close()
        way.relay.wait_for("connected", side="database", count=2)
    way.insert(100)
    way.end()


@pytest.mark.scenario(23)
def test_postgres_is_down_at_the_start(spare_postgres, spare_database, broker, way):
    way = way(spare_database, broker)
    way.insert(10)
    spare_database.close()
    spare_postgres.stop("postgres")
    way.relay.start()
    with few_lines(way.relay):
        way.relay.wait_for("cannot connect", side="database")
        spare_postgres.start("postgres")
        way.relay.wait_for("connected", side="database")
    way.end()


@pytest.mark.scenario(25)
def test_postgres_turns_read_only_and_back(spare_postgres, spare_database, broker, way):
    way = way(spare_database, broker)
    way.begin(10, sent=10)
    # Due when writing is forbidden: a relay with nothing to do would not notice.
    spare_database.query("""INSERT INTO message_log (exchange, routing_key, payload, next_retry)
                            VALUES ('', %s, '', now() + interval '1s')""", [way.queue])
    way.inserted += 1
    spare_postgres.set_read_only(True)
    try:
        with few_lines(way.relay):
            way.relay.wait_for("cannot connect", side="database")
            assert spare_database.statuses() == {"sent": 10, "sending": 1}
    finally:
        spare_postgres.set_read_only(False)
    way.relay.wait_for("connected", side="database", count=2)
    way.end()


@pytest.mark.scenario(26)
def test_sessions_of_the_relay_are_terminated_again_and_again(database, broker, way):
    way = way(database, broker)
    way.insert(5000)
    way.relay.start()
    way.relay.wait_for("connected", side="database")
    for _ in range(6):
        before = tries(database)
        wait_until(database.relay_sessions, what="a session")
        database.terminate_relay_sessions()
        wait_until(lambda: tries(database) > before, what="another session")
        way.insert(100)
    way.end()


@pytest.mark.scenario(37, fault="the server's process of the session is frozen")
def test_the_session_of_the_relay_hangs(database, broker, way):
    """As behind a network that has forgotten the connection: nothing answers, nothing closes."""
    way = way(database, broker, {"database": {"statement_timeout": "1s"}})
    way.begin(10, sent=10)
    (pid,) = database.relay_sessions()
    os.kill(pid, signal.SIGSTOP)
    try:
        way.insert(10)
        with few_lines(way.relay):
            way.relay.wait_for("disconnected", side="database")
        way.end()
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.mark.scenario(27)
def test_the_table_is_locked_for_longer_than_lock_timeout(database, broker, way):
    way = way(database, broker)
    way.begin(2000)
    other = database.connect()
    with few_lines(way.relay):
        other.cursor().execute("LOCK TABLE message_log IN ACCESS EXCLUSIVE MODE")
        before = tries(database)
        wait_until(lambda: tries(database) >= before + 3, what="three tries")
    other.rollback()
    other.close()
    # What was confirmed is kept in memory and settled.
    assert set(way.end().values()) == {1}


@pytest.mark.scenario(31)
def test_a_revoked_right_leads_to_no_duplicates_however_often_it_is_tried(
        database, broker, way):
    way = way(database, broker)
    way.begin(2000)
    with few_lines(way.relay):
        database.query("REVOKE UPDATE ON message_log FROM outbox")
        before = tries(database)
        wait_until(lambda: tries(database) >= before + 3, what="three tries")
        assert "permission denied" in way.relay.wait_for("disconnected", side="database")["error"]
    database.query("GRANT UPDATE ON message_log TO outbox")
    assert set(way.end().values()) == {1}


@pytest.mark.scenario(29)
def test_the_table_is_missing_for_a_while(database, broker, way):
    way = way(database, broker)
    way.insert(10)
    database.query("ALTER TABLE message_log RENAME TO elsewhere")
    way.relay.start()
    with few_lines(way.relay):
        way.relay.wait_for("cannot connect", side="database", saying="message_log")
        database.query("ALTER TABLE elsewhere RENAME TO message_log")
        way.relay.wait_for("connected", side="database")
    way.end()


@pytest.mark.scenario(
    fault="the first of two PostgreSQL hosts is dead",
    expected="goes to the second")
def test_the_first_of_two_postgres_hosts_is_dead(database, broker, way):
    port = database.servers.env["PGPORT"]
    way = way(database, broker, {"database": {
        "url": f"postgresql://{database.servers.database_login}@{DEAD},127.0.0.1:{port}"
               f"/{database.name}"}})
    way.begin(1)
    way.end()


# --- RabbitMQ --------------------------------------------------------------------------------


@pytest.mark.scenario(43)
def test_rabbitmq_is_restarted(spare_rabbitmq, database, spare_broker, way):
    way = way(database, spare_broker)
    way.begin(3000, sent=100)
    spare_rabbitmq.stop("rabbitmq")
    with few_lines(way.relay):
        way.relay.wait_for("cannot connect", side="broker")
        way.insert(100)
        spare_rabbitmq.start("rabbitmq")
        way.relay.wait_for("connected", side="broker", count=2)
    way.end(spare_broker.reconnected())


@pytest.mark.scenario(43, fault="not started yet", expected="waits, backing off; claims nothing")
def test_the_broker_is_down_at_the_start(database, make_relay):
    port = free_port()
    relay = make_relay(merge(quick_config(database.url, f"amqp://127.0.0.1:{port}"), SHORT))
    database.insert_many(10)
    relay.start()
    with few_lines(relay):
        relay.wait_for("cannot connect", side="broker")
        relay.wait_for("connected", side="database")
        assert database.claims() == 0
        with Peer(lambda publish: publish.ack(), port) as peer:
            database.wait_for_statuses(sent=10)
            assert len(peer.published) == 10
            assert database.attempts() == {0: 10}
            relay.stop()


@pytest.mark.scenario(48, fault="frozen until it is noticed")
def test_rabbitmq_is_frozen(spare_rabbitmq, database, spare_broker, way):
    way = way(database, spare_broker)
    way.begin(3000, sent=100)
    spare_rabbitmq.pause("rabbitmq")
    with few_lines(way.relay):
        way.relay.wait_for("disconnected", side="broker")
        way.relay.wait_for("cannot connect", side="broker")
    spare_rabbitmq.resume("rabbitmq")
    way.end()


@pytest.mark.scenario(45)
def test_rabbitmq_raises_its_memory_alarm(spare_rabbitmq, database, spare_broker, way):
    way = way(database, spare_broker, {"broker": {"confirm_timeout": "1s"}})
    relay = way.relay.start()
    relay.wait_for("connected", side="broker")
    spare_rabbitmq.rabbitmqctl("set_vm_memory_high_watermark", "0")
    try:
        way.insert(100)
        with few_lines(relay):
            relay.wait_for("broker blocks publishing")
            assert database.statuses() == {"sending": 100}
            assert database.attempts() == {0: 100}
    finally:
        spare_rabbitmq.rabbitmqctl("set_vm_memory_high_watermark", "0.4")
    relay.wait_for("broker takes messages again")
    assert set(way.end().values()) == {1}
    assert not relay.events("disconnected")


@pytest.mark.scenario(60)
def test_rabbitmq_closes_all_connections(spare_rabbitmq, database, spare_broker, way):
    way = way(database, spare_broker)
    way.relay.start()
    way.relay.wait_for("connected", side="broker")
    way.insert(3000)
    spare_rabbitmq.rabbitmqctl("close_all_connections", "maintenance")
    line = way.relay.wait_for("disconnected", side="broker")
    assert "320" in line["error"] and "maintenance" in line["error"]
    way.insert(100)
    way.end(spare_broker.reconnected())


@pytest.mark.scenario(fault="the first of two RabbitMQ URLs is dead", expected="goes to the second")
def test_the_first_of_two_rabbitmq_urls_is_dead(database, broker, way):
    way = way(database, broker, {"broker": {"urls": [f"amqp://{DEAD}", broker.url]}})
    way.begin(1)
    way.end()


# --- both ------------------------------------------------------------------------------------


@pytest.mark.scenario(44, fault="kill -9 of RabbitMQ, PostgreSQL and one of two relays")
def test_rabbitmq_postgres_and_one_of_two_relays_are_killed(
        spare_postgres, spare_rabbitmq, spare_database, spare_broker, way, make_relay):
    # Not a quorum queue: one of RabbitMQ 3.10.8 that is younger than some minutes finds no
    # leader after a kill -9 of its only node, and confirms nothing any more.
    way = way(spare_database, spare_broker)
    other = make_relay(way.config)
    way.insert(3000)
    spare_rabbitmq.remember()
    for relay in (way.relay, other):
        relay.start()
    for relay in (way.relay, other):
        relay.wait_for("connected", side="broker")
    wait_for_some(spare_database, 100)
    spare_rabbitmq.kill("rabbitmq")
    other.kill()
    spare_postgres.kill("postgres")
    with few_lines(way.relay):
        way.relay.wait_for("cannot connect", side="broker")
        spare_postgres.start("postgres")
        spare_database.close()
        spare_rabbitmq.start("rabbitmq")
        way.relay.wait_for("connected", side="broker", count=2)
    way.end(spare_broker.reconnected())
