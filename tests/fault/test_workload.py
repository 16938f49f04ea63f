"""The writers and the consumer themselves: what they say they know is so."""

import collections

import pytest

from harness import (UP, Consumer, Proxy, Writer, body_hash, check, received, table_of,
                     wait_until)

pytestmark = pytest.mark.harness


def test_a_writer_knows_what_it_committed_and_what_it_rolled_back(database):
    writer = Writer(database.url, "e", rate=None, rolled_back=0.5).start()
    writer.wait_for_commits(100)
    writer.stop()
    assert {row["message_id"] for row in table_of(database)} == set(writer.committed)
    assert writer.rolled_back and not writer.unknown
    (row,) = database.query("SELECT message_id, payload FROM message_log LIMIT 1")
    assert writer.committed[row["message_id"]] == body_hash(row["payload"])


@pytest.mark.quick
def test_a_writer_does_not_know_what_became_of_a_commit_whose_answer_was_lost(database):
    with Proxy.before(database.url) as proxy:
        writer = Writer(proxy.url(database.url), "e", rate=None, rolled_back=0).start()
        for _ in range(5):
            count = len(writer.committed)
            proxy.cut(UP, behind=b"COMMIT\0", how="close")
            wait_until(lambda: proxy.is_cut, what="a cut")
            writer.wait_for_commits(count + 10)
        writer.stop()
    table = {row["message_id"] for row in table_of(database)}
    assert writer.unknown
    assert set(writer.committed) <= table <= set(writer.committed) | set(writer.unknown)


def test_a_writer_goes_on_over_a_restart_of_the_database(spare_postgres, spare_database):
    writer = Writer(spare_database.url, "e", rate=None).start()
    writer.wait_for_commits(20)
    spare_postgres.kill("postgres")
    spare_database.close()
    spare_postgres.start("postgres")
    writer.wait_for_commits(len(writer.committed) + 20)
    writer.stop()
    table = {row["message_id"] for row in table_of(spare_database)}
    assert set(writer.committed) <= table <= set(writer.committed) | set(writer.unknown)


def test_a_consumer_records_each_message_over_lost_connections(broker):
    queue = broker.queue()
    with Proxy.before(broker.url) as proxy:
        consumer = Consumer(proxy.url(broker.url), queue).start()
        for n in range(300):
            broker.channel.basic_publish("", queue, b"body %d" % n,
                                         broker.properties(message_id=str(n)))
            if n % 100 == 50:
                sessions = consumer.sessions
                proxy.reset()
                wait_until(lambda: consumer.sessions > sessions, what="another session")
        wait_until(lambda: len(consumer.copies()) == 300, what="300 messages")
        consumer.stop()
    assert set(consumer.copies().values()) == {1}
    assert {d.message_id: d.hash for d in consumer.deliveries} == \
        {str(n): body_hash(b"body %d" % n) for n in range(300)}


def test_what_is_left_in_a_queue_are_the_exact_copies(broker):
    queue = broker.queue()
    for message_id in "abb":
        broker.channel.basic_publish("", queue, b"x", broker.properties(message_id=message_id))
    broker.wait_for_count(queue, 3)
    assert collections.Counter(received(broker, queue)) == {
        ("a", body_hash(b"x")): 1, ("b", body_hash(b"x")): 2}


def test_the_reckoning_of_a_run_without_faults_is_plain(load):
    load.start(300)
    report = load.finish()
    assert report.copies == 0 and not report.recovered and not report.duplicated
    assert report.statuses == {"sent": report.committed}


@pytest.mark.parametrize("what, statement", [
    ("unsent", "INSERT INTO message_log (exchange, payload, status) VALUES ('', '', 'sent')"),
    ("vanished", "DELETE FROM message_log WHERE id = (SELECT min(id) FROM message_log)"),
])
def test_the_reckoning_goes_red_when_somebody_meddles(load, what, statement):
    load.start(50)
    load.database.query(statement)
    with pytest.raises(AssertionError, match=what):
        load.finish()


@pytest.mark.quick
def test_the_reckoning_goes_red_for_messages_that_nobody_committed(load):
    load.start(50)
    load.broker.channel.basic_publish(load.exchange, "key", b"x",
                                      load.broker.properties(message_id="phantom"))
    message_id, = load.database.query("SELECT message_id FROM message_log LIMIT 1")
    load.broker.channel.basic_publish(load.exchange, "key", b"x",
                                      load.broker.properties(**message_id))
    with pytest.raises(AssertionError) as failure:
        load.finish()
    for word in ("never_committed", "phantom", "altered", "unexplained"):
        assert word in str(failure.value)


@pytest.mark.quick
def test_check_compares_bodies(database):
    writer = Writer(database.url, "e", rate=None).start()
    writer.wait_for_commits(1)
    writer.stop()
    database.query("UPDATE message_log SET status = 'sent'")
    arrived = list(writer.committed.items())
    assert check(table_of(database), [writer], arrived).problems() == {}
    arrived[0] = (arrived[0][0], body_hash(b"other"))
    assert list(check(table_of(database), [writer], arrived).problems()) == ["altered"]
