"""Fixtures of all tests that drive the program: private servers, databases, queues, relays."""

import contextlib
import os
import tempfile

import pytest

from harness import Broker, Database, Relay, Servers, quick_config
from harness.program import PROGRAM, RELEASE


@pytest.fixture(scope="session")
def servers():
    """The servers of the whole run: tests/run.sh has started them. Leave them running."""
    if "SERVERS" in os.environ:
        yield Servers(os.environ["SERVERS"])
        return
    with _own_servers() as own:
        yield own.start()


@pytest.fixture(scope="session")
def _spare():
    with _own_servers() as own:
        yield own


@contextlib.contextmanager
def _own_servers():
    # Not among pytest's folders: those are closed to the servers' users.
    with tempfile.TemporaryDirectory(prefix="outbox-relay-test.") as folder:
        servers = Servers(folder)
        try:
            yield servers
        finally:
            servers.stop()


@pytest.fixture
def spare_postgres(_spare):
    """A PostgreSQL that a test may stop, kill and pause; it runs when the test begins."""
    yield _spare.start("postgres")
    _spare.resume("postgres")


@pytest.fixture
def spare_rabbitmq(_spare):
    """A RabbitMQ that a test may stop, kill and pause; it runs when the test begins."""
    yield _spare.start("rabbitmq")
    _spare.resume("rabbitmq")


@pytest.fixture(scope="session")
def template(servers, tmp_path_factory):
    """A database with the migrations applied, to copy for each test."""
    database = Database(servers).create()
    config = quick_config(database.url, servers.amqp_url)
    Relay(tmp_path_factory.mktemp("migrate"), config).run("migrate")
    yield database.name
    database.drop()


@pytest.fixture
def database(servers, template):
    """A database of its own, migrated and empty."""
    fresh = Database(servers, template).create()
    yield fresh
    fresh.drop()


@pytest.fixture
def bare_database(servers):
    """A database of its own, not migrated."""
    fresh = Database(servers).create()
    yield fresh
    fresh.drop()


@pytest.fixture
def broker(servers):
    fresh = Broker(servers.amqp_url)
    yield fresh
    fresh.close()


@pytest.fixture
def make_relay(tmp_path):
    """make_relay(config, program=…, env=…): any number of relays; ends those that still run.

    Name it behind `database` and `broker`: the last fixture is the first to be taken down.
    """
    made = []

    def make(config, program=PROGRAM, env=None):
        relay = Relay(tmp_path / f"relay{len(made)}", config, program, env)
        made.append(relay)
        return relay

    yield make
    for relay in made:
        if relay.is_running():
            relay.kill()
        print(f"--- log of {relay.folder.name}\n{relay.log}")  # shown when the test fails


@pytest.fixture
def relay(database, broker, make_relay):
    """A relay between the test's database and broker, not started. To change its file first:

    relay.configure(merge(relay.config, {"relay": {"on_sent": "delete"}}))
    """
    return make_relay(quick_config(database.url, broker.url))


@pytest.fixture
def release_relay(database, broker, make_relay):
    """The same as released, without sanitizers: for time and memory."""
    return make_relay(quick_config(database.url, broker.url), program=RELEASE)
