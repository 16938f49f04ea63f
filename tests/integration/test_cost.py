"""What a message costs, in counts: they are the same on a loaded machine. A limit that is passed
means that the hot path got fatter; seconds belong to `make bench`.
"""

import json
import os
import pathlib
import re
import statistics
import subprocess

import pytest

from harness import DOWN, Proxy, merge, quick_config, wait_until
from harness.program import RELEASE

ROWS = 4000


@pytest.fixture
def drain(broker, make_relay):
    """drain(database, rows, *wrapper, …): a release build sends so many rows of 256 bytes, to the
    end."""
    exchange = broker.exchange()
    broker.queue(exchange)

    def drain(database, rows, *wrapper, broker_url=broker.url, **settings):
        database.insert_many(rows, exchange, "key")
        config = merge(quick_config(database.url, broker_url),
                       {"relay": {"name": database.name, "lease": "30s", **settings}})
        relay = make_relay(config, RELEASE)
        relay.wrapper = list(wrapper)
        relay.run_until_empty(timeout=120)
        assert not database.statuses().get("sending")
        return relay

    return drain


# --- on the relay's machine ------------------------------------------------------------------


def calls_of(file):
    """What strace -c counted, by the name of the system call."""
    rows = re.findall(r"^ +[\d.]+ +[\d.]+ +\d+ +(\d+) +(?:\d+ +)?(\w+)$", file.read_text(), re.M)
    return {name: int(count) for count, name in rows}


def test_many_messages_share_a_system_call(database, drain, tmp_path):
    counts = []
    for n, rows in enumerate((ROWS, 3 * ROWS)):
        file = tmp_path / f"calls{n}"
        drain(database, rows, "strace", "-f", "-c", "-o", file)
        counts.append(calls_of(file))
    few, many = counts
    a_message = {name: (many[name] - few.get(name, 0)) / (2 * ROWS) for name in many}
    assert many["sendto"] > 10, "nothing was counted"
    assert sum(a_message.values()) < 0.5, a_message


def naps_in_answers(text):
    """(times that a relay stopped to look for other things while an answer of the database was coming,
    all its reads), as strace tells with -s 1: what libpq sends begins with a letter, frames do not."""
    database = set(re.findall(r'^sendto\((\d+), "[BP]"', text, re.M))
    naps = reads = 0
    is_coming = napped = False
    for call, of, rest in re.findall(r"^(\w+)\(([^,]*),(.*)$", text, re.M):
        if call == "poll" and re.search(r" 1, [1-9]", rest):  # of nothing but the signals
            napped = True
        elif call == "sendto" and of in database:
            is_coming = False
        elif call == "recvfrom" and of in database and re.search(r" = [1-9]", rest):
            naps += is_coming and napped
            reads += 1
            is_coming, napped = True, False
    return naps, reads


def test_an_answer_of_the_database_is_read_without_a_nap_between(database, broker, drain, tmp_path):
    file = tmp_path / "calls"
    with Proxy.before(broker.url) as proxy:
        proxy.delay(0.25, DOWN)  # confirms come late, so that the window is full and the relay naps
        drain(database, 3 * ROWS, "strace", "-s", "1", "-e", "trace=poll,sendto,recvfrom", "-o", file,
              broker_url=proxy.url(broker.url))
    naps, reads = naps_in_answers(file.read_text())
    assert reads > 3 * ROWS * 256 / 16384, "nothing was counted"
    assert naps < reads / 15, (naps, reads)


def callgrind_of(file):
    """(instructions, calls of the allocator), in all."""
    text = file.read_text()
    names = dict(re.findall(r"^c?fn=\((\d+)\) (\S+)", text, re.M))
    calls = re.findall(r"^cfn=\((\d+)\).*\n(?:cob=.*\n|cfi=.*\n|cfl=.*\n)*calls=(\d+)", text, re.M)
    allocator = {"malloc", "calloc", "realloc"}
    return (int(re.search(r"^(?:summary|totals): (\d+)", text, re.M)[1]),
            sum(int(count) for number, count in calls if names[number] in allocator))


def test_a_message_takes_few_instructions_and_hardly_an_allocation(database, drain, tmp_path):
    seen = []
    for n, rows in enumerate((ROWS, 3 * ROWS)):
        file = tmp_path / f"callgrind{n}"
        # Under valgrind, which makes all slow, claims would stay small at times.
        drain(database, rows, "valgrind", "-q", "--tool=callgrind", f"--callgrind-out-file={file}",
              batch_size=100)
        seen.append(callgrind_of(file))
    instructions, allocations = ((many - few) / (2 * ROWS) for few, many in zip(*seen))
    assert 1000 < instructions < 6500
    assert allocations < 1  # libpq's blocks for results


# --- on the application's database -----------------------------------------------------------


def server_instructions(servers, database, statements):
    """Of a PostgreSQL for a single user, which does nothing beside; its start included."""
    home = servers.folder / "postgres"
    program = max(pathlib.Path("/usr/lib/postgresql").glob("*/bin/postgres"),
                  key=lambda path: int(path.parts[-3]))
    user = [] if os.geteuid() else ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]
    done = subprocess.run(
        [*user, "valgrind", "-q", "--tool=callgrind", f"--callgrind-out-file={home}/callgrind",
         program, "--single", "-D", home / "data", database.name],
        input="".join(f"{each}\n" for each in statements), cwd=home, capture_output=True, text=True,
        timeout=120, check=True)
    assert "ERROR" not in done.stderr, done.stderr
    return callgrind_of(home / "callgrind")[0]


def test_the_doorbell_is_a_small_part_of_what_an_insert_takes(spare_postgres, spare_database):
    spare_postgres.stop("postgres")
    insert = "INSERT INTO message_log (exchange, payload) VALUES ('', repeat('x', 256)::bytea)"

    def an_insert(how):
        first = f"ALTER TABLE message_log {how} TRIGGER message_log_doorbell"
        few, many = (server_instructions(spare_postgres, spare_database, [first] + [insert] * count)
                     for count in (50, 150))
        return (many - few) / 100

    without, with_it = an_insert("DISABLE"), an_insert("ENABLE")
    assert 0.005 < 1 - without / with_it < 0.05, (without, with_it)


class ServerLog:
    """What the server did for drain()'s relay: statements, and plans as they ran.

    The relay is named as the database is, and so its sessions are: other tests, which may run at
    the same time on the same server, have others.
    """

    def __init__(self, servers, database):
        self._servers = servers
        self._session = f" outbox-relay {database.name} "
        self._start = len(servers.log("postgres"))
        for setting in ("log_statement = 'all'",
                        "session_preload_libraries = 'auto_explain'",
                        "auto_explain.log_min_duration = 0",
                        "auto_explain.log_analyze = on",
                        "auto_explain.log_timing = off",
                        "auto_explain.log_buffers = on",
                        "auto_explain.log_wal = on",
                        "auto_explain.log_format = 'json'"):
            database.as_superuser(f"ALTER DATABASE {database.name} SET {setting}")

    def _entries(self):
        """Each with the lines that belong to it."""
        text = self._servers.log("postgres")[self._start:]
        entries = re.split(r"^(?=\d{4}-\d\d-\d\d \S+ \S+ \[\d+\] )", text, flags=re.M)
        return [entry for entry in entries if self._session in entry]

    @property
    def statements(self):
        return [entry for entry in self._entries()
                if re.search(r"LOG:  (execute|statement)", entry)]

    @property
    def plans(self):
        return [json.loads(entry.partition("plan:")[2]) for entry in self._entries()
                if " plan:" in entry]


def nodes(plan):
    """The plan's nodes, all the way down."""
    yield plan
    for below in plan.get("Plans", []):
        yield from nodes(below)


def test_a_round_is_a_handful_of_statements(servers, database, drain):
    log = ServerLog(servers, database)
    drain(database, ROWS, batch_size=100)
    statements = log.statements
    claims = sum("INTO message_log_claim" in statement for statement in statements)
    assert ROWS / 100 <= claims <= 2 * ROWS / 100
    # A transaction with settle, lock and claim, and a fetch. And a look now and then, and the session.
    assert len(statements) < 6 * claims + 20


def test_of_large_rows_a_claim_has_enough_to_be_worth_its_commit(database, broker, drain):
    queue = broker.queue()
    # As many as a relay's first claim asks for; later ones ask for what the broker is fast enough for.
    database.insert_many(128, "", queue, size=15000)
    drain(database, 0)
    # Up to a quarter of 2 MiB there would be four.
    assert database.value("SELECT last_value FROM message_log_claim_claim_id_seq") == 1


def test_of_small_rows_a_claim_is_bounded_by_a_quarter_of_its_bytes(database, broker, drain):
    queue = broker.queue()
    database.insert_many(2000, "", queue, size=1000)
    drain(database, 0, batch_bytes="512KiB")
    claimed = database.value("SELECT last_value FROM message_log_claim_claim_id_seq")
    assert 2000 / 131 <= claimed


@pytest.mark.parametrize("on_sent, records, size", [("mark", 4.5, 360), ("delete", 1.2, 100)])
def test_a_message_writes_little_wal(
        spare_postgres, spare_database, drain, on_sent, records, size):
    # On a server of its own: after a checkpoint, which each DROP DATABASE makes, pages would be
    # logged whole.
    spare_database.query("ALTER TABLE message_log SET (autovacuum_enabled = off)")
    log = ServerLog(spare_postgres, spare_database)
    drain(spare_database, ROWS, on_sent=on_sent)
    # What changes rows here stands in CTEs, of which the node on top does not tell.
    writers = [node for plan in log.plans for node in nodes(plan["Plan"])
               if node["Node Type"] == "ModifyTable"]
    assert sum(node["WAL FPI"] for node in writers) < 10, "there was a checkpoint meanwhile"
    assert 1 <= sum(node["WAL Records"] for node in writers) / ROWS < records
    assert 50 < sum(node["WAL Bytes"] for node in writers) / ROWS < size


def fill(database, statement, count):
    """As a table that everybody believes to be almost empty."""
    database.query("ALTER TABLE message_log SET (autovacuum_enabled = off)")
    database.query("ALTER TABLE message_log_claim SET (autovacuum_enabled = off)")
    database.query("ANALYZE message_log")
    database.query("ANALYZE message_log_claim")
    database.query(statement, [count])


@pytest.mark.parametrize("sent", [0, 50000])
def test_plans_stay_good_when_an_empty_table_suddenly_has_many_rows(
        servers, database, drain, sent):
    fill(database, """INSERT INTO message_log (exchange, payload, status)
                      SELECT '', '', 'sent' FROM generate_series(1, %s)""", sent)
    log = ServerLog(servers, database)
    drain(database, 20000)
    check_plans(log.plans)


def check_plans(plans):
    assert len(plans) > 20, "nothing was logged"
    for plan in plans:
        # Only what looks for due rows may walk them; the rest knows its rows by their ids.
        looks = "ORDER BY next_retry, id" in plan["Query Text"]
        for node in nodes(plan["Plan"]):
            if node.get("Relation Name") != "message_log" or node["Node Type"] == "ModifyTable":
                continue
            assert node["Node Type"] in ("Index Scan", "Index Only Scan"), plan
            if "ANY ('{}'" in node.get("Index Cond", ""):
                continue  # of no rows at all: any index will do
            assert node["Index Name"] == ("message_log_due" if looks else "message_log_pkey"), plan
            # Claims in hand are passed by, and nothing else: 1,000 rows six times at most.
            assert node.get("Rows Removed by Filter", 0) <= 6000, plan
            assert node["Actual Rows"] * node["Actual Loops"] <= 6000, plan


def insert_due_long_ago(database, exchange, key, count):
    """What is younger than half a second is walked again, for those that commit late."""
    database.query("""INSERT INTO message_log (exchange, routing_key, payload, next_retry)
                      SELECT %s, %s, '', now() - interval '1 hour' FROM generate_series(1, %s)""",
                   [exchange, key, count])


def test_a_claim_of_an_old_backlog_begins_where_the_last_one_ended(
        servers, database, broker, drain):
    insert_due_long_ago(database, "", broker.queue(), 4000)
    log = ServerLog(servers, database)
    drain(database, 0, batch_size=100)
    passed = [node.get("Rows Removed by Filter", 0) for plan in log.plans for node in nodes(plan["Plan"])
              if "INTO message_log_claim" in plan["Query Text"]
              and node.get("Relation Name") == "message_log"]
    assert len(passed) >= 40
    assert statistics.median(passed) == 0, passed


def test_a_claim_of_newer_rows_does_not_look_through_all_that_is_claimed(
        servers, database, broker, drain):
    insert_due_long_ago(database, "", broker.queue(), 4000)
    log = ServerLog(servers, database)
    drain(database, 0, batch_size=100)
    hashed = [sum(node["Actual Loops"] for node in nodes(plan["Plan"]) if node["Node Type"] == "ProjectSet")
              for plan in log.plans if "INTO message_log_claim" in plan["Query Text"]]
    # But for once a second, which reads from the beginning and passes by what is in hand.
    assert len(hashed) >= 40
    assert statistics.median(hashed) == 0, hashed


def test_plans_that_were_made_while_the_table_was_empty_stay_good(
        servers, database, broker, make_relay):
    exchange = broker.exchange()
    broker.queue(exchange)
    # Old statistics say that all there ever is has been sent, and the table is empty.
    fill(database, """INSERT INTO message_log (exchange, payload, status)
                      SELECT '', '', 'sent' FROM generate_series(1, %s)""", 50000)
    database.query("ANALYZE message_log")
    database.query("TRUNCATE message_log")
    log = ServerLog(servers, database)
    relay = make_relay(merge(quick_config(database.url, broker.url),
                             {"relay": {"name": database.name, "lease": "30s"}}), RELEASE)
    relay.start()
    for n in range(1, 11):  # each statement has its plan, and keeps it
        database.insert_many(1, exchange, "key")
        database.insert_many(1, "", "nowhere")  # is returned
        database.wait_for_statuses(sent=n, failed=n)
    database.insert_many(20000, exchange, "key")
    database.wait_for_statuses(sent=20010, failed=10)
    database.insert_many(1, "", "nowhere")
    database.wait_for_statuses(sent=20010, failed=11)
    check_plans(log.plans)


def test_a_look_does_not_walk_the_claims_that_a_pinned_horizon_keeps(
        spare_postgres, spare_database, drain):
    database = spare_database
    log = ServerLog(spare_postgres, database)
    with database.connect() as other:
        cursor = other.cursor()
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        cursor.execute("SELECT count(*) FROM message_log_claim")
        drain(database, ROWS, batch_size=4)
    looks = [[node["Shared Hit Blocks"] for node in nodes(plan["Plan"])
              if node.get("Relation Name") == "message_log_claim"]
             for plan in log.plans if plan["Query Text"].startswith("SELECT ceil(")]
    assert looks
    assert max(looks[-1]) <= 8, looks  # 18 with the dead ones


def test_a_claim_does_not_walk_what_a_pinned_horizon_keeps(
        spare_postgres, spare_database, broker, make_relay):
    database = spare_database
    exchange = broker.exchange()
    broker.queue(exchange)
    log = ServerLog(spare_postgres, database)
    relay = make_relay(merge(quick_config(database.url, broker.url),
                             {"relay": {"name": database.name, "lease": "30s"}}), RELEASE)
    relay.start()
    with database.connect() as other:
        cursor = other.cursor()
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        cursor.execute("SELECT count(*) FROM message_log")
        for _ in range(600):
            insert_due_long_ago(database, exchange, "key", 20)
        database.wait_for_statuses(sent=12000)
    walked = [node["Shared Hit Blocks"] for plan in log.plans for node in nodes(plan["Plan"])
              if "INTO message_log_claim" in plan["Query Text"]
              and node.get("Relation Name") == "message_log"]
    assert len(walked) > 50
    # But for once a second: that reads from the beginning.
    assert statistics.median(walked[-50:]) < 100, walked


def test_while_the_horizon_is_pinned_a_late_commit_is_looked_for_in_pieces(
        servers, database, broker, make_relay):
    queue = broker.queue()
    relay = make_relay(merge(quick_config(database.url, broker.url),
                             {"relay": {"name": database.name, "lease": "30s"}}), RELEASE)
    with database.connect() as reader, database.connect() as late:
        reader.set_session(isolation_level="REPEATABLE READ")
        reader.cursor().execute("SELECT count(*) FROM message_log")
        late.cursor().execute("SELECT message_log_send('', %s, 'late')", [queue])
        # Of one next_retry, and of many. What statistics say is that all are due.
        database.query("ALTER TABLE message_log SET (autovacuum_enabled = off)")
        database.insert_many(20000, "", queue)
        database.query("ANALYZE message_log")
        relay.start()
        for _ in range(20):
            database.insert_many(1000, "", queue)
        database.wait_for_statuses(sent=40000)
        log = ServerLog(servers, database)
        relay.stop()
        relay.start()
        database.insert_many(1, "", queue)
        # The first look takes all at once, and more than 2 ms; where the many are is found out.
        wait_until(lambda: any("AND next_retry = $1" in statement for statement in log.statements),
                   what="looks at pieces of one next_retry")
        assert any("(next_retry, id) >= ($1, $2)" in statement for statement in log.statements)
        late.commit()
        database.wait_for_statuses(sent=40002)
    relay.stop()
    assert broker.count(queue) == 40002
    used = {node["Index Name"] for plan in log.plans for node in nodes(plan["Plan"])
            if "next_retry = $1" in plan["Query Text"] and node.get("Relation Name") == "message_log"}
    assert used == {"message_log_due"}
