"""What `show` tells of a row that was not sent at its first attempt."""

import json

from harness import merge, wait_until

REST = {"retry": {"first_delay": "10m", "max_delay": "10m", "max_attempts": 3}}


def attempts(relay, id):
    return json.loads(relay.run("show", str(id), "--json").stdout)["attempts"]


def try_again_now(database, id):
    database.query("UPDATE message_log SET next_retry = now() WHERE id = %s", [id])


def test_each_attempt_of_a_row_that_failed_is_told(database, broker, relay):
    relay.configure(merge(relay.config, {"relay": {"name": "web-1"}}))
    id = database.insert(broker.exchange(), "nobody.listens")
    relay.start()
    database.wait_for_status(id, "failed")
    told = attempts(relay, id)
    assert [(a["verdict"], a["charged"], a["relay"]) for a in told] == [
        ("returned", True, "web-1")] * 3
    assert all("312 NO_ROUTE" in a["reason"] and a["latency_ms"] >= 0 for a in told)
    assert [a["at"] for a in told] == sorted({a["at"] for a in told})
    lines = relay.run("show", str(id)).stdout.splitlines()
    (title,) = [n for n, line in enumerate(lines) if "VERDICT" in line]
    assert lines[title].split() == ["WHEN", "RELAY", "VERDICT", "CHARGED", "LATENCY", "REASON"]
    assert all("web-1" in line and "returned  yes" in line and "312 NO_ROUTE" in line
               for line in lines[title + 1:title + 4])
    assert lines[title + 4] == ""


def test_rows_that_are_sent_at_once_leave_no_history(database, broker, relay):
    exchange = broker.exchange()
    broker.queue(exchange, "key")
    ids = [database.insert(exchange, "key") for _ in range(50)]
    refused = database.insert(exchange, "nobody.listens")
    relay.start()
    database.wait_for_statuses(sent=50, failed=1)
    assert database.query("SELECT DISTINCT log_id FROM message_log_attempt") == [
        {"log_id": refused}]
    assert attempts(relay, ids[0]) == []
    assert "VERDICT" not in relay.run("show", str(ids[0])).stdout


def test_the_history_of_a_row_that_is_requeued_goes_on_and_ends_with_its_confirm(
        database, broker, relay):
    exchange = broker.exchange()
    id = database.insert(exchange)
    relay.start()
    database.wait_for_status(id, "failed")
    broker.queue(exchange)
    relay.run("requeue", "--yes", str(id))
    database.wait_for_status(id, "sent")
    told = attempts(relay, id)
    assert [(a["verdict"], a["charged"]) for a in told] == [
        ("returned", True)] * 3 + [("confirmed", False)]
    assert told[-1]["reason"] is None and told[-1]["latency_ms"] >= 0


def test_a_row_that_cannot_be_published_tells_so_and_has_no_latency(database, broker, relay):
    relay.configure(merge(relay.config, {"relay": {"max_message_bytes": "1KiB"}}))
    id = database.insert(broker.exchange(), payload=b"x" * 2000)
    relay.start()
    database.wait_for_status(id, "failed")
    (told,) = attempts(relay, id)
    assert (told["verdict"], told["charged"], told["latency_ms"]) == ("invalid", False, None)
    assert "over relay.max_message_bytes" in told["reason"]


def test_with_on_sent_delete_the_history_goes_with_the_row(database, broker, relay):
    relay.configure(merge(relay.config, REST, {"relay": {"on_sent": "delete"}}))
    exchange = broker.exchange()
    id, other = database.insert(exchange, "a"), database.insert(exchange, "b")
    relay.start()
    wait_until(lambda: database.value("SELECT count(*) FROM message_log_attempt") == 2,
               what="two refusals")
    broker.queue(exchange, "a")
    try_again_now(database, id)
    wait_until(lambda: database.value("SELECT count(*) FROM message_log") == 1,
               what="the row to go")
    assert database.query("SELECT log_id, verdict FROM message_log_attempt") == [
        {"log_id": other, "verdict": "returned"}]


def test_purge_takes_the_history_with_the_rows(database, relay):
    gone, kept = (database.insert(status="failed", last_error="nacked") for _ in range(2))
    database.query("""INSERT INTO message_log_attempt (log_id, relay_name, verdict, is_charged,
                          try_count) SELECT id, 'r', 'nacked', true, 1 FROM message_log""")
    relay.run("purge", "--yes", "--status", "failed", str(gone))
    assert database.query("SELECT log_id FROM message_log_attempt") == [{"log_id": kept}]


def test_a_row_that_is_tried_for_ever_keeps_its_first_hundred_attempts(
        database, broker, relay):
    relay.configure(merge(relay.config, REST))
    id, other = database.insert(broker.exchange()), database.insert(broker.exchange())
    database.query("""INSERT INTO message_log_attempt (log_id, relay_name, verdict, is_charged,
                          try_count) SELECT %s, 'r', 'deferred', false, 0
                     FROM generate_series(1, 100)""", [id])
    relay.start()
    wait_until(lambda: database.attempts() == {1: 2}, what="two refusals")
    assert database.query("""SELECT log_id, verdict, count(*) FROM message_log_attempt
                             GROUP BY 1, 2 ORDER BY 1""") == [
        {"log_id": id, "verdict": "deferred", "count": 100},
        {"log_id": other, "verdict": "returned", "count": 1}]
    assert len(attempts(relay, id)) == 100
