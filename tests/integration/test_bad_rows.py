"""Rows that can never be published: refused by the table where that is possible, or failed with
a reason that a person can read, next to neighbours that arrive."""

import psycopg2
import pytest

from harness import merge


def refused(database, constraint, **columns):
    with pytest.raises(psycopg2.errors.CheckViolation) as refusal:
        database.insert(**columns)
    assert refusal.value.diag.constraint_name == constraint


# --- refused at the INSERT -------------------------------------------------------------------


@pytest.mark.scenario(69, fault="rows that the table can refuse", expected="refused")
@pytest.mark.parametrize("constraint, columns", [
    ("message_log_status_is_known", dict(status="done")),
    ("message_log_status_is_known", dict(status="SENT")),
    ("message_log_try_count_is_not_negative", dict(try_count=-1)),
    ("message_log_message_id_has_1_to_255_bytes", dict(message_id="")),
    ("message_log_message_id_has_1_to_255_bytes", dict(message_id="m" * 256)),
    ("message_log_message_id_has_1_to_255_bytes", dict(message_id="ä" * 128)),
    ("message_log_exchange_has_at_most_255_bytes", dict(exchange="e" * 256)),
    ("message_log_exchange_has_at_most_255_bytes", dict(exchange="ä" * 128)),
    ("message_log_routing_key_has_at_most_255_bytes", dict(routing_key="k" * 256)),
    ("message_log_routing_key_has_at_most_255_bytes", dict(routing_key="ä" * 128)),
    ("message_log_content_type_has_at_most_255_bytes", dict(content_type="t" * 256)),
    ("message_log_headers_is_a_json_object", dict(headers=[1])),
    ("message_log_headers_is_a_json_object", dict(headers="7")),
    ("message_log_headers_is_a_json_object", dict(headers="null")),
    ("message_log_headers_has_at_most_256_kib", dict(headers={"h": "x" * 262144})),
    ("message_log_properties_is_a_json_object", dict(properties=["priority"])),
    ("message_log_properties_is_a_json_object", dict(properties="null")),
    ("message_log_properties_has_at_most_8_kib", dict(properties={"type": "x" * 8192})),
    ("message_log_properties_has_known_names_only", dict(properties={"Priority": 1})),
    ("message_log_properties_has_known_names_only", dict(properties={"headers": {}})),
])
def test_the_table_refuses_by(database, constraint, columns):
    refused(database, constraint, **columns)
    assert database.statuses() == {}


def test_the_table_refuses_a_body_over_512_mib(database):
    """By what it says: a body of that size would cost the server gigabytes of memory."""
    assert database.value("""SELECT pg_get_constraintdef(oid) FROM pg_constraint
        WHERE conname = 'message_log_payload_has_at_most_512_mib'""") == \
        f"CHECK ((octet_length(payload) <= {512 << 20}))"


def test_every_check_of_the_table_is_tested_here(database):
    checks = {row["conname"] for row in database.query(
        """SELECT conname FROM pg_constraint
            WHERE contype = 'c' AND conrelid = 'message_log'::regclass""")}
    (parameters,) = (mark for mark in test_the_table_refuses_by.pytestmark
                     if mark.name == "parametrize")
    tested = {constraint for constraint, _ in parameters.args[1]}
    assert checks == tested | {"message_log_payload_has_at_most_512_mib"}


@pytest.mark.scenario(66)
@pytest.mark.parametrize("column", ["exchange", "payload", "routing_key", "message_id", "status",
                                    "try_count", "next_retry"])
def test_the_table_refuses_null_in(database, column):
    with pytest.raises(psycopg2.errors.NotNullViolation) as refusal:
        database.insert(**{column: None})
    assert refusal.value.diag.column_name == column


def test_the_table_refuses_a_message_id_that_is_there_already(database):
    database.insert(message_id="m")
    with pytest.raises(psycopg2.errors.UniqueViolation) as refusal:
        database.insert(message_id="m")
    assert refusal.value.diag.constraint_name == "message_log_message_id_is_unique"


def test_message_log_send_passes_the_refusal_on(database):
    with pytest.raises(psycopg2.errors.CheckViolation) as refusal:
        database.query("SELECT message_log_send('e', 'k', 'x', headers => '[1]')")
    assert refusal.value.diag.constraint_name == "message_log_headers_is_a_json_object"


@pytest.mark.scenario(67, fault="names of 255 bytes", expected="taken")
@pytest.mark.parametrize("column", ["message_id", "exchange", "routing_key", "content_type"])
def test_255_bytes_are_taken_in(database, column):
    database.insert(**{column: "ä" * 127 + "x"})


# --- taken by the table, failed by the relay -------------------------------------------------


# What is wrong -> (the columns, words of the reason)
PASS_THE_CHECKS = {
    "CC": (dict(headers={"CC": ["q"]}), 'header "CC" steers the broker'),
    "BCC": (dict(headers={"BCC": ["q"]}), 'header "BCC" steers the broker'),
    "x-": (dict(headers={"x-delay": 5}), "allowed_headers"),
    "X-": (dict(headers={"X-Match": "any"}), "allowed_headers"),
    "long name": (dict(headers={"n" * 256: 1}), "more than 255 bytes"),
    "long nested name": (dict(headers={"a": {"n" * 256: 1}}), "more than 255 bytes"),
    "2^63": (dict(headers={"n": 2**63}), "out of range"),
    "-2^63-1": (dict(headers={"n": -2**63 - 1}), "out of range"),
    "1e400": (dict(headers='{"n": 1e400}'), "out of range"),
    "depth": (dict(headers='{"a":' * 60 + "1" + "}" * 60), "50 deep"),
    "depth of arrays": (dict(headers='{"a":' + "[" * 60 + "]" * 60 + "}"), "50 deep"),
    "size": (dict(headers={"h": "x" * 200000}), "frame"),
    "priority": (dict(properties={"priority": 256}), '"priority" must be 0 to 255'),
    "priority text": (dict(properties={"priority": "high"}), '"priority"'),
    "expiration": (dict(properties={"expiration": "soon"}), '"expiration"'),
    "expiration below 0": (dict(properties={"expiration": -1}), '"expiration"'),
    "expiration 1e3": (dict(properties={"expiration": "1e3"}), '"expiration"'),
    "expiration 11 years": (dict(properties={"expiration": 346896000000}), '"expiration"'),
    "timestamp": (dict(properties={"timestamp": -2208988800}), '"timestamp"'),
    "timestamp text": (dict(properties={"timestamp": "2026-01-01"}), '"timestamp"'),
    "delivery_mode": (dict(properties={"delivery_mode": 1}), "persistent"),
    "type": (dict(properties={"type": 1}), '"type" must be a string'),
    "correlation_id": (dict(properties={"correlation_id": "ä" * 128}), "255 bytes"),
}


@pytest.mark.scenario(68, fault="headers and properties that cannot be sent")
def test_rows_that_pass_the_checks_and_cannot_be_published_fail_with_the_reason(
        database, broker, relay):
    exchange = broker.exchange()
    queue = broker.queue(exchange)
    ids = {}
    for n, (what, (columns, _)) in enumerate(PASS_THE_CHECKS.items()):
        ids[what] = database.insert(exchange, "bad", message_id=what, **columns)
        database.insert(exchange, f"good {n}")
    relay.run_until_empty()
    for what, (_, words) in PASS_THE_CHECKS.items():
        row = database.row(ids[what])
        assert (row["status"], row["try_count"]) == ("failed", 0), what
        assert words in row["last_error"], what
        assert row["last_error"].isascii() and row["last_error"].isprintable()
    count = len(PASS_THE_CHECKS)
    assert database.statuses() == {"failed": count, "sent": count}
    assert [m.routing_key for m in broker.drain(queue)] == [f"good {n}" for n in range(count)]
    (stopped,) = relay.events("stopped")
    assert (stopped["published"], stopped["interrupted"]) == (count, 0)


# user_id is another matter: only the broker knows whether it is right.
@pytest.mark.scenario(71, fault="a user_id that is not the login's",
                      expected="charged alone, failed after three")
def test_a_row_that_claims_another_user_is_blamed_alone(database, broker, relay):
    exchange = broker.exchange()
    queue = broker.queue(exchange)
    for n in range(20):
        database.insert(exchange, str(n))
    bad = database.insert(exchange, "bad", properties={"user_id": "somebody else"})
    for n in range(20, 40):
        database.insert(exchange, str(n))
    relay.start()
    row = database.wait_for_status(bad, "failed")
    assert row["try_count"] == 3
    assert "406" in row["last_error"] and "user_id" in row["last_error"]
    database.wait_for_statuses(sent=40, failed=1)
    assert database.attempts() == {0: 40, 3: 1}
    relay.stop()
    assert len({m.message_id for m in broker.drain(queue)}) == 40


def test_a_thousand_bad_rows_are_a_few_lines_in_the_log(database, broker, relay):
    exchange = broker.exchange()
    relay.configure(merge(relay.config, {"relay": {"batch_size": 10}}))
    database.query("""INSERT INTO message_log (exchange, payload, headers)
                      SELECT %s, '', '{"CC": 1}' FROM generate_series(1, 1000)""", [exchange])
    relay.run_until_empty()
    assert database.statuses() == {"failed": 1000}
    lines = relay.events("failed")
    assert sum(line["rows"] for line in lines) == 1000
    assert len(lines) <= 20


@pytest.mark.scenario(fault="none: rows that are sent or failed",
                      expected="never published, never changed")
@pytest.mark.parametrize("status", ["sent", "failed"])
def test_a_row_that_is_not_sending_is_never_published(database, broker, relay, status):
    queue = broker.queue()
    id = database.insert("", queue, status=status)
    relay.run_until_empty()
    assert database.row(id)["status"] == status
    assert broker.count(queue) == 0
