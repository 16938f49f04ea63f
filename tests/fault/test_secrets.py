"""Secrets are never seen. That they are in no log, no output, no argument, no core file and no
result is looked at behind every test (harness/secrets.py: all servers' passwords hold one word);
here are the ways in which people and servers provoke it."""

import os
import pathlib
import shutil
import signal
import subprocess
import tempfile

import pytest

from harness import Relay, merge, quick_config, run, secrets, wait_until
from harness.config import DEAD, SHORT
from harness.peer import Peer
from harness.program import RELEASE
from harness.scenario import seen

ENCODED = secrets.PASSWORD.replace("/", "%2F")

# Configurations that are refused, each with a password in or near the place that is wrong. (What
# is no secret by its key, such as a choice or the name of a file, may be quoted.)
REFUSED = [
    "database: {url: 'postgresql://a:%s@h:port/x', frobnicate: 1}",
    "database: {url: 'postgresql://a:%s@h:port/x'}\nbroker: {urls: [amqp://h]}",
    "database: {url: 'postgresql://a:x/%s@h/x'}\nbroker: {urls: [amqp://h]}",
    "database: {url: 'postgresql://a:%%zz%s@h/x'}\nbroker: {urls: [amqp://h]}",
    "database: {url: 'host=h password=%s nonsense'}\nbroker: {urls: [amqp://h]}",
    "database: {url: 'host=h password=''%s'}\nbroker: {urls: [amqp://h]}",
    "database: {url: 'host=h passwd=%s'}\nbroker: {urls: [amqp://h]}",
    "database: {url: 'host=h password=%s sslmode=allow', tls: {verify: false}}\n"
    "broker: {urls: [amqp://h]}",
    "database: {url: x, password: %s}",
    "database: {url: x, schema: [%s]}",
    "database: {url: x, password_file: 'amqp://a:%s@h'}",
    "database: {url: x}\nbroker: {urls: ['amqp://a:%s@h:port']}",
    "database: {url: x}\nbroker: {urls: ['amqp://a:x/%s@h']}",
    "database: {url: x}\nbroker: {urls: ['amqp://a:%s@h/too/many']}",
    "database: {url: x}\nbroker: {urls: ['amqp://a:%s@h:99999']}",
    "database: {url: x}\nbroker: {urls: ['amqp://a:%%zz%s@h']}",
    "database: {url: x}\nbroker: {urls: 'amqp://a:%s@h'}",
    "database: {url: x}\nbroker: {urls: ['amqp://a:%s@h'], tls: {ca_file: /x}}",
    "database: {url: x}\nbroker: {urls: ['amqps://a:%s@h'], tls: {ca_file: /x}}",
    "database: {url: x}\nbroker: {urls: [amqp://h], password: '%s'}",
    "database: {url: x}\nbroker: {urls: [amqp://h], 'amqp://a:%s@h': 1}",
    "database: {url: x}\nbroker: {urls: [amqp://h]}\nrelay: {lease: 'amqp://a:%s@h'}",
    "database: {url: x}\nbroker: {urls: [amqp://h]}\nrelay: {wake: 'password=%s'}",
    "alerts: {webhook: {url: 'http://hooks.example.com/%s'}}\ndatabase: {url: x}\n"
    "broker: {urls: [amqp://h]}",
    "alerts: {webhook: {url: 'https://h:port/%s'}}\nbroker: {urls: [amqp://h]}",
    "alerts: {webhook: {url: 'hooks.example.com/%s'}}\nbroker: {urls: [amqp://h]}",
    "alerts: {webhook: {url: 'https:///%s'}}\nbroker: {urls: [amqp://h]}",
    "alerts: {webhook: {url: ['https://h/%s']}}\nbroker: {urls: [amqp://h]}",
    "alerts: {webhook: {url_file: 'https://h/%s'}}\nbroker: {urls: [amqp://h]}",
    "alerts: {webhook: {format: 'https://h/%s'}}\nbroker: {urls: [amqp://h]}",
    "alerts: {webhook: 'https://h/%s'}\nbroker: {urls: [amqp://h]}",
    "alerts: {url: 'https://h/%s'}\nbroker: {urls: [amqp://h]}",
    "alerts: {webhook: {secret: '%s'}}\nbroker: {urls: [amqp://h]}",
    "database: {url: 'x', url: 'postgresql://a:%s@h'}",
    "database: {url: &a 'postgresql://a:%s@h'}",
    "database: {url: 'postgresql://a:%s@h",
]


@pytest.mark.quick
@pytest.mark.scenario(fault="SIGHUP with every sort of wrong file that holds a password",
                      expected="refused without showing it")
def test_a_password_in_a_refused_file_is_not_shown_by_sighup(database, broker, make_relay):
    relay = make_relay(quick_config(database.url, broker.url)).start()
    relay.wait_for("connected", side="broker")
    for count, text in enumerate(REFUSED, 1):
        relay.config_file.write_text(text % f"hide-{secrets.WORD}" + "\n")
        relay.signal(signal.SIGHUP)
        relay.wait_for("configuration refused, the old one stays", count=count)
    seen(note=f"{len(REFUSED)} files")
    relay.stop()


@pytest.mark.quick
@pytest.mark.scenario(fault="run, check and migrate with every sort of wrong file that holds a "
                      "password", expected="refused without showing it")
def test_a_password_in_a_refused_file_is_not_shown_by_any_command(tmp_path):
    for text in REFUSED:
        file = tmp_path / "wrong.yaml"
        file.write_text(text % f"hide-{secrets.WORD}" + "\n")
        run("check", "-c", file, check=78)  # looks for the word itself
    for command in ("run", "migrate"):
        run(command, "-c", file, check=78)


def logins(database, broker, secret):
    """The same wrong password by every way in which one can be given: (config, environment)."""
    host = database.url.partition("@")[2]
    address, _, name = host.partition("/")
    ip, _, port = address.partition(":")
    amqp = broker.url.partition("@")[2]
    yield quick_config(f"postgresql://outbox:{ENCODED}X@{host}",
                       f"amqp://guest:{ENCODED}X@{amqp}"), {}
    yield quick_config(f"postgresql://{host}?user=outbox&password={ENCODED}X",
                       f"amqp://%67uest:{ENCODED}%58@{amqp}"), {}
    yield quick_config(f"host={ip} port={port} dbname={name} user=outbox "
                       f"password='{secrets.PASSWORD}X'", f"amqp://guest:{ENCODED}X@{amqp}"), {}
    yield merge(quick_config(f"postgresql://outbox@{host}", f"amqp://{amqp}"),
                {"database": {"password_file": str(secret)},
                 "broker": {"username": "guest", "password_file": str(secret)}}), {}
    yield quick_config(f"postgresql://outbox@{host}", "amqp://guest:${WORD}@" + amqp), \
        {"PGPASSWORD": secrets.PASSWORD + "X", "WORD": ENCODED + "X"}
    # The network is refused before any password is asked for.
    yield quick_config(f"postgresql://outbox:{ENCODED}X@127.1:{port}/{name}",
                       f"amqps://guest:{ENCODED}X@{amqp}"), {}
    yield quick_config(f"postgresql://outbox:{ENCODED}X@no.such.host.invalid/{name}",
                       f"amqp://guest:{ENCODED}X@no.such.host.invalid"), {}
    yield quick_config(f"postgresql://outbox:{ENCODED}X@{DEAD}/{name}",
                       f"amqp://guest:{ENCODED}X@{DEAD}"), {}


@pytest.mark.scenario(fault="logins that fail, by every way in which a password can be given",
                      expected="the password is in no line, no argument, and nobody else's /proc")
def test_a_password_that_is_wrong_is_not_shown(database, broker, make_relay, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text(secrets.PASSWORD + "X\n")
    ways = list(logins(database, broker, secret))
    for config, environment in ways:
        relay = make_relay(merge(config, SHORT), env=environment).start()
        relay.wait_for("cannot connect", side="database")
        relay.wait_for("cannot connect", side="broker")
        secrets.check_arguments(relay.process.pid)
        relay.stop()
        relay.run("check", "--json", check=69)  # looks for the word itself
        relay.run("migrate", check=69)
    seen(note=f"{len(ways)} ways")


@pytest.mark.scenario(fault="the user that a relay runs as looks into its /proc",
                      expected="environment and memory are root's alone")
def test_the_environment_of_a_relay_is_not_for_its_user(database, broker):
    # As somebody else than root, to whom everything is open anyway; so not below tmp_path.
    with tempfile.TemporaryDirectory(prefix="outbox-relay-test.") as folder:
        os.chmod(folder, 0o755)
        program = shutil.copy(RELEASE, folder)
        relay = Relay(folder, quick_config(database.url, broker.url), program)
        if os.getuid() == 0:
            relay.wrapper = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
        relay.start()
        try:
            relay.wait_for("connected", side="broker")
            process = pathlib.Path(f"/proc/{relay.process.pid}")
            assert "nobody" == process.owner() or os.getuid() != 0
            assert {(process / name).owner() for name in ("environ", "mem", "maps")} == {"root"}
        finally:
            relay.kill()


@pytest.mark.scenario(fault="a broker and a database that are somebody else's",
                      expected="what they say is told, and no secret with it")
def test_strange_servers_do_not_make_us_talk(make_relay):
    with Peer(port=0) as peer:
        port = peer.url.rpartition(":")[2]
        config = quick_config(f"postgresql://outbox:{ENCODED}@127.0.0.1:{port}/x",
                              f"amqp://guest:{ENCODED}@127.0.0.1:{port}")
        relay = make_relay(merge(config, SHORT)).start()
        relay.wait_for("cannot connect", side="database")
        relay.stop()


def test_the_word_is_found_where_it_is():
    """The check that stands behind all tests can go red."""
    with pytest.raises(AssertionError):
        secrets.check_text(f"error: {secrets.PASSWORD}", "here")
    with subprocess.Popen(["/bin/sh", "-c", "read line", secrets.PASSWORD],
                          stdin=subprocess.PIPE) as process:
        wait_until(lambda: b"read line" in pathlib.Path(f"/proc/{process.pid}/cmdline")
                   .read_bytes())
        with pytest.raises(AssertionError):
            secrets.check_arguments(process.pid)
        process.stdin.close()
