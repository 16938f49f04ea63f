"""What is done beside the relay: figures of the database, and deleting what was sent long ago."""

import contextlib
import http.client
import signal

import pytest

from harness import free_port, merge, quick_config, wait_until

UPKEEP = """SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
               AND application_name = 'outbox-relay upkeep'"""


def scrape(port):
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, 10)) as c:
        c.request("GET", "/metrics")
        text = c.getresponse().read().decode()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def start(relay):
    relay.start()
    relay.wait_for("serving health and metrics")
    relay.wait_for("connected", side="database")


def figures(port):
    """Those of a scrape that has some: the first asks for them."""
    wait_until(lambda: "outbox_relay_figures_age_seconds" in scrape(port), what="figures")
    return scrape(port)


@pytest.fixture
def port(relay):
    port = free_port()
    relay.configure(merge(relay.config, {"http": {"listen": f"127.0.0.1:{port}"}}))
    return port


def insert_sent(database, count, age):
    database.query("""INSERT INTO message_log (exchange, payload, status, updated_at)
        SELECT '', 'x', 'sent', now() - %s::interval FROM generate_series(1, %s)""",
                   [age, count])


# --- figures ---------------------------------------------------------------------------------


def test_a_scrape_tells_the_figures_of_the_database(database, broker, relay, port):
    insert_sent(database, 3, "1 d")
    database.insert(status="failed", last_error="nacked")
    database.insert(next_retry="2100-01-01")
    database.query("""INSERT INTO message_log_claim (relay_id, relay_name, turn, message_ids,
                          lease_until, has_session_lock)
                      VALUES (2000000, 'gone', 1, '{9999}', now() + '1 h'::interval, false)""")
    start(relay)
    seen = figures(port)
    assert {state: seen[f'outbox_relay_rows{{state="{state}"}}']
            for state in ("due", "scheduled", "failed", "sent")} == {
        "due": 0, "scheduled": 1, "failed": 1, "sent": 3}
    assert seen["outbox_relay_oldest_due_seconds"] == 0
    assert seen["outbox_relay_relays_connected"] == 1
    assert seen['outbox_relay_claims{owner="alive"}'] == 1
    assert seen['outbox_relay_database_bytes{part="table"}'] > 0
    assert seen['outbox_relay_database_dead_rows{table="message_log"}'] >= 0
    relay.stop()


def test_a_session_that_holds_the_vacuum_horizon_shows_by_its_age(database, relay, port):
    with database.connect() as other:
        cursor = other.cursor()
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        cursor.execute("SELECT count(*) FROM message_log")
        for _ in range(50):
            database.query("SELECT pg_current_xact_id()")
        start(relay)
        assert figures(port)["outbox_relay_database_oldest_xmin_age_transactions"] >= 50
    relay.stop()


def test_where_nobody_asks_nothing_is_read(database, broker, relay, port):
    start(relay)
    database.insert(broker.exchange(), "nobody.listens")
    relay.wait_for("failed")
    assert database.value(UPKEEP) == 0
    scrape(port)
    wait_until(lambda: database.value(UPKEEP) == 1, what="a session for upkeep")
    relay.stop()
    wait_until(lambda: database.value(UPKEEP) == 0, what="the end of the session at the server, too")


def test_upkeep_that_waits_for_a_lock_holds_up_no_end(database, broker, relay, port):
    relay.configure(merge(relay.config, {
        "database": {"lock_timeout": "5m", "statement_timeout": "5m"},
        "relay": {"shutdown_timeout": "2s"}}))
    start(relay)
    with database.connect() as other:
        other.cursor().execute("LOCK TABLE message_log")
        scrape(port)
        wait_until(lambda: database.value(UPKEEP + " AND wait_event_type = 'Lock'") == 1)
        assert relay.stop(check=None) in (0, 75)


def test_a_frozen_database_slows_no_scrape(spare_postgres, spare_database, broker, make_relay):
    port = free_port()
    relay = make_relay(merge(quick_config(spare_database.url, broker.url), {
        "http": {"listen": f"127.0.0.1:{port}"}, "relay": {"shutdown_timeout": "2s"}}))
    start(relay)
    figures(port)
    spare_postgres.pause("postgres")
    for _ in range(20):
        assert "outbox_relay_figures_age_seconds" in scrape(port)
    assert relay.stop(check=None) in (0, 75)
    spare_postgres.resume("postgres")


def test_a_session_that_is_not_to_be_had_is_counted_and_logged_once(
        database, broker, relay, port):
    start(relay)
    database.as_superuser(f"ALTER DATABASE {database.name} CONNECTION LIMIT 1")
    wait_until(lambda: scrape(port)["outbox_relay_upkeep_failures_total"] == 1)
    (line,) = relay.events("upkeep failed, and is tried again")
    assert line["level"] == "warn" and "too many connections" in line["error"]
    relay.stop()


# --- retention -------------------------------------------------------------------------------


def test_rows_that_were_sent_long_ago_are_deleted_and_no_others(database, broker, relay, port):
    insert_sent(database, 2500, "8 d")
    failed = database.insert(status="failed", last_error="nacked",
                             updated_at="2020-01-01")
    scheduled = database.insert(next_retry="2100-01-01", updated_at="2020-01-01")
    insert_sent(database, 10, "6 d")
    database.query("""INSERT INTO message_log_attempt (log_id, relay_name, verdict, is_charged,
                          try_count) SELECT id, 'r', 'nacked', true, 1 FROM message_log""")
    relay.configure(merge(relay.config, {"retention": {"sent": "7d"}}))
    start(relay)
    wait_until(lambda: database.value("SELECT count(*) FROM message_log") == 12)
    wait_until(lambda: scrape(port)["outbox_relay_retention_passes_total"] == 1)
    assert database.statuses() == {"failed": 1, "sending": 1, "sent": 10}
    assert {failed, scheduled} < {row["id"] for row in database.query(
        "SELECT id FROM message_log")}
    assert database.value("SELECT count(*) FROM message_log_attempt") == 12
    assert scrape(port)["outbox_relay_retention_rows_deleted_total"] == 2500
    relay.stop()


def test_retention_passes_over_rows_that_somebody_has_locked(database, broker, relay, port):
    insert_sent(database, 20, "8 d")
    with database.connect() as other:
        other.cursor().execute("SELECT FROM message_log WHERE id % 2 = 0 FOR UPDATE")
        relay.configure(merge(relay.config, {"retention": {"sent": "7d"}}))
        start(relay)
        wait_until(lambda: scrape(port)["outbox_relay_retention_passes_total"] == 1)
        assert database.value("SELECT count(*) FROM message_log") == 10
    relay.stop()


def test_of_several_relays_one_deletes_at_a_time(database, broker, relay, port):
    insert_sent(database, 20, "8 d")
    relay.configure(merge(relay.config, {"retention": {"sent": "7d"}}))
    with database.connect() as other:
        other.cursor().execute("""SELECT pg_advisory_xact_lock(
            ('message_log'::regclass::oid::bigint - 2147483648)::integer, -2)""")
        start(relay)
        wait_until(lambda: scrape(port)["outbox_relay_retention_passes_total"] == 1)
        assert database.statuses() == {"sent": 20}
    relay.signal(signal.SIGHUP)
    wait_until(lambda: database.statuses() == {})
    relay.stop()


def test_retention_may_be_set_by_a_reload(database, broker, relay):
    insert_sent(database, 20, "8 d")
    relay.start()
    relay.wait_for("connected", side="database")
    assert database.statuses() == {"sent": 20}
    relay.configure(merge(relay.config, {"retention": {"sent": "7d"}}))
    relay.signal(signal.SIGHUP)
    wait_until(lambda: database.statuses() == {})
    relay.stop()


def test_a_row_that_was_sent_out_of_turn_waits_for_its_own_time(database, broker, relay, port):
    insert_sent(database, 1, "1 h")
    insert_sent(database, 20, "8 d")
    relay.configure(merge(relay.config, {"retention": {"sent": "7d"}}))
    start(relay)
    wait_until(lambda: database.statuses() == {"sent": 1})
    relay.stop()
