"""Fixtures of all tests that drive the program: private servers, databases, queues, relays."""

import contextlib
import os
import tempfile

import pytest

from harness import (Broker, Database, Load, Relay, Servers, Standby, quick_config, scenario,
                     secrets, worker)
from harness.config import DEAD
from harness.program import PROGRAM, RELEASE
from harness.scenario import *  # pylint: disable=wildcard-import,unused-wildcard-import


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items):
    scenario.check_markers(items)
    worker.share_out(items)


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


def _lend(servers, which):
    yield servers.start(which)
    servers.resume(which)
    lines = servers.log(which).splitlines()[-200:]
    print(f"--- log of {which}", *lines, sep="\n")  # shown when the test fails


@pytest.fixture
def spare_postgres(_spare):
    """A PostgreSQL that a test may stop, kill and pause; it runs when the test begins."""
    yield from _lend(_spare, "postgres")


@pytest.fixture
def spare_rabbitmq(_spare):
    """A RabbitMQ that a test may stop, kill and pause; it runs when the test begins."""
    yield from _lend(_spare, "rabbitmq")


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
    for relay in made:
        secrets.check_text(relay.log, f"the log of {relay.folder.name}")
    secrets.check_no_cores(os.getcwd(), tmp_path, *(relay.folder for relay in made))


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


# --- faults ----------------------------------------------------------------------------------


@pytest.fixture
def spare_database(spare_postgres, make_relay):
    """A migrated database on the PostgreSQL that may be stopped."""
    database = Database(spare_postgres).create()
    make_relay(quick_config(database.url, "amqp://" + DEAD)).run("migrate")
    yield database
    spare_postgres.resume("postgres")
    spare_postgres.start("postgres")
    database.drop()


@pytest.fixture
def spare_broker(spare_rabbitmq):
    """Queues on the RabbitMQ that may be stopped."""
    broker = Broker(spare_rabbitmq.amqp_url)
    yield broker
    spare_rabbitmq.resume("rabbitmq")
    spare_rabbitmq.start("rabbitmq")
    broker.reconnected().close()


@pytest.fixture
def make_standby():
    """make_standby(servers): a streaming copy of their PostgreSQL, started."""
    with contextlib.ExitStack() as stack:
        def make(primary):
            folder = stack.enter_context(
                tempfile.TemporaryDirectory(prefix="outbox-relay-test."))
            standby = Standby(primary, folder)
            stack.callback(standby.stop)
            return standby.start()
        yield make


@pytest.fixture
def make_load(make_relay):
    """make_load(database, broker, changes…, relays=2, …): see harness.Load."""
    made = []

    def make(database, broker, *changes, **options):
        made.append(Load(database, broker, make_relay, *changes, **options))
        return made[-1]

    yield make
    for load in made:
        load.close()


@pytest.fixture
def load(database, broker, make_load):
    """Writers and one relay on the shared servers, not started."""
    return make_load(database, broker)
