"""PostgreSQL goes wrong in every way that it can, under load."""

import contextlib
import os
import pwd
import signal
import subprocess
import tempfile
import time

import psycopg2
import pytest

from harness import (DOWN, SHORT, UP, Database, Proxy, free_port, merge, quick_config, seen,
                     wait_until)
from harness.peer import Peer
from harness.program import RELEASE
from harness.proxy import EXECUTE_COMMIT

# How long a long outage is.
LONG = float(os.environ.get("OUTAGE_SECONDS", "120"))

# The broker gives up after two heartbeats; connecting to the database may take connect_timeout.
PATIENT = {"broker": {"heartbeat": "4s"}}


def disconnected(load, count=1):
    return load.relays[0].wait_for("disconnected", side="database", count=count, timeout=60)


def with_options(url, options):
    return f"{url}?options={options.replace(' ', '%20').replace('=', '%3D')}"


# --- stopped, killed, away (21, 22, 23) ------------------------------------------------------


@pytest.mark.quick
@pytest.mark.scenario(21)
def test_postgres_is_restarted_under_load(spare_postgres, spare_database, broker, make_load):
    load = make_load(spare_database, broker)
    with load.stands():
        spare_postgres.stop("postgres")
        disconnected(load)
        spare_postgres.start("postgres")


@pytest.mark.scenario(21, fault="away for two minutes",
                      expected="nobody is charged; less than 5 % CPU and two log lines a second")
def test_postgres_is_away_for_two_minutes(spare_postgres, spare_database, broker, make_load):
    # As released: sanitizers cost processor time.
    load = make_load(spare_database, broker, program=RELEASE)
    with load.stands(cpu=0.05) as fault:
        spare_postgres.stop("postgres")
        disconnected(load)
        load.noticed(fault)
        time.sleep(LONG)
        spare_postgres.start("postgres")


@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGKILL], ids=["immediate", "kill -9"])
@pytest.mark.scenario(22)
def test_postgres_is_killed_under_load_again_and_again(
        spare_postgres, spare_database, broker, make_load, number):
    load = make_load(spare_database, broker, relays=2)
    load.start()
    for n in range(3):
        load.wait_for_sent(load.sent() + 100)
        wait_until(lambda: all(
            len(relay.events("connected", side="database")) == n + 1 for relay in load.relays), 60,
            what="both relays connected")
        with load.fault():
            process = spare_postgres.pid("postgres")
            spare_postgres.signal("postgres", number)
            wait_until(lambda: not os.path.exists(f"/proc/{process}"), what="its end")
            disconnected(load, n + 1)
            spare_postgres.start("postgres")
        load.recovers()
    load.finish()


@pytest.mark.scenario(22, fault="kill -9 while the relay's own commits are asynchronous",
                      expected="settlements are lost, and their rows published again")
def test_settlements_that_a_crash_forgets_lead_to_duplicates_only(
        spare_postgres, spare_database, broker, make_load):
    url = with_options(spare_database.url, "-c synchronous_commit=off")
    load = make_load(spare_database, broker, database_url=url, rate=None)
    load.start(1000)
    for n in range(3):
        load.wait_for_sent(load.sent() + 500)
        with load.fault():
            spare_postgres.kill("postgres")
            disconnected(load, n + 1)
            spare_postgres.start("postgres")
        load.recovers()
    load.finish(bounded=False)


@pytest.mark.scenario(23, fault="not started yet, and recovering from a crash when it is")
def test_a_relay_that_starts_before_its_database_waits(
        spare_postgres, spare_database, broker, make_load):
    load = make_load(spare_database, broker, program=RELEASE)
    spare_database.close()
    spare_postgres.kill("postgres")
    load.relay.start()
    with load.fault() as fault:
        load.relay.wait_for("cannot connect", side="database")
        load.noticed(fault)
        time.sleep(20)
        spare_postgres.start("postgres")
    load.quiet(fault, cpu=0.05)
    load.relay.wait_for("connected", side="database")
    load.writers[0].start()
    load.recovers()
    load.wait_for_sent(100)
    load.finish()


# --- failover (24, 25) -----------------------------------------------------------------------


def two_hosts(first, second, name):
    ports = [servers.env["PGPORT"] for servers in (first, second)]
    return (f"postgresql://{first.database_login}@127.0.0.1:{ports[0]},127.0.0.1:{ports[1]}/{name}"
            "?target_session_attrs=read-write")


@contextlib.contextmanager
def synchronous(servers):
    """Commits wait for the standby."""
    servers.as_superuser("ALTER SYSTEM SET synchronous_standby_names = '*'",
                         "SELECT pg_reload_conf()")
    try:
        yield
    finally:
        if servers.is_running("postgres"):
            reset(servers)


def reset(servers):
    servers.as_superuser("ALTER SYSTEM RESET ALL", "SELECT pg_reload_conf()")


def same_database(servers, database):
    moved = Database(servers)
    moved.name, moved.url = database.name, servers.database_url(database.name)
    return moved


@pytest.mark.parametrize("mode", ["synchronous", "asynchronous"])
@pytest.mark.scenario(24)
def test_the_primary_dies_and_its_standby_is_promoted(
        spare_postgres, spare_database, broker, make_load, make_standby, mode):
    standby = make_standby(spare_postgres)
    url = two_hosts(spare_postgres, standby, spare_database.name)
    with synchronous(spare_postgres) if mode == "synchronous" else contextlib.nullcontext():
        load = make_load(spare_database, broker, database_url=url, writer_url=url)
        load.start()
        with load.fault() as fault:
            spare_postgres.kill("postgres")
            spare_database.close()
            disconnected(load)
            standby.promote()
        load.database = same_database(standby, spare_database)
        load.quiet(fault)
        load.recovers()
        report = load.finish(bounded=mode == "synchronous",
                             forgotten=None if mode == "synchronous" else fault.begin)
        load.database.close()
    assert report.statuses.keys() == {"sent"}
    assert mode == "asynchronous" or not report.forgotten
    start_alone(spare_postgres)


def start_alone(servers):
    """A primary that waits for no standby any more."""
    servers.start("postgres")
    reset(servers)


@pytest.mark.scenario(25, fault="its address moves to a hot standby, which is promoted later")
def test_the_address_of_the_database_moves_to_a_standby(
        spare_postgres, spare_database, broker, make_load, make_standby):
    standby = make_standby(spare_postgres)
    moved = same_database(standby, spare_database)
    with synchronous(spare_postgres), Proxy.before(spare_database.url) as proxy:
        url = proxy.url(spare_database.url)
        load = make_load(spare_database, broker, database_url=url, writer_url=url)
        load.start()
        with load.fault() as fault:
            standby.wait_until_caught_up()
            proxy.point_at(moved.url)
            proxy.reset()
            load.relay.wait_for("cannot connect", side="database", saying="read-only")
            tries = len(load.relay.events())
            spare_postgres.kill("postgres")
            time.sleep(5)
            assert len(load.relay.events()) < tries + 5
            standby.promote()
            spare_database.close()
        load.database = moved
        load.quiet(fault)
        load.recovers()
        load.finish()
        moved.close()
    start_alone(spare_postgres)


@pytest.mark.scenario(25, fault="read-only in place, under load")
def test_postgres_turns_read_only_in_place_under_load(
        spare_postgres, spare_database, broker, make_load):
    load = make_load(spare_database, broker)
    with load.stands(), spare_database.connect() as session:
        spare_postgres.set_read_only(True)
        try:
            # The writers cannot; a relay with nothing to send would not notice.
            cursor = session.cursor()
            cursor.execute("SET TRANSACTION READ WRITE")
            cursor.execute("""INSERT INTO message_log (message_id, exchange, routing_key, payload)
                              VALUES ('despite', %s, 'key', %s)""", [load.exchange, b"despite"])
            session.commit()
            load.also_committed("despite", b"despite")
            load.relay.wait_for("cannot connect", side="database")
            time.sleep(5)
        finally:
            spare_postgres.set_read_only(False)


# --- sessions (26, 28, 35) -------------------------------------------------------------------


def terminate(database):
    """Ends one session of a relay, if there is one."""
    database.terminate_relay_sessions("ORDER BY random() LIMIT 1")


@pytest.mark.quick
@pytest.mark.scenario(26, fault="sessions of two relays terminated at random, under load")
def test_sessions_are_terminated_at_random(database, broker, make_load):
    load = make_load(database, broker, relays=2)
    load.start()
    with load.fault():
        for _ in range(12):
            sent = load.sent()
            terminate(database)
            load.wait_for_sent(sent + 20)  # progress between any two
    load.recovers()
    load.finish()


@pytest.mark.scenario(28, fault="ended inside a transaction: all of it but its COMMIT came through")
def test_a_session_ends_inside_its_transaction(database, broker, make_load):
    # (A turn is written as a whole: a session is never idle in a transaction, and so never killed
    # for that. Nothing but the way to the server can stop it there.)
    with Proxy.before(database.url) as proxy:
        load = make_load(database, broker, {"database": {"statement_timeout": "1s"}}, PATIENT,
                         database_url=proxy.url(database.url), relays=2)
        load.start()
        for n in range(3):
            with load.fault() as fault:
                proxy.cut(UP, behind=b"\0COMMI", how="pause")
                wait_until(lambda: proxy.is_cut, what="a transaction")
                pid, *_ = wait_until(lambda: in_transaction(database), what="the server in it")
                database.query("SELECT pg_terminate_backend(%s)", [pid])
                disconnected_any(load, n + 1)
                proxy.heal()
            load.quiet(fault)
            load.recovers()
            # The next cut shall find a session at work, not one that is being opened.
            wait_until(lambda: sum(len(relay.events("connected", side="database"))
                                   for relay in load.relays) == 2 + n + 1, 30, what="both sessions")
        load.finish()


def in_transaction(database):
    """Sessions of relays that have not come to an end of a transaction for a while."""
    return database.relay_sessions("""AND wait_event = 'ClientRead'
        AND xact_start < clock_timestamp() - interval '100 ms'""")


def disconnected_any(load, count):
    wait_until(lambda: sum(len(relay.events("disconnected", side="database"))
                           for relay in load.relays) >= count, 30, what=f"{count} lost sessions")


@pytest.mark.scenario(fault="a relay that publishes an adopted row alone loses its session, and lives",
                      expected="takes its claim back; the row is not charged for a death")
def test_a_session_lost_while_a_row_goes_alone_charges_nobody(database, make_relay):
    with Peer() as peer:
        config = merge(quick_config(database.url, peer.url), SHORT,
                       {"broker": {"confirm_timeout": "60s", "heartbeat": "30s"},
                        "relay": {"lease": "60s"}})
        for n in range(3):
            database.insert(routing_key=str(n))
        dead, owner, other = (make_relay(merge(config, {"relay": {"name": name}}))
                              for name in ("dead", "owner", "other"))
        dead.start()
        wait_until(lambda: len(peer.published) == 3, what="three publishes")
        dead.kill()
        owner.start()
        wait_until(lambda: len(peer.published) == 4, what="a publish of an adopted row")
        other.start()
        other.wait_for("connected", side="database")
        owner.signal(signal.SIGSTOP)  # so that the other one comes first
        relay_id = database.value("SELECT relay_id FROM message_log_claim")
        database.query("""SELECT pg_terminate_backend(pid) FROM pg_locks
            WHERE locktype = 'advisory' AND objid = %s""", [relay_id])
        polls(database, other, 5)
        owner.signal(signal.SIGCONT)
        owner.wait_for("connected", side="database", count=2)
        assert not other.events("claim adopted from a dead relay")
        peer.on_publish = lambda publish: publish.ack()
        peer.published[3].ack()
        database.wait_for_statuses(sent=3)
        assert database.attempts() == {0: 3}
        seen(charged=0)


def polls(database, relay, count):
    """Waits until it has asked the database so many times more."""
    name = relay.config["relay"]["name"]
    begins = set()

    def enough():
        begins.update(row["query_start"] for row in database.query(
            "SELECT query_start FROM pg_stat_activity WHERE application_name = %s",
            [f"outbox-relay {name}"]))
        return len(begins) > count

    wait_until(enough, what=f"{count} statements of {name}")


@pytest.mark.scenario(fault="the database is away for longer than a lease while a row goes alone; "
                            "another relay is back first",
                      expected="the owner takes its claim back; the row is not charged for a death")
def test_an_outage_longer_than_a_lease_charges_nobody(database, make_relay):
    with Peer() as peer, Proxy.before(database.url) as proxy:
        config = merge(merge(quick_config(database.url, peer.url), SHORT),
                       {"broker": {"confirm_timeout": "5m"}, "relay": {"lease": "8s"}})
        way = merge(config, {"database": {"url": proxy.url(database.url)}})
        for n in range(3):
            database.insert(routing_key=str(n))
        dead = make_relay(config).start()
        wait_until(lambda: len(peer.published) == 3, what="three publishes")
        dead.kill()
        owner = make_relay(way).start()
        wait_until(lambda: len(peer.published) == 4, what="a publish of an adopted row")
        proxy.refuse()
        proxy.reset()
        wait_until(lambda: database.value(
            "SELECT lease_until < clock_timestamp() FROM message_log_claim"), 30, what="its end")
        other = make_relay(merge(config, {"relay": {"name": "other"}})).start()
        other.wait_for("connected", side="database")
        polls(database, other, 5)
        assert not other.events("claim adopted from a dead relay")
        proxy.heal()
        owner.wait_for("connected", side="database", count=2)
        peer.on_publish = lambda publish: publish.ack()
        peer.published[3].ack()
        database.wait_for_statuses(sent=3, timeout=30)
        assert database.attempts() == {0: 3}
        seen(charged=0)


@pytest.mark.scenario(35)
def test_the_server_has_no_connection_left(spare_postgres, spare_database, broker, make_load):
    load = make_load(spare_database, broker, program=RELEASE)
    load.start()
    taken = []
    with load.fault() as fault:
        # The writer keeps its session; the relay loses its own, and finds no room for another.
        while not load.relay.events("cannot connect", side="database"):
            with contextlib.suppress(psycopg2.OperationalError):
                while True:
                    taken.append(psycopg2.connect(spare_database.url))
            terminate(spare_database)
        load.relay.wait_for("cannot connect", side="database", saying="connection slots")
        load.noticed(fault)
        time.sleep(20)
        for connection in taken:
            connection.close()
    load.quiet(fault, cpu=0.05)
    load.recovers()
    load.finish()


# --- locks and rights (27, 29, 30, 31, 34) ---------------------------------------------------


@pytest.mark.scenario(27, fault="LOCK TABLE for 30 s")
def test_the_table_is_locked_for_half_a_minute(database, broker, make_load):
    load = make_load(database, broker, program=RELEASE)
    load.start()
    other = database.connect()
    with load.fault() as fault:
        other.cursor().execute("LOCK TABLE message_log IN ACCESS EXCLUSIVE MODE")
        disconnected(load)
        load.noticed(fault)
        time.sleep(30)
        other.rollback()
    other.close()
    load.quiet(fault, cpu=0.05)
    load.recovers()
    report = load.finish()
    assert report.copies == 0


# What is changed -> (how, and back, a word of the log)
CHANGES = {
    "the table is away": (
        "ALTER TABLE message_log RENAME TO elsewhere",
        "ALTER TABLE elsewhere RENAME TO message_log", "message_log"),
    "the table of claims is away": (
        "ALTER TABLE message_log_claim RENAME TO elsewhere",
        "ALTER TABLE elsewhere RENAME TO message_log_claim", "message_log_claim"),
    "a column is away": (
        "ALTER TABLE message_log RENAME COLUMN try_count TO elsewhere",
        "ALTER TABLE message_log RENAME COLUMN elsewhere TO try_count", "try_count"),
    "a column has another type": (
        "ALTER TABLE message_log_claim ALTER message_ids TYPE text[] USING message_ids::text[]",
        "ALTER TABLE message_log_claim ALTER message_ids TYPE bigint[]"
        " USING message_ids::bigint[]", "operator does not exist"),
    "no right to UPDATE": (
        "REVOKE UPDATE ON message_log FROM outbox", "GRANT UPDATE ON message_log TO outbox",
        "permission denied"),
    "no right to SELECT": (
        "REVOKE SELECT ON message_log FROM outbox", "GRANT SELECT ON message_log TO outbox",
        "permission denied"),
}
NUMBERS = {"the table is away": 29, "the table of claims is away": 29, "a column is away": 30,
           "a column has another type": 30}


@pytest.mark.parametrize("what", [
    pytest.param(what, marks=pytest.mark.scenario(NUMBERS.get(what, 31), fault=f"{what}, under "
                                                                               "load"))
    for what in CHANGES])
def test_the_schema_is_changed_under_load(database, broker, make_load, what):
    there, back, word = CHANGES[what]
    load = make_load(database, broker, program=RELEASE)
    with load.stands(cpu=0.05) as fault:
        database.as_superuser(there)
        line = disconnected(load)
        load.noticed(fault)
        time.sleep(20)
        told = [event["error"] for event in load.relay.events(side="database") if
                "error" in event]
        assert any(word in error for error in told), (line, told)
        database.as_superuser(back)
    assert load.report.copies == 0  # acks are kept in memory, and nothing is published meanwhile


@pytest.mark.scenario(34)
def test_serializable_isolation_as_the_default_makes_no_failures(database, broker, make_load):
    database.servers.as_superuser(f"ALTER DATABASE {database.name} SET "
                                  "default_transaction_isolation = 'serializable'")
    load = make_load(database, broker, relays=2, writers=2)
    load.start(1500)
    report = load.finish()
    assert report.copies == 0
    for relay in load.relays:
        assert not relay.events("disconnected") and not relay.events("cannot connect")


# --- disk full (32) --------------------------------------------------------------------------


@pytest.fixture
def small_disk():
    """A folder with room for 48 MiB, for PostgreSQL."""
    if os.getuid() != 0:
        pytest.skip("mounting a tmpfs needs root")
    with tempfile.TemporaryDirectory(prefix="outbox-relay-test.") as folder:
        os.chmod(folder, 0o755)
        inside = os.path.join(folder, "disk")
        os.mkdir(inside)
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size=48m,uid={pwd.getpwnam('postgres').pw_uid}",
             "tmpfs", inside], capture_output=True, text=True, check=False)
        if mounted.returncode:
            pytest.skip(f"no tmpfs here: {mounted.stderr.strip()}")
        try:
            yield inside
        finally:
            subprocess.run(["umount", inside], check=True)


@pytest.mark.scenario(32)
def test_the_disk_is_full_while_rows_are_settled(
        spare_postgres, spare_database, broker, make_load, small_disk):
    name = spare_database.name
    spare_postgres.as_superuser(f"CREATE TABLESPACE small LOCATION '{small_disk}'")
    spare_postgres.as_superuser("ALTER TABLE message_log SET TABLESPACE small",
                                "ALTER INDEX message_log_due SET TABLESPACE small",
                                "ALTER INDEX message_log_pkey SET TABLESPACE small",
                                # With the room that it has on its pages the relay could settle
                                # all, however full the disk is.
                                "ALTER TABLE message_log RESET (fillfactor)",
                                "ALTER INDEX message_log_pkey RESET (fillfactor)",
                                "CREATE TABLE filler (b bytea) TABLESPACE small",
                                "ALTER TABLE filler ALTER b SET STORAGE EXTERNAL", database=name)
    try:
        load = make_load(spare_database, broker, program=RELEASE, writers=2, rate=400)
        with load.stands(cpu=0.05) as fault:
            for size in (1 << 20, 1 << 13, 1):  # to the last page
                with contextlib.suppress(psycopg2.errors.DiskFull):
                    while True:
                        spare_postgres.as_superuser(
                            f"INSERT INTO filler SELECT repeat('x', {size})::bytea "
                            "FROM generate_series(1, 4)", database=name)
            line = disconnected(load)
            assert "No space left" in line["error"]
            load.noticed(fault)
            time.sleep(20)
            spare_postgres.as_superuser("DROP TABLE filler", "CHECKPOINT", database=name)
        assert load.report.copies == 0
    finally:
        for writer in load.writers:
            writer.stop()
        for relay in load.relays:
            relay.is_running() and relay.kill()
        spare_database.drop()
        spare_postgres.as_superuser("DROP TABLESPACE small")


# --- a pooler (36) ---------------------------------------------------------------------------


@pytest.fixture
def pooled(database, tmp_path):
    """The database's URL behind PgBouncer in transaction mode, and the pooler's process."""
    # Not below tmp_path, which is closed to other users.
    with tempfile.TemporaryDirectory(prefix="outbox-relay-test.") as folder:
        os.chmod(folder, 0o755)
        port = free_port()
        env = database.servers.env
        users = os.path.join(folder, "users")
        with open(users, "w", encoding="ascii") as file:
            file.write(f'"outbox" "{env["PASSWORD"]}"\n')
        ini = os.path.join(folder, "pgbouncer.ini")
        with open(ini, "w", encoding="ascii") as file:
            file.write(f"""[databases]
* = host=127.0.0.1 port={env["PGPORT"]}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {users}
pool_mode = transaction
default_pool_size = 3
ignore_startup_parameters = options,extra_float_digits
server_check_delay = 1
server_login_retry = 1
""")
        log = tmp_path / "pgbouncer.log"
        pooler = Pooler(ini, log, database.url.replace(env["PGPORT"], str(port)))
        pooler.start()
        yield pooler
        pooler.kill()


class Pooler:
    def __init__(self, ini, log, url):
        self.ini, self.log, self.url = ini, log, url
        self.process = None

    def start(self):
        user = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [*(user if os.getuid() == 0 else []), "/usr/sbin/pgbouncer", self.ini],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_until(self._answers, what=lambda: f"PgBouncer:\n{self.log.read_text()}")

    def _answers(self):
        with contextlib.suppress(psycopg2.OperationalError):
            psycopg2.connect(self.url).close()
            return True
        return False

    def kill(self):
        self.process.kill()
        self.process.wait()


POOLED = {"database": {"pooling": "transaction"}, "relay": {"wake": "poll"}}


@pytest.mark.scenario(36)
def test_two_relays_behind_pgbouncer_in_transaction_mode(database, broker, make_load, pooled):
    load = make_load(database, broker, POOLED, database_url=pooled.url, writer_url=pooled.url,
                     relays=2, writers=2)
    load.start(1000)
    with load.fault():
        pooled.kill()
        disconnected(load)
        pooled.start()
    load.recovers()
    with load.fault():  # the servers behind it change under its feet
        for _ in range(5):
            sent = load.sent()
            database.terminate_relay_sessions("AND client_addr IS NOT NULL")
            load.wait_for_sent(sent + 50)
    load.recovers()
    load.finish()


@pytest.mark.scenario(36, fault="PgBouncer in transaction mode, and the relay does not know",
                      expected="no row is lost all the same")
def test_pgbouncer_without_being_told_loses_nothing(database, broker, make_load, pooled):
    load = make_load(database, broker, database_url=pooled.url)
    for writer in load.writers:
        writer.start()
    load.relay.start()
    load.wait_for_sent(300)
    load.finish(bounded=False, explained=False)


# --- the way to it (37, 38, and what proxies can do) -----------------------------------------


@pytest.mark.quick
@pytest.mark.scenario(37)
def test_the_way_to_postgres_swallows_everything(database, broker, make_load):
    with Proxy.before(database.url) as proxy:
        load = make_load(database, broker, {"database": {"statement_timeout": "1s"}},
                         PATIENT, database_url=proxy.url(database.url))
        with load.stands():
            proxy.blackhole()
            disconnected(load)
            tries = proxy.accepted
            wait_until(lambda: proxy.accepted > tries + 1, 60, what="two more tries")
            proxy.heal()


@pytest.mark.scenario(38)
def test_the_way_to_postgres_is_slow_and_the_brokers_heartbeats_go_on(
        database, broker, make_load):
    with Proxy.before(database.url) as proxy:
        load = make_load(database, broker, {"database": {"statement_timeout": "10s"}}, PATIENT,
                         database_url=proxy.url(database.url))
        load.start()
        with load.fault():
            proxy.drip(1024)
            time.sleep(20)
            assert not load.relay.events("disconnected", side="broker")
            proxy.heal()
        load.recovers()
        load.finish()
        assert not load.relay.events("disconnected", side="broker")


@pytest.mark.scenario(fault="the connection to PostgreSQL ends right behind COMMIT, ten times",
                      expected="settled once, charged nothing")
def test_the_connection_ends_right_behind_commit(database, broker, make_load):
    with Proxy.before(database.url) as proxy:
        load = make_load(database, broker, database_url=proxy.url(database.url))
        load.start()
        for n in range(10):
            with load.fault():
                proxy.cut(UP, behind=EXECUTE_COMMIT, how="close")
                disconnected(load, n + 1)
            load.recovers()
        load.finish()


@pytest.mark.scenario(fault="resets, half-closes and cuts on the way to PostgreSQL, under load",
                      expected="goes on; nobody is charged")
def test_the_way_to_postgres_breaks_in_many_ways(database, broker, make_load):
    with Proxy.before(database.url) as proxy:
        load = make_load(database, broker, database_url=proxy.url(database.url), relays=2)
        load.start()
        for fault in (proxy.reset, proxy.close, lambda: proxy.half_close(DOWN),
                      lambda: proxy.half_close(UP), lambda: proxy.cut(DOWN, after=100),
                      lambda: proxy.cut(UP, after=10), lambda: proxy.cut(DOWN, after=5000)):
            before = proxy.accepted
            with load.fault():
                fault()
                wait_until(lambda: proxy.accepted > before, 60, what="another connection")
                proxy.heal()
            load.recovers()
        load.finish()


# --- order, horizon, size (39, 41, 42) -------------------------------------------------------


# Ten minutes, unless somebody who is in a hurry says otherwise; the results tell.
HORIZON = float(os.environ.get("HORIZON_SECONDS", "600"))


@pytest.mark.scenario(39, fault="a foreign transaction pins the vacuum horizon under load, for "
                                f"{HORIZON:.0f} s")
def test_a_foreign_transaction_pins_the_vacuum_horizon(database, broker, make_load):
    load = make_load(database, broker, program=RELEASE, writers=2, rate=400)
    foreign = database.connect()
    foreign.set_session("REPEATABLE READ")
    foreign.cursor().execute("SELECT count(*) FROM message_log")
    load.start()
    time.sleep(HORIZON)
    for writer in load.writers:
        writer.stop()
    load.drain()
    first, last = (database.value(
        """SELECT percentile_cont(0.95) WITHIN GROUP (ORDER BY
                  extract(epoch FROM updated_at - created_at))::float8
             FROM (SELECT * FROM message_log ORDER BY id %s LIMIT 5000) AS picked""" % order)
        for order in ("", "DESC"))
    foreign.rollback()
    foreign.close()
    report = load.finish()
    load.note(f"{report.committed} rows; commit to settled, p95: {1000 * first:.0f} ms among the "
              f"first 5000, {1000 * last:.0f} ms among the last")
    assert last < 10 * max(first, 0.05), (first, last)


@pytest.mark.quick
@pytest.mark.scenario(41, fault="transactions of all lengths commit out of the order of ids")
def test_commits_out_of_the_order_of_ids_skip_no_row(database, broker, make_load):
    load = make_load(database, broker, relays=2, writers=3)
    slow = []
    load.start(50)
    for n in range(20):
        session = database.connect()
        session.cursor().execute(
            "INSERT INTO message_log (message_id, exchange, payload) VALUES (%s, %s, %s)",
            [f"slow-{n}", load.exchange, b"slow"])
        slow.append((f"slow-{n}", session))
        load.wait_for_sent(load.sent() + 20)
        if n % 3 == 2:  # the second oldest of those that are open
            name, session = slow.pop(1)
            session.commit()
            load.also_committed(name, b"slow")
    for name, session in slow:
        session.commit()
        load.also_committed(name, b"slow")
    report = load.finish()
    assert report.copies == 0


MILLION = int(os.environ.get("BACKLOG_ROWS", "1000000"))


@pytest.mark.scenario(42, fault=f"a backlog of {MILLION:,} rows at the start")
def test_a_backlog_of_a_million_rows(database, broker, make_relay):
    exchange = broker.exchange()
    queue = broker.queue(exchange, **{"x-queue-mode": "lazy"})
    relay = make_relay(merge(quick_config(database.url, broker.url),
                             {"log": {"level": "info"}}), program=RELEASE)
    database.query("""INSERT INTO message_log (exchange, payload)
        SELECT %s, convert_to(rpad(n || ' ', 100, 'x'), 'UTF8')
          FROM generate_series(1, %s) n""", [exchange, MILLION])
    relay.start()
    marks = []  # (share of the backlog, seconds, resident bytes)
    begin = time.monotonic()
    for tenth in range(1, 11):
        wait_until(lambda: settled(database) >= tenth * MILLION // 10, 300, interval=0.5,
                   what=f"{tenth} tenths")
        marks.append((time.monotonic() - begin, relay.resident_bytes()))
    peak = relay.peak_bytes()
    relay.stop()
    assert database.statuses() == {"sent": MILLION} and database.attempts() == {0: MILLION}
    (stopped,) = relay.events("stopped")
    arrived = broker.drain(queue, timeout=900, keep=lambda message: message.message_id)
    ids = set(arrived)
    lost, copies = MILLION - len(ids), len(arrived) - len(ids)
    first, last = marks[1][0], marks[9][0] - marks[7][0]
    seen(lost=lost, duplicates=copies, charged=0,
         note=f"{MILLION} rows in {marks[-1][0]:.0f} s; first and last fifth {first:.1f} s and "
              f"{last:.1f} s; most memory {peak / (1 << 20):.1f} MiB")
    assert lost == 0 and copies <= stopped["interrupted"]
    assert peak < 24 << 20
    assert marks[9][1] < marks[0][1] + (4 << 20)
    assert last < 5 * first


def settled(database):
    return database.value("""SELECT count(*) FROM message_log WHERE status = 'sent'""")
