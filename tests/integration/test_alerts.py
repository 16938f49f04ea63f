"""Alerts to a webhook: what is told, in which form, and what a webhook may do to the relay."""

import collections
import json
import os
import pathlib
import re
import signal

import pytest

from harness import DEAD, free_port, merge, quick_config, run, secrets, wait_until
from harness.peer import Peer
from harness.scenario import seen
from harness.tls import Authority
from harness.webhook import SECRET, Webhook, alerts_config, drip, flood, hang, status

PAYLOAD = "the-customer-lives-in-baker-street"
REFUSED = {"CC": ["other.queue"]}  # as no header of that name is allowed


@pytest.fixture
def hook():
    with Webhook() as webhook:
        yield webhook


@pytest.fixture
def make_alerting(database, broker, make_relay):
    """make_alerting(hook, …): the relay of this test with that webhook, not started."""
    def make(hook, *others, **changes):
        return make_relay(merge(quick_config(database.url, broker.url),
                                alerts_config(hook.url, **changes), *others))
    return make


def fail_rows(database, count, key="order.created"):
    """So many rows that fail as soon as they are seen."""
    database.query("""INSERT INTO message_log (message_id, exchange, routing_key, payload, headers)
                      SELECT 'order-' || %s || n, 'shop', %s, %s, %s FROM generate_series(1, %s) n""",
                   [key, key, PAYLOAD.encode(), json.dumps(REFUSED), count])


# --- what is told ----------------------------------------------------------------------------


def test_rows_that_fail_are_told_with_number_names_and_reason(database, hook, make_alerting):
    relay = make_alerting(hook).start()
    fail_rows(database, 3)
    alert = hook.wait_for("rows_failed")
    assert alert["status"] == "firing" and alert["rows"] == 3 == alert["rows_total"]
    assert alert["summary"] == "3 rows failed"
    assert sorted(e["message_id"] for e in alert["examples"]) == \
        [f"order-order.created{n}" for n in (1, 2, 3)]
    ids = [row["id"] for row in database.query("SELECT id FROM message_log ORDER BY id DESC")]
    assert [e["id"] for e in alert["examples"]] == ids
    for example in alert["examples"]:
        assert example["exchange"] == "shop" and example["routing_key"] == "order.created"
        assert example["error"].startswith("invalid: ")
    resolved = hook.wait_for("rows_failed", status="resolved")
    assert resolved["rows_total"] == 3 and resolved["since"] == alert["since"]
    relay.stop()
    (request, *_) = hook.requests
    assert request.method == "POST" and request.headers["Content-Type"] == "application/json"
    assert request.headers["User-Agent"].startswith("outbox-relay/")
    assert "X-Outbox-Relay-Signature" not in request.headers
    assert request.message["version"] == 1 and request.message["status"] == "firing"


@pytest.mark.scenario(78)
def test_ten_thousand_rows_that_fail_at_once_are_one_message(database, hook, make_alerting):
    fail_rows(database, 10000)
    relay = make_alerting(hook, group_wait="5s", group_interval="30s").start()
    database.wait_for_statuses(failed=10000)
    alert = hook.wait_for("rows_failed")
    assert alert["rows"] == 10000 and len(alert["examples"]) == 8
    relay.stop()
    assert len(hook.requests) == 1
    seen(note=f"1 message of {len(hook.requests[0].body)} bytes")


def test_no_message_has_a_payload(database, hook, broker, make_alerting):
    relay = make_alerting(hook).start()
    fail_rows(database, 20)
    exchange = broker.exchange()
    for n in range(20):
        database.insert(exchange, f"nowhere.{n}", PAYLOAD.encode(), headers={"note": PAYLOAD})
    wait_until(lambda: sum(a["rows"] for a in hook.alerts("rows_failed")) == 40)
    relay.stop()
    assert not any(PAYLOAD.encode() in request.body for request in hook.requests)


def test_a_broker_that_is_away_and_returns_is_told(database, hook, spare_rabbitmq, make_relay):
    relay = make_relay(merge(quick_config(database.url, spare_rabbitmq.amqp_url),
                             alerts_config(hook.url))).start()
    relay.wait_for("connected", side="broker")
    spare_rabbitmq.stop("rabbitmq")
    down = hook.wait_for("broker_down", status="firing")
    assert "the broker has been down for " in down["summary"] and down["error"]
    spare_rabbitmq.start("rabbitmq")
    up = hook.wait_for("broker_down", status="resolved")
    assert up["summary"].startswith("the broker is up again after ")
    assert up["since"] == down["since"] < up["until"]
    relay.stop()
    assert hook.alerts("database_down") == []


def test_a_database_that_is_away_and_returns_is_told(spare_database, broker, hook, make_relay):
    relay = make_relay(merge(quick_config(spare_database.url, broker.url),
                             alerts_config(hook.url))).start()
    relay.wait_for("connected", side="database")
    spare_database.servers.stop("postgres")
    down = hook.wait_for("database_down", status="firing")
    assert secrets.WORD not in down["summary"]
    spare_database.servers.start("postgres")
    hook.wait_for("database_down", status="resolved")
    relay.stop()
    assert hook.alerts("broker_down") == []


def test_a_broker_that_blocks_is_told(database, hook, make_relay):
    with Peer(lambda publish: publish.session.block()) as peer:
        relay = make_relay(merge(quick_config(database.url, peer.url),
                                 alerts_config(hook.url))).start()
        database.insert()
        alert = hook.wait_for("broker_blocked", status="firing")
        assert alert["summary"].startswith("the broker has taken no messages for ")
        relay.stop()


def test_a_row_that_is_due_for_long_is_told_until_it_is_sent(database, hook, make_relay):
    with Peer() as peer:
        relay = make_relay(merge(quick_config(database.url, peer.url),
                                 alerts_config(hook.url))).start()
        database.insert()
        alert = hook.wait_for("oldest_due", status="firing")
        assert alert["summary"].startswith("a row has been due for ")
        peer.published[0].ack()
        hook.wait_for("oldest_due", status="resolved")
        relay.stop()


def test_a_parked_destination_is_told_and_that_it_opens(database, broker, hook, make_alerting):
    missing = broker.prefix + "missing"
    relay = make_alerting(hook).start()
    database.query("INSERT INTO message_log (exchange, payload) SELECT %s, '' "
                   "FROM generate_series(1, 50)", [missing])
    alert = hook.wait_for("destination_parked", status="firing")
    assert alert["exchange"] == missing and alert["routing_key"] is None
    assert "404 NOT_FOUND" in alert["error"]
    broker.queue(broker.exchange("missing"))
    opened = hook.wait_for("destination_parked", status="resolved")
    assert opened["exchange"] == missing and opened["since"] == alert["since"]
    relay.stop()


def test_rows_that_wait_for_a_parked_destination_are_overdue(database, broker, hook,
                                                             make_alerting):
    relay = make_alerting(hook).start()
    database.query("INSERT INTO message_log (exchange, payload) SELECT %s, '' "
                   "FROM generate_series(1, 50)", [broker.prefix + "missing"])
    relay.wait_for("destination parked")
    hook.wait_for("oldest_due", status="firing")
    database.query("DELETE FROM message_log")
    hook.wait_for("oldest_due", status="resolved")
    relay.stop()


def test_a_job_tells_what_failed_before_it_ends(database, hook, make_alerting):
    fail_rows(database, 3)
    make_alerting(hook, group_wait="10m").run_until_empty()
    assert hook.alerts("rows_failed")[0]["rows"] == 3


@pytest.mark.scenario(fault="rows fail, and SIGTERM at once", expected="told before the end")
def test_at_the_end_the_last_failures_are_told(database, hook, make_alerting):
    relay = make_alerting(hook, group_wait="10m", group_interval="1h").start()
    fail_rows(database, 3)
    database.wait_for_statuses(failed=3)
    relay.stop()
    assert [alert["rows"] for alert in hook.alerts("rows_failed")] == [3]


@pytest.mark.scenario(fault="SIGTERM while acks are held back until shutdown_timeout",
                      expected="what failed is told meanwhile")
def test_failures_are_told_while_the_relay_waits_for_its_last_acks(database, hook, make_relay):
    with Peer() as peer:
        relay = make_relay(merge(
            quick_config(database.url, peer.url),
            alerts_config(hook.url, group_wait="10m", group_interval="1h"),
            {"relay": {"shutdown_timeout": "4s"}})).start()
        fail_rows(database, 3)
        database.wait_for_statuses(failed=3)
        database.insert()
        wait_until(lambda: peer.published)
        relay.signal(signal.SIGTERM)
        hook.wait_for("rows_failed")
        relay.wait()
    order = [line["event"] for line in relay.events()]
    assert order.index("stopping") < order.index("alert delivered") < order.index("stopped")


# --- formats ---------------------------------------------------------------------------------


def test_slack_gets_a_text(database, hook, make_alerting):
    relay = make_alerting(hook, webhook={"format": "slack"}).start()
    fail_rows(database, 2, key="<!channel>")
    (request,) = hook.wait_for_requests(1)
    assert list(request.message) == ["text"]
    head, failed, *examples = request.message["text"].splitlines()
    assert head == f"outbox-relay {os.uname().nodename}" and failed == "FIRING: 2 rows failed"
    assert len(examples) == 2 and "to shop with &lt;!channel&gt;: invalid: " in examples[0]
    relay.stop()


RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def check_postable_alerts(alerts):
    """The shape that Alertmanager's OpenAPI description gives to the body of POST /api/v2/alerts,
    and its rules for the names of labels."""
    assert isinstance(alerts, list) and alerts
    for alert in alerts:
        assert set(alert) == {"labels", "annotations", "startsAt", "endsAt"}
        assert alert["labels"]["alertname"]
        for labels in (alert["labels"], alert["annotations"]):
            assert all(re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", name) for name in labels)
            assert all(isinstance(value, str) and value for value in labels.values())
        assert RFC_3339.fullmatch(alert["startsAt"]) and RFC_3339.fullmatch(alert["endsAt"])
        assert alert["startsAt"] <= alert["endsAt"]


def test_alertmanager_gets_what_it_takes(database, hook, make_relay):
    config = merge(quick_config(database.url, DEAD),
                   alerts_config(hook.url, webhook={"format": "alertmanager"}))
    with Peer() as peer:
        relay = make_relay(merge(config, {"broker": {"urls": [f"amqp://{DEAD}"]}})).start()
        (first,) = hook.wait_for_requests(1)
        relay.configure(merge(config, {"broker": {"urls": [peer.url]}}))
        relay.signal(signal.SIGHUP)
        second = hook.wait_for_requests(2)[1]
        relay.stop()
    for request in (first, second):
        check_postable_alerts(request.message)
    (firing,), (resolved,) = first.message, second.message
    assert firing["labels"] == resolved["labels"]
    assert firing["labels"]["alertname"] == "OutboxRelayBrokerDown"
    assert firing["startsAt"] == resolved["startsAt"] < resolved["endsAt"] < firing["endsAt"]


# --- who may have sent it, and to whom -------------------------------------------------------


def test_a_message_is_signed_with_the_secret(database, hook, make_alerting, tmp_path):
    (tmp_path / "secret").write_text(SECRET + "\n")
    (tmp_path / "url").write_text(hook.url + "\n")
    relay = make_alerting(hook, webhook={"secret_file": str(tmp_path / "secret"),
                                         "url": "https://nobody.invalid/",
                                         "url_file": str(tmp_path / "url")}).start()
    fail_rows(database, 1)
    (request,) = hook.wait_for_requests(1)
    assert request.is_signed() and not request.is_signed("another")
    relay.stop()


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("stranger"), "stranger")


def test_a_webhook_with_a_certificate_of_a_known_authority_is_told(database, make_alerting,
                                                                   authority):
    with Webhook(certificate=authority.issue("localhost", "DNS:localhost")) as hook:
        relay = make_alerting(hook, webhook={"allow_http": False, "tls": {
            "ca_file": str(authority.certificate)}}).start()
        fail_rows(database, 1)
        hook.wait_for("rows_failed")
        relay.stop()


@pytest.mark.scenario(77, fault="the webhook's certificate is wrong",
                      expected="nothing is sent; tried again")
@pytest.mark.parametrize("names, days, known", [
    (["DNS:localhost"], 30, False), (["DNS:localhost"], 0, True), (["DNS:elsewhere"], 30, True),
], ids=["unknown authority", "expired", "another host"])
def test_a_webhook_with_a_wrong_certificate_is_told_nothing(database, make_alerting, authority,
                                                            stranger, names, days, known):
    with Webhook(certificate=authority.issue("wrong", *names, days=days)) as hook:
        trusted = authority if known else stranger
        relay = make_alerting(hook, webhook={"allow_http": False, "tls": {
            "ca_file": str(trusted.certificate)}}).start()
        fail_rows(database, 1)
        line = relay.wait_for("alert not delivered yet", count=2)
        assert "certificate" in line["error"]
        assert hook.requests == []
        relay.stop()


@pytest.mark.parametrize("webhook, words", [
    ({"url": f"http://localhost/{secrets.WORD}"}, "http:// is not protected: use https://, or set "
     "alerts.webhook.allow_http"),
    ({"url": f"file:///{secrets.WORD}"}, "is not a URL such as https://host/path"),
    ({"url": f"ftp://localhost/{secrets.WORD}"}, "must begin with https://"),
    ({"url": f"hooks.example.com/{secrets.WORD}"}, "is not a URL such as https://host/path"),
    ({"url": f"https:///{secrets.WORD}"}, "is not a URL such as https://host/path"),
    ({"url": f"https://h:99999/{secrets.WORD}"}, "is not a URL such as https://host/path"),
    ({"url": f"https://a:{secrets.WORD}@"}, "is not a URL such as https://host/path"),
    ({"url": "https://h/", "tls": {"ca_file": "/nowhere"}}, "/nowhere"),
])
def test_a_webhook_that_cannot_be_is_refused_with_its_line(database, make_relay, webhook, words):
    relay = make_relay(merge(quick_config(database.url, "amqp://localhost"),
                             {"alerts": {"webhook": webhook}}))
    for command in ("check", "run"):
        done = relay.run(command, check=78)
        key = "tls" if "tls" in webhook else "url"
        line = 1 + relay.config_file.read_text().splitlines().index(
            next(text for text in relay.config_file.read_text().splitlines()
                 if text.startswith(f"    {key}:")))
        assert f"outbox-relay.yaml:{line}:5: alerts.webhook.{key}: " in done.stdout + done.stderr
        assert words in done.stdout + done.stderr


def test_check_says_that_a_webhook_in_plain_text_is_not_protected(database, broker, make_relay):
    def check(url):
        relay = make_relay(merge(quick_config(database.url, broker.url),
                                 {"alerts": {"webhook": {"url": url, "allow_http": True}}}))
        return relay.run("check").stdout
    assert "alerts TLS" in check("http://hooks.example.com/")
    for url in ("http://127.0.0.1/", "http://localhost:80/", "http://[::1]/", "https://h/"):
        assert "alerts TLS" not in check(url)


# --- webhooks that misbehave -----------------------------------------------------------------


@pytest.mark.scenario(77, fault="the webhook answers 429, 500, 503, 408, then 200",
                      expected="tried again, later and later, the same message")
def test_a_webhook_that_fails_for_a_while_is_tried_again(database, make_alerting):
    with Webhook(status(429, Retry_After="2"), status(500), status(503), status(408),
                 status(200)) as hook:
        relay = make_alerting(hook).start()
        fail_rows(database, 3)
        requests = hook.wait_for_requests(5)
        assert len({request.body for request in requests}) == 1
        relay.wait_for("alert delivered", tries=5)
        lines = relay.events("alert not delivered yet")
        assert [line["error"] for line in lines] == [f"HTTP {n}" for n in (429, 500, 503, 408)]
        assert lines[0]["retry_in_ms"] == 2000  # as it asked
        for line, seconds in zip(lines[1:], (2, 4, 8)):
            assert 800 * seconds <= line["retry_in_ms"] <= 1200 * seconds
        assert all(line["webhook"] == f"http://localhost:{hook.port}/***" for line in lines)
        relay.stop()


@pytest.mark.parametrize("code", [400, 401, 403, 404, 410, 413])
def test_a_message_that_is_refused_is_not_sent_again(database, make_alerting, code):
    with Webhook(status(code), status(200)) as hook:
        relay = make_alerting(hook).start()
        fail_rows(database, 3)
        line = relay.wait_for("alert not delivered")
        assert line["error"] == f"HTTP {code}" and line["tries"] == 1
        fail_rows(database, 2, key="second")
        relay.wait_for("alert delivered")
        assert hook.alerts("rows_failed", rows=2)
        assert len(hook.requests) == 2
        relay.stop()


@pytest.mark.scenario(77, fault="the webhook redirects to a file, to another host, to itself",
                      expected="not followed, not tried again")
@pytest.mark.parametrize("code", [301, 302, 307, 308])
@pytest.mark.parametrize("to", ["file:///etc/passwd", "http://169.254.169.254/latest/meta-data",
                                "other", "itself"])
def test_a_redirect_is_not_followed(database, make_alerting, hook, code, to):
    with Webhook() as other:
        target = {"other": other.url, "itself": hook.url}.get(to, to)
        hook.answers = [status(code, Location=target)]
        relay = make_alerting(hook).start()
        fail_rows(database, 1)
        line = relay.wait_for("alert not delivered")
        assert line["error"] == f"HTTP {code}: redirects are not followed"
        relay.stop()
        assert len(hook.requests) == 1 and other.requests == []


@pytest.mark.scenario(77, fault="the webhook answers 1 GiB", expected="cut off")
@pytest.mark.parametrize("code", [200, 500])
def test_of_an_endless_answer_little_is_read(database, make_alerting, code):
    with Webhook(flood(code)) as hook:
        relay = make_alerting(hook).start()
        fail_rows(database, 1)
        if code == 200:
            relay.wait_for("alert delivered")
        else:
            assert relay.wait_for("alert not delivered yet")["error"] == "HTTP 500"
        assert hook.flooded < 64 << 20
        seen(note=f"after {hook.flooded >> 20} MiB at most")
        relay.stop()


@pytest.mark.scenario(77, fault="the webhook drips its answer", expected="given up in time")
def test_a_webhook_that_drips_is_given_up_in_time(database, make_alerting):
    with Webhook(drip(b"HTTP/1.1 200 ")) as hook:
        relay = make_alerting(hook, webhook={"timeout": "500ms"}).start()
        fail_rows(database, 1)
        assert "timed out" in relay.wait_for("alert not delivered yet", count=2)["error"]
        relay.stop()


@pytest.mark.scenario(77, fault="the webhook answers 200, and then drips",
                      expected="given up in time; delivered")
def test_of_a_webhook_that_drips_behind_its_status_the_status_counts(database, make_alerting):
    with Webhook(drip(b"HTTP/1.1 200 OK\r\nX-Slow: ")) as hook:
        relay = make_alerting(hook, webhook={"timeout": "500ms"}).start()
        fail_rows(database, 1)
        relay.wait_for("alert delivered")
        relay.stop()
        assert len(hook.requests) == 1


@pytest.mark.scenario(76)
def test_a_webhook_that_hangs_does_not_hold_up_the_relay(database, broker, make_alerting):
    exchange = broker.exchange()
    queue = broker.queue(exchange)
    with Webhook(hang) as hook:
        relay = make_alerting(hook, webhook={"timeout": "60s"}).start()
        fail_rows(database, 1)
        hook.wait_for_requests(1)
        database.insert_many(2000, exchange, "order.message")
        fail_rows(database, 500, key="second")
        database.wait_for_statuses(sent=2000, failed=501)
        assert broker.count(queue) == 2000
        assert [request.answered for request in hook.requests] == [False]
        hook.answers = []
        relay.stop()  # within its shutdown_timeout, or wait() fails


@pytest.mark.scenario(76, fault="the webhook hangs for a while", expected="what happened "
                      "meanwhile is one message")
def test_what_happens_while_the_webhook_hangs_is_one_message(database, make_alerting):
    with Webhook(hang, status(200)) as hook:
        relay = make_alerting(hook, webhook={"timeout": "3s"}).start()
        fail_rows(database, 1)
        hook.wait_for_requests(1)
        for n in range(5):
            fail_rows(database, 100, key=f"meanwhile{n}")
            database.wait_for_statuses(failed=1 + 100 * (n + 1))
        wait_until(lambda: hook.alerts("rows_failed", rows=500))
        relay.stop()
        assert [alert["rows"] for alert in hook.alerts("rows_failed")] == [1, 1, 500]


@pytest.mark.scenario(76, fault="SIGTERM while the webhook hangs", expected="ends in time, exit 0")
def test_a_webhook_that_hangs_does_not_hold_up_the_end(database, make_alerting):
    with Webhook(hang) as hook:
        relay = make_alerting(hook, {"relay": {"shutdown_timeout": "3s"}},
                              webhook={"timeout": "60s"}).start()
        fail_rows(database, 1)
        hook.wait_for_requests(1)
        relay.signal(signal.SIGTERM)
        assert relay.wait(30) == 0
        assert relay.events("alert dropped")[0]["reason"] == "the relay ends"


@pytest.mark.scenario(76, fault="the webhook is gone", expected="tried again, and then given up")
def test_a_webhook_that_is_gone_is_given_up_after_a_while(database, make_alerting):
    port = free_port()
    with Webhook() as hook:
        hook.port, hook.scheme = port, "http"
        relay = make_alerting(hook, webhook={"retry_for": "2s"}).start()
        fail_rows(database, 1)
        line = relay.wait_for("alert not delivered")
        assert line["tries"] == 2 and line["webhook"] == f"http://localhost:{port}/***"
        relay.stop()


# --- configuration and metrics ---------------------------------------------------------------


def test_a_reload_takes_another_webhook(database, hook, make_alerting):
    with Webhook() as other:
        relay = make_alerting(hook).start()
        fail_rows(database, 1)
        hook.wait_for("rows_failed")
        relay.configure(merge(relay.config, alerts_config(other.url)))
        relay.signal(signal.SIGHUP)
        relay.wait_for("starting", count=2)
        before = len(hook.requests)
        fail_rows(database, 2, key="second")
        assert other.wait_for("rows_failed")["rows"] == 2
        assert len(hook.requests) == before
        relay.stop()


def test_a_reload_that_does_not_concern_them_forgets_no_alert(database, hook, make_alerting):
    with Peer() as peer:
        relay = make_alerting(hook, {"broker": {"urls": [f"amqp://{DEAD}"]}}).start()
        firing = hook.wait_for("broker_down", status="firing")
        relay.configure(merge(relay.config, {"broker": {"urls": [peer.url]}}))
        relay.signal(signal.SIGHUP)
        resolved = hook.wait_for("broker_down", status="resolved")
        relay.stop()
    assert resolved["since"] == firing["since"]
    assert len(hook.alerts("broker_down")) == 2


def test_messages_are_counted(database, make_alerting):
    import http.client

    def metrics():
        connection = http.client.HTTPConnection("127.0.0.1", port, 10)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        return {name: float(re.search(rf"^outbox_relay_alerts_{name}_total (\d+)$", text, re.M)[1])
                for name in ("sent", "failed", "dropped")}

    port = free_port()
    with Webhook(status(404), status(500), status(200)) as hook:
        relay = make_alerting(hook, {"http": {"listen": f"127.0.0.1:{port}"}}).start()
        fail_rows(database, 1)
        relay.wait_for("alert not delivered")
        assert metrics() == {"sent": 0, "failed": 1, "dropped": 0}
        fail_rows(database, 1, key="second")
        relay.wait_for("alert delivered")
        assert metrics() == {"sent": 1, "failed": 1, "dropped": 0}
        relay.stop()


def test_without_a_webhook_there_are_no_threads_and_no_library_for_it(
        database, make_alerting, hook):
    def cost(*changes):
        relay = make_alerting(hook, *changes).start()
        relay.wait_for("connected", side="broker")
        process = pathlib.Path(f"/proc/{relay.process.pid}")
        threads = len(list((process / "task").iterdir()))
        maps = (process / "maps").read_text()
        relay.stop()
        (starting,) = relay.events("starting")
        assert ("libcurl" in maps) == ("libcurl" in starting["libraries"])
        return threads, "libcurl" in maps

    # One tells, and one asks the database what is due. (A sanitizer has threads, too.)
    assert cost({"alerts": None}) == (1, False)
    threads, has_library = cost()
    assert threads >= 3 and has_library


def test_alerts_without_a_libcurl_that_can_be_loaded_are_refused(database, make_relay, tmp_path):
    (tmp_path / "libcurl.so.4").write_bytes(b"")
    relay = make_relay(merge(quick_config(database.url, "amqp://localhost"),
                             {"alerts": {"webhook": {"url": "https://h/"}}}))
    relay.env = {"LD_LIBRARY_PATH": str(tmp_path)}
    for command in ("check", "run"):
        done = relay.run(command, check=78)
        assert "alerts.webhook.url: webhooks need libcurl: " in done.stdout + done.stderr
        assert "libcurl.so.4: file too short" in done.stdout + done.stderr


def test_the_url_of_the_webhook_is_shown_without_its_path(database, hook, make_alerting):
    relay = make_alerting(hook).start()
    line = relay.wait_for("configuration", section="alerts")
    assert line["url"] == f"http://localhost:{hook.port}/***"
    relay.stop()
