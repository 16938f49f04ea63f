"""`doctor` finds what is wrong, and says what to do."""

import json

import pytest

from harness import merge, quick_config
from harness.config import DEAD


def findings(relay, *arguments, check=None):
    """{check: (level, detail, advice)} of the last finding by each name."""
    done = relay.run("doctor", "--json", *arguments, check=check)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == (69 if any(line["level"] == "bad" for line in lines) else 0)
    return {line["check"]: (line["level"], line["detail"], line["advice"]) for line in lines}


@pytest.fixture
def superuser(servers, database):
    return f"postgresql:///{database.name}?host={servers.env['PGHOST']}" \
           f"&port={servers.env['PGPORT']}&user=postgres"


def test_doctor_finds_a_healthy_relay_healthy(database, broker, relay, superuser):
    database.insert(routing_key=broker.queue())
    relay.run_until_empty()
    found = findings(relay, "--database", superuser, "--older", "1w")
    assert {check for check, (level, *_) in found.items() if level != "ok"} <= {"libraries"}


def test_doctor_says_all_that_check_says(bare_database, broker, make_relay):
    relay = make_relay(quick_config(bare_database.url, f"amqp://{DEAD}"))
    found = findings(relay, check=69)
    assert found["tables"][0] == "bad" and found["broker"][0] == "bad"


def test_doctor_names_rows_that_wait_for_nobody(database, relay):
    database.insert()
    level, detail, advice = findings(relay)["due rows"]
    assert level == "bad" and detail == "1 wait and no relay is connected"
    assert "outbox-relay run" in advice


def test_doctor_does_not_miss_relays_that_a_pooler_hides(database, relay):
    relay.configure(merge(relay.config, {"database": {"pooling": "transaction"},
                                         "relay": {"wake": "poll"}}))
    database.insert()
    assert findings(relay)["due rows"][0] == "ok"
    assert findings(relay, "--older", "0s")["due rows"][0] == "bad"


def test_doctor_names_destinations_that_no_queue_takes(database, relay):
    for key in ("printed", "printed", "mailed\x1b[2J"):
        database.insert("shop", key, status="failed", last_error="returned: 312 NO_ROUTE")
    database.insert("shop", "other", status="failed", last_error="nacked")
    text = relay.run("doctor", check=None).stdout
    assert "exchange shop, routing key printed: 2 failed" in text
    assert r"routing key mailed\x1b[2J: 1 failed" in text and "routing key other" not in text
    level, detail, advice = findings(relay)["failed rows"]
    assert (level, detail) == ("note", "4") and "requeue" in advice


def test_doctor_names_rows_that_dead_relays_left(database, relay):
    database.query("""INSERT INTO message_log_claim (relay_id, relay_name, turn, message_ids,
            lease_until, has_session_lock)
        VALUES (1, 'dead', 1, '{1,2}', now() - '10 min'::interval, true),
               (2, 'late', 1, '{3}', now() - '2 s'::interval, true)""")
    level, detail, _ = findings(relay)["dead relays"]
    assert level == "bad" and detail.startswith("2 rows are in the hands of relays that died 10 min")


def test_doctor_names_who_pins_the_vacuum_horizon(database, relay, superuser):
    other = database.connect()
    cursor = other.cursor()
    cursor.execute("SET application_name = 'a forgotten psql'")
    cursor.execute("DECLARE c CURSOR FOR SELECT 'a query'")
    level, detail, advice = findings(relay, "--older", "0s", "--database", superuser)[
        "vacuum horizon"]
    assert level == "bad" and f"session of pid {other.get_backend_pid()} " in detail
    assert "outbox, a forgotten psql, idle in transaction: " in detail
    assert "SELECT 'a query'" in detail and "pg_terminate_backend" in advice
    cursor.execute("SELECT 'the password is c4nary'")
    detail = findings(relay, "--older", "0s", "--database", superuser)["vacuum horizon"][1]
    assert "(not shown)" in detail
    assert findings(relay, "--older", "1h", "--database", superuser)["vacuum horizon"][0] == "ok"
    other.close()


def test_doctor_says_when_it_is_not_shown_the_sessions_of_others(database, relay):
    level, detail, advice = findings(relay)["vacuum horizon"]
    assert level == "note" and "told nothing" in detail and "--database" in advice


def test_doctor_names_settings_that_keep_vacuum_away(database, relay):
    assert findings(relay)["autovacuum"][0] == "ok"
    database.as_superuser("UPDATE pg_class SET reltuples = 1e7 WHERE oid = 'message_log'::regclass")
    level, detail, advice = findings(relay)["autovacuum"]
    assert level == "note" and "2000050 rows" in detail
    database.query("ALTER TABLE message_log SET (autovacuum_vacuum_scale_factor = 0.01)")
    assert "autovacuum_vacuum_scale_factor = 0.01" in advice
    assert findings(relay)["autovacuum"][0] == "ok"
    database.query("ALTER TABLE message_log_claim SET (autovacuum_enabled = off)")
    assert findings(relay)["autovacuum"][0] == "bad"


def test_doctor_names_the_missing_index_of_failed_rows(database, relay):
    database.query("DROP INDEX message_log_failed")
    level, _, advice = findings(relay)["index of failed"]
    assert level == "note" and "CREATE INDEX CONCURRENTLY message_log_failed" in advice


def test_doctor_names_message_ids_that_a_language_compares(database, relay):
    column = "ALTER TABLE message_log ALTER COLUMN message_id TYPE text"
    database.as_superuser(f'{column} COLLATE "default"')
    assert findings(relay)["message ids"][0] == "ok"  # that of the database, which is C
    database.as_superuser("UPDATE pg_database SET datcollate = 'C.UTF-8' WHERE datname = current_database()")
    level, _, advice = findings(relay)["message ids"]
    assert level == "note" and f'{column} COLLATE "C";' in advice
    database.query(f'{column} COLLATE "C"')
    assert findings(relay)["message ids"][0] == "ok"
    database.query(f'{column} COLLATE "und-x-icu"')
    assert findings(relay)["message ids"][0] == "note"


def test_doctor_exits_78_when_the_configuration_is_wrong(relay):
    relay.config_file.write_text("nonsense: 1\n")
    assert "nonsense" in relay.run("doctor", check=78).stdout
