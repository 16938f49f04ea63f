"""The main job: committed rows arrive, once, in order, byte for byte, and when they are due."""

import collections
import concurrent.futures
import random

import psycopg2.extras
import pytest

from harness import merge, quick_config, wait_until
from harness.peer import Peer
from harness.scenario import seen

AN_HOUR = {"relay": {"poll_interval": "1h"}}
SOON = 15  # seconds: long for a loaded machine, short before what else would find a row some day
FRAME_MAX = 131072


# --- fidelity --------------------------------------------------------------------------------


HEADERS = [
    None,
    {},
    {"text": "grüße, 世界 🐘", "empty": "", "quote": '"\\\n\t'},
    {"zero": 0, "minus": -1, "most": 2**63 - 1, "least": -(2**63)},
    {"half": 0.5, "tiny": 5e-324, "large": 9007199254740991.5, "third": -1 / 3},
    {"yes": True, "no": False, "nothing": None},
    {"table": {"in": {"in": {"n": 1}}}, "array": [1, "two", 3.5, None, [True, {}], []]},
    {"n" * 255: "a name of 255 bytes", "ключ": "ein Schlüssel"},
    {f"key{n}": n for n in range(300)},
]
PROPERTIES = [
    None,
    {},
    {"priority": 0, "type": "t", "app_id": "a", "user_id": "guest"},
    {"priority": 255, "correlation_id": "c" * 255, "reply_to": "r", "cluster_id": "cl",
     "content_encoding": "gzip", "timestamp": 4102444800, "expiration": "86400000",
     "delivery_mode": 2},
    {"expiration": 86400000, "timestamp": 0},
    {"type": "größe"},
]
SIZES = [0, 1, 2, 255, 256, 1024, 4096, 65536, FRAME_MAX - 8, 300 * 1024]


def mixed_rows(count, exchange):
    """Every combination comes along; the few large bodies are spread."""
    chance = random.Random(1)
    for n in range(count):
        size = SIZES[n // 7 % len(SIZES)] if n % 7 == 0 else chance.randrange(300)
        yield dict(
            message_id=f"message {n} ä",
            exchange=exchange,
            routing_key=["", "order.created", "k" * 255, "заказ.создан", "a b\nc"][n % 5],
            payload=chance.randbytes(size),
            content_type=[None, "application/octet-stream", "", "text/plain; charset=utf-8"][n % 4],
            headers=HEADERS[n % len(HEADERS)],
            properties=PROPERTIES[n % len(PROPERTIES)])


def insert(cursor, row, n):
    """By plain INSERT and, every third row each, through both forms of message_log_send()."""
    json = {key: None if row[key] is None else psycopg2.extras.Json(row[key])
            for key in ("headers", "properties")}
    values = {**row, **json}
    if n % 3:
        cursor.execute("""INSERT INTO message_log (message_id, exchange, routing_key, payload,
                                                   content_type, headers, properties)
                          VALUES (%(message_id)s, %(exchange)s, %(routing_key)s, %(payload)s,
                                  %(content_type)s, %(headers)s, %(properties)s)""", values)
    else:
        cursor.execute("""SELECT message_log_send(
            %(exchange)s, %(routing_key)s, %(payload)s::bytea, headers => %(headers)s,
            properties => %(properties)s, message_id => %(message_id)s,
            content_type => %(content_type)s)""", values)


def expected_properties(row):
    """The names and values that the row asks for, as pika shows them."""
    wanted = {key: value for key, value in (row["properties"] or {}).items()}
    if "expiration" in wanted:
        wanted["expiration"] = str(wanted["expiration"])
    wanted.update(delivery_mode=2, message_id=row["message_id"])
    if row["content_type"] is not None:
        wanted["content_type"] = row["content_type"]
    return wanted


def shown_properties(message):
    return {key: value for key, value in vars(message.properties).items()
            if value is not None and key != "headers"}


@pytest.mark.scenario(fault="none: 2000 rows of every sort",
                      expected="each once, in order, byte for byte")
def test_2000_mixed_rows_arrive_in_order_byte_for_byte_and_once(database, broker, relay):
    exchange = broker.exchange(kind="fanout")
    queue = broker.queue(exchange)
    rows = list(mixed_rows(2000, exchange))
    with database.connect() as connection, connection.cursor() as cursor:
        for n, row in enumerate(rows):
            insert(cursor, row, n)
    connection.close()
    relay.run_until_empty()
    messages = broker.drain(queue)
    assert [m.message_id for m in messages] == [row["message_id"] for row in rows]
    for row, message in zip(rows, messages):
        assert message.body == row["payload"]
        assert message.routing_key == row["routing_key"]
        assert message.exchange == exchange
        assert typed(message.properties.headers) == typed(row["headers"])
        assert shown_properties(message) == expected_properties(row)
    assert database.statuses() == {"sent": 2000}
    assert database.attempts() == {0: 2000}
    (stopped,) = relay.events("stopped")
    assert (stopped["sent"], stopped["published"]) == (2000, 2000)


def typed(value):
    """With the types spelled out: True == 1 == 1.0 in Python, though not on the wire."""
    if isinstance(value, dict):
        return {key: typed(member) for key, member in value.items()}
    if isinstance(value, list):
        return [typed(member) for member in value]
    return type(value).__name__, value


@pytest.mark.parametrize("form, argument, body, content_type", [
    ("jsonb", '{"order": 7}', b'{"order": 7}', "application/json"),
    ("text", "grün", "grün".encode(), "text/plain; charset=utf-8"),
    ("bytea", b"\x00\xff", b"\x00\xff", None),
])
def test_message_log_send_takes(database, broker, relay, form, argument, body, content_type):
    queue = broker.queue()
    message_id = database.value(
        f"SELECT message_log_send('', %s, %s::{form}, headers => '{{\"a\": 1}}')",
        [queue, argument])
    relay.run_until_empty()
    (message,) = broker.drain(queue)
    assert message.body == body
    assert message.message_id == message_id
    assert message.properties.content_type == content_type
    assert message.headers == {"a": 1}


def test_message_log_send_may_schedule_a_row(database):
    database.value("SELECT message_log_send('e', 'k', 'later', next_retry => now() + '1h')")
    assert database.value("SELECT next_retry = created_at + '1h' FROM message_log")


@pytest.mark.scenario(70, fault="bodies around multiples of the frame size")
def test_bodies_around_multiples_of_the_frame_size_arrive_whole(database, broker, relay):
    queue = broker.queue()
    room = FRAME_MAX - 8  # of a frame, for a body
    sizes = [n * room + d for n in (1, 2, 3) for d in (-2, -1, 0, 1, 2)]
    for size in sizes:
        database.insert("", queue, random.Random(size).randbytes(size))
    relay.run_until_empty()
    assert [m.body for m in broker.drain(queue)] == \
        [random.Random(size).randbytes(size) for size in sizes]


@pytest.mark.scenario(70, fault="64 MiB between small ones")
def test_a_body_of_64_mib_arrives_between_small_ones(database, broker, relay):
    queue = broker.queue()
    body = random.Random(64).randbytes(1 << 20) * 64
    for payload in (b"before", body, b"after"):
        database.insert("", queue, payload)
    relay.run_until_empty()
    before, large, after = broker.drain(queue)
    assert large.body == body
    assert (before.body, after.body) == (b"before", b"after")
    assert database.statuses() == {"sent": 3}


def test_a_generated_message_id_arrives_with_the_message(database, broker, relay):
    queue = broker.queue()
    id = database.insert("", queue)
    relay.run_until_empty()
    assert [m.message_id for m in broker.drain(queue)] == [database.row(id)["message_id"]]


# --- settings --------------------------------------------------------------------------------


@pytest.mark.scenario(fault="none: relay.on_sent: delete, and a row that is refused",
                      expected="sent rows go, the failed one stays")
def test_with_on_sent_delete_sent_rows_go_and_refused_rows_stay(database, broker, relay):
    exchange = broker.exchange()
    queue = broker.queue(exchange, "good")
    relay.configure(merge(relay.config, {"relay": {"on_sent": "delete"},
                                         "retry": {"max_attempts": 1}}))
    for key in ("good", "bad", "good"):
        database.insert(exchange, key)
    relay.run_until_empty()
    assert database.query("SELECT routing_key, status FROM message_log") == [
        dict(routing_key="bad", status="failed")]
    assert broker.count(queue) == 2


def test_the_topology_is_declared_and_declaring_it_again_changes_nothing(
        database, broker, relay):
    exchange, queue = broker.prefix + "declared", broker.prefix + "declared.queue"
    broker._made += [("exchange", exchange), ("queue", queue)]
    relay.configure(merge(relay.config, {"broker": {"topology": {
        "exchanges": [{"name": exchange, "type": "topic"}],
        "queues": [{"name": queue, "type": "quorum"}],
        "bindings": [{"exchange": exchange, "queue": queue, "routing_key": "order.*"}]}}}))
    for n in range(2):
        database.insert(exchange, f"order.{n}")
        relay.run_until_empty()
    assert [m.routing_key for m in broker.drain(queue)] == ["order.0", "order.1"]
    broker.queue(name="declared.queue", **{"x-queue-type": "quorum"})  # or the broker objects


def test_a_row_reaches_a_queue_by_the_default_exchange(database, broker, relay):
    queue = broker.queue()
    database.insert("", queue, b"body")
    relay.run_until_empty()
    assert [(m.exchange, m.body) for m in broker.drain(queue)] == [("", b"body")]


def test_a_header_that_steers_the_broker_is_sent_where_it_is_allowed(database, broker, relay):
    first, second = broker.queue(name="first"), broker.queue(name="second")
    relay.configure(merge(relay.config, {"broker": {"allowed_headers": ["CC", "x-my-*"]}}))
    database.insert("", first, headers={"CC": [second], "x-my-own": 1})
    relay.run_until_empty()
    assert broker.drain(first)[0].headers["x-my-own"] == 1
    assert broker.count(second) == 1


# --- several relays --------------------------------------------------------------------------


@pytest.mark.scenario(13)
@pytest.mark.parametrize("count", [2, 4])
def test_relays_on_one_table_publish_each_row_once(database, broker, make_relay, count):
    exchange = broker.exchange()
    queue = broker.queue(exchange)
    config = merge(quick_config(database.url, broker.url), {"relay": {"batch_size": 50}})
    relays = [make_relay(merge(config, {"relay": {"name": f"relay {n}"}}))
              for n in range(count)]
    for relay in relays:
        relay.start()
    for relay in relays:
        relay.wait_for("connected", side="broker")
    for _ in range(10):
        database.insert_many(400, exchange, "key", 100)
    database.wait_for_statuses(sent=4000)
    for relay in relays:
        relay.stop()
    ids = [m.message_id for m in broker.drain(queue)]
    assert len(ids) == len(set(ids)) == 4000
    assert database.attempts() == {0: 4000}
    sent = [relay.events("stopped")[0]["sent"] for relay in relays]
    assert sum(sent) == 4000 and min(sent) > 0


# --- when a row is due -----------------------------------------------------------------------


def test_a_row_that_the_application_marked_sent_in_time_is_never_published(
        database, broker, relay):
    queue = broker.queue()
    relay.start()
    relay.wait_for("connected", side="broker")
    for n in range(20):
        database.value("SELECT message_log_send('', %s, %s, next_retry => now() + '1h')",
                       [queue, str(n)])
    database.query("UPDATE message_log SET status = 'sent' WHERE id <= 10")
    database.query("UPDATE message_log SET next_retry = now()")
    database.wait_for_statuses(sent=20)
    relay.stop()
    assert [m.body for m in broker.drain(queue)] == [b"%d" % n for n in range(10, 20)]


@pytest.mark.scenario(fault="the application marks a row sent while it is in flight; it is nacked",
                      expected="the row is left as it is")
def test_a_row_that_is_marked_sent_after_its_claim_is_left_as_it_is(database, make_relay):
    with Peer() as peer:
        relay = make_relay(quick_config(database.url, peer.url))
        id = database.insert()
        relay.start()
        wait_until(lambda: peer.published, what="a publish")
        database.query("UPDATE message_log SET status = 'sent', last_error = 'mine'")
        peer.published[0].nack()
        relay.stop()
        row = database.row(id)
        assert (row["status"], row["try_count"], row["last_error"]) == ("sent", 0, "mine")


def test_a_row_scheduled_ahead_is_sent_when_it_is_due_and_not_a_poll_later(
        database, broker, relay):
    queue = broker.queue()
    relay.configure(merge(relay.config, AN_HOUR))
    relay.start()
    relay.wait_for("connected", side="broker")
    database.value("SELECT message_log_send('', %s, 'x', next_retry => now() + '1s')", [queue])
    database.wait_for_statuses(SOON, sent=1)
    assert broker.count(queue) == 1
    assert database.value("SELECT updated_at >= next_retry FROM message_log")
    relay.stop()


def test_rows_scheduled_in_reverse_leave_in_the_order_in_which_they_are_due(
        database, broker, relay):
    queue = broker.queue()
    relay.configure(merge(relay.config, AN_HOUR))
    relay.start()
    for n in (4, 3, 2, 1):
        database.value("""SELECT message_log_send('', %s, %s,
                              next_retry => now() + %s * interval '300ms')""",
                       [queue, str(n), n])
    assert [m.body for m in broker.drain(queue, 4, SOON)] == [b"1", b"2", b"3", b"4"]
    relay.stop()


def test_a_backlog_leaves_in_the_order_in_which_it_was_due_whatever_its_ids(
        database, broker, relay):
    queue = broker.queue()
    database.query("""INSERT INTO message_log (exchange, routing_key, payload, next_retry)
                      SELECT '', %s, convert_to(n::text, 'UTF8'), now() - n * interval '1 second'
                        FROM generate_series(1, 300) n ORDER BY n""", [queue])
    relay.run_until_empty()
    assert [int(m.body) for m in broker.drain(queue, 300, SOON)] == list(range(300, 0, -1))


def test_a_row_that_was_due_at_all_times_is_sent_first(database, broker, relay):
    queue = broker.queue()
    database.query("""INSERT INTO message_log (exchange, routing_key, payload, next_retry)
                      VALUES ('', %s, 'now', now()), ('', %s, 'ever', '-infinity')""", [queue] * 2)
    relay.run_until_empty()
    assert [m.body for m in broker.drain(queue, 2, SOON)] == [b"ever", b"now"]


def test_the_doorbell_wakes_a_sleeping_relay(database, broker, relay):
    queue = broker.queue()
    relay.configure(merge(relay.config, AN_HOUR))
    relay.start()
    for n in range(20):
        wait_until(database.is_slept_on, what="a sleeping relay")
        database.insert("", queue, b"%d" % n)
        broker.wait_for_count(queue, n + 1, SOON)
    relay.stop()


def test_the_doorbell_is_heard_when_several_commit_at_once(database, broker, relay):
    queue = broker.queue()
    relay.configure(merge(relay.config, AN_HOUR))
    relay.start()

    def write(connection):
        for _ in range(5):
            with connection, connection.cursor() as cursor:
                cursor.execute("SELECT message_log_send('', %s, 'x')", [queue])

    writers = [database.connect() for _ in range(4)]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for n in range(10):
            wait_until(database.is_slept_on, what="a sleeping relay")
            list(pool.map(write, writers))
            broker.wait_for_count(queue, 20 * (n + 1), SOON)
    for connection in writers:
        connection.close()
    relay.stop()


def test_a_row_arrives_when_the_relay_that_slept_on_the_bell_has_died(
        database, broker, make_relay):
    queue = broker.queue()
    relays = [make_relay(quick_config(database.url, broker.url)).start() for _ in range(2)]
    for relay in relays:
        relay.wait_for("connected", side="broker")
    wait_until(database.is_slept_on, what="a sleeping relay")
    relays[0].kill()
    database.insert("", queue)
    broker.wait_for_count(queue, 1)
    relays[1].stop()


def test_poll_mode_works_without_the_trigger(database, broker, relay):
    queue = broker.queue()
    database.query("DROP TRIGGER message_log_doorbell ON message_log")
    relay.configure(merge(relay.config, {"relay": {"wake": "poll"}}))
    relay.start()
    relay.wait_for("connected", side="broker")
    database.insert("", queue)
    broker.wait_for_count(queue, 1)
    assert not database.is_slept_on()
    relay.stop()


def test_poll_mode_lets_the_application_prepare_transactions(database, broker, relay):
    queue = broker.queue()
    relay.configure(merge(relay.config, {"relay": {"wake": "poll"}}))
    relay.start()
    relay.wait_for("connected", side="broker")
    for n in range(5):
        database.query("BEGIN")
        database.insert("", queue)
        database.query(f"PREPARE TRANSACTION 'outbox {database.name} {n}'")
        assert broker.count(queue) == n
        database.query(f"COMMIT PREPARED 'outbox {database.name} {n}'")
        broker.wait_for_count(queue, n + 1)
    relay.stop()


# --- transactions ----------------------------------------------------------------------------


@pytest.mark.scenario(fault="rows rolled back", expected="never delivered")
def test_a_rolled_back_row_is_never_published(database, broker, relay):
    queue = broker.queue()
    connection = database.connect()
    with connection.cursor() as cursor:
        cursor.execute("SELECT message_log_send('', %s, 'rolled back')", [queue])
    relay.start()
    database.insert("", queue, b"committed")
    database.wait_for_statuses(sent=1)
    connection.rollback()
    connection.close()
    database.insert("", queue, b"later")
    database.wait_for_statuses(sent=2)
    relay.stop()
    assert [m.body for m in broker.drain(queue)] == [b"committed", b"later"]


@pytest.mark.scenario(41)
def test_the_late_commit_of_an_older_transaction_is_not_skipped_under_load(
        database, broker, relay):
    exchange = broker.exchange()
    queue = broker.queue(exchange)
    relay.configure(merge(relay.config, {"relay": {"batch_size": 20, "poll_interval": "1h"}}))
    late = database.connect()
    with late.cursor() as cursor:
        cursor.execute("SELECT message_log_send(%s, 'late', 'x')", [exchange])
    relay.start()
    for _ in range(10):
        database.insert_many(200, exchange, "load", 100)
    wait_until(lambda: database.statuses().get("sent", 0) >= 1000, what="half of the load")
    late.commit()
    late.close()
    database.insert_many(200, exchange, "load", 100)
    database.wait_for_statuses(sent=2201)
    relay.stop()
    messages = broker.drain(queue)
    assert collections.Counter(m.routing_key for m in messages) == {"load": 2200, "late": 1}


# --- memory ----------------------------------------------------------------------------------


@pytest.mark.scenario(
    42, fault="a backlog of 100,000 rows of 1 KiB",
    expected="less than 16 MiB of memory")
def test_100000_rows_of_1_kib_need_less_than_16_mib_of_memory(
        database, broker, release_relay):
    """A tenth of the backlog that was measured once; memory does not grow with it."""
    exchange = broker.exchange()
    queue = broker.queue(exchange, **{"x-max-length": 1})  # the test machine's memory matters, too
    database.insert_many(100000, exchange, "key", 1024)
    release_relay.start()
    peak = 0

    def all_sent():
        nonlocal peak
        peak = release_relay.peak_bytes()
        return database.statuses() == {"sent": 100000}

    wait_until(all_sent, 60, what="100,000 rows sent", interval=0.2)
    release_relay.stop()
    seen(note=f"{peak >> 10} KiB at most")
    assert 0 < peak < 16 << 20
    assert broker.count(queue) == 1
