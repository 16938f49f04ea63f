"""`check` names what is missing; `migrate` gives every schema the same tables."""

import concurrent.futures
import json
import subprocess
import uuid

import psycopg2
import psycopg2.extensions
import pytest

from harness import merge, quick_config, wait_until
from harness.peer import Peer
from harness.program import ROOT

DEAD = "127.0.0.1:1"  # nobody listens on this port
UGLY = 'My "schema"; DROP'
FILES = sorted((ROOT / "schema").glob("0*.sql"))
VERSIONS = list(range(1, len(FILES) + 1))


def findings(relay, check):
    """{check: (is it fine?, detail)}"""
    done = relay.run("check", "--json", check=check)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return {line["check"]: (line["ok"], line["detail"]) for line in lines}


def bad(relay, check=69):
    """The only finding that is not fine, and its detail."""
    (finding,) = [(name, detail) for name, (ok, detail) in findings(relay, check).items()
                  if not ok]
    return finding


def psql(database, *arguments, **options):
    """As the role `outbox`."""
    return subprocess.run(["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", database.url, *arguments],
                          text=True, capture_output=True, check=True, **options)


# --- check: all is fine ----------------------------------------------------------------------


def test_check_finds_nothing_to_complain_of(database, broker, relay):
    database.insert(broker.exchange())
    done = relay.run("check")
    assert done.stdout and all(line.startswith("ok ") for line in done.stdout.splitlines())
    assert all(ok for ok, _ in findings(relay, 0).values())


def test_check_changes_nothing(database, broker, relay):
    database.insert(broker.exchange())
    before = database.query("SELECT * FROM message_log")
    relay.run("check")
    assert database.query("SELECT * FROM message_log") == before
    assert database.claims() == 0


# --- check: the database ---------------------------------------------------------------------


def test_check_names_an_unreachable_database(broker, make_relay):
    relay = make_relay(quick_config(f"postgresql://a:b@{DEAD}/c", broker.url))
    name, detail = bad(relay)
    assert name == "database" and "port 1 failed: Connection refused" in detail


def test_check_names_a_wrong_password_of_the_database(database, broker, make_relay):
    url = database.url.replace(database.servers.database_login, "outbox:wrong")
    name, detail = bad(make_relay(quick_config(url, broker.url)))
    assert name == "database" and "password authentication failed" in detail


def test_check_names_a_missing_database(database, broker, make_relay):
    name, detail = bad(make_relay(quick_config(database.url + "x", broker.url)))
    assert name == "database" and f'"{database.name}x" does not exist' in detail


def test_check_names_a_read_only_database(database, relay):
    database.query(f"ALTER DATABASE {database.name} SET default_transaction_read_only = on")
    name, detail = bad(relay)
    assert name == "database writable" and "read-only" in detail


def test_check_asks_nothing_more_of_a_database_that_does_not_answer(database, relay):
    """What comes too late would pass for the answer to the next question."""
    with database.connect() as connection:
        connection.cursor().execute("LOCK TABLE message_log")
        found = findings(relay, 69)
    (late,) = [check for check, (ok, _) in found.items() if not ok]
    assert found[late][1] == "no answer in time"
    assert "clocks" not in found


def test_check_names_the_tables_where_migrate_was_never_run(bare_database, broker, make_relay):
    name, detail = bad(make_relay(quick_config(bare_database.url, broker.url)))
    assert name == "tables"
    assert ("message_log, message_log_claim, message_log_attempt, message_log_migration"
            in detail)
    assert "migrate" in detail


@pytest.mark.parametrize("statement, name, words", [
    ("DROP TABLE message_log_claim", "tables", "missing: message_log_claim "),
    ("ALTER TABLE message_log DROP COLUMN headers", "columns", "message_log.headers jsonb"),
    ("ALTER TABLE message_log ALTER try_count TYPE bigint", "columns",
     "message_log.try_count integer"),
    ("ALTER TABLE message_log_claim DROP COLUMN publishing_id", "columns",
     "message_log_claim.publishing_id bigint"),
    ("DROP TABLE message_log_attempt", "tables", "missing: message_log_attempt "),
    ("DROP INDEX message_log_due", "indexes", "(next_retry, id) WHERE status = 'sending'"),
    ("ALTER TABLE message_log DROP CONSTRAINT message_log_message_id_is_unique", "indexes",
     "a unique index on message_log (message_id)"),
    ("ALTER TABLE message_log DROP CONSTRAINT message_log_pkey", "indexes",
     "a primary key on message_log (id)"),
    ("DROP TRIGGER message_log_doorbell ON message_log", "doorbell", "message_log_doorbell"),
    ("ALTER TABLE message_log DISABLE TRIGGER message_log_doorbell", "doorbell",
     "message_log_doorbell"),
    ("DELETE FROM message_log_migration WHERE version > 1", "schema version",
     "1, this program needs "),
    ("REVOKE UPDATE ON message_log FROM outbox", "rights", "UPDATE (status) on message_log"),
    ("REVOKE SELECT ON message_log FROM outbox", "rights", "SELECT on message_log"),
    ("REVOKE DELETE ON message_log_claim FROM outbox", "rights", "DELETE on message_log_claim"),
    ("REVOKE INSERT ON message_log_attempt FROM outbox", "rights",
     "INSERT on message_log_attempt"),
    ("REVOKE USAGE ON SEQUENCE message_log_relay_id FROM outbox", "rights",
     "USAGE on sequence message_log_relay_id"),
])
def test_check_names_what_is_missing_after(database, relay, statement, name, words):
    database.query(statement)
    found, detail = bad(relay)
    assert found == name
    assert words in detail


def test_check_wants_no_trigger_for_a_relay_that_polls(database, relay):
    database.query("DROP TRIGGER message_log_doorbell ON message_log")
    relay.configure(merge(relay.config, {"relay": {"wake": "poll"}}))
    findings(relay, 0)


# --- check: the broker -----------------------------------------------------------------------


def test_check_names_an_unreachable_broker(database, make_relay):
    name, detail = bad(make_relay(quick_config(database.url, f"amqp://{DEAD}")))
    assert name == "broker" and "Connection refused" in detail


def test_check_names_a_wrong_password_of_the_broker(database, broker, make_relay):
    url = broker.url.replace(database.servers.amqp_login, "guest:wrong")
    name, detail = bad(make_relay(quick_config(database.url, url)))
    assert name == "broker" and "403 ACCESS_REFUSED" in detail and "wrong" not in detail


def test_check_names_a_missing_virtual_host(database, broker, make_relay):
    url = broker.url.rpartition("/")[0] + "/nowhere"
    name, detail = bad(make_relay(quick_config(database.url, url)))
    assert name == "broker" and "530" in detail and "nowhere" in detail


def test_check_names_each_missing_exchange_that_rows_wait_for(database, broker, relay):
    there = broker.exchange()
    for exchange in (there, "missing.one", "missing.two", ""):
        database.insert(exchange)
    database.insert("of a sent row", status="sent")
    found = findings(relay, 69)
    assert found["exchange " + there][0]
    assert found["exchange (default)"][0]
    for exchange in ("missing.one", "missing.two"):
        ok, detail = found["exchange " + exchange]
        assert not ok and "404" in detail
    assert "exchange of a sent row" not in found


def test_check_reports_all_findings_at_once(database, make_relay):
    database.query("DROP INDEX message_log_due")
    relay = make_relay(quick_config(database.url, f"amqp://{DEAD}"))
    assert {name for name, (ok, _) in findings(relay, 69).items() if not ok} == \
        {"indexes", "broker"}


def test_check_takes_the_second_broker_where_the_first_is_dead(database, broker, make_relay):
    relay = make_relay(quick_config(database.url, f"amqp://{DEAD}", broker.url))
    assert findings(relay, 0)["broker"][0]


# --- migrate ---------------------------------------------------------------------------------


def quoted(database, name):
    return psycopg2.extensions.quote_ident(name, database.connection)


def shape(database, schema="public"):
    """All that the migrations made, whatever the schema's name."""
    name = quoted(database, schema)
    dump = subprocess.run(["pg_dump", "--schema-only", "--no-owner", "--schema", name,
                           "-d", database.url],
                          text=True, capture_output=True, check=True).stdout
    for text in (name, schema):
        dump = dump.replace(text, "SCHEMA")
    about_the_dump = ("--", "SET ", "SELECT pg_catalog", "\\", "CREATE SCHEMA", "COMMENT ON SCHEMA")
    return [line for line in dump.splitlines() if line and not line.startswith(about_the_dump)]


def applied(done):
    return [line for line in done.stdout.splitlines() if line.startswith("applied")]


def versions(database, schema="public"):
    return [row["version"] for row in database.query(
        f"SELECT version FROM {quoted(database, schema)}.message_log_migration ORDER BY 1")]


def test_migrate_may_be_repeated(bare_database, broker, make_relay):
    relay = make_relay(quick_config(bare_database.url, broker.url))
    assert len(applied(relay.run("migrate"))) == len(FILES)
    first = shape(bare_database)
    bare_database.insert("", "kept")
    assert applied(relay.run("migrate")) == []
    assert shape(bare_database) == first
    assert versions(bare_database) == VERSIONS
    assert bare_database.statuses() == {"sending": 1}


def test_four_migrations_at_once_apply_each_step_once(bare_database, broker, make_relay):
    relays = [make_relay(quick_config(bare_database.url, broker.url)) for _ in range(4)]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda relay: relay.run("migrate"), relays))
    assert sum(len(applied(d)) for d in done) == len(FILES)
    assert versions(bare_database) == VERSIONS
    findings(relays[0], 0)


def test_a_migration_that_was_interrupted_goes_on_where_it_was(bare_database, broker, make_relay):
    relay = make_relay(quick_config(bare_database.url, broker.url))
    for file in FILES[:2]:
        psql(bare_database, "-1", "-f", str(file))
    assert [int(line.split()[1]) for line in applied(relay.run("migrate"))] == VERSIONS[2:]
    findings(relay, 0)


def test_an_ugly_schema_name_works_for_everything(bare_database, broker, make_relay):
    relay = make_relay(merge(quick_config(bare_database.url, broker.url),
                             {"database": {"schema": UGLY}}))
    relay.run("migrate")
    findings(relay, 0)
    queue = broker.queue()
    name = quoted(bare_database, UGLY)
    relay.start()
    relay.wait_for("connected", side="broker")
    for n in range(3):
        bare_database.query(f"SELECT {name}.message_log_send('', %s, %s)", [queue, str(n)])
        broker.wait_for_count(queue, n + 1)
    relay.stop()
    assert bare_database.value(
        f"SELECT count(*) FROM {name}.message_log WHERE status = 'sent'") == 3
    assert bare_database.value("SELECT to_regclass('public.message_log')") is None


@pytest.mark.parametrize("schema", ["public", UGLY])
def test_the_printed_migration_makes_the_same_schema_through_psql(
        database, bare_database, broker, make_relay, schema):
    relay = make_relay(merge(quick_config(bare_database.url, broker.url),
                             {"database": {"schema": schema}}))
    sql = relay.run("migrate", "--print").stdout
    assert bare_database.value("SELECT to_regclass('message_log')") is None
    psql(bare_database, "-f", "-", input=sql)
    assert shape(bare_database, schema) == shape(database)
    findings(relay, 0)
    assert applied(relay.run("migrate")) == []


def test_the_files_make_the_same_schema_through_psql(database, bare_database, broker, make_relay):
    for file in FILES:
        psql(bare_database, "-1", "-f", str(file))
    assert shape(bare_database) == shape(database)
    findings(make_relay(quick_config(bare_database.url, broker.url)), 0)


def test_migrate_exits_69_when_there_is_no_database(broker, make_relay):
    relay = make_relay(quick_config(f"postgresql://a:b@{DEAD}/c", broker.url))
    assert "Connection refused" in relay.run("migrate", check=69).stderr


# --- migrate: a table that is big already ----------------------------------------------------


@pytest.fixture
def old_relay(bare_database, broker, make_relay):
    """The relay of a schema that is at version 4."""
    for file in FILES[:4]:
        psql(bare_database, "-1", "-f", str(file))
    return make_relay(quick_config(bare_database.url, broker.url))


def test_a_relay_waits_for_the_migrations_that_it_needs(bare_database, broker, old_relay):
    queue = broker.queue()
    bare_database.insert(routing_key=queue)
    old_relay.start()
    old_relay.wait_for("cannot connect", side="database",
                       saying=f"at version 4, this relay needs {VERSIONS[-1]}: run")
    old_relay.run("migrate")
    broker.wait_for_count(queue, 1)
    old_relay.stop()


def test_a_relay_serves_a_schema_that_is_newer_than_itself(database, broker, relay):
    queue = broker.queue()
    database.query("INSERT INTO message_log_migration (version, name) VALUES (1000, 'later')")
    database.insert(routing_key=queue)
    relay.run_until_empty()
    assert broker.count(queue) == 1
    assert findings(relay, 0)["schema version"] == (True, "1000")


def migrate_in_background(relay):
    pool = concurrent.futures.ThreadPoolExecutor(1)
    done = pool.submit(relay.run, "migrate")
    pool.shutdown(wait=False)
    return done


@pytest.fixture
def open_insert(bare_database, old_relay):
    """A transaction that has inserted a row: building an index waits for its end."""
    connection = bare_database.connect()
    connection.cursor().execute("INSERT INTO message_log (exchange, payload) VALUES ('a', '')")
    yield connection
    connection.close()


def wait_for_build(database):
    wait_until(lambda: database.query(
        "SELECT pid FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX CONCURRENTLY%'"
        " AND wait_event_type = 'Lock' AND datname = current_database()"), what="the build")


def is_index_valid(database):
    return database.value("SELECT indisvalid FROM pg_index"
                          " WHERE indexrelid = 'message_log_failed'::regclass")


def test_applications_go_on_inserting_while_migrate_builds_the_index(
        bare_database, old_relay, open_insert):
    done = migrate_in_background(old_relay)
    wait_for_build(bare_database)
    bare_database.query("SET statement_timeout = '10s'")
    bare_database.insert("another", "writes meanwhile")
    assert not done.done()
    open_insert.commit()
    assert applied(done.result(30))[:1] == ["applied 0005 failed"]
    assert is_index_valid(bare_database)


def test_two_migrations_of_an_old_schema_do_not_wait_for_each_other(
        bare_database, make_relay, old_relay, open_insert):
    first = migrate_in_background(old_relay)
    wait_for_build(bare_database)
    second = migrate_in_background(make_relay(old_relay.config))
    wait_until(lambda: bare_database.value(
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%advisory_lock%'"
        " AND application_name = 'outbox-relay migrate' AND datname = current_database()"),
        what="the second migration")
    open_insert.commit()
    assert applied(first.result(60))[:1] == ["applied 0005 failed"]
    assert applied(second.result(60)) == []


def test_an_index_whose_build_was_interrupted_is_built_anew(bare_database, old_relay):
    bare_database.query("CREATE INDEX message_log_failed ON message_log (id)"
                        " WHERE status = 'failed'")
    bare_database.as_superuser("UPDATE pg_index SET indisvalid = false"
                               " WHERE indexrelid = 'message_log_failed'::regclass")
    old_relay.run("migrate")
    assert is_index_valid(bare_database)


def test_payloads_are_compressed_by_lz4(database):
    # The server says whether it was built with LZ4 by what it accepts for new columns.
    known = database.value("SELECT 'lz4' = ANY (enumvals) FROM pg_settings"
                           " WHERE name = 'default_toast_compression'")
    assert known, "this PostgreSQL has no LZ4: cannot be seen here"
    assert database.value("SELECT attcompression FROM pg_attribute"
                          " WHERE attrelid = 'message_log'::regclass AND attname = 'payload'") == "l"


def test_ids_that_nobody_chose_are_uuids_in_the_order_of_time(database):
    for _ in range(3):
        database.query("INSERT INTO message_log (exchange, payload) VALUES ('a', '')")
        database.query("SELECT message_log_send('a', '', 'x')")
        database.query("SELECT pg_sleep(0.002)")  # the order is that of milliseconds
    ids = [uuid.UUID(row["message_id"])
           for row in database.query("SELECT message_id FROM message_log ORDER BY id")]
    assert [(i.version, i.variant) for i in ids] == [(7, uuid.RFC_4122)] * 6
    assert ids[::2] == sorted(ids[::2]) and ids[1::2] == sorted(ids[1::2])
    now = database.value("SELECT extract(epoch FROM now())::float8")
    assert now - 60 < (ids[0].int >> 80) / 1000 < now + 60


def collation(database):
    return database.value("SELECT attcollation::regcollation::text FROM pg_attribute"
                          " WHERE attrelid = 'message_log'::regclass AND attname = 'message_id'")


def test_message_ids_are_compared_byte_by_byte(database):
    assert collation(database) == '"C"'
    options = database.value("SELECT reloptions FROM pg_class"
                             " WHERE oid = 'message_log_message_id_is_unique'::regclass")
    assert options == ["fillfactor=70"]


def test_a_table_that_was_written_to_is_not_built_anew(bare_database, old_relay):
    bare_database.insert("an exchange", "a key")
    bare_database.query("DELETE FROM message_log")
    old_relay.run("migrate")
    assert collation(bare_database) == '"default"'


def test_a_view_of_message_ids_does_not_stop_the_migrations(bare_database, old_relay):
    bare_database.query("CREATE VIEW ours AS SELECT message_id FROM message_log")
    assert len(applied(old_relay.run("migrate"))) == len(FILES) - 4
    assert collation(bare_database) == '"default"'


def test_a_relay_outlives_that_the_collation_of_message_ids_is_changed(database, broker, relay):
    queue = broker.queue()
    relay.start()
    database.insert(routing_key=queue)
    database.wait_for_statuses(sent=1)
    database.query('ALTER TABLE message_log ALTER COLUMN message_id TYPE text COLLATE "und-x-icu"')
    database.insert(routing_key=queue)
    database.wait_for_statuses(sent=2)
    relay.stop()
    assert "cached plan must not change result type" in relay.log
    assert broker.count(queue) == 2
    assert database.value("SELECT max(try_count) FROM message_log") == 0


DOORBELL = "FROM pg_trigger WHERE tgname = 'message_log_doorbell' AND tgrelid = 'message_log'::regclass"


@pytest.mark.parametrize("words, enabled", [
    ("DISABLE", "D"), ("ENABLE ALWAYS", "A"), ("ENABLE REPLICA", "R"), ("ENABLE", "O")])
def test_a_migration_leaves_the_doorbell_as_enabled_as_it_was(bare_database, old_relay, words, enabled):
    bare_database.query(f"ALTER TABLE message_log {words} TRIGGER message_log_doorbell")
    old_relay.run("migrate")
    assert bare_database.value(f"SELECT tgenabled {DOORBELL}") == enabled
    assert bare_database.value(f"SELECT tgqual IS NOT NULL {DOORBELL}")


def test_a_migration_brings_no_doorbell_where_there_is_none(bare_database, old_relay):
    bare_database.query("DROP TRIGGER message_log_doorbell ON message_log")
    old_relay.run("migrate")
    assert bare_database.value(f"SELECT count(*) {DOORBELL}") == 0


def test_migrations_leave_no_constraint_that_older_rows_may_break(bare_database, old_relay):
    bare_database.query("INSERT INTO message_log (exchange, payload, properties)"
                        " VALUES ('a', '', '{\"priority\": 1}')")
    old_relay.run("migrate")
    assert bare_database.value("SELECT count(*) FROM pg_constraint WHERE NOT convalidated") == 0


def test_a_migration_gives_up_rather_than_keep_writers_waiting_behind_it(
        bare_database, old_relay, make_relay):
    psql(bare_database, "-1", "-f", str(FILES[4]))
    connection = bare_database.connect()
    connection.cursor().execute("INSERT INTO message_log (exchange, payload) VALUES ('a', '')")
    done = old_relay.run("migrate", check=None)
    connection.close()
    assert done.returncode != 0 and "55P03" in done.stderr
    assert applied(old_relay.run("migrate"))[:1] == ["applied 0006 compression"]


# --- roles -----------------------------------------------------------------------------------


@pytest.fixture
def roles(servers, database, make_relay):
    """roles(group): the url of a login that is a member of the group, and of nothing else."""
    url = f"postgresql:///{database.name}?host={servers.env['PGHOST']}" \
          f"&port={servers.env['PGPORT']}&user=postgres"
    relay = make_relay(quick_config(database.url, "amqp://" + DEAD))
    relay.run("migrate", "--roles", "--database", url)
    logins = []

    def login(group):
        name = f"{database.name}_{group}"
        database.as_superuser(f"CREATE ROLE {name} LOGIN PASSWORD 'x' IN ROLE {group}")
        logins.append(name)
        return database.url.replace(servers.database_login, f"{name}:x")

    yield login
    for name in logins:
        database.as_superuser(f"DROP ROLE {name}")


def run_as(url, statement, arguments=None):
    connection = psycopg2.connect(url)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(statement, arguments)
            return cursor.fetchall() if cursor.description else cursor.rowcount
    finally:
        connection.close()


def test_a_writer_may_send_and_nothing_else(database, roles):
    writer = roles("message_log_writer")
    database.query("REVOKE EXECUTE ON FUNCTION message_log_new_id() FROM PUBLIC")
    run_as(writer, "SELECT message_log_send('e', 'k', 'x', message_id => 'm')")
    run_as(writer, "INSERT INTO message_log (exchange, payload) VALUES ('e', '') RETURNING id")
    assert database.statuses() == {"sending": 2}
    for statement in [
        "SELECT payload FROM message_log",
        "UPDATE message_log SET status = 'sent'",
        "DELETE FROM message_log",
        "TRUNCATE message_log",
        "INSERT INTO message_log (exchange, payload, status) VALUES ('e', '', 'sent')",
        "SELECT * FROM message_log_claim",
        "DELETE FROM message_log_claim",
        "INSERT INTO message_log_migration VALUES (99, 'mine')",
        "SELECT nextval('message_log_relay_id')",
        "DROP TABLE message_log",
    ]:
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            run_as(writer, statement)


def test_a_sender_may_mark_its_rows_sent_and_nothing_else(database, roles):
    sender = roles("message_log_sender")
    run_as(sender, "SELECT message_log_send('e', 'k', 'x', message_id => 'm',"
                   " next_retry => now() + '1 minute')")
    assert run_as(sender, "UPDATE message_log SET status = 'sent', updated_at = now()"
                          " WHERE message_id = 'm' AND status = 'sending'") == 1
    assert database.statuses() == {"sent": 1}
    for statement in [
        "SELECT payload FROM message_log",
        "UPDATE message_log SET try_count = 0",
        "UPDATE message_log SET payload = ''",
        "DELETE FROM message_log",
        "SELECT * FROM message_log_claim",
    ]:
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            run_as(sender, statement)


def test_the_relay_role_is_enough_for_a_relay(database, broker, make_relay, roles):
    exchange = broker.exchange()
    queue = broker.queue(exchange, "good")
    relay = make_relay(quick_config(roles("message_log_relay"), broker.url))
    findings(relay, 0)
    relay.start()
    for key in ("good", "bad", "good"):
        database.insert(exchange, key)
    database.wait_for_statuses(sent=2, failed=1)
    relay.stop()
    assert not relay.events("disconnected")
    assert broker.count(queue) == 2


def test_a_dead_relay_is_replaced_with_the_relay_role_alone(database, broker, make_relay, roles):
    exchange = broker.exchange()
    queue = broker.queue(exchange)
    url = roles("message_log_relay")
    with Peer() as peer:
        dead = make_relay(quick_config(url, peer.url)).start()
        database.insert(exchange)
        wait_until(lambda: peer.published, what="a publish")
        dead.kill()
    make_relay(quick_config(url, broker.url)).run_until_empty()
    assert broker.count(queue) == 1


def test_the_operator_role_is_enough_for_every_command(database, broker, make_relay, roles):
    url = roles("message_log_operator")
    relay = make_relay(quick_config(database.url, broker.url))
    failed, sent = (database.insert("e", "k", b"x", status=status, last_error=error)
                    for status, error in (("failed", "why"), ("sent", None)))
    for command in (["status"], ["list", "--status", "failed"], ["show", str(failed)],
                    ["requeue", "--yes", str(failed)],
                    ["replay", "--yes", "--label", "again", str(sent)],
                    ["purge", "--yes", str(sent)]):
        assert not relay.run(*command, "--database", url).stderr
    told = relay.run("doctor", "--database", url, check=None)
    assert "vacuum horizon" in told.stdout and "permission denied" not in told.stdout + told.stderr
    assert database.query("SELECT message_id LIKE '%%~again' AS is_copy, status, try_count"
                          " FROM message_log ORDER BY id") == [
        dict(is_copy=False, status="sending", try_count=0),
        dict(is_copy=True, status="sending", try_count=0)]


def test_an_operator_changes_no_message_and_no_claim(database, roles):
    operator = roles("message_log_operator")
    database.insert("e", "k", b"x")
    for statement in [
        "UPDATE message_log SET payload = ''",
        "UPDATE message_log SET routing_key = ''",
        "INSERT INTO message_log (exchange, payload, status) VALUES ('e', '', 'sent')",
        "INSERT INTO message_log_claim DEFAULT VALUES",
        "DELETE FROM message_log_claim",
        "INSERT INTO message_log_attempt DEFAULT VALUES",
        "SELECT nextval('message_log_relay_id')",
        "TRUNCATE message_log",
    ]:
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            run_as(operator, statement)


def test_check_names_what_the_relay_role_lacks_to_delete(database, broker, make_relay, roles):
    relay = make_relay(merge(quick_config(roles("message_log_relay"), broker.url),
                             {"relay": {"on_sent": "delete"}}))
    name, detail = bad(relay)
    assert name == "right to delete"
    assert "DELETE on message_log, DELETE on message_log_attempt" in detail
    database.query("GRANT DELETE ON message_log, message_log_attempt TO message_log_relay")
    findings(relay, 0)


@pytest.mark.parametrize("group", ["message_log_writer", "message_log_sender"])
def test_check_names_the_rights_that_another_role_lacks(broker, make_relay, roles, group):
    name, detail = bad(make_relay(quick_config(roles(group), broker.url)))
    assert name == "rights"
    assert "UPDATE (try_count) on message_log" in detail
    assert "SELECT on message_log_claim" in detail


def test_the_roles_may_be_applied_again_and_by_psql(servers, database, roles):
    superuser = ["-h", servers.env["PGHOST"], "-p", servers.env["PGPORT"], "-U", "postgres"]
    for _ in range(2):
        subprocess.run(["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-1", *superuser,
                        "-d", database.name, "-f", str(ROOT / "schema" / "roles.sql")],
                       check=True, capture_output=True)
    run_as(roles("message_log_writer"), "SELECT message_log_send('e', 'k', 'x')")
