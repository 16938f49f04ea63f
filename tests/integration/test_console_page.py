"""The console's page, in a real browser."""

import json
import threading

import pytest

from harness import browser, free_port, merge, quick_config, wait_until

pytestmark = [pytest.mark.skipif(browser.MISSING is not None, reason=browser.MISSING or ""),
              pytest.mark.xdist_group("browser")]  # one Chromium, not one a worker

TOKEN = "open sesame"
MARKUP = "<img src=x onerror='window.harmed=1'><script>window.harmed=1</script>&lt;b&gt;"


@pytest.fixture(scope="module")
def _browser(tmp_path_factory):
    page = browser.start(tmp_path_factory.mktemp("chromium"))
    yield page
    page.close()


@pytest.fixture
def make_page(_browser, database, broker, make_relay, tmp_path):
    """make_page(…): a relay with a console, and its page before a token was given."""
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    made = []

    def make(token=True, amqp_url=broker.url):
        http = {"listen": f"127.0.0.1:{free_port()}"}
        if token:
            http["token_file"] = str(tmp_path / "token")
        relay = make_relay(merge(quick_config(database.url, amqp_url),
                                 {"http": http, "relay": {"name": "shop-1"}})).start()
        wait_until(lambda: relay.events("serving health and metrics"))
        _browser.prefer("light")
        _browser.resize(1280, 1000)
        made.append(relay)
        return relay, _browser.open(f"http://{http['listen']}/console/")

    yield make
    # What a browser holds against a page (an error, or what its policy forbids) it says there.
    assert [line for line in _browser.log() if "401" not in line and "ERR_CONNECTION" not in line
            and "ERR_EMPTY_RESPONSE" not in line and "503" not in line] == []
    for relay in made:
        if relay.is_running():
            relay.stop()


def log_in(page, token=TOKEN):
    wait_until(lambda: page.find("#token"), what="to be asked for the token")
    page.write("#token", token)
    page.click("#token-form [type=submit]")


@pytest.fixture
def page(make_page):
    _, page = make_page()
    log_in(page)
    wait_until(lambda: page.find("#rows-open"), what="the rows")
    return page


def fail(database, count=1, exchange="shop", key="order.created", payload='{"order": 1}',
         error="refused: 404 NOT_FOUND - no exchange 'shop' in vhost '/'"):
    rows = database.query(
        """INSERT INTO message_log (exchange, routing_key, payload, status, try_count, last_error)
           SELECT %s, %s, convert_to(%s, 'UTF8'), 'failed', 3, %s FROM generate_series(1, %s)
           RETURNING id""", [exchange, key, payload, error, count])
    return [row["id"] for row in rows]


def shown(page):
    """The ids of the rows that are listed."""
    return [int(text) for text in page.run("""
        return [...document.querySelectorAll("#rows-table tbody button.link")].map(b => b.textContent)""")]


# --- loading it ------------------------------------------------------------------------------


def test_the_page_asks_for_the_token_and_says_when_it_is_refused(make_page):
    relay, page = make_page()
    wait_until(lambda: page.find("#token"))
    assert page.text("#rows-open") == "" and "–" in page.text("#due")
    log_in(page, "wrong")
    wait_until(lambda: "refused" in page.text("#token-problem"))
    assert page.run("return sessionStorage.length") == 0
    log_in(page)
    wait_until(lambda: page.text("#state") == "ready" and page.find("#rows-open"))
    assert "shop-1" in page.text("h1") and "shop-1" in page.driver.title
    # Nobody else has it, and it is in no address.
    assert TOKEN not in page.run("return document.documentElement.outerHTML + location.href")
    assert page.run("return localStorage.length + document.cookie.length") == 0


def test_without_a_token_the_page_shows_figures_and_no_rows(make_page):
    relay, page = make_page(token=False)
    wait_until(lambda: page.text("#state") == "ready")
    assert "set http.token_file" in page.text("#rows-closed")
    assert page.find("#rows-open") is None and page.find("#token-button") is None
    wait_until(lambda: "shop-1" in page.text("#relays"))


def test_the_page_loads_nothing_from_elsewhere(page):
    origin = page.run("return location.origin")
    loaded = page.run("return performance.getEntriesByType('resource').map(e => e.name)")
    assert len(loaded) > 5 and all(name.startswith(f"{origin}/") for name in loaded)


# --- what it shows ---------------------------------------------------------------------------


def test_figures_and_charts_live(database, broker, page):
    exchange = broker.exchange()
    broker.queue(exchange)
    is_over = threading.Event()

    def load():
        while not is_over.wait(0.05):
            database.insert_many(50, exchange)

    thread = threading.Thread(target=load)
    thread.start()
    try:
        wait_until(lambda: page.text("#throughput .legend .first") not in ("sent – /s", "sent 0 /s"))
        wait_until(lambda: "– ms" not in page.text("#latency .legend"))
        wait_until(lambda: page.text("#sent") not in ("–", "0"))
        assert "up" == page.text("#database") == page.text("#broker")
        fail(database, 3, error=MARKUP)
        fail(database, 5)
        page.click("#filter [type=submit]")
        wait_until(lambda: len(shown(page)) == 8)
        wait_until(lambda: page.text("#failed") == "8")
        wait_until(lambda: page.run(
            "return document.querySelector('#throughput path').getAttribute('d').length") > 200)
        for scheme in ("light", "dark"):
            page.prefer(scheme)
            page.picture(f"console-{scheme}")
        page.resize(390, 844)
        wait_until(lambda: page.run("return innerWidth") == 390)
        page.picture("console-phone")
    finally:
        is_over.set()
        thread.join()


def test_rows_are_filtered_and_paged(database, page):
    ids = fail(database, 60)
    (other,) = fail(database, exchange="bank", error="returned: 312 NO_ROUTE")
    page.click("#filter [type=submit]")
    wait_until(lambda: len(shown(page)) == 50)
    page.click("#rows-more")
    wait_until(lambda: shown(page) == sorted(ids)[10::-1])
    page.click("#rows-first")
    wait_until(lambda: shown(page)[0] == other)
    page.write("[name=exchange]", "bank")
    page.press("\ue007")
    wait_until(lambda: shown(page) == [other])
    page.write("[name=exchange]", "nowhere")
    page.press("\ue007")
    wait_until(lambda: "no rows failed match" in page.text("#rows-table"))


def test_a_row_is_shown_with_its_history_and_payload(database, page):
    database.query("SELECT message_log_send('nowhere', 'order.created', %s)",
                   [json.dumps({"order": 4711})])
    database.wait_for_statuses(failed=1)
    page.click("#filter [type=submit]")
    wait_until(lambda: shown(page))
    page.click("#rows-table button.link")
    wait_until(lambda: page.find("#row-dialog"))
    text = page.text("#row-dialog")
    assert text.count("NOT_FOUND") == 4  # three attempts, and the error
    assert '"order": 4711' in page.text("#row-dialog pre") and "Payload: JSON" in text
    page.picture("row")
    page.press("\ue00c")
    wait_until(lambda: page.find("#row-dialog") is None)


def test_markup_in_a_row_stays_text(database, page):
    fail(database, exchange=MARKUP, key=MARKUP, error=MARKUP, payload=MARKUP)
    page.click("#filter [type=submit]")
    wait_until(lambda: shown(page))
    assert page.text("#rows-table").count("<script>window.harmed=1</script>&lt;b&gt;") == 3
    page.click("#rows-table button.link")
    wait_until(lambda: page.find("#row-dialog"))
    assert page.text("#row-dialog pre") == MARKUP
    assert page.text("#row-dialog dl").count("<img src=x") == 3
    assert page.all("#rows img, #rows script, dialog img, dialog script") == []
    assert page.run("return window.harmed") is None
    page.press("\ue00c")


def test_a_parked_destination_is_shown_with_its_reply(database, page):
    database.insert_many(20, "nowhere", "k")
    wait_until(lambda: "nowhere" in page.text("#parked"))
    assert "NOT_FOUND" in page.text("#parked")


def test_a_relay_that_does_not_answer_is_told_until_it_does(make_page):
    relay, page = make_page(token=False)
    wait_until(lambda: page.text("#state") == "ready")
    relay.stop()
    wait_until(lambda: page.text("#state") == "no answer" and page.text("#reasons"))
    relay.start()
    wait_until(lambda: page.text("#state") == "ready" and not page.text("#reasons"))


def test_a_broker_that_is_down_is_told(make_page):
    relay, page = make_page(token=False, amqp_url=f"amqp://127.0.0.1:{free_port()}")
    wait_until(lambda: page.text("#state") == "not ready")
    assert "the broker is down" in page.text("#reasons") and page.text("#broker") == "down"
    wait_until(lambda: "refused" in page.text("#broker-note"))


# --- what it does ----------------------------------------------------------------------------


def test_selected_rows_are_requeued(database, broker, page):
    exchange = broker.exchange()
    broker.queue(exchange)
    ids = fail(database, 3, exchange=exchange)
    page.click("#filter [type=submit]")
    wait_until(lambda: len(shown(page)) == 3)
    assert not page.find("#requeue-selected").is_enabled()
    page.click(f"[aria-label='select row {ids[0]}']")
    page.click(f"[aria-label='select row {ids[2]}']")
    assert page.text("#requeue-selected") == "Requeue 2 rows"
    page.click("#requeue-selected")
    wait_until(lambda: page.text("#rows-note") == "requeued 2 rows")
    database.wait_for_statuses(sent=2, failed=1)
    assert shown(page) == [ids[1]]


def test_all_rows_that_match_are_requeued_after_a_question(database, broker, page):
    exchange = broker.exchange()
    broker.queue(exchange)
    fail(database, 2345, exchange=exchange)
    fail(database, 7, exchange="other")
    page.write("[name=exchange]", exchange)
    page.press("\ue007")
    wait_until(lambda: len(shown(page)) == 50)
    page.click("#requeue-all")
    wait_until(lambda: page.text("#requeue-text") == "2,345 rows would be requeued.")
    page.picture("requeue")
    page.click("#requeue-stop")
    wait_until(lambda: page.find("#requeue-dialog") is None)
    assert database.statuses() == {"failed": 2352}
    page.click("#requeue-all")
    wait_until(lambda: page.find("#requeue-go"))
    page.click("#requeue-go")
    wait_until(lambda: page.text("#rows-note") == "requeued 2,345 rows")
    database.wait_for_statuses(sent=2345, failed=7)


# --- for everybody ---------------------------------------------------------------------------


def test_it_works_without_a_mouse(database, broker, page):
    exchange = broker.exchange()
    broker.queue(exchange)
    fail(database, exchange=exchange)
    page.run("document.querySelector('[name=status]').focus()")

    def tab_to(selector):
        for _ in range(60):
            if page.run("return document.activeElement.matches(arguments[0])", selector):
                return
            page.press("\ue004")
        raise AssertionError(f"{selector} is not reached by the tab key")

    tab_to("#filter [type=submit]")
    page.press("\ue007")
    wait_until(lambda: shown(page))
    tab_to("#rows-table button.link")
    page.press("\ue007")
    wait_until(lambda: page.find("#row-dialog"))
    tab_to("#row-requeue")
    page.press("\ue007")
    database.wait_for_statuses(sent=1)


CONTRAST = """
const channel = (c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
const luminance = (text) => { const [r, g, b] = text.match(/[0-9.]+/g).map(Number).map(channel);
                              return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
const behind = (e) => { const c = getComputedStyle(e).backgroundColor;
                        return c.startsWith("rgba(0, 0, 0, 0") ? behind(e.parentElement) : c; };
return [...document.querySelectorAll("h1, h2, small, .tile p, label, .pill, .quiet, th, td, button, .legend span")]
  .filter((e) => e.checkVisibility() && e.innerText.trim() && !e.disabled)
  .map((e) => { const [a, b] = [luminance(getComputedStyle(e).color), luminance(behind(e))].sort((x, y) => y - x);
                return [e.innerText, (a + 0.05) / (b + 0.05)]; });
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 768, 1280])
def test_it_is_legible_on_a_phone_and_in_the_dark(database, page, scheme, width):
    fail(database, 3, error="x" * 300, exchange="e" * 200, key="k" * 200)
    page.click("#filter [type=submit]")
    wait_until(lambda: shown(page))
    page.prefer(scheme)
    page.resize(width, 800)
    wait_until(lambda: page.run("return innerWidth") == width)
    # WCAG 2.1, 1.4.3 and 1.4.10
    faint = [item for item in page.run(CONTRAST) if item[1] < 4.5]
    assert faint == []
    assert page.run("return document.documentElement.scrollWidth") <= width
    assert page.run("""return [...document.querySelectorAll(".wide")]
                         .filter(e => e.scrollWidth > e.clientWidth).length""") == 0
