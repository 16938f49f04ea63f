"""A destination that refuses row after row is parked, so that no bad deploy fails a whole table."""

import pytest

from harness import merge, wait_until


def insert(database, exchange, count, key="order.message"):
    """`count` rows in one transaction; a %s in the key becomes the row's number."""
    database.query("""INSERT INTO message_log (exchange, routing_key, payload)
                      SELECT %s, replace(%s, '%%s', n::text), 'x'
                        FROM generate_series(1, %s) n""", [exchange, key, count])


def charged(database):
    return database.value("SELECT sum(try_count) FROM message_log")


@pytest.mark.scenario(fault="300 rows for an exchange that is missing for a while",
                      expected="parked: no row fails, others pass; all arrive later")
def test_a_missing_exchange_fails_no_row_and_all_arrive_when_it_is_there(database, broker, relay):
    good = broker.exchange("good")
    queue = broker.queue(good)
    missing = broker.prefix + "missing"
    insert(database, missing, 300)
    insert(database, good, 50)
    relay.start()
    parked = relay.wait_for("destination parked")
    assert parked["exchange"] == missing and parked["routing_key"] == "(any)"
    assert "404 NOT_FOUND" in parked["error"]
    database.wait_for_statuses(sent=50, sending=300)
    broker.wait_for_count(queue, 50)
    assert charged(database) <= 15

    broker.queue(broker.exchange("missing"), name="late")
    database.wait_for_statuses(sent=350)
    assert relay.wait_for("destination takes messages again")["exchange"] == missing
    assert broker.count(broker.prefix + "late") == 300
    assert relay.events("destination still parked") == []
    relay.stop()


@pytest.mark.scenario(fault="5000 rows for an exchange that has no binding for a while",
                      expected="parked: no row fails; all arrive later")
def test_an_exchange_without_bindings_fails_no_row(database, broker, relay):
    exchange = broker.exchange()
    insert(database, exchange, 5000, key="order.%s")
    relay.start()
    relay.wait_for("destination parked", routing_key="(any)")
    # Whatever was on its way is charged once, and then only probes are.
    wait_until(lambda: relay.events("retry"))
    queue = broker.queue(exchange)
    database.wait_for_statuses(sent=5000)
    assert max(database.attempts()) < 3
    assert len({message.message_id for message in broker.drain(queue)}) == 5000
    relay.stop()


@pytest.mark.scenario(fault="500 rows with a mistyped routing key",
                      expected="that key is parked, its exchange is not")
def test_a_mistyped_key_does_not_hold_up_its_exchange(database, broker, relay):
    exchange = broker.exchange()
    queue = broker.queue(exchange, "order.*")
    insert(database, exchange, 500, key="typo")
    relay.start()
    assert relay.wait_for("destination parked")["routing_key"] == "typo"
    insert(database, exchange, 200)
    broker.wait_for_count(queue, 200)
    broker.bind(queue, exchange, "typo")
    database.wait_for_statuses(sent=700)
    relay.stop()


@pytest.mark.scenario(fault="an exchange that stays missing",
                      expected="probes alone are charged, and no row fails for them")
def test_a_probe_that_is_refused_is_charged_and_leaves_rows_their_last_attempt(
        database, broker, relay):
    missing = broker.prefix + "missing"
    insert(database, missing, 40)
    relay.start()
    relay.wait_for("destination parked")
    before = charged(database)
    wait_until(lambda: charged(database) >= before + 2)
    assert "failed" not in database.statuses()
    relay.stop()


@pytest.mark.scenario(fault="an exchange that stays missing, and few rows",
                      expected="they end failed: nobody else can be the probe")
def test_rows_of_a_parked_destination_end_failed_when_no_other_has_attempts_left(
        database, broker, relay):
    missing = broker.prefix + "missing"
    insert(database, missing, 5)
    relay.start()
    # Ten refusals park it; the other five are probes.
    relay.wait_for("destination parked")
    wait_until(lambda: database.statuses().get("failed"))
    assert set(database.attempts()) <= {2, 3}
    relay.stop()


def test_a_run_until_empty_does_not_call_a_parked_destination_empty(database, broker, relay):
    queue = broker.queue(broker.exchange())
    insert(database, broker.prefix + "missing", 100)
    insert(database, broker.prefix + "exchange", 10)
    relay.run_until_empty(check=69)
    assert database.statuses() == {"sending": 100, "sent": 10}
    assert broker.count(queue) == 10


def test_a_run_until_empty_is_done_when_what_is_parked_is_not_due(database, broker, relay):
    queue = broker.queue(broker.exchange(), "good")
    insert(database, broker.prefix + "exchange", 120, key="typo")  # as the first claim takes
    relay.configure(merge(relay.config, {"retry": {"first_delay": "1h", "max_delay": "1h"}}))
    relay.run_until_empty()
    assert relay.events("destination parked")
    assert database.attempts() == {1: 120}
    assert broker.count(queue) == 0
