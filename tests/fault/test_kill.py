"""kill -9 at every fail point of relay/base/failpoint.h, and a new relay finds everything in
order: nothing is lost, only rows that stood in a claim at that moment may arrive twice, and
nobody is charged but a row that was named alone in an adopted claim."""

import collections
import contextlib
import dataclasses
import signal
import subprocess
import types

import pytest

from harness import body_hash, check, merge, quick_config, received, results, seen, table_of, \
    wait_until
from harness.peer import Peer
from harness.program import FAILPOINTS, RELEASE

ROWS = 30
MANY = 240  # several batches are settled together: enough for the third time
BATCH = 8
REFUSED = {"unroutable": "returned: ", "no exchange": "refused: ", "full": "nacked"}


class World:
    """Rows, relays that die, one that finishes, and the reckoning."""

    def __init__(self, database, broker, make_relay, changes):
        self.database = database
        self.broker = broker
        self.make_relay = make_relay
        self.exchange = broker.exchange()
        self.queue = broker.queue(self.exchange, "row")
        self.config = merge(quick_config(database.url, broker.url),
                            {"relay": {"batch_size": BATCH, "shutdown_timeout": "1s"}}, changes)
        self.committed = {}  # message_id -> hash
        self.bad = {}  # message_id -> how last_error begins
        self.unresolved = set()  # message_ids that stood in a claim at a death
        self.named = []  # message_ids named alone in an adopted claim, at each death

    # --- rows ---

    def insert(self, count):
        for _ in range(count):
            self.insert_one("row", self.exchange, "row")

    def insert_bad(self, kind):
        """One row that is refused for ever."""
        exchange, routing_key = self.exchange, "nobody's"
        if kind == "no exchange":
            exchange = self.exchange + "-that-is-not-there"
            # The channel ends with the verdicts of all that is in flight on it.
            self.unresolved |= set(self.committed)
        if kind == "full":
            exchange = ""
            routing_key = self.broker.queue(name="full", **{"x-max-length": 1,
                                                            "x-overflow": "reject-publish"})
            self.broker.channel.basic_publish("", routing_key, b"fills it")
        self.bad[self.insert_one(kind, exchange, routing_key)] = REFUSED[kind]

    def insert_one(self, name, exchange, routing_key):
        message_id = f"{name} {len(self.committed)}"
        body = message_id.encode() * 20
        self.database.insert(exchange, routing_key, body, message_id=message_id)
        self.committed[message_id] = body_hash(body)
        return message_id

    # --- deaths ---

    def dies(self, point, hit=1, url=None, meanwhile=None):
        """A relay that is killed at the hit-th pass of the fail point."""
        config = merge(self.config, {"broker": {"urls": [url]}}) if url else self.config
        relay = self.make_relay(config, program=FAILPOINTS,
                                env={"RELAY_FAILPOINT": f"{point}@{hit}:kill"})
        relay.start()
        if meanwhile:
            meanwhile(relay)
        assert relay.wait(30, check=None) == -signal.SIGKILL, f"never came to {point}@{hit}"
        self.look_at_the_corpse()

    def look_at_the_corpse(self):
        # What had been sent to the database is still carried out.
        wait_until(lambda: not self.database.relay_sessions(),
                   what="the end of the dead relay's session")
        self.unresolved |= {row["message_id"] for row in self.database.query(
            """SELECT message_id FROM message_log
               WHERE id IN (SELECT unnest(message_ids) FROM message_log_claim)""")}
        self.named += [row["message_id"] for row in self.database.query(
            """SELECT message_id FROM message_log
               WHERE status = 'sending' AND id IN
                     (SELECT publishing_id FROM message_log_claim WHERE is_adopted)""")]

    # --- the end ---

    def finish(self):
        """A whole relay does the rest. Returns the checker's report, in which all is well."""
        relay = self.make_relay(self.config).start()
        relay.wait_for("connected", side="broker")
        relay.wait_for("connected", side="database")
        wait_until(self.database.is_drained, 30, what=lambda: f"an end: {self.database.statuses()}")
        relay.stop()
        rows = {row["message_id"]: row for row in self.database.query("SELECT * FROM message_log")}
        report = check(table_of(self.database),
                       [types.SimpleNamespace(committed=self.committed, unknown={},
                                              rolled_back={})],
                       received(self.broker, self.queue), [(0, float("inf"))],
                       self.config["relay"].get("on_sent") == "delete")
        seen(lost=len(report.lost | report.unsent | report.vanished),
             never_committed=len(report.never_committed), duplicates=report.copies,
             charged=self.charged(rows))
        assert report.committed == len(self.committed)
        assert not report.problems(), report.problems()
        assert report.duplicated <= self.unresolved
        assert report.delivered == len(self.committed) - len(self.bad)
        assert report.failed == set(self.bad)
        for message_id, begin in self.bad.items():
            row = rows[message_id]
            assert row["try_count"] == 3 and row["last_error"].startswith(begin), row
        return report

    def charged(self, rows):
        return sum(row["try_count"] for row in rows.values() if row["message_id"] not in self.bad)

    def charges(self):
        """{message_id: attempts} of the rows that deserve none."""
        return {row["message_id"]: row["try_count"] for row in self.database.query(
            "SELECT message_id, try_count FROM message_log WHERE try_count > 0")
                if row["message_id"] not in self.bad}


# --- how a relay comes to each point ---------------------------------------------------------


def plain(world, case):
    world.insert(case.rows)
    world.dies(case.point, case.hit)


def with_a_bad_row(kind, good=10):
    def setup(world, case):
        world.insert(2 * good)
        world.insert_bad(kind)
        world.dies(case.point, case.hit)
    return setup


def adopted(world, case):
    """The second to die has adopted what the first left, and publishes it row by row."""
    world.insert(case.rows)
    world.dies("written")
    world.dies(case.point, case.hit)


def adopted_with_a_bad_row(world, case):
    world.insert_bad("unroutable")
    world.insert(3)
    world.dies("claimed")
    world.dies(case.point, case.hit)


def idle(world, case):
    """It has sent all there was, and goes to sleep."""
    world.insert(3)
    world.dies(case.point, case.hit)
    world.insert(3)


def asleep(world, case):
    """It sleeps, and a row wakes it."""
    def ring(relay):
        wait_until(world.database.is_slept_on, what="a sleeping relay")
        world.insert(1)

    world.dies(case.point, case.hit, meanwhile=ring)


def without_acks(*actions):
    """The broker of the one that dies confirms nothing; meanwhile the actions."""
    def setup(world, case):
        world.insert(case.rows)
        with Peer() as peer:
            def meanwhile(relay):
                wait_until(lambda: peer.published, what="a publish")
                for action in actions:
                    action(world, relay)
            world.dies(case.point, case.hit, peer.url, meanwhile)
    return setup


def terminate(world, _):
    world.database.terminate_relay_sessions()


def signals(number):
    return lambda world, relay: relay.signal(number)


def reload(world, case):
    def hang_up(relay):
        relay.wait_for("connected", side="broker")
        relay.signal(signal.SIGHUP)

    world.dies(case.point, case.hit, meanwhile=hang_up)
    world.insert(3)


def probing(world, case):
    """It has parked a destination and probes it. Then that is there."""
    late = world.broker.prefix + "late"
    world.insert(10)
    for _ in range(40):
        world.insert_one("late", late, "row")
    world.unresolved |= set(world.committed)  # each refusal ends a channel
    world.dies(case.point, case.hit)
    world.broker.bind(world.queue, world.broker.exchange("late"), "row")


# --- the cases -------------------------------------------------------------------------------


@dataclasses.dataclass
class Case:
    point: str
    hit: int = 1
    setup: object = plain
    rows: int = ROWS
    number: int = None  # of the catalogue
    duplicates: int = None  # None: any of the rows in the claims; else at most so many
    charged: int = 0  # exactly; None: rows that were refused at first
    changes: dict = dataclasses.field(default_factory=dict)
    quick: bool = False  # in `make test`

    def __str__(self):
        name = self.point + (f"@{self.hit}" if self.hit > 1 else "")
        for word in (self.setup.__qualname__.partition(".")[0],
                     *(value for group in self.changes.values() for value in group.values())):
            name += f" {word}" if word != "plain" else ""
        return name


DELETE = {"relay": {"on_sent": "delete"}}
POLL = {"relay": {"wake": "poll"}}
POOLER = {"database": {"pooling": "transaction"}, **POLL}  # the lease alone tells a death

CASES = [
    # Nothing was published yet: nothing may arrive twice.
    Case("before_claim", number=1, duplicates=0, quick=True),
    Case("claim_sent", number=2, duplicates=0),
    Case("fetch_unsent", number=2, duplicates=0),
    Case("claimed", number=2, duplicates=0, quick=True),
    Case("before_publish", number=2, duplicates=0),
    Case("published", number=2, rows=1, duplicates=0),  # in our own buffer
    Case("half_frame", rows=1, number=3, duplicates=0, quick=True),
    Case("uncommitted", 2, duplicates=0),  # a claim
    Case("claimed", duplicates=0, changes=POLL),
    # Published, not settled.
    Case("half_frame", number=3),
    Case("half_frame", 2, number=3),
    Case("before_publish", 5, number=4),
    Case("before_publish", 17, number=4),
    Case("published", 17, number=4),
    Case("written", number=4, quick=True),
    Case("written", 2, number=4),
    Case("claim_sent", 2, number=4),
    Case("claimed", 2, number=4),
    Case("claimed", 3, number=4),
    Case("uncommitted", 3, number=4),
    Case("confirm_read", number=5, quick=True),
    Case("confirm_read", 2, number=5, rows=MANY),
    Case("receipt_taken", number=5),
    Case("receipt_taken", 13, number=5),
    Case("before_settle", number=5),
    Case("before_settle", 2, number=5, rows=MANY),
    Case("uncommitted", 4, number=6),
    Case("settle_sent", number=6, quick=True),
    Case("settle_sent", 2, number=6, rows=MANY),
    Case("settled", number=6),
    Case("settled", 3, number=6, rows=MANY),
    Case("before_settle", changes=DELETE),
    Case("uncommitted", 3, changes=DELETE),
    Case("settle_sent", changes=DELETE),
    Case("settled", 2, changes=DELETE, rows=MANY),
    Case("receipt_taken", 13, changes=DELETE),
    # Among rows that the broker refuses.
    Case("return_read", setup=with_a_bad_row("unroutable"), quick=True),
    Case("settled", setup=with_a_bad_row("unroutable")),
    Case("settle_sent", 2, setup=with_a_bad_row("unroutable")),
    Case("channel_closed", setup=with_a_bad_row("no exchange"), quick=True),
    Case("channel_closed", 2, setup=with_a_bad_row("no exchange")),
    Case("settle_sent", 3, setup=with_a_bad_row("no exchange")),
    Case("confirm_read", setup=with_a_bad_row("full", good=0)),
    Case("receipt_taken", setup=with_a_bad_row("full", good=0)),
    Case("settled", setup=with_a_bad_row("full", good=0)),
    # Adopting. The row that is named when the relay dies pays for it, and nobody else.
    Case("before_adopt", setup=adopted),
    Case("adopt_sent", setup=adopted, quick=True),
    Case("adopted", setup=adopted),
    Case("before_name", setup=adopted),
    Case("name_sent", setup=adopted, charged=1),
    Case("named", setup=adopted, charged=1, quick=True),
    Case("before_publish", setup=adopted, charged=1),
    Case("published", setup=adopted, charged=1),
    Case("half_frame", setup=adopted, charged=1),
    Case("written", setup=adopted, charged=1),
    Case("confirm_read", setup=adopted, charged=1),
    Case("receipt_taken", setup=adopted, charged=1),
    Case("before_name", 2, setup=adopted, charged=1),
    Case("name_sent", 2, setup=adopted, charged=1),
    Case("named", 5, setup=adopted, charged=1),
    Case("written", 5, setup=adopted, charged=1),
    Case("confirm_read", 8, setup=adopted, charged=1),
    Case("before_settle", setup=adopted, charged=1),
    Case("settle_sent", setup=adopted),
    Case("named", 3, setup=adopted, changes=DELETE),  # charged, sent, and gone
    Case("named", 2, setup=adopted_with_a_bad_row, charged=1),
    Case("return_read", setup=adopted_with_a_bad_row),
    Case("claimed", changes=POOLER, duplicates=0),
    Case("written", changes=POOLER),
    Case("named", setup=adopted, charged=1, changes=POOLER),
    # Leases; nothing reaches the broker but what the next relay sends.
    Case("before_renew", setup=without_acks(), duplicates=0),
    Case("renew_sent", setup=without_acks(), duplicates=0, quick=True),
    Case("renewed", setup=without_acks(), duplicates=0),
    # A new session with work in hand.
    Case("take_over_uncommitted", 2, setup=without_acks(terminate), duplicates=0),
    Case("take_over_sent", 2, setup=without_acks(terminate), duplicates=0, quick=True),
    Case("taken_over", setup=without_acks(terminate), duplicates=0),
    # A parked destination. Its rows are charged for their refusals.
    Case("before_probe", setup=probing, charged=None),
    Case("probe_sent", setup=probing, charged=None, quick=True),
    Case("probed", setup=probing, charged=None),
    Case("probed", 2, setup=probing, charged=None),
    # Sleep.
    Case("before_bell", setup=idle),
    Case("bell_sent", setup=idle),
    Case("bell_taken", setup=idle, quick=True),
    Case("rung", setup=asleep, duplicates=0, quick=True),
    Case("wake_sent", setup=asleep, duplicates=0),
    # The end.
    Case("stopping", setup=without_acks(signals(signal.SIGTERM)), duplicates=0),
    Case("broker_closed", setup=without_acks(signals(signal.SIGTERM)), duplicates=0),
    Case("release_sent", setup=without_acks(signals(signal.SIGTERM)), duplicates=0, quick=True),
    Case("released", setup=without_acks(signals(signal.SIGTERM)), duplicates=0),
    Case("reloading", setup=reload, duplicates=0),
]


def parameters():
    for case in CASES:
        marks = [pytest.mark.quick] if case.quick else []
        marks.append(pytest.mark.scenario(case.number) if case.number else pytest.mark.scenario(
            fault="kill -9 at each other fail point",
            expected="nothing lost; only unresolved rows twice; only a row named alone charged"))
        yield pytest.param(case, id=str(case), marks=marks)


@pytest.fixture(scope="module")
def kills(request):
    """Entries of the section of RESULTS.md."""
    entries = {}
    yield entries
    if entries and request.config.getoption("--results"):
        results.update("kills", entries, request.config.getoption("--anew"))


@pytest.fixture
def world(database, broker, make_relay):
    return lambda changes: World(database, broker, make_relay, changes)


@contextlib.contextmanager
def verdict(kills, case):
    entry = kills[str(case)] = {"verdict": "FAILED"}
    yield entry
    entry["verdict"] = "held"


@pytest.mark.parametrize("case", parameters())
def test_a_relay_is_killed_at(world, kills, case):
    here = world(case.changes)
    with verdict(kills, case) as entry:
        case.setup(here, case)
        report = here.finish()
        charges = here.charges()
        entry |= {"rows": report.committed, "lost": len(report.lost), "duplicates": report.copies,
                  "charged": sum(charges.values())}
        if case.duplicates is not None:
            assert report.copies <= case.duplicates
        if case.charged is None:
            assert max(charges.values()) < 3
            return
        assert set(charges) <= set(here.named)
        assert sum(charges.values()) == case.charged, charges


@pytest.mark.quick
@pytest.mark.scenario(fault="none: rows that are refused among others",
                      expected="each row once, the refused ones failed with their reasons")
def test_nobody_is_killed(world):
    here = world({})
    for _ in range(4):
        here.insert(5)
        here.insert_bad("unroutable")
    here.insert_bad("full")
    report = here.finish()
    assert report.copies == 0 and not here.charges()


# Those that a relay comes to when it finds a dead one's claim, and those that it comes to anyway.
ADOPTING = ("adopted", "before_name", "name_sent", "named")
ON_THE_WAY = (
    "before_adopt", "adopt_sent", "uncommitted", *ADOPTING, "before_publish", "published",
    "half_frame", "written", "confirm_read", "receipt_taken", "before_settle", "settle_sent",
    "settled", "before_claim", "claim_sent", "fetch_unsent")


@pytest.mark.quick
@pytest.mark.scenario(fault="kill -9 of each new relay, at one fail point behind the other",
                      expected="nothing lost; only unresolved rows twice; no row is charged "
                               "more often than it was named")
def test_every_relay_is_killed_somewhere_and_the_last_one_is_not(world):
    here = world({"retry": {"max_attempts": 100}})  # some rows are named again and again
    for point in ON_THE_WAY:
        here.insert(3)
        if point in ADOPTING:
            here.dies("claimed")
        here.dies(point)
    here.finish()
    assert not collections.Counter(here.charges()) - collections.Counter(here.named)


@pytest.mark.scenario(fault="kill -9 again and again while a destination is parked",
                      expected="no row fails; all arrive when the exchange is there")
def test_relays_are_killed_while_a_destination_is_parked(world, broker):
    here = world({})
    late = broker.prefix + "late"
    here.insert(20)
    for _ in range(100):
        here.insert_one("late", late, "row")
    # Each refusal ends a channel, and with it the verdicts of what is in flight.
    here.unresolved |= set(here.committed)
    for _ in range(3):
        relay = here.make_relay(here.config).start()
        relay.wait_for("destination parked", exchange=late)
        relay.kill()
        here.look_at_the_corpse()
    broker.bind(here.queue, broker.exchange("late"), "row")
    here.finish()
    assert set(here.database.attempts()) <= {0, 1, 2}


# --- the points themselves -------------------------------------------------------------------


def ask(value, program=FAILPOINTS):
    return subprocess.run([program, "--version"], env={"RELAY_FAILPOINT": value},
                          capture_output=True, text=True, timeout=30)


@pytest.mark.quick
def test_every_fail_point_is_reached_by_a_case():
    names = ask("list").stdout.split()
    assert len(names) == len(set(names)) > 30
    assert set(names) == {case.point for case in CASES}


@pytest.mark.quick
@pytest.mark.parametrize("value", ["", "claimed", "nowhere:kill", "claimed:jump", "claimed@0:kill",
                                   "claimed@x:kill", "claimed:pause=soon", "claimed@2"])
def test_a_wrong_fail_point_is_refused(value):
    done = ask(value)
    assert done.returncode == 64 and value in done.stderr and not done.stdout


@pytest.mark.quick
def test_a_released_program_has_no_fail_points(tmp_path):
    def words(program):
        subprocess.run(["strip", "-o", tmp_path / "stripped", program], check=True)
        symbols = subprocess.run(["nm", program], check=True, capture_output=True).stdout
        return (symbols + (tmp_path / "stripped").read_bytes()).lower()

    assert b"failpoint" in words(FAILPOINTS) and b"take_over_uncommitted" in words(FAILPOINTS)
    assert b"failpoint" not in words(RELEASE) and b"take_over_unc" not in words(RELEASE)
    assert ask("list", RELEASE).stdout.startswith("outbox-relay ")
