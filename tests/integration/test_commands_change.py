"""The operator's commands that change rows: requeue, purge, replay."""

import json
import os
import pty
import re
import select
import signal
import subprocess

import pytest

from harness import merge, quick_config, wait_until
from harness.program import _environment

STATES = ("sending", "sent", "failed")


def change(relay, command, *arguments, check=0):
    return json.loads(relay.run(command, "--json", "--yes", *arguments, check=check).stdout)


@pytest.fixture
def rows(database):
    """{state: three ids}, keys a, b and c, last changed one, two and three hours ago."""
    database.query("""
        INSERT INTO message_log (exchange, routing_key, payload, status, try_count, last_error,
                                 next_retry, created_at, updated_at)
        SELECT 'shop', substr('abc', n, 1), 'x', status,
               CASE status WHEN 'failed' THEN 3 ELSE 0 END,
               CASE status WHEN 'failed' THEN 'nacked' END,
               CASE status WHEN 'sending' THEN now() + '1 h'::interval
                           ELSE now() - '4 h'::interval END,
               now() - '4 h'::interval, now() - n * '1 h'::interval
          FROM unnest(ARRAY['sending', 'sent', 'failed']) status, generate_series(1, 3) n""")
    return {state: [row["id"] for row in database.query(
        "SELECT id FROM message_log WHERE status = %s ORDER BY id", [state])] for state in STATES}


class Terminal:
    """The program with a terminal for everything."""

    def __init__(self, relay, *arguments):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execve(relay.program, [str(relay.program), *map(str, arguments), "-c",
                                      str(relay.config_file)], _environment())
        self.text = ""

    def read_until(self, words):
        while words not in self.text:
            assert select.select([self.fd], [], [], 30)[0], self.text
            self.text += os.read(self.fd, 4096).decode()

    def write(self, text):
        os.write(self.fd, text.encode())

    def wait(self):
        """Reads to the end; returns the exit code."""
        try:
            while data := os.read(self.fd, 4096):
                self.text += data.decode()
        except OSError:  # how a terminal tells that nobody is there any more
            pass
        os.close(self.fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


# --- which rows ------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["requeue", "purge", "replay"])
def test_nothing_is_changed_without_a_word_on_which_rows(rows, database, relay, command):
    assert "which rows?" in relay.run(command, "--yes", check=64).stderr
    assert database.statuses() == {"sending": 3, "sent": 3, "failed": 3}


@pytest.mark.parametrize("command", ["requeue", "purge", "replay"])
def test_without_a_terminal_nothing_is_changed_unless_told_yes(rows, database, relay, command):
    done = relay.run(command, "--all", check=64)
    assert "say --yes" in done.stderr and done.stdout == ""
    assert database.statuses() == {"sending": 3, "sent": 3, "failed": 3}


@pytest.mark.parametrize("command, past", [("requeue", "requeued"), ("purge", "deleted"),
                                           ("replay", "replayed")])
def test_a_dry_run_counts_and_shows_and_touches_nothing(rows, database, relay, command, past):
    before = database.query("SELECT * FROM message_log ORDER BY id")
    text = relay.run(command, "--all", "--dry-run").stdout
    assert text.startswith(f"3 rows would be {past}, for example:\n\nID")
    told = json.loads(relay.run(command, "--key", "b", "--dry-run", "--json").stdout)
    state = {"requeue": "failed", "purge": "sent", "replay": "sent"}[command]
    assert told["rows"] == 1 and [e["id"] for e in told["examples"]] == [rows[state][1]]
    assert relay.run(command, "--key", "none", "--dry-run").stdout == f"0 rows would be {past}\n"
    assert relay.run(command, "--key", "b", "--dry-run").stdout.startswith("1 row would be")
    assert database.query("SELECT * FROM message_log ORDER BY id") == before


def test_an_id_that_means_no_row_stops_everything(rows, database, relay):
    done = relay.run("requeue", rows["failed"][0], "nobody", "--yes", check=66)
    assert "no row has this id or message_id: nobody" in done.stderr
    assert database.statuses()["failed"] == 3


@pytest.mark.parametrize("arguments, words", [
    (["purge", "--all", "--yes", "--status", "sending"], "rows that wait are never deleted"),
    (["purge", "--all", "--yes", "--status", "x"], "a status is sending, sent or failed"),
    (["requeue", "--all", "--yes", "--status", "sent"], "unknown option: --status"),
    (["requeue", "--all", "--yes", "--rate", "0"], "--rate wants"),
    (["replay", "--all", "--yes", "--label", ""], "a label has 1 to 100 bytes"),
    (["replay", "--all", "--yes", "--label", "x" * 101], "a label has 1 to 100 bytes"),
])
def test_a_wrong_argument_is_named(rows, database, relay, arguments, words):
    assert words in relay.run(*arguments, check=64).stderr
    assert database.statuses() == {"sending": 3, "sent": 3, "failed": 3}


# --- requeue ---------------------------------------------------------------------------------


def test_requeue_makes_failed_rows_due_with_no_attempt_charged(rows, database, relay):
    told = change(relay, "requeue", "--all")
    assert (told["rows"], told["left"], told["complete"]) == (3, 0, True)
    for id in rows["failed"]:
        row = database.row(id)
        assert (row["status"], row["try_count"], row["last_error"]) == ("sending", 0, "nacked")
        assert row["next_retry"] > row["created_at"]
    assert database.statuses() == {"sending": 6, "sent": 3}
    assert relay.run("requeue", "--all", "--yes").stdout == "requeued 0 rows\n"


@pytest.mark.parametrize("filter, which", [
    (["--key", "a"], [0]), (["--older", "90m"], [1, 2]), (["--newer", "90m"], [0]),
    (["--error", "NACK", "--older", "150m"], [2]), (["--exchange", "other"], []),
])
def test_requeue_takes_what_passes_the_filter(rows, database, relay, filter, which):
    assert change(relay, "requeue", *filter)["rows"] == len(which)
    assert [n for n, id in enumerate(rows["failed"])
            if database.row(id)["status"] == "sending"] == which


def test_requeue_takes_ids_and_message_ids(rows, database, relay):
    first, second, third = rows["failed"]
    name = database.row(third)["message_id"]
    assert relay.run("requeue", first, name, "--yes").stdout == "requeued 2 rows\n"
    assert database.row(second)["status"] == "failed"


def test_requeue_leaves_rows_of_other_states_alone(rows, database, relay):
    ids = rows["sent"] + rows["sending"]
    before = database.query("SELECT * FROM message_log ORDER BY id")
    assert change(relay, "requeue", *ids)["rows"] == 0
    assert database.query("SELECT * FROM message_log ORDER BY id") == before


def test_requeued_rows_arrive(database, broker, relay):
    exchange = broker.exchange()
    relay.configure(merge(relay.config, {"retry": {"max_attempts": 1}}))
    relay.start()
    id = database.insert(exchange, "k")
    database.wait_for_status(id, "failed")
    queue = broker.queue(exchange, "k")
    assert change(relay, "requeue", id)["rows"] == 1
    database.wait_for_status(id, "sent")
    assert broker.count(queue) == 1
    relay.stop()


def test_requeue_rings_for_relays_that_sleep(rows, database, relay):
    database.query(f"LISTEN message_log_{database.value('SELECT %s::regclass::oid', ['message_log'])}")
    assert change(relay, "requeue", "--key", "none")["rows"] == 0
    database.query("SELECT 1")
    assert database.connection.notifies == []
    assert change(relay, "requeue", "--all")["rows"] == 3
    database.query("SELECT 1")
    assert len(database.connection.notifies) == 1


def test_requeue_leaves_locked_rows_to_their_owner_and_says_so(rows, database, relay):
    other = database.connect()
    other.cursor().execute("SELECT 1 FROM message_log WHERE id = %s FOR UPDATE",
                           [rows["failed"][1]])
    done = relay.run("requeue", "--all", "--yes", check=75)
    assert done.stdout == ("requeued 2 rows\n"
                           "left alone: 1 row, which others have locked or changed\n")
    other.close()
    assert change(relay, "requeue", "--all")["rows"] == 1


def test_many_rows_are_requeued_in_short_transactions(database, relay):
    database.query("""INSERT INTO message_log (exchange, payload, status, try_count)
                      SELECT '', '', 'failed', 3 FROM generate_series(1, 2500)""")
    assert change(relay, "requeue", "--all")["rows"] == 2500
    most = database.query("SELECT count(*) FROM message_log GROUP BY xmin ORDER BY 1 DESC")
    assert [row["count"] for row in most] == [1000, 1000, 500]
    assert database.attempts() == {0: 2500}


def test_a_rate_makes_small_steps(database, relay):
    database.query("""INSERT INTO message_log (exchange, payload, status)
                      SELECT '', '', 'failed' FROM generate_series(1, 60)""")
    assert change(relay, "requeue", "--all", "--rate", "40")["rows"] == 60
    steps = database.query("SELECT extract(epoch FROM updated_at) AS at, count(*)"
                           " FROM message_log GROUP BY updated_at ORDER BY 1")
    assert [step["count"] for step in steps] == [10] * 6
    assert steps[5]["at"] - steps[0]["at"] >= 1.2  # 50 rows after the first 10, at 40 a second


def test_few_among_many_are_found_step_by_step(database, relay):
    database.query("""INSERT INTO message_log (exchange, routing_key, payload, status)
        SELECT '', CASE WHEN n % 9000 = 0 THEN 'x' ELSE '' END, '', 'failed'
          FROM generate_series(1, 27000) n""")
    assert change(relay, "requeue", "--key", "x")["rows"] == 3


def test_a_signal_ends_it_after_the_step_and_the_next_run_goes_on(database, relay):
    database.query("""INSERT INTO message_log (exchange, payload, status)
                      SELECT '', '', 'failed' FROM generate_series(1, 1000)""")
    process = subprocess.Popen(
        [str(relay.program), "requeue", "--all", "--yes", "--rate", "40", "--json", "-c",
         str(relay.config_file)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        env=_environment())
    wait_until(lambda: database.statuses().get("sending"), what="the first step")
    process.send_signal(signal.SIGINT)
    told = json.loads(process.communicate(timeout=30)[0])
    assert process.returncode == 75 and not told["complete"]
    assert database.statuses() == {"sending": told["rows"], "failed": 1000 - told["rows"]}
    assert change(relay, "requeue", "--all")["rows"] == 1000 - told["rows"]


# --- on a terminal ---------------------------------------------------------------------------


def test_on_a_terminal_it_asks_and_a_no_changes_nothing(rows, database, relay):
    for answer in ("n\n", "\n", "\x04"):
        terminal = Terminal(relay, "requeue", "--all")
        terminal.read_until("requeue 3 rows? [y/N] ")
        assert "3 rows would be requeued, for example:" in terminal.text
        terminal.write(answer)
        assert terminal.wait() == 0 and "nothing was done" in terminal.text
    assert database.statuses()["failed"] == 3


def test_on_a_terminal_a_yes_does_it_and_shows_how_far_it_is(rows, database, relay):
    terminal = Terminal(relay, "purge", "--older", "90m")
    terminal.read_until("delete 2 rows? [y/N] ")
    terminal.write("y\n")
    assert terminal.wait() == 0
    assert re.search(r"\rdeleted 2 of 2 rows \(100 %\)", terminal.text)
    assert "deleted 2 rows\r\n" in terminal.text
    assert database.statuses() == {"sending": 3, "sent": 1, "failed": 3}


def test_on_a_terminal_nothing_is_asked_where_there_is_nothing_to_do(database, relay):
    terminal = Terminal(relay, "requeue", "--all")
    assert terminal.wait() == 0
    assert "0 rows would be requeued" in terminal.text and "[y/N]" not in terminal.text


# --- purge -----------------------------------------------------------------------------------


def test_purge_deletes_sent_rows_and_no_others(rows, database, relay):
    assert change(relay, "purge", "--all")["rows"] == 3
    assert database.statuses() == {"sending": 3, "failed": 3}


def test_purge_deletes_failed_rows_only_if_they_are_named(rows, database, relay):
    failed = rows["failed"]
    assert change(relay, "purge", *failed)["rows"] == 0
    assert change(relay, "purge", failed[0], "--status", "failed")["rows"] == 1
    assert change(relay, "purge", "--status", "failed", "--key", "b")["rows"] == 1
    assert database.statuses() == {"sending": 3, "sent": 3, "failed": 1}


def test_purge_says_what_to_do_without_the_right(rows, database, relay):
    database.query("REVOKE DELETE ON message_log FROM outbox")
    assert "--database" in relay.run("purge", "--all", "--yes", check=69).stderr
    assert database.statuses()["sent"] == 3


# --- replay ----------------------------------------------------------------------------------


def test_replay_sends_copies_and_leaves_what_was_sent(database, broker, relay):
    exchange = broker.exchange()
    queue = broker.queue(exchange)
    database.insert(exchange, "k", b"\x00body", message_id="order-7", headers={"tenant": 3},
                    properties={"priority": 5}, content_type="text/x")
    relay.run_until_empty()
    (first,) = broker.drain(queue)
    before = database.query("SELECT * FROM message_log")
    assert change(relay, "replay", "--all", "--label", "again")["rows"] == 1
    assert database.query("SELECT * FROM message_log WHERE status = 'sent'") == before
    relay.run_until_empty()
    (copy,) = broker.drain(queue)
    assert copy.message_id == "order-7~again"
    assert copy.headers == {**first.headers, "replay_of": "order-7"}
    assert (copy.body, copy.routing_key) == (first.body, first.routing_key)
    assert (copy.properties.priority, copy.properties.content_type) == (5, "text/x")


def test_replay_copies_no_row_twice_under_one_label_and_no_copy(rows, database, relay):
    assert change(relay, "replay", "--key", "a", "--label", "x")["rows"] == 1
    told = change(relay, "replay", "--all", "--label", "x")
    assert (told["rows"], told["left"]) == (2, 1)
    database.query("UPDATE message_log SET status = 'sent' WHERE status = 'sending'"
                   " AND message_id LIKE '%~x'")
    assert change(relay, "replay", "--all", "--label", "y")["rows"] == 3
    assert database.value("SELECT count(*) FROM message_log WHERE message_id LIKE '%~%~%'") == 0


def test_replay_gives_each_run_a_label_of_its_own_and_tells_it(rows, database, relay):
    label = change(relay, "replay", rows["sent"][0])["label"]
    assert re.fullmatch(r"\d{8}T\d{6}Z", label)
    assert database.value("SELECT count(*) FROM message_log WHERE message_id LIKE %s",
                          ["%~" + label]) == 1
    assert relay.run("replay", "--key", "b", "--yes", "--label", "x").stdout == \
        "replayed 1 row, label x\n"


def test_a_step_over_large_bodies_takes_few_rows_and_one_at_least(database, relay):
    for mib in [5] * 7 + [20]:
        database.query("INSERT INTO message_log (exchange, payload, status)"
                       " VALUES ('', convert_to(repeat('x', %s), 'UTF8'), 'sent')", [mib << 20])
    assert change(relay, "replay", "--all", "--label", "x")["rows"] == 8
    steps = database.query("SELECT count(*) FROM message_log WHERE status = 'sending'"
                           " GROUP BY xmin ORDER BY min(id)")
    assert [step["count"] for step in steps] == [3, 3, 1, 1]


def test_a_message_id_that_leaves_no_room_is_replaced_by_its_hash(database, relay):
    for size, id in ((253, "a" * 253), (254, "b" * 254)):
        database.insert(message_id=id, status="sent")
    assert change(relay, "replay", "--all", "--label", "x")["rows"] == 2
    copies = [row["message_id"] for row in database.query(
        "SELECT message_id FROM message_log WHERE status = 'sending' ORDER BY id")]
    assert copies[0] == "a" * 253 + "~x"
    assert re.fullmatch(r"[0-9a-f]{32}~x", copies[1])
    assert database.value("SELECT headers ->> 'replay_of' FROM message_log"
                          " WHERE status = 'sending' ORDER BY id DESC LIMIT 1") == "b" * 254


def test_replay_does_not_copy_rows_that_failed_or_wait(rows, database, relay):
    assert change(relay, "replay", *rows["failed"], *rows["sending"])["rows"] == 0
    assert database.statuses() == {"sending": 3, "sent": 3, "failed": 3}


def test_changes_work_on_a_schema_with_an_ugly_name(bare_database, broker, make_relay):
    relay = make_relay(merge(quick_config(bare_database.url, broker.url),
                             {"database": {"schema": 'My "schema"; DROP'}}))
    relay.run("migrate")
    bare_database.query("""INSERT INTO "My ""schema""; DROP".message_log
                           (exchange, payload, status) VALUES ('', '', 'failed')""")
    assert change(relay, "requeue", "--all")["rows"] == 1
