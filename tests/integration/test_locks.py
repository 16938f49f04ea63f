"""Other sessions' locks on the rows in hand hold up those rows, and nothing else."""

import pytest

from harness import merge

PATIENCE = {"database": {"lock_timeout": "500ms"}}


def ids_of(database, count):
    rows = database.query("SELECT id FROM message_log ORDER BY id LIMIT %s", [count])
    return [row["id"] for row in rows]


def lock(database, ids):
    """A session that updates these rows and has not committed yet."""
    session = database.connect()
    with session.cursor() as cursor:
        cursor.execute("UPDATE message_log SET updated_at = now() WHERE id = ANY (%s)", [ids])
    return session


def test_a_row_locked_by_another_session_holds_up_no_other_row(database, broker, relay):
    queue = broker.queue()
    database.insert_many(50, routing_key=queue)
    session = lock(database, ids_of(database, 2))
    relay.configure(merge(relay.config, PATIENCE))
    relay.start()
    database.wait_for_statuses(sent=48, sending=2)
    relay.wait_for("rows locked by another session", rows=2)
    database.insert_many(20, routing_key=queue)
    database.wait_for_statuses(sent=68, sending=2)
    session.commit()
    database.wait_for_statuses(sent=70)
    relay.stop()
    assert database.claims() == 0
    received = [message.message_id for message in broker.drain(queue, 70)]
    assert len(received) == len(set(received)) == 70


def test_a_locked_row_that_its_application_marks_sent_is_let_go(database, broker, relay):
    queue = broker.queue()
    database.insert_many(5, routing_key=queue)
    (first,) = ids_of(database, 1)
    session = lock(database, [first])
    relay.configure(merge(relay.config, PATIENCE))
    relay.start()
    database.wait_for_statuses(sent=4, sending=1)
    with session.cursor() as cursor:
        cursor.execute("UPDATE message_log SET status = 'sent' WHERE id = %s", [first])
    session.commit()
    database.wait_for_statuses(sent=5)
    relay.stop()
    assert database.claims() == 0


def test_a_locked_row_that_was_refused_is_charged_once_the_lock_is_gone(database, broker, relay):
    queue = broker.queue()
    refused = database.insert(routing_key="no.such.queue")
    database.insert_many(5, routing_key=queue)
    session = lock(database, [refused])
    hour = {"retry": {"first_delay": "1h", "max_delay": "1h"}}
    relay.configure(merge(relay.config, PATIENCE, hour))
    relay.start()
    database.wait_for_statuses(sent=5, sending=1)
    assert database.row(refused)["try_count"] == 0
    session.commit()
    relay.wait_for("retry", id=refused)
    relay.stop()
    row = database.row(refused)
    assert (row["status"], row["try_count"]) == ("sending", 1)


@pytest.mark.parametrize("greatest", ["NULL", "5"])  # what an older relay claimed, and a present one
def test_rows_in_a_claim_of_another_relay_are_left_alone(database, broker, relay, greatest):
    queue = broker.queue()
    database.insert_many(6, routing_key=queue)
    database.query(f"""INSERT INTO message_log_claim (relay_id, relay_name, turn, message_ids,
            greatest_id, lease_until, has_session_lock)
        VALUES (4711, 'other', 1, '{{5,2}}', {greatest}, now() + '1 h'::interval, false)""")
    relay.start()
    database.wait_for_statuses(sent=4, sending=2)
    database.insert_many(1, routing_key=queue)  # by then it has looked again
    database.wait_for_statuses(sent=5, sending=2)
    relay.stop()
    left = database.query("SELECT id FROM message_log WHERE status = 'sending' ORDER BY id")
    assert [row["id"] for row in left] == [2, 5]
    assert len(broker.drain(queue, 5)) == 5
