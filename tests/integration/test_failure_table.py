"""What happens to a row after each end that a publish can have: who is charged, and what next.

A real broker says what it can be made to say; harness.peer says the rest.
"""

import collections

import pytest

from harness import merge, quick_config, wait_until
from harness.peer import Peer

# After the first attempt the row rests, so that a test can look at it.
REST = {"retry": {"first_delay": "1h", "max_delay": "1h"}}
IMPATIENT = {"broker": {"confirm_timeout": "1s", "heartbeat": "1s"}}


@pytest.fixture
def relay_of(database, make_relay):
    """relay_of(peer, changes…): a relay that takes the peer for its broker."""
    def make(peer, *changes):
        return make_relay(merge(quick_config(database.url, peer.url), IMPATIENT, *changes))
    return make


def charge(row):
    return row["status"], row["try_count"]


def try_again_now(database, id):
    database.query("UPDATE message_log SET next_retry = now() WHERE id = %s", [id])


def wait_for_charge(database, id, count=1):
    wait_until(lambda: database.row(id)["try_count"] == count,
               what=lambda: f"{count} attempts charged: {database.row(id)}")
    return database.row(id)


def copies(messages):
    """How often each message_id arrived."""
    return collections.Counter(message.message_id for message in messages)


# --- ack, no return --------------------------------------------------------------------------


@pytest.mark.scenario(fault="none: an ack, no return", expected="sent, charged nothing")
def test_an_acked_row_is_sent_and_charged_nothing(database, broker, relay):
    queue = broker.queue(broker.exchange("e"))
    id = database.insert(broker.prefix + "e", "key", b"body")
    relay.run_until_empty()
    row = database.row(id)
    assert charge(row) == ("sent", 0)
    assert row["last_error"] is None
    assert [m.body for m in broker.drain(queue)] == [b"body"]


@pytest.mark.scenario(fault="acks held back", expected="no row is sent before its ack")
def test_a_row_is_not_sent_before_its_ack(database, relay_of):
    with Peer() as peer:
        relay = relay_of(peer, {"broker": {"confirm_timeout": "60s"}}).start()
        for _ in range(3):
            database.insert()
        wait_until(lambda: len(peer.published) == 3, what="three publishes")
        peer.published[1].ack()
        (session,) = peer.sessions
        beats = session.heartbeats
        wait_until(lambda: session.heartbeats >= beats + 2, what="two heartbeats")
        assert database.statuses() == {"sending": 3}
        peer.published[0].ack()
        peer.published[2].ack()
        database.wait_for_statuses(sent=3)
        relay.stop()


@pytest.mark.scenario(58)
def test_acks_out_of_order_and_for_several_at_once_settle_the_right_rows(database, relay_of):
    with Peer() as peer:
        relay = relay_of(peer, {"broker": {"confirm_timeout": "2s"}}, REST)
        ids = [database.insert(routing_key=str(n)) for n in range(8)]
        relay.start()
        wait_until(lambda: len(peer.published) == 8, what="eight publishes")
        peer.published[5].nack()
        peer.published[3].ack(multiple=True)   # 0 to 3
        peer.published[1].nack(multiple=True)  # all of them have their verdict
        peer.published[7].ack(multiple=True)   # 4, 6 and 7
        database.wait_for_statuses(sent=7, sending=1)
        assert charge(wait_for_charge(database, ids[5])) == ("sending", 1)
        assert database.attempts() == {0: 7, 1: 1}
        relay.stop()


# --- return, then ack ------------------------------------------------------------------------


@pytest.mark.scenario(52, fault="the queue is missing for a while")
def test_an_unroutable_row_is_charged_once_and_arrives_when_its_queue_appears(
        database, broker, relay):
    exchange = broker.exchange()
    relay.configure(merge(relay.config, REST))
    id = database.insert(exchange, "key", b"body")
    relay.start()
    row = wait_for_charge(database, id)
    assert charge(row) == ("sending", 1)
    assert "312 NO_ROUTE" in row["last_error"]
    queue = broker.queue(exchange)
    try_again_now(database, id)
    assert charge(database.wait_for_status(id, "sent")) == ("sent", 1)
    assert [m.body for m in broker.drain(queue)] == [b"body"]
    relay.stop()


@pytest.mark.scenario(52)
def test_an_unroutable_row_fails_after_three_attempts_with_the_reason(database, broker, relay):
    id = database.insert(broker.exchange(), "nobody.listens")
    relay.start()
    row = database.wait_for_status(id, "failed")
    assert charge(row) == ("failed", 3)
    assert "312 NO_ROUTE" in row["last_error"]
    line = relay.wait_for("failed", id=id)
    assert line["level"] == "error" and "312 NO_ROUTE" in line["error"]
    assert relay.stop() == 0
    assert relay.events("stopped")[0]["published"] == 3


@pytest.mark.scenario(fault="a third of 297 rows is unroutable",
                      expected="those are charged, their neighbours arrive")
def test_unroutable_rows_are_told_from_their_neighbours_while_pipelined(
        database, broker, relay):
    # With one more of the bad, and their returns all before the first confirm, the key is parked.
    exchange = broker.exchange()
    queue = broker.queue(exchange, "good")
    relay.configure(merge(relay.config, REST))
    database.query("""INSERT INTO message_log (exchange, routing_key, payload)
                      SELECT %s, CASE WHEN n %% 3 = 0 THEN 'bad' ELSE 'good' END, ''
                        FROM generate_series(1, 297) n""", [exchange])
    relay.run_until_empty()
    assert database.query("""SELECT routing_key, status, try_count, count(*) FROM message_log
                              GROUP BY 1, 2, 3 ORDER BY 1""") == [
        dict(routing_key="bad", status="sending", try_count=1, count=99),
        dict(routing_key="good", status="sent", try_count=0, count=198)]
    assert broker.count(queue) == 198


# --- nack ------------------------------------------------------------------------------------


@pytest.mark.scenario(57)
def test_a_nacked_row_is_charged_once_and_arrives_when_there_is_room(database, broker, relay):
    exchange = broker.exchange()
    queue = broker.queue(exchange, **{"x-max-length": 1, "x-overflow": "reject-publish"})
    relay.configure(merge(relay.config, REST))
    first, second = (database.insert(exchange, "", body) for body in (b"first", b"second"))
    relay.start()
    row = wait_for_charge(database, second)
    assert charge(row) == ("sending", 1)
    assert row["last_error"]
    assert charge(database.row(first)) == ("sent", 0)
    assert [m.body for m in broker.drain(queue, 1)] == [b"first"]
    try_again_now(database, second)
    assert charge(database.wait_for_status(second, "sent")) == ("sent", 1)
    assert [m.body for m in broker.drain(queue, 1)] == [b"second"]
    relay.stop()


@pytest.mark.scenario(57)
def test_a_nacked_row_fails_after_three_attempts(database, broker, relay):
    exchange = broker.exchange()
    broker.queue(exchange, **{"x-max-length": 1, "x-overflow": "reject-publish"})
    ids = [database.insert(exchange) for _ in range(2)]
    relay.start()
    assert charge(database.wait_for_status(ids[1], "failed")) == ("failed", 3)
    assert charge(database.row(ids[0])) == ("sent", 0)
    relay.stop()


# --- channel closed by the broker ------------------------------------------------------------


@pytest.mark.scenario(fault="the exchange of the only row in flight is missing",
                      expected="that row is charged, each time")
def test_a_row_alone_in_flight_is_charged_when_the_broker_closes_the_channel(
        database, broker, relay):
    id = database.insert("no.such.exchange", "key")
    relay.configure(merge(relay.config, REST))
    relay.start()
    row = wait_for_charge(database, id)
    assert charge(row) == ("sending", 1)
    assert "404" in row["last_error"] and "no.such.exchange" in row["last_error"]
    try_again_now(database, id)
    wait_for_charge(database, id, 2)
    relay.stop()


@pytest.mark.scenario(54, fault="the exchange of one row among a thousand is missing")
def test_among_several_in_flight_only_the_row_that_closed_the_channel_is_charged(
        database, broker, relay):
    exchange = broker.exchange()
    queue = broker.queue(exchange)
    database.insert_many(500, exchange)
    guilty = database.insert("no.such.exchange")
    database.insert_many(499, exchange)
    relay.start()
    row = database.wait_for_status(guilty, "failed")
    assert charge(row) == ("failed", 3)
    assert "404" in row["last_error"]
    database.wait_for_statuses(sent=999, failed=1)
    assert database.attempts() == {0: 999, 3: 1}
    relay.stop()
    arrived = copies(broker.drain(queue))
    assert len(arrived) == 999
    assert max(arrived.values()) <= 2


@pytest.mark.scenario(54, fault="the exchanges of two rows among many are missing")
def test_two_guilty_rows_are_both_found_among_many(database, broker, relay):
    exchange = broker.exchange()
    queue = broker.queue(exchange)
    for n in range(30):
        database.insert("missing." + str(n) if n in (3, 17) else exchange, str(n))
    relay.start()
    database.wait_for_statuses(sent=28, failed=2)
    assert database.attempts() == {0: 28, 3: 2}
    relay.stop()
    assert len(copies(broker.drain(queue))) == 28


# --- no confirm ------------------------------------------------------------------------------


@pytest.mark.scenario(50, fault="one ack withheld, others come", expected="that row is charged")
def test_a_row_without_confirm_while_others_have_theirs_is_charged(database, relay_of):
    with Peer(lambda p: p.routing_key == "withheld" or p.ack()) as peer:
        relay = relay_of(peer, REST)
        ids = [database.insert(routing_key=key) for key in ("a", "withheld", "b", "c")]
        relay.start()
        # Others must go on being confirmed: a broker that falls silent is an outage.
        wait_until(lambda: database.insert(routing_key="d") and
                   database.row(ids[1])["try_count"] == 1, what="a charge")
        row = database.row(ids[1])
        assert charge(row) == ("sending", 1)
        assert "no confirm" in row["last_error"]
        assert [charge(database.row(id)) for id in ids[:1] + ids[2:]] == [("sent", 0)] * 3
        assert len(peer.sessions) == 1
        peer.on_publish = lambda publish: publish.ack()
        try_again_now(database, ids[1])
        assert charge(database.wait_for_status(ids[1], "sent")) == ("sent", 1)
        relay.stop()


@pytest.mark.scenario(50)
def test_a_row_is_charged_nothing_when_nobody_is_confirmed(database, relay_of):
    with Peer() as peer:
        relay = relay_of(peer)
        for _ in range(5):
            database.insert()
        relay.start()
        wait_until(lambda: len([s for s in peer.sessions if s.publishes]) >= 3, 30,
                   what="three connections, each given up for its silence")
        assert database.attempts() == {0: 5}
        assert database.statuses() == {"sending": 5}
        assert "no confirm" in relay.events("disconnected", side="broker")[0]["error"]
        peer.on_publish = lambda publish: publish.ack()
        database.wait_for_statuses(sent=5)
        assert database.attempts() == {0: 5}
        relay.stop()


# --- connection lost, closed, blocked --------------------------------------------------------


@pytest.mark.scenario(51)
@pytest.mark.parametrize("end", ["closed by the broker", "reset", "shut"])
def test_rows_in_flight_are_charged_nothing_when_the_connection_is(database, relay_of, end):
    def on_publish(publish):
        session = publish.session
        if session is not peer.sessions[0]:
            publish.ack()
        elif publish.tag < 3:
            publish.ack()
        elif publish.tag == 10 and end == "closed by the broker":
            session.close()
        elif publish.tag == 10 and end == "reset":
            session.reset()
        elif publish.tag == 10:
            session.connection.shutdown(2)

    with Peer(on_publish) as peer:
        relay = relay_of(peer)
        for _ in range(20):
            database.insert()
        relay.start()
        database.wait_for_statuses(sent=20)
        relay.stop()
        assert database.attempts() == {0: 20}
        assert database.value(
            "SELECT count(*) FROM message_log WHERE last_error IS NOT NULL") == 0
        assert len(peer.sessions) == 2
        arrived = collections.Counter(publish.message_id for publish in peer.published)
        assert len(arrived) == 20 and max(arrived.values()) <= 2


@pytest.mark.scenario(45, fault="connection.blocked, by a scripted broker")
def test_a_blocked_connection_charges_nothing_and_is_kept(database, relay_of):
    with Peer() as peer:
        relay = relay_of(peer)
        for _ in range(5):
            database.insert()
        peer.on_publish = lambda publish: publish.tag == 1 and publish.session.block()
        relay.start()
        relay.wait_for("broker blocks publishing", reason="low on memory")
        (session,) = peer.sessions
        beats = session.heartbeats
        # At two beats a second at the very most: far longer than confirm_timeout.
        wait_until(lambda: session.heartbeats >= beats + 8, 30, what="eight heartbeats")
        assert database.statuses() == {"sending": 5}
        assert database.attempts() == {0: 5}
        peer.on_publish = lambda publish: publish.ack()
        published = list(peer.published)
        session.unblock()
        relay.wait_for("broker takes messages again")
        for publish in published:
            publish.ack()
        database.wait_for_statuses(sent=5)
        assert database.attempts() == {0: 5}
        assert len(peer.sessions) == 1
        relay.stop()


# --- the relay died --------------------------------------------------------------------------


@pytest.mark.scenario(4, fault="kill -9 with twenty rows published, no ack")
def test_rows_in_the_claim_of_a_killed_relay_are_adopted_and_charged_nothing(
        database, broker, relay, relay_of):
    exchange = broker.exchange()
    queue = broker.queue(exchange)
    with Peer() as peer:
        dead = relay_of(peer)
        for n in range(20):
            database.insert(exchange, str(n))
        dead.start()
        wait_until(lambda: len(peer.published) == 20, what="twenty publishes")
        dead.kill()
    assert database.claims() == 1
    relay.start()
    database.wait_for_statuses(sent=20)
    assert relay.events("claim adopted from a dead relay")[0]["rows"] == 20
    assert database.attempts() == {0: 20}
    relay.stop()
    arrived = copies(broker.drain(queue))
    assert len(arrived) == 20 and set(arrived.values()) == {1}
    assert database.claims() == 0


@pytest.mark.scenario(5, fault="kill -9 under load")
def test_rows_that_were_sent_and_not_settled_when_the_relay_died_arrive_twice_at_most(
        database, broker, release_relay, make_relay):
    exchange = broker.exchange()
    queue = broker.queue(exchange)
    database.insert_many(5000, exchange, "key", 200)
    release_relay.configure(merge(release_relay.config, {"relay": {"batch_size": 100}}))
    release_relay.start()
    wait_until(lambda: database.statuses().get("sent", 0) > 0, what="the first rows sent")
    release_relay.kill()
    claimed = database.value("""SELECT coalesce(sum(cardinality(message_ids)), 0)::int
                                  FROM message_log_claim""")
    make_relay(release_relay.config).run_until_empty(check=0)
    database.wait_for_statuses(sent=5000)
    assert database.attempts() == {0: 5000}
    arrived = copies(broker.drain(queue))
    assert len(arrived) == 5000
    assert max(arrived.values()) <= 2
    assert sum(arrived.values()) - 5000 <= claimed


def adopted(database, peer, relay_of, count):
    """A second relay that has adopted `count` rows of a dead one and publishes the first."""
    first = relay_of(peer).start()
    wait_until(lambda: len(peer.published) == count, what="all publishes")
    first.kill()
    return adopter(peer, relay_of)


def adopter(peer, relay_of):
    known = len(peer.published)
    relay = relay_of(peer).start()
    wait_until(lambda: len(peer.published) > known, what="a publish of an adopted row")
    return relay


@pytest.mark.scenario(fault="kill -9 while exactly one adopted row is published, alone",
                      expected="that row is charged, and no other")
def test_a_row_that_was_published_alone_when_the_relay_died_is_charged(
        database, broker, relay, relay_of):
    exchange = broker.exchange()
    queue = broker.queue(exchange)
    ids = [database.insert(exchange, str(n)) for n in range(3)]
    with Peer() as peer:
        second = adopted(database, peer, relay_of, 3)
        assert len(peer.published) == 4  # one, and no more, until it has its confirm
        assert peer.published[3].routing_key == "0"
        assert database.query("SELECT is_adopted, publishing_id FROM message_log_claim") == [
            dict(is_adopted=True, publishing_id=ids[0])]
        second.kill()
    relay.start()
    database.wait_for_statuses(sent=3)
    assert [database.row(id)["try_count"] for id in ids] == [1, 0, 0]
    assert "died" in database.row(ids[0])["last_error"]
    relay.stop()
    assert sorted(m.routing_key for m in broker.drain(queue)) == ["0", "1", "2"]


@pytest.mark.scenario(
    fault="a row that kills every relay",
    expected="found, failed after three; others arrive")
def test_a_row_that_kills_every_relay_fails_after_three_and_its_neighbours_arrive(
        database, broker, relay, relay_of):
    ids = [database.insert(routing_key=str(n)) for n in range(3)]
    killed = []

    def on_publish(publish):
        if publish.routing_key == "0":
            killed[-1].kill()
        else:
            publish.ack()

    with Peer(on_publish) as peer:
        while database.row(ids[0])["status"] == "sending":
            assert len(killed) < 10
            killed.append(relay_of(peer))
            killed[-1].start()
            wait_until(lambda: not killed[-1].is_running()
                       or database.row(ids[0])["status"] == "failed", what="one death more")
        row = database.row(ids[0])
        assert charge(row) == ("failed", 3)
        assert "died" in row["last_error"]
        # Each attempt kills twice: in company, which charges nobody, and then alone.
        assert len(killed) == 7
        database.wait_for_statuses(sent=2, failed=1)
        assert database.attempts() == {0: 2, 3: 1}
        killed[-1].stop()


# --- cannot be expressed on the wire ---------------------------------------------------------


BAD = {
    "a CC header": dict(headers={"CC": ["elsewhere"]}),
    "a BCC header": dict(headers={"BCC": ["elsewhere"]}),
    "a reserved header": dict(headers={"x-delay": 1}),
    "a header name of 256 bytes": dict(headers={"n" * 256: 1}),
    "a number beyond 64 bits": dict(headers='{"n": 9223372036854775808}'),
    "a number beyond a double": dict(headers='{"n": 1e400}'),
    "headers nested too deeply": dict(headers='{"a":' * 60 + "1" + "}" * 60),
    "headers larger than a frame": dict(headers={"h": "x" * 140000}),
    "a correlation_id of 256 bytes": dict(properties={"correlation_id": "c" * 256}),
    "a transient delivery_mode": dict(properties={"delivery_mode": 1}),
    "an expiration that is no number": dict(properties={"expiration": "soon"}),
    "a priority out of range": dict(properties={"priority": 256}),
    "a body over max_message_bytes": dict(payload=b"x" * 4097),
}


@pytest.mark.scenario(71, fault="what cannot be expressed, one by one")
@pytest.mark.parametrize("what", BAD)
def test_a_row_fails_at_once_without_a_publish_for(database, broker, relay, what):
    exchange = broker.exchange()
    queue = broker.queue(exchange)
    relay.configure(merge(relay.config, {"relay": {"max_message_bytes": "4KiB"}}))
    before = database.insert(exchange, "before")
    bad = database.insert(exchange, "bad", **BAD[what])
    after = database.insert(exchange, "after")
    relay.run_until_empty()
    row = database.row(bad)
    assert charge(row) == ("failed", 0)
    assert row["last_error"].isprintable() and len(row["last_error"]) > 10
    assert [charge(database.row(id)) for id in (before, after)] == [("sent", 0)] * 2
    assert [m.routing_key for m in broker.drain(queue)] == ["before", "after"]
    (stopped,) = relay.events("stopped")
    assert (stopped["published"], stopped["failed"], stopped["interrupted"]) == (2, 1, 0)


@pytest.mark.scenario(70, fault="exactly max_message_bytes", expected="sent")
def test_a_body_of_exactly_max_message_bytes_is_sent(database, broker, relay):
    exchange = broker.exchange()
    queue = broker.queue(exchange)
    relay.configure(merge(relay.config, {"relay": {"max_message_bytes": "4KiB"}}))
    database.insert(exchange, payload=b"x" * 4096)
    relay.run_until_empty()
    assert [len(m.body) for m in broker.drain(queue)] == [4096]


# --- retry.count_outages ---------------------------------------------------------------------


@pytest.mark.scenario(fault="no acks at all, with retry.count_outages: true",
                      expected="charged for each connection, then failed")
def test_with_count_outages_lost_connections_are_charged_until_the_row_fails(
        database, relay_of):
    with Peer() as peer:
        relay = relay_of(peer, {"retry": {"count_outages": True}})
        id = database.insert()
        relay.start()
        row = database.wait_for_status(id, "failed")
        assert charge(row) == ("failed", 3)
        assert row["last_error"]
        relay.stop()
