"""The operator's commands that only look: status, list, show."""

import base64
import json
import re
import socket
import subprocess

import pytest

from harness import merge, quick_config, wait_until
from harness.config import DEAD

ESCAPE = "\x1b[31m"


def status(relay, *arguments):
    return json.loads(relay.run("status", "--json", *arguments).stdout)


def line(text, start):
    """The only line that begins so, as words."""
    (found,) = [row for row in text.splitlines() if row.startswith(start)]
    return found.split()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.fixture
def rows(database):
    """Six rows: two due for a minute and more, one scheduled, two failed, one sent."""
    database.query("""
        INSERT INTO message_log (exchange, routing_key, payload, status, try_count, last_error,
                                 next_retry, created_at, updated_at)
        SELECT 'shop', key, 'x', status, tries, error,
               now() + next::interval, now() - '1 h'::interval, now() - age::interval
          FROM (VALUES ('order.created', 'sending', 0, NULL, '-90 s', '1 h'),
                       ('order.paid',    'sending', 1, 'nacked', '-60 s', '2 min'),
                       ('order.later',   'sending', 0, NULL, '10 min', '1 h'),
                       ('order.printed', 'failed',  3, 'returned: 312 NO_ROUTE', '-1 h', '5 min'),
                       ('order.mailed',  'failed',  3, 'returned: 312 NO_ROUTE', '-1 h', '3 min'),
                       ('order.created', 'sent',    0, NULL, '-1 h', '1 h'))
            AS r (key, status, tries, error, next, age)""")
    return [row["id"] for row in database.query("SELECT id FROM message_log ORDER BY id")]


# --- status ----------------------------------------------------------------------------------


def test_status_counts_rows_by_state_and_tells_their_ages(rows, relay):
    told = status(relay)
    assert {state: told[state] for state in ("due", "scheduled", "failed", "sent")} == {
        "due": {"rows": 2, "estimate": False}, "scheduled": {"rows": 1, "estimate": False},
        "failed": {"rows": 2, "estimate": False}, "sent": {"rows": 1, "estimate": False}}
    assert 90 <= told["oldest_due_seconds"] < 120
    assert 570 < told["next_due_seconds"] <= 600
    assert 180 <= told["last_failed_seconds"] < 210
    assert told["relays"] == [] and told["claims"] == []


def test_status_is_a_table_for_people(rows, relay):
    text = relay.run("status").stdout
    assert line(text, "due")[:5] == ["due", "2", "the", "oldest", "for"]
    assert line(text, "scheduled")[:5] == ["scheduled", "1", "the", "next", "in"]
    assert line(text, "failed")[:4] == ["failed", "2", "the", "newest"]
    assert line(text, "sent ") == ["sent", "1"]
    assert "no relay is connected" in text
    assert not re.search(r" $", text, re.M)


def test_status_of_an_empty_table_has_no_ages(database, relay):
    told = status(relay)
    assert told["sent"] == {"rows": 0, "estimate": False}
    assert told["oldest_due_seconds"] is None and told["next_due_seconds"] is None
    assert line(relay.run("status").stdout, "due") == ["due", "0"]


def test_status_survives_rows_scheduled_for_ever(database, relay):
    database.insert(next_retry="infinity")
    database.insert(next_retry="-infinity")
    told = status(relay)
    assert told["due"]["rows"] == 1 and told["scheduled"]["rows"] == 1


def test_status_estimates_what_is_too_much_to_count(database, relay):
    database.query("""INSERT INTO message_log (exchange, payload, status)
        SELECT '', '', CASE WHEN n <= 12000 THEN 'sending' WHEN n <= 12010 THEN 'failed'
                            ELSE 'sent' END FROM generate_series(1, 40000) n""")
    database.query("ANALYZE message_log")
    told = status(relay)
    assert told["failed"] == {"rows": 10, "estimate": False}
    assert told["due"]["estimate"] and 10001 <= told["due"]["rows"] <= 13000
    assert told["sent"]["estimate"] and 25000 <= told["sent"]["rows"] <= 31000
    text = relay.run("status").stdout
    assert line(text, "due")[1].startswith("~1")


def test_status_estimates_a_backlog_that_no_vacuum_has_seen_by_the_size_of_the_index(
        database, relay):
    database.query("ALTER TABLE message_log SET (autovacuum_enabled = off)")
    database.insert_many(30000)
    told = status(relay)
    assert told["due"]["estimate"] and 15000 <= told["due"]["rows"] <= 60000
    assert line(relay.run("status").stdout, "due")[1].startswith("~")


def test_status_does_not_pretend_to_know_what_nobody_estimated(database, relay):
    database.query("ALTER TABLE message_log SET (autovacuum_enabled = off)")
    database.query("""INSERT INTO message_log (exchange, payload, status)
                      SELECT '', '', 'sent' FROM generate_series(1, 10100)""")
    assert status(relay)["sent"] == {"rows": 10001, "estimate": True}
    assert line(relay.run("status").stdout, "sent ")[1] == ">10,001"


def test_status_reads_no_more_of_a_big_table_than_of_a_small_one(database, relay):
    """Counted in rows that the server touched, not in time."""
    def touched():
        database.query("SELECT pg_stat_force_next_flush()")
        return database.value("SELECT coalesce(sum(seq_tup_read + idx_tup_fetch), 0)::bigint"
                              " FROM pg_stat_user_tables WHERE relname = 'message_log'")

    database.query("ALTER TABLE message_log SET (autovacuum_enabled = off)")
    database.query("""INSERT INTO message_log (exchange, payload, status)
                      SELECT '', '', 'sent' FROM generate_series(1, 60000) n""")
    database.query("ANALYZE message_log")
    before = touched()
    relay.run("status")
    wait_until(lambda: touched() > before, what="the statistics")
    assert touched() - before <= 35000


def test_status_tells_how_many_rows_came_and_were_sent_lately(database, broker, relay):
    database.insert_many(50, routing_key=broker.queue())
    relay.run_until_empty()
    told = status(relay)
    assert told["came"] == {"rows": 50, "seconds": 10.0, "per_second": 5.0}
    assert told["sent_lately"]["rows"] == 50


def test_status_sees_what_is_sent_of_a_backlog(database, relay):
    """The newest rows wait; those before the first that waits were just sent."""
    database.query("""INSERT INTO message_log (exchange, payload, status, created_at, next_retry)
        SELECT '', '', CASE WHEN n <= 100 THEN 'sent' ELSE 'sending' END,
               now() - '1 h'::interval, now() - '1 h'::interval
          FROM generate_series(1, 11000) n ORDER BY n""")
    told = status(relay)
    assert told["came"]["rows"] == 0 and told["sent_lately"]["rows"] == 100


def test_status_names_the_relays_that_are_connected(database, broker, make_relay):
    relay = make_relay(merge(quick_config(database.url, broker.url),
                             {"relay": {"name": "one"}})).start()
    relay.wait_for("connected", side="broker")
    (told,) = status(relay)["relays"]
    assert (told["name"], told["connected"], told["claims"]) == ("one", True, 0)
    assert database.value("SELECT count(*) FROM pg_stat_activity WHERE pid = %s", [told["pid"]])
    relay.stop()
    wait_until(lambda: status(relay)["relays"] == [], what="nobody")


def test_what_others_wrote_does_not_reach_the_terminal(database, relay):
    database.query("""INSERT INTO message_log_claim (relay_id, relay_name, turn, message_ids,
            lease_until, has_session_lock)
        VALUES (4711, %s, 1, '{1}', now() + '1 h'::interval, true)""", [ESCAPE])
    text = relay.run("status").stdout
    assert ESCAPE not in text and "\\x1b[31m" in text


def test_status_marks_the_claims_of_the_dead(database, relay):
    database.query("""INSERT INTO message_log_claim (relay_id, relay_name, turn, message_ids,
            lease_until, has_session_lock, is_adopted, publishing_id)
        VALUES (4711, 'gone', 1, '{1,2,3}', now() + '1 h'::interval, true, true, 2),
               (4712, 'late', 1, '{4}', now() - '1 min'::interval, false, false, NULL),
               (4713, 'pooled', 1, '{5}', now() + '1 min'::interval, false, false, NULL)""")
    told = status(relay)
    assert [(c["relay_name"], c["dead"], c["rows"]) for c in told["claims"]] == [
        ("gone", True, 3), ("late", True, 1), ("pooled", False, 1)]
    text = relay.run("status").stdout
    assert "its relay is dead, adopted, publishing row 2" in text
    assert re.search(r"4712 +1 +ran out 1 min \d s ago +its relay is dead\n", text)


def test_status_tells_which_destinations_the_running_relay_has_parked(
        database, broker, relay):
    exchange = broker.prefix + "missing"
    relay.configure(merge(relay.config, {"http": {"listen": f"127.0.0.1:{free_port()}"}}))
    assert status(relay)["parked"] is None
    relay.start()
    database.insert_many(30, exchange, "k")
    relay.wait_for("destination parked")
    (parked,) = wait_until(lambda: status(relay)["parked"], what="a parked destination")
    assert parked["exchange"] == exchange and parked["routing_key"] is None
    assert line(relay.run("status").stdout, exchange)[1] == "(any)"
    relay.stop()


def test_status_says_why_parked_destinations_are_not_known(database, relay):
    assert "not known: http.listen is off" in relay.run("status").stdout


def test_status_exits_69_without_a_database(broker, make_relay):
    relay = make_relay(quick_config(f"postgresql://a:b@{DEAD}/c", broker.url))
    assert "status: " in relay.run("status", check=69).stderr


def test_status_says_what_to_do_where_migrate_was_never_run(bare_database, broker, make_relay):
    relay = make_relay(quick_config(bare_database.url, broker.url))
    assert "run `outbox-relay migrate`" in relay.run("status", check=69).stderr


def test_status_works_for_another_login(servers, database, relay):
    url = f"postgresql:///{database.name}?host={servers.env['PGHOST']}" \
          f"&port={servers.env['PGPORT']}&user=postgres"
    assert "as postgres" in relay.run("status", "--database", url).stdout


# --- list ------------------------------------------------------------------------------------


def listed(relay, *arguments):
    return [json.loads(row) for row in relay.run("list", "--json", *arguments).stdout.splitlines()]


def ids(relay, *arguments):
    return [row["id"] for row in listed(relay, *arguments)]


def test_list_shows_all_rows_the_newest_first(rows, relay):
    assert ids(relay) == rows[::-1]


@pytest.mark.parametrize("filter, which", [
    (["--status", "sending"], [3, 2, 1]),
    (["--status", "failed"], [5, 4]),
    (["--status", "sent"], [6]),
    (["--key", "order.created"], [6, 1]),
    (["--exchange", "shop"], [6, 5, 4, 3, 2, 1]),
    (["--exchange", "Shop"], []),
    (["--error", "no_route"], [5, 4]),
    (["--error", "NACKED"], [2]),
    (["--error", "%"], []),
    (["--older", "30m"], [6, 3, 1]),
    (["--newer", "4m"], [5, 2]),
    (["--older", "150s", "--newer", "10m"], [5, 4]),
    (["--status", "failed", "--key", "order.mailed"], [5]),
    (["--status", "failed", "--key", "' OR true --"], []),
])
def test_list_shows_what_passes_all_filters(rows, relay, filter, which):
    assert ids(relay, *filter) == [rows[n - 1] for n in which]


@pytest.mark.parametrize("status", [[], ["--status", "sending"], ["--status", "failed"]])
def test_pages_hold_every_row_once(database, relay, status):
    database.query("""INSERT INTO message_log (exchange, payload, status, next_retry)
        SELECT '', '', CASE WHEN n % 2 = 0 THEN 'sending' ELSE 'failed' END,
               now() - n * interval '1 s' FROM generate_series(1, 40) n""")
    pages, after = [], []
    while True:
        text = relay.run("list", "--limit", "7", *status, *after).stdout
        pages += [int(row.split()[0]) for row in text.splitlines()[1:] if row[:1] not in ("", "m")]
        more = re.search(r"^more: (--after) (\d+)$", text, re.M)
        if not more:
            break
        after = list(more.groups())
    assert pages == ids(relay, *status)


def test_list_has_a_column_for_each_thing_to_know(rows, relay):
    title, *rest = relay.run("list", "--status", "failed").stdout.splitlines()
    assert title.split() == ["ID", "STATUS", "EXCHANGE", "ROUTING", "KEY", "TRIES", "CHANGED",
                             "SIZE", "ERROR"]
    assert re.fullmatch(rf" *{rows[4]}  failed  shop      order.mailed  +3  3 min \d+ s ago   1 B"
                        "  returned: 312 NO_ROUTE", rest[0])
    assert len(rest) == 2


def test_list_says_that_there_are_none(database, relay):
    assert relay.run("list").stdout == "no rows\n"
    assert relay.run("list", "--json").stdout == ""


def test_rows_cannot_forge_lines_of_the_list(database, relay):
    database.insert("e\n99 sent", "k\x1b]0;x\x07", last_error="\r\u202eevil", status="failed")
    text = relay.run("list").stdout
    assert len(text.splitlines()) == 2
    assert r"e\n99 sent" in text and r"k\x1b]0;x\x07" in text and r"\r\u202eevil" in text


@pytest.mark.parametrize("arguments, words", [
    (["--status", "lost"], "a status is sending, sent or failed: lost"),
    (["--older", "1"], "not an age such as 90s, 5m, 12h, 7d or 2w: 1"),
    (["--newer", "-1h"], "not an age"),
    (["--limit", "0"], "--limit wants 1 to 100000: 0"),
    (["--limit", "x"], "--limit wants"),
    (["--after", "x"], "--after wants an id: x"),
    (["--older"], "this option wants an argument: --older"),
    (["7"], "unexpected argument: 7"),
])
def test_list_exits_64_and_names_a_wrong_argument(relay, arguments, words):
    assert words in relay.run("list", *arguments, check=64).stderr


# --- show ------------------------------------------------------------------------------------


def test_show_finds_a_row_by_either_id(database, relay):
    id = database.insert("shop", "order.created", b'{"order": 7}', message_id="order-7",
                         headers={"tenant": 3}, properties={"priority": 5},
                         content_type="application/json", status="failed", try_count=3,
                         last_error="returned: 312 NO_ROUTE")
    by_id = json.loads(relay.run("show", id, "--json").stdout)
    assert json.loads(relay.run("show", "order-7", "--json").stdout) == by_id
    row = database.row(id)
    for column in ("id", "message_id", "exchange", "routing_key", "status", "try_count",
                   "last_error", "content_type", "headers", "properties"):
        assert by_id[column] == row[column]
    assert by_id["payload"] == '{"order": 7}' and by_id["payload_bytes"] == 12
    assert by_id["created_at"][:19] == row["created_at"].strftime("%Y-%m-%dT%H:%M:%S")
    text = relay.run("show", "order-7").stdout
    assert line(text, "status") == ["status", "failed"]
    assert line(text, "headers") == ["headers", '{"tenant":', "3}"]
    assert text.endswith('payload       JSON, 12 B\n\n{\n  "order": 7\n}\n')


def test_show_prefers_the_id_to_a_message_id_of_digits(database, relay):
    id = database.insert(message_id="first")
    other = database.insert(message_id=str(id))
    lone = database.insert(message_id="987654321")
    assert json.loads(relay.run("show", id, "--json").stdout)["message_id"] == "first"
    assert json.loads(relay.run("show", "987654321", "--json").stdout)["id"] == lone
    assert other != id


def test_show_exits_66_for_a_row_that_is_not_there(database, relay):
    for name in ("1", "order-7", "99999999999999999999", ""):
        done = relay.run("show", name, check=66)
        assert "no row has this id" in done.stderr and done.stdout == ""


def test_show_prints_text_as_text_and_bytes_in_hex(database, relay):
    text = database.insert(payload="Grüße\n\tzwei\n".encode())
    binary = database.insert(payload=bytes(range(20)))
    empty = database.insert()
    big = database.insert(payload="ä".encode() * 3000)
    assert relay.run("show", text).stdout.endswith("text, 14 B\n\nGrüße\n\tzwei\n")
    assert "00000000  00 01 02 03 04 05 06 07  08" in relay.run("show", binary).stdout
    assert relay.run("show", empty).stdout.endswith("payload       text, 0 B\n")
    shown = relay.run("show", big).stdout
    assert "text, 5.9 KiB, of which the first 4 KiB (--raw writes all)" in shown
    assert shown.endswith("ä" * 2048 + "\n")


def test_show_writes_the_very_bytes_with_raw(database, relay, tmp_path):
    body = bytes(range(256)) * 400
    id = database.insert(payload=body)
    done = subprocess.run([str(relay.program), "show", str(id), "--raw", "-c",
                           str(relay.config_file)], stdout=subprocess.PIPE, check=True)
    assert done.stdout == body


def test_show_gives_programs_the_whole_body(database, relay):
    body = bytes(range(256)) * 400
    id = database.insert(payload=body)
    told = json.loads(relay.run("show", id, "--json").stdout)
    assert base64.b64decode(told["payload_base64"]) == body and "payload" not in told


def test_show_tells_who_has_the_row_in_hand(database, relay):
    id = database.insert()
    database.query("""INSERT INTO message_log_claim (relay_id, relay_name, turn, message_ids,
            lease_until, has_session_lock)
        VALUES (4711, 'one', 1, ARRAY[%s], now() + '1 h'::interval, true)""", [id])
    assert line(relay.run("show", id).stdout, "in hand")[:4] == ["in", "hand", "of", "one,"]


def test_show_exits_74_when_the_bytes_cannot_be_written(database, relay):
    id = database.insert(payload=b"x" * 100000)
    with open("/dev/full", "wb") as full:
        done = subprocess.run([str(relay.program), "show", str(id), "--raw", "-c",
                               str(relay.config_file)], stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 74 and b"takes no more" in done.stderr


def test_show_wants_one_row(relay):
    assert "which row?" in relay.run("show", check=64).stderr
    assert "unexpected argument: 2" in relay.run("show", "1", "2", check=64).stderr
