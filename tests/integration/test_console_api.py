"""What the console asks: whom it answers, what it tells, and what it does."""

import contextlib
import http.client
import json
import pathlib
import select
import signal
import socket

import pytest

from harness import free_port, merge, quick_config, wait_until
from harness.client import Client

TOKEN = "open sesame"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def make_console(database, broker, make_relay, tmp_path):
    """make_console(token=TOKEN, …): a relay that serves the console, and a client with its token."""
    def make(*changes, token=TOKEN, **others):
        client = Client(free_port(), BEARER if token else {})
        http = {"listen": f"127.0.0.1:{client.port}"}
        if token:
            (tmp_path / "token").write_text(f"{token}\n")
            http["token_file"] = str(tmp_path / "token")
        relay = make_relay(merge(quick_config(database.url, broker.url), {"http": http}, *changes),
                           **others).start()
        wait_until(lambda: relay.events("serving health and metrics"))
        return relay, client
    return make


@pytest.fixture
def console(make_console):
    return make_console()


def fail(database, count=1, exchange="shop", key="order.created", error="refused: 404 NOT_FOUND",
         payload=b'{"order": 1}', message_id=None, headers=None):
    """Rows that have failed; their ids."""
    rows = database.query(
        """INSERT INTO message_log (message_id, exchange, routing_key, payload, status, try_count,
                                    last_error, headers)
           SELECT coalesce(%s, 'order-' || n), %s, %s, %s, 'failed', 3, %s, %s
             FROM generate_series(1, %s) n RETURNING id""",
        [message_id, exchange, key, payload, error, headers and json.dumps(headers), count])
    return [row["id"] for row in rows]


# --- whom it answers -------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["status", "relays", "rows", "rows/1"])
@pytest.mark.parametrize("given", ["", "Bearer", "Bearer open", f"Bearer {TOKEN}x", f"Basic {TOKEN}"])
def test_no_question_is_answered_without_the_token(console, path, given):
    relay, client = console
    status, answer = client.ask(path, Authorization=given)
    assert status == 401 and answer == {"error": "a bearer token is wanted"}
    relay.stop()


def test_nothing_is_done_without_the_token(database, console):
    relay, client = console
    (id,) = fail(database)
    status, answer = client.act("requeue", {"ids": [id]}, Authorization="Bearer wrong")
    assert status == 401 and database.statuses() == {"failed": 1}
    relay.stop()


def test_where_there_is_no_token_figures_are_for_localhost_and_rows_for_nobody(
        database, make_console):
    relay, client = make_console(token=None)
    (id,) = fail(database)
    for path in ("status", "relays"):
        assert client.ask(path)[0] == 200
        # A site whose name came to mean 127.0.0.1 is what a browser names then.
        status, answer = client.ask(path, Host="evil.example")
        assert status == 403 and "localhost only" in answer["error"]
        for host in ("localhost", "LOCALHOST:1", "[::1]:9753"):
            assert client.ask(path, Host=host)[0] == 200
        for host in ("localhost.evil.example", "127.0.0.1.evil.example", ""):
            assert client.ask(path, Host=host)[0] == 403
    for path in ("rows", f"rows/{id}"):
        status, answer = client.ask(path)
        assert status == 403 and "http.token_file is not set" in answer["error"]
    status, answer = client.act("requeue", {"ids": [id]})
    assert status == 403 and database.statuses() == {"failed": 1}
    assert client.ask("status")[1]["shows_rows"] is False
    relay.stop()


@pytest.mark.parametrize("headers, status", [
    ({"Origin": "https://evil.example"}, 403),
    ({"Origin": "null"}, 403),
    ({"Sec-Fetch-Site": "cross-site"}, 403),
    ({"Sec-Fetch-Site": "same-site"}, 403),
    ({"Content-Type": "text/plain"}, 415),
    ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
    ({"Content-Type": "application/jsonp"}, 415),
    ({"Origin": "http://console.example", "Host": "console.example",
      "Sec-Fetch-Site": "same-origin", "Content-Type": "application/json; charset=utf-8"}, 200),
])
def test_another_site_can_do_nothing(database, console, headers, status):
    relay, client = console
    (id,) = fail(database)
    assert client.act("requeue", {"ids": [id]}, **headers)[0] == status
    assert (database.row(id)["status"] == "failed") == (status != 200)
    relay.stop()


@pytest.mark.parametrize("path, method, status", [
    ("/api/requeue", "GET", 405), ("/api/rows", "POST", 405), ("/api/status", "DELETE", 405),
    ("/api/rows", "OPTIONS", 405), ("/api/nothing", "GET", 404), ("/api/rows/", "GET", 404),
    ("/console/nothing.js", "GET", 404), ("/console/../console.js", "GET", 404)])
def test_what_there_is_not_is_refused(console, path, method, status):
    relay, client = console
    assert client.request(path, method)[0] == status
    relay.stop()


# --- the page's files ------------------------------------------------------------------------


def test_the_page_may_load_nothing_from_elsewhere_and_be_in_no_frame(console):
    relay, client = console
    status, headers, _ = client.request("/console", headers={"Authorization": ""})
    assert status == 301 and headers["Location"] == "console/"
    folder = pathlib.Path(__file__).parents[2] / "relay/monitor/console"
    files = {file.name: file.read_text() for file in folder.iterdir() if file.suffix != ".sh"}
    types = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
    for name, text in files.items():
        # Without the token: there is nothing in them.
        path = "/console/" + name.replace("index.html", "")
        status, headers, body = client.request(path, headers={"Authorization": ""})
        assert status == 200 and body == text
        assert headers["Content-Type"].startswith(types[pathlib.Path(name).suffix])
        assert headers["Content-Security-Policy"].startswith("default-src 'none';")
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["X-Frame-Options"] == "DENY" and headers["Cache-Control"] == "no-store"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "innerHTML" not in body and "://" not in body.replace("http://www.w3.org/", "")
    relay.stop()


# --- where it is served ----------------------------------------------------------------------


def test_beyond_loopback_it_is_off_unless_asked_for_with_a_token(database, broker, make_console,
                                                               make_relay, tmp_path):
    port = free_port()
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    # Not listened on: check only reads the file.
    def check(**http):
        relay = make_relay(merge(quick_config(database.url, broker.url), {"http": {
            "listen": f"192.0.2.1:{port}", **http}}))
        return relay.run("check", check=None)
    refused = check(console="on")
    assert refused.returncode == 78
    assert "http.console: on an address beyond loopback it wants http.token_file" \
        in refused.stdout + refused.stderr
    assert check().returncode == 0
    assert check(console="on", token_file=str(tmp_path / "token")).returncode == 0
    relay, client = make_console({"http": {"console": "off"}})
    for path in ("/console", "/console/", "/api/status", "/api/rows"):
        assert client.request(path)[0] == 404
    assert client.request("/metrics")[0] == 200
    relay.stop()


def status_of(client):
    with contextlib.suppress(OSError, http.client.HTTPException):  # it is being started anew
        return client.request("/api/relays")[0]


def test_a_reload_turns_it_off_and_on(console):
    relay, client = console
    for mode, status in (("off", 404), ("loopback", 200)):
        relay.configure(merge(relay.config, {"http": {"console": mode}}))
        relay.signal(signal.SIGHUP)
        wait_until(lambda: status_of(client) == status)
    relay.stop()


# --- what it tells ---------------------------------------------------------------------------


def test_the_status_has_what_the_relay_counted(database, broker, make_console):
    relay, client = make_console({"relay": {"name": "vm-one"}})
    exchange = broker.exchange()
    broker.queue(exchange)
    database.insert_many(5, exchange)
    database.wait_for_statuses(sent=5)
    wait_until(lambda: client.ask("status")[1]["counts"]["sent"] == 5)
    status = client.ask("status")[1]
    assert status["ready"] and status["database"]["up"] and status["broker"]["up"]
    assert status["relay"] == "vm-one" and status["shows_rows"] is True
    assert sum(status["delivery_ms"]["counts"]) == 5 == status["counts"]["verdicts"]["confirmed"]
    assert len(status["delivery_ms"]["counts"]) == len(status["delivery_ms"]["bounds"]) + 1
    wait_until(lambda: (client.ask("status")[1]["table"] or {}).get("sent") ==
               {"rows": 5, "estimate": False})
    relay.stop()


def test_relays_and_claims_are_those_of_the_table(database, make_console):
    relay, client = make_console({"relay": {"name": "vm-one"}})
    wait_until(lambda: client.ask("relays")[1]["relays"])
    (known,) = client.ask("relays")[1]["relays"]
    assert known["name"] == "vm-one" and known["connected"]
    assert client.ask("relays")[1]["claims"] == []
    relay.stop()


def test_rows_are_filtered_and_come_in_pages(database, console):
    relay, client = console
    ids = fail(database, 5)
    (other,) = fail(database, exchange="bank", key="paid", error="Returned: 312 NO_ROUTE", message_id="p")
    (odd,) = fail(database, exchange="a&b=c/ü%", key="<i>", message_id="q")

    def rows(query):
        status, answer = client.ask(f"rows?{query}")
        assert status == 200, answer
        return [row["id"] for row in answer["rows"]], answer["more"]

    assert rows("status=failed") == ([odd, other, *reversed(ids)], False)
    assert rows("exchange=bank") == ([other], False)
    assert rows("exchange=a%26b%3Dc/%C3%BC%25&routing_key=%3Ci%3E") == ([odd], False)
    assert rows("error=no_route") == ([other], False)
    assert rows("exchange=shop&limit=2") == ([ids[4], ids[3]], True)
    assert rows(f"exchange=shop&limit=3&after={ids[3]}") == ([ids[2], ids[1], ids[0]], False)
    assert rows("older=1h") == ([], False) and len(rows("newer=1h")[0]) == 7
    assert rows("status=sent") == ([], False)
    relay.stop()


@pytest.mark.parametrize("query", ["status=lost", "older=soon", "newer=-1h", "limit=0", "limit=201",
                                   "limit=x", "after=-1", "after=1;DROP"])
def test_a_question_that_makes_no_sense_is_refused_with_the_reason(console, query):
    relay, client = console
    status, answer = client.ask(f"rows?{query}")
    assert status == 400 and answer["error"]
    relay.stop()


def test_a_row_is_told_with_its_history_and_the_beginning_of_its_body(database, console):
    relay, client = console
    database.query("SELECT message_log_send('nowhere', 'k', 'x')")
    database.wait_for_statuses(failed=1)
    (row,) = client.ask("rows")[1]["rows"]
    status, told = client.ask(f"rows/{row['id']}")
    assert status == 200 and len(told["attempts"]) == 3
    assert all("NOT_FOUND" in attempt["reason"] for attempt in told["attempts"])
    assert (told["payload_kind"], told["payload"]) == ("text", "x")
    assert client.ask(f"rows/{row['message_id']}")[1]["id"] == row["id"]

    (big,) = fail(database, payload=("ü" * 5000).encode(), message_id="big")
    told = client.ask(f"rows/{big}")[1]
    assert told["payload"] == "ü" * 2048 and told["payload_bytes"] == 10000
    (raw,) = fail(database, payload=b"\x00\xff<b>", message_id="a/b c?")
    told = client.ask("rows/a%2Fb%20c%3F")[1]
    assert told["id"] == raw and told["payload_kind"] == "binary"
    assert told["payload"].startswith("00000000  00 ff 3c 62 3e ")
    (tree,) = fail(database, payload=b'{"n": 12345678901234567890}', headers={"a": 1},
                   message_id="json")
    told = client.ask(f"rows/{tree}")[1]
    assert told["payload"] == '{\n  "n": 12345678901234567890\n}' and told["headers"] == {"a": 1}
    status, answer = client.ask("rows/999999")
    assert status == 404 and "no row" in answer["error"]
    relay.stop()


# --- requeueing ------------------------------------------------------------------------------


def test_chosen_rows_are_requeued_and_sent(database, broker, console):
    relay, client = console
    exchange = broker.exchange()
    queue = broker.queue(exchange)
    ids = fail(database, 3, exchange=exchange)
    status, answer = client.act("requeue", {"ids": ids[:2]})
    assert status == 200 and answer["changed"] == 2 == answer["matched"]
    database.wait_for_statuses(sent=2, failed=1)
    assert sorted(m.message_id for m in broker.drain(queue)) == ["order-1", "order-2"]
    relay.stop()


def test_all_that_match_are_requeued_step_by_step(database, broker, console):
    relay, client = console
    exchange = broker.exchange()
    broker.queue(exchange)
    fail(database, 2500, exchange=exchange)
    request = {"filter": {"exchange": exchange}}
    looked = client.act("requeue", {**request, "dry_run": True})[1]
    assert looked["matched"] == 2500 and looked["changed"] == 0
    assert database.statuses() == {"failed": 2500}
    steps, place = [], {}
    while not steps or not steps[-1]["done"]:
        status, step = client.act("requeue", {**request, **place})
        assert status == 200
        steps.append(step)
        place = {"after_id": step["after_id"], "upto_id": step["upto_id"]}
    assert sum(step["changed"] for step in steps) == 2500
    assert max(step["changed"] for step in steps) <= 1000
    database.wait_for_statuses(sent=2500)
    relay.stop()


@pytest.mark.parametrize("body", [
    {}, {"ids": []}, {"ids": ["1"]}, {"ids": [0]}, {"ids": list(range(1, 1002))}, {"ids": 1},
    {"filter": {"older": "soon"}}, {"filter": {}, "ids": [1]}, {"filter": "all"},
    {"filter": {}, "after_id": -1}, [], "x", 5])
def test_a_request_that_does_not_say_which_rows_changes_none(database, console, body):
    relay, client = console
    fail(database, 3)
    status, answer = client.act("requeue", body)
    assert status == 400 and answer["error"]
    assert database.statuses() == {"failed": 3}
    relay.stop()


def test_a_body_that_is_no_json_or_too_large_is_refused(console):
    relay, client = console
    json_type = {"Content-Type": "application/json"}
    assert client.request("/api/requeue", "POST", json_type, '{"ids": [1')[0] == 400
    assert client.request("/api/requeue", "POST", json_type, '{"ids": [1], "ids": [2]}')[0] == 400
    assert client.request("/api/requeue", "POST", json_type, "[" * 60000)[0] == 400
    assert client.request("/api/requeue", "POST", json_type, " " * 70000)[0] == 413
    relay.stop()


@contextlib.contextmanager
def locked(database, table="message_log"):
    """Nobody else gets at the table."""
    with contextlib.closing(database.connect()) as holder:
        holder.cursor().execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        yield


def is_waiting(database):
    return database.query("""SELECT pid FROM pg_stat_activity
                              WHERE application_name = 'outbox-relay console'
                                AND datname = current_database() AND wait_event_type = 'Lock'""")


# --- in bad weather --------------------------------------------------------------------------


def test_a_session_that_was_ended_is_opened_again_unseen(database, console):
    relay, client = console
    assert client.ask("rows")[0] == 200
    database.query("""SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                       WHERE application_name = 'outbox-relay console'
                         AND datname = current_database()""")
    assert client.ask("rows")[0] == 200
    relay.stop()


@contextlib.contextmanager
def asking(client, database, path):
    """A socket on which that was asked, once it waits for a lock."""
    with socket.create_connection(("127.0.0.1", client.port), 30) as waiting:
        waiting.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n"
                        f"Authorization: Bearer {TOKEN}\r\n\r\n".encode())
        wait_until(lambda: is_waiting(database))
        yield waiting


def test_while_the_console_waits_for_the_database_everybody_else_is_answered(database, console):
    relay, client = console
    assert client.ask("rows")[0] == 200
    with contextlib.ExitStack() as lock:
        lock.enter_context(locked(database))
        with asking(client, database, "/api/rows") as waiting:
            assert client.request("/livez")[0] == 200 and client.request("/metrics")[0] == 200
            assert client.ask("status")[0] == 200
            lock.close()
            assert waiting.recv(100).startswith(b"HTTP/1.1 200 ")
    relay.stop()


def test_a_question_under_way_does_not_hold_up_the_end(database, console):
    relay, client = console
    assert client.ask("rows")[0] == 200
    with locked(database, "message_log_attempt"), asking(client, database, "/api/rows/1") as waiting:
        relay.stop()
        # 503, or no answer where there was no time for it; but not what the lock had come to.
        with contextlib.suppress(ConnectionError):
            assert b"lock timeout" not in waiting.makefile("rb").read()


def test_more_questions_than_it_takes_are_refused_at_once(database, console):
    relay, client = console
    assert client.ask("rows")[0] == 200
    crowd = {}
    with locked(database), asking(client, database, "/api/rows"):  # one is under way,
        for _ in range(17):  # and sixteen may wait
            c = http.client.HTTPConnection("127.0.0.1", client.port, timeout=30)
            c.request("GET", "/api/rows", headers=BEARER)
            crowd[c.sock] = c
        refused, _, _ = select.select(list(crowd), [], [], 30)
        assert len(refused) == 1
        answer = crowd.pop(refused[0]).getresponse()
        assert answer.status == 503 and b"too many questions" in answer.read()
    assert [c.getresponse().status for c in crowd.values()] == [200] * 16
    relay.stop()


def test_an_outage_of_the_database_is_told_in_its_words(spare_database, broker, make_relay, tmp_path,
                                                       spare_postgres):
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    client = Client(free_port(), BEARER)
    relay = make_relay(merge(quick_config(spare_database.url, broker.url), {"http": {
        "listen": f"127.0.0.1:{client.port}", "token_file": str(tmp_path / "token")}})).start()
    wait_until(lambda: relay.events("serving health and metrics"))
    wait_until(lambda: client.ask("rows")[0] == 200)
    spare_postgres.stop("postgres")
    status, answer = client.ask("rows")
    assert status == 503 and answer["error"]
    assert client.ask("status")[0] == 200
    spare_postgres.start("postgres")
    wait_until(lambda: client.ask("rows")[0] == 200)
    relay.stop()
