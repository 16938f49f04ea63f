"""The examples of README.md's section on the operator's commands are what the commands print.

Each indented block that begins with "$ outbox-relay …" is run, in order, and compared line by line;
figures, ages, sizes, times and addresses may differ, and a line of "…" stands for any lines.
The alert that it shows is what a webhook gets, and its check of the signature is executed.
"""

import hashlib
import hmac
import json
import os
import re
import shlex
import socket
import subprocess

import pytest

from harness import free_port, merge, run, wait_until
from harness.client import Client
from harness.program import PROGRAM, ROOT
from harness.webhook import SECRET, Webhook, alerts_config

SECTION = "## The operator's commands"


def examples():
    """[(command line, lines of output)]"""
    text = (ROOT / "README.md").read_text()
    section = text.partition(SECTION)[2].partition("\n## ")[0]
    found = []
    for line in section.splitlines():
        if line.startswith("    $ outbox-relay "):
            found.append((line.strip()[2:], []))
        elif found and line.startswith("    "):
            found[-1][1].append(line[4:])
        elif found and not line and found[-1][1] is not None:
            found[-1][1].append("")
        elif line:
            found.append(("", []))  # prose ends a block
    return [(command, lines) for command, lines in found if command]


def plain(line):
    """Without what differs from run to run."""
    for pattern, word in [
        (r"\S+:\d+/\S+ as \w+", "PEER"),
        (r"\d{4}-\d\d-\d\d[T ][\d:.]+Z?", "TIME"),
        (r"[\d.]+ (s|min|h|d)( \d+ (s|min|h))?\b", "AGE"),
        (r"[\d.]+ ([KMGT]iB|B)\b", "SIZE"),
        (r"[~>]?\d[\d,.]*", "0"),
        (r"\brows?\b", "rows"),
        (r"ok +configuration .*", "ok configuration"),
        (r" +", " "),
    ]:
        line = re.sub(pattern, word, line)
    return line.strip()


def matches(expected, lines):
    """A "…" is any lines."""
    if not expected:
        return not lines
    if expected[0] == "…":
        return any(matches(expected[1:], lines[n:]) for n in range(len(lines) + 1))
    return bool(lines) and expected[0] == lines[0] and matches(expected[1:], lines[1:])


def squeeze(lines):
    return [plain(line) for line in lines if line.strip()]


@pytest.fixture
def shop(servers, database, broker, relay):
    """The running relay of a shop at which something has gone wrong."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    relay.configure(merge(relay.config, {
        "relay": {"name": "web-1"}, "retry": {"first_delay": "10m", "max_delay": "10m"},
        "http": {"listen": f"127.0.0.1:{port}"}}))
    database.query("""
        INSERT INTO message_log (message_id, exchange, routing_key, payload, content_type, headers,
                                 status, try_count, last_error, next_retry, created_at, updated_at)
        SELECT CASE n WHEN 9 THEN 'order-7' ELSE gen_random_uuid()::text END,
               'shop', CASE WHEN n < 8 THEN 'order.created' ELSE 'invoice.printed' END,
               '{"order": 7, "items": ["book", "lamp"]}', 'application/json', '{"tenant": 3}',
               CASE WHEN n < 8 THEN 'sent' ELSE 'failed' END, CASE WHEN n < 8 THEN 0 ELSE 3 END,
               CASE WHEN n < 8 THEN NULL ELSE 'returned: 312 NO_ROUTE' END,
               now() - '1 h'::interval, now() - '1 h'::interval,
               now() - CASE WHEN n < 3 THEN '40 d' WHEN n < 8 THEN '1 s' ELSE '200 s' END::interval
          FROM generate_series(1, 10) n""")
    database.query("""
        INSERT INTO message_log_attempt (log_id, at, relay_name, verdict, is_charged, try_count,
                                         reason, latency_ms)
        SELECT id, now() - (60 - 18 * n) * '1 min'::interval, 'web-1', 'returned', true, n,
               last_error, n FROM message_log, generate_series(1, 3) n
         WHERE message_id = 'order-7' ORDER BY n""")
    relay.start()
    database.insert_many(30, "stock", "stock.changed")
    relay.wait_for("destination parked")
    wait_until(lambda: "PARKED" in relay.run("status").stdout, what="a parked destination")
    return relay


def test_the_examples_of_the_readme_are_what_the_commands_print(shop):
    assert len(examples()) >= 8
    for line, expected in examples():
        compare(shop, line, squeeze(expected))
    shop.stop()


def families(lines):
    """The names, a histogram's without what is behind it."""
    return {re.sub(r"_(bucket|sum|count)$", "", line.split()[0].partition("{")[0]) for line in lines}


def test_the_metrics_of_the_readme_are_all_there_are(shop):
    text = (ROOT / "README.md").read_text()
    (example,) = re.findall(r"\$ curl -s localhost:9753/metrics.*\n((?:    \S.*\n)+)", text)
    wanted = [line.strip() for line in example.splitlines() if line.strip() != "…"]
    names = {line.split()[0] for line in wanted if "_info{" not in line}
    client = Client(int(shop.config["http"]["listen"].rpartition(":")[2]))

    def missing():
        return names - client.metrics().keys()

    wait_until(lambda: not missing(), what=lambda: f"metrics {missing()}")
    assert families(client.metrics()) == families(wanted)
    shop.stop()


def compare(shop, line, wanted):
    """A `status` is asked again, as a claim shows now and then while the relay probes."""
    command, *arguments = shlex.split(line)[1:]
    text = ""

    def is_like_it():
        nonlocal text
        done = shop.run(command, *arguments, check=None)
        assert done.stderr == ""
        text = done.stdout
        return matches(wanted, squeeze(text.splitlines()))

    wait_until(is_like_it, timeout=10 if command == "status" else 0, what=lambda:
               f"$ {line}\n{text}\nREADME.md has, figures aside:\n" + "\n".join(wanted))


def test_the_readme_has_the_newest_schema():
    text = (ROOT / "README.md").read_text()
    newest = sorted((ROOT / "schema").glob("[0-9]*.sql"))[-1].stem
    number, name = newest.split("_", 1)
    assert re.findall(r"applied (\d+) (\w+)", text)[-1] == (number, name)
    versions = re.findall(r"(?:schema public is at version|schema version) +(\d+)", text)
    assert len(versions) >= 2 and set(versions) == {str(int(number))}


def test_the_console_answers_what_the_readme_says(database, relay, tmp_path):
    text = (ROOT / "README.md").read_text()
    ((query, example),) = re.findall(r"'localhost:9753/api/([^']*)'\n    (\{.*\})\n", text)
    (tmp_path / "token").write_text("secret\n")
    client = Client(free_port(), {"Authorization": "Bearer secret"})
    relay.configure(merge(relay.config, {"http": {
        "listen": f"127.0.0.1:{client.port}", "token_file": str(tmp_path / "token")}}))
    database.query("""
        INSERT INTO message_log (message_id, exchange, routing_key, payload, status, try_count, last_error)
        SELECT 'order-' || n, 'invoices', 'invoice.created', '{"order": 1004}', 'failed', 3,
               'returned: 312 NO_ROUTE' FROM generate_series(1003, 1004) n""")
    relay.start()
    wait_until(lambda: relay.events("serving health and metrics"))
    status, answer = client.ask(query)
    assert status == 200 and shape(answer) == shape(json.loads(example))
    assert list(answer["rows"][0]) == list(json.loads(example)["rows"][0])
    relay.stop()


@pytest.mark.parametrize("expected, lines, is_match", [
    (["a"], ["a"], True), (["a"], ["b"], False), (["a"], ["a", "b"], False), (["a", "b"], ["a"], False),
    (["a", "…", "d"], ["a", "b", "c", "d"], True), (["…"], [], True), (["…", "x"], ["a"], False),
])
def test_dots_in_an_example_stand_for_any_lines(expected, lines, is_match):
    assert matches(expected, lines) == is_match


# --- alerts ----------------------------------------------------------------------------------


def alert_blocks(language):
    section = (ROOT / "README.md").read_text().partition("\n## Alerts\n")[2].partition("\n## ")[0]
    return re.findall(rf"^```{language}\n(.*?)^```", section, re.M | re.S)


def shape(value, key=None):
    """Of a message, without what differs from run to run."""
    if isinstance(value, dict):
        return {key: shape(item, key) for key, item in value.items()}
    if isinstance(value, list):
        return [shape(item) for item in value]
    return re.sub(r"^\S+T\S+Z$", "TIME", value) if isinstance(value, str) else \
        "ID" if key == "id" else value


def test_the_alert_of_the_readme_is_what_is_sent_and_its_check_takes_it(database, broker, relay,
                                                                       tmp_path):
    (tmp_path / "secret").write_text(SECRET)
    exchange = broker.exchange("shop")
    with Webhook() as hook:
        # The second row fails within the wait of the first, however slow all is.
        relay.configure(merge(relay.config, {"relay": {"name": "web-1"}}, alerts_config(
            hook.url, webhook={"secret_file": str(tmp_path / "secret")}, group_wait="20s")))
        for message_id in ("order-7", "order-8"):
            database.insert(exchange, "invoice.printed", message_id=message_id)
        relay.start()
        database.wait_for_statuses(failed=2)
        relay.stop()
        (request,) = hook.requests
    (example,) = alert_blocks("json")
    seen = json.loads(request.body.decode().replace(exchange, "shop"))
    assert shape(seen) == shape(json.loads(example))
    names = {"hmac": hmac, "hashlib": hashlib}
    (check,) = alert_blocks("python")
    exec(check, names)  # pylint: disable=exec-used
    assert names["is_signed"](SECRET.encode(), request.headers, request.body)
    assert not names["is_signed"](SECRET.encode(), request.headers, request.body + b" ")


def test_the_alerts_of_the_readme_are_all_there_are():
    section = (ROOT / "README.md").read_text().partition("\n## Alerts\n")[2]
    table = section.partition("| alert |")[2].partition("\n\n")[0]
    told = [name for row in table.splitlines()
            for name in re.findall(r"`(\w+)`", row.partition("|")[2].partition("|")[0])]
    there = re.findall(r'{"(\w+)",\s+"OutboxRelay',
                       (ROOT / "relay/monitor/alert_format.c").read_text())
    assert len(there) == 6 and told == there


# --- completion ------------------------------------------------------------------------------


COMPLETIONS = pytest.mark.parametrize("words, expected", [
    (["re"], {"requeue", "replay"}),
    (["list", "--st"], {"--status"}),
    (["list", "--status", "s"], {"sending", "sent"}),
    (["purge", "--d"], {"--database", "--dry-run"}),
    (["requeue", "--st"], set()),
])


@COMPLETIONS
def test_bash_completes_what_the_program_knows(tmp_path, words, expected):
    (tmp_path / "outbox-relay").symlink_to(PROGRAM)
    script = f'. {ROOT}/deploy/completion.bash; COMP_WORDS=(outbox-relay "$@"); ' \
             'COMP_CWORD=$#; _outbox_relay outbox-relay "${!#}" "${COMP_WORDS[$#-1]}"; ' \
             'printf "%s\\n" "${COMPREPLY[@]}"'
    done = subprocess.run(["bash", "-c", script, "bash", *words], text=True, check=True,
                          capture_output=True,
                          env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"})
    assert set(done.stdout.split()) == expected


# In the place of zsh's own, which works in an editor of lines only and leaves out what does not
# begin as the word does.
ZSH_COMPADD = """
compadd() {
    case $1 in
    -l) print -lr -- ${(P)5}; print -lr -- ${(P)3} >&2 ;;
    --) shift; print -lr -- "$@" ;;
    esac
}
_files() { print -r -- FILES }
"""


def zsh_completes(tmp_path, words):
    """(what it would offer, what it would show beside)"""
    (tmp_path / "outbox-relay").symlink_to(PROGRAM)
    script = ZSH_COMPADD + f'words=(outbox-relay "$@") CURRENT=$(($# + 1)); ' \
        f'. {ROOT}/deploy/completion.zsh'
    done = subprocess.run(["zsh", "-f", "-c", script, "zsh", *words], text=True, check=True,
                          capture_output=True,
                          env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"})
    return done.stdout.split(), done.stderr


@COMPLETIONS
def test_zsh_completes_what_the_program_knows(tmp_path, words, expected):
    offered, _ = zsh_completes(tmp_path, words)
    assert {word for word in offered if word.startswith(words[-1])} == expected


def test_zsh_shows_what_commands_and_options_do(tmp_path):
    (tmp_path / "again").mkdir()
    assert "replay  -- send sent rows once more, as copies" in zsh_completes(tmp_path, [""])[1]
    shown = zsh_completes(tmp_path / "again", ["list", "--"])[1]
    assert "--limit  -- at most so many rows (default: 50)" in shown
    assert "--config  -- the configuration (default: $OUTBOX_RELAY_CONFIG," in shown


def test_zsh_completes_every_option(tmp_path):
    for n, command in enumerate(re.findall(r"^  ([a-z]+)  ", run("--help").stdout, re.M)):
        options = set(re.findall(r"^ .*(--[a-z-]+)", run(command, "--help").stdout, re.M))
        (tmp_path / str(n)).mkdir()
        assert set(zsh_completes(tmp_path / str(n), [command, "--"])[0]) == options, command


# --- the man page ----------------------------------------------------------------------------


def test_the_man_page_has_every_command_and_every_option():
    page = (ROOT / "deploy" / "outbox-relay.1").read_text()
    for command in re.findall(r"^  ([a-z]+)  ", run("--help").stdout, re.M):
        (section,) = re.findall(rf"^\.Ss {command}$(.*?)^\.S[hs] ", page, re.M | re.S)
        shared = page.partition(".Ss ")[0]
        for option in re.findall(r"^ .*--([a-z-]+)", run(command, "--help").stdout, re.M):
            flag = "Fl -" + option
            assert flag in section or flag in shared or flag in filters(page), (command, option)


def filters(page):
    """The section on the filters that several commands share."""
    return page.partition(".Ss Which rows")[2].partition("\n.S")[0]
