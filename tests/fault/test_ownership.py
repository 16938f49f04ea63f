"""A relay is stopped in the middle of a step, and the world moves on: whose are the rows then?
The fail points of relay/base/failpoint.h make the moment exact."""

import os
import pathlib
import signal

import pytest

from harness import DOWN, Proxy, check, merge, quick_config, received, seen, table_of, wait_until
from harness.peer import Peer
from harness.program import FAILPOINTS

LATER = {"retry": {"first_delay": "1h", "max_delay": "1h"}}
AN_HOUR = {"relay": {"poll_interval": "1h"}}
SOON = 15  # seconds: long for a loaded machine, short before what else would find a row some day
# Where a lease must not run out, however slow the machine is.
PATIENT = {"relay": {"lease": "60s"}, "database": {"lock_timeout": "60s", "statement_timeout": "2m"}}


class Known:
    """What the test itself has committed, as the checker wants it."""

    def __init__(self, database):
        self.committed = {row["message_id"]: None for row in database.query(
            "SELECT message_id FROM message_log")}
        self.unknown = self.rolled_back = {}


def exactly_once(database, broker, queue):
    """The checker's report: all is sent, nothing arrived twice, nobody was charged."""
    ids = [(message_id, None) for message_id, _ in received(broker, queue)]
    report = check(table_of(database), [Known(database)], ids)
    seen(lost=len(report.lost | report.unsent), duplicates=report.copies, charged=report.charged)
    assert not report.problems(), report.problems()
    assert report.copies == 0
    assert report.attempts == {0: report.committed}
    assert report.statuses == {"sent": report.committed}


def is_stopped(relay):
    stat = pathlib.Path(f"/proc/{relay.process.pid}/stat").read_text()
    return stat.rpartition(")")[2].split()[0] == "T"


@pytest.fixture
def stopped_at(make_relay):
    """stopped_at("settle_sent", config, hit=2): a relay that stops there; go_on() with it."""
    def start(point, config, hit=1):
        relay = make_relay(config, program=FAILPOINTS,
                           env={"RELAY_FAILPOINT": f"{point}@{hit}:stop"})
        relay.start()
        wait_until(lambda: is_stopped(relay), what=f"a stop at {point}")
        return relay
    return start


def go_on(relay):
    relay.signal(signal.SIGCONT)


def terminate_sessions(database):
    database.terminate_relay_sessions()
    wait_until(lambda: not database.relay_sessions(), what="the end of all sessions")


def wait_for_a_look(database, name):
    """The look before the sleep is the last thing that a relay without work asks for."""
    wait_until(lambda: database.relay_sessions(f"""AND application_name = 'outbox-relay {name}'
        AND state = 'idle' AND query LIKE '%ceil(%'"""), what="a relay with no work")


@pytest.fixture
def twenty(database, broker):
    """The queue that twenty rows are committed for."""
    queue = broker.queue()
    database.insert_many(20, "", queue)
    return queue


@pytest.mark.quick
@pytest.mark.scenario(fault="a row commits just before the bell is taken",
                      expected="it is seen at once: no lost wake-up")
def test_a_row_that_commits_before_the_bell_is_taken_does_not_wait_for_a_poll(
        database, broker, stopped_at):
    queue = broker.queue()
    relay = stopped_at("before_bell", merge(quick_config(database.url, broker.url), AN_HOUR))
    database.insert("", queue)
    go_on(relay)
    database.wait_for_statuses(SOON, sent=1)
    relay.stop()
    exactly_once(database, broker, queue)


@pytest.mark.scenario(fault="a row commits between a ring and the claim that follows",
                      expected="it is sent")
@pytest.mark.parametrize("point", ["rung", "wake_sent", "bell_sent", "bell_taken"])
def test_a_row_that_commits_while_a_relay_falls_asleep_or_wakes_is_sent(
        database, broker, stopped_at, make_relay, point):
    queue = broker.queue()
    config = merge(quick_config(database.url, broker.url), AN_HOUR)
    if point in ("rung", "wake_sent"):
        relay = make_relay(config, program=FAILPOINTS, env={"RELAY_FAILPOINT": f"{point}:stop"})
        relay.start()
        wait_until(database.is_slept_on, what="a sleeping relay")
        database.insert("", queue)
        wait_until(lambda: is_stopped(relay), what=f"a stop at {point}")
    else:
        relay = stopped_at(point, config)
    database.insert("", queue)
    go_on(relay)
    wait_until(lambda: set(database.statuses()) == {"sent"}, SOON, what=lambda: database.statuses())
    relay.stop()
    exactly_once(database, broker, queue)


@pytest.mark.quick
@pytest.mark.scenario(fault="a relay is stopped between its claim and the COMMIT",
                      expected="another one waits for it; each row once")
def test_a_relay_waits_for_the_claim_of_another_to_commit(
        database, broker, twenty, stopped_at, make_relay):
    config = merge(quick_config(database.url, broker.url), PATIENT)
    first = stopped_at("uncommitted", config, hit=2)  # the first one was for looking for the dead
    with Peer() as peer:  # keeps what it gets: those rows would stay `sending`
        second = make_relay(merge(quick_config(database.url, peer.url), PATIENT)).start()
        wait_until(lambda: peer.published or database.relay_sessions("AND wait_event_type = 'Lock'"),
                   what="the second one at the lock")
        go_on(first)
        database.wait_for_statuses(sent=20)
        first.stop()
        second.stop()
        assert len(peer.published) == 0
    exactly_once(database, broker, twenty)


@pytest.mark.quick
@pytest.mark.scenario(fault="a second relay starts while the first waits for its acks",
                      expected="the living one's claim is left alone")
def test_the_claim_of_a_living_relay_is_not_adopted(database, broker, make_relay):
    with Peer() as peer:
        first = make_relay(merge(quick_config(database.url, peer.url), PATIENT)).start()
        for _ in range(5):
            database.insert()
        wait_until(lambda: len(peer.published) == 5, what="five publishes")
        second = make_relay(merge(quick_config(database.url, broker.url),
                                  {"relay": {"name": "second"}})).start()
        wait_for_a_look(database, "second")
        assert database.value("""SELECT min(lease_until) > now() + interval '10 s'
            FROM message_log_claim"""), "a lease that was shortened"
        for publish in list(peer.published):
            publish.ack()
        database.wait_for_statuses(sent=5)
        for relay in (first, second):
            relay.wait_for("connected", side="broker")
            relay.stop()
        assert second.events("stopped")[0]["published"] == 0
        assert not second.events("claim adopted from a dead relay")


@pytest.fixture
def proxy(database):
    with Proxy.before(database.url) as proxy:
        yield proxy


@pytest.mark.scenario(fault="a relay loses the database, and another adopts its claim meanwhile",
                      expected="back again it leaves those rows alone")
def test_a_relay_that_reconnects_leaves_its_adopted_claim_alone(database, make_relay, proxy):
    for _ in range(3):
        database.insert()
    with Peer() as one, Peer() as two:
        first = make_relay(quick_config(proxy.url(database.url), one.url)).start()
        wait_until(lambda: len(one.published) == 3, what="three publishes")
        proxy.refuse()
        proxy.reset()
        second = make_relay(quick_config(database.url, two.url)).start()
        wait_until(lambda: two.published, what="a publish by the second")
        proxy.heal()
        first.wait_for("connected", side="database", count=2)
        for publish in list(one.published):  # too late
            publish.ack()
        two.on_publish = lambda publish: publish.ack()
        two.published[0].ack()
        database.wait_for_statuses(sent=3)
        first.stop()
        second.stop()
        assert [relay.events("stopped")[0]["sent"] for relay in (first, second)] == [0, 3]
        assert database.attempts() == {0: 3} and database.claims() == 0


@pytest.mark.scenario(fault="acks are withheld while a relay has several claims",
                      expected="it claims no row twice")
def test_a_relay_with_several_claims_in_hand_claims_no_row_twice(database, make_relay):
    for _ in range(20):
        database.insert()
    with Peer() as peer:
        relay = make_relay(merge(quick_config(database.url, peer.url),
                                 {"relay": {"batch_size": 2}})).start()
        wait_until(lambda: len(peer.published) >= 10, what="five batches in flight")
        # A second renewal is long enough for the next claim to read from the very beginning.
        for _ in range(2):
            leases = database.query("SELECT lease_until FROM message_log_claim ORDER BY claim_id")
            wait_until(lambda: leases != database.query(
                "SELECT lease_until FROM message_log_claim ORDER BY claim_id"), what="a renewal")
        # The newest batch makes room for another claim, while the older ones are still there.
        for publish in peer.published[8:]:
            publish.ack()
        wait_until(lambda: len(peer.published) >= 12, what="a further batch")
        peer.on_publish = lambda publish: publish.ack()
        for publish in list(peer.published):
            publish.ack()
        database.wait_for_statuses(sent=20)
        relay.stop()
        assert len({publish.message_id for publish in peer.published}) == len(peer.published) == 20


@pytest.mark.quick
@pytest.mark.scenario(fault="a relay is stopped for longer than its lease, verdicts in hand",
                      expected="its rows are adopted; when it comes back it changes nothing")
def test_a_relay_that_comes_back_after_its_lease_changes_nothing(
        database, stopped_at, make_relay):
    ids = [database.insert(routing_key=key) for key in ("ack", "nack")]

    def answer(publish):
        publish.ack() if publish.routing_key == "ack" else publish.nack()

    with Peer(answer) as one, Peer() as two:
        first = stopped_at("before_settle", quick_config(database.url, one.url))
        second = make_relay(quick_config(database.url, two.url)).start()
        wait_until(lambda: two.published, what="a publish by the second")
        go_on(first)
        first.wait_for("claim lost")
        assert database.statuses() == {"sending": 2}
        assert database.attempts() == {0: 2}
        two.on_publish = lambda publish: publish.ack()
        two.published[0].ack()
        database.wait_for_statuses(sent=2)
        assert [database.row(id)["try_count"] for id in ids] == [0, 0]
        first.stop()
        second.stop()
        assert first.events("stopped")[0]["sent"] == 0
        assert database.claims() == 0


@pytest.mark.quick
@pytest.mark.scenario(fault="of two claims that are settled together one is somebody else's by then",
                      expected="its row is left alone; the other's is sent")
def test_of_claims_that_are_settled_together_only_our_own_are(database, stopped_at):
    theirs, ours = (database.insert(routing_key=key) for key in ("first", "second"))

    def answer(publish):
        if publish.routing_key == "second":
            publish.ack(multiple=True)

    with Peer(answer) as peer:
        relay = stopped_at("before_settle", merge(quick_config(database.url, peer.url),
                                                  {"relay": {"batch_size": 1}}))
        database.query("UPDATE message_log_claim SET relay_id = 0, has_session_lock = false,"
                       " lease_until = now() + interval '1 hour' WHERE message_ids = ARRAY[%s::bigint]",
                       [theirs])
        go_on(relay)
        relay.wait_for("claim lost")
        assert database.row(ours)["status"] == "sent"
        assert database.row(theirs)["status"] == "sending"
        assert database.claims() == 1
        relay.stop()


@pytest.fixture
def crash(spare_postgres):
    """crash() ends PostgreSQL, and what no commit has waited for is not on its disk: from the
    beginning of the test on its log is written by nobody else."""
    writer = spare_postgres.as_superuser(
        "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'")
    os.kill(writer, signal.SIGSTOP)

    def end():
        spare_postgres.kill("postgres")
        os.kill(writer, signal.SIGKILL)
        wait_until(lambda: not os.path.exists(f"/proc/{writer}"), what="its end")
        spare_postgres.start("postgres")

    yield end
    if os.path.exists(f"/proc/{writer}"):
        os.kill(writer, signal.SIGCONT)


@pytest.mark.quick
@pytest.mark.scenario(22, fault="PostgreSQL crashes and forgets a claim whose rows have verdicts",
                      expected="they are settled, not published again, and charged once")
def test_what_has_a_verdict_is_settled_though_a_crash_forgot_its_claim(
        spare_database, crash, stopped_at):
    database = spare_database

    def answer(publish):
        publish.ack() if publish.routing_key == "ack" else publish.nack()

    with Peer(answer) as peer:
        ids = [database.insert(routing_key=key) for key in ("ack", "nack")]
        relay = stopped_at("before_settle", merge(quick_config(database.url, peer.url), LATER))
        assert database.claims() == 1
        database.close()
        crash()
        assert database.claims() == 0 and database.statuses() == {"sending": 2}
        go_on(relay)
        relay.wait_for("claim gone, made anew for what is to be settled", rows=2)
        database.wait_for_statuses(sent=1, sending=1)
        assert [database.row(id)["try_count"] for id in ids] == [0, 1]
        relay.stop()
        assert len(peer.published) == 2
        assert relay.events("stopped")[0]["sent"] == 1
        assert database.claims() == 0


@pytest.mark.quick
@pytest.mark.scenario(22, fault="PostgreSQL crashes behind a pooler, whose clients need not hear of it",
                      expected="it forgets no claim")
def test_behind_a_pooler_a_crash_forgets_no_claim(spare_database, broker, crash, stopped_at):
    database, queue = spare_database, broker.queue()
    database.insert_many(3, "", queue)
    relay = stopped_at("before_settle", merge(quick_config(database.url, broker.url), {
        "database": {"pooling": "transaction"}, "relay": {"wake": "poll"}}))
    database.close()
    crash()
    assert database.claims() == 1
    go_on(relay)
    database.wait_for_statuses(sent=3)
    relay.stop()
    exactly_once(database, broker, queue)


def back_first(other, relay, database, broker, queue):
    """`other` finds its way back to PostgreSQL and sends a fresh row; then `relay`, which stands still
    with a claim in hand, goes on."""
    other.wait_for("connected", side="database", count=2)
    claimed = database.statuses()["sending"]
    database.insert("", queue)
    database.wait_for_statuses(sending=claimed, sent=1)
    go_on(relay)
    database.wait_for_statuses(sent=claimed + 1)
    assert not other.events("claim adopted from a dead relay")
    other.stop()
    relay.stop()
    exactly_once(database, broker, queue)


@pytest.mark.quick
@pytest.mark.scenario(22, fault="PostgreSQL crashes under two relays, and who had nothing in hand is back "
                                "first",
                      expected="the other's claim is on the disk, and left to it; each row once")
def test_beside_another_relay_a_crash_forgets_no_claim(
        spare_database, broker, crash, stopped_at, make_relay):
    database, queue = spare_database, broker.queue()
    config = merge(quick_config(database.url, broker.url), {"relay": {"lease": "1m"}})
    other = make_relay(config).start()
    wait_until(database.is_slept_on, what="a relay asleep")
    other.signal(signal.SIGSTOP)
    database.insert_many(3, "", queue)
    relay = stopped_at("before_settle", config)
    database.close()
    crash()
    assert database.claims() == 1
    other.signal(signal.SIGCONT)
    back_first(other, relay, database, broker, queue)


@pytest.mark.quick
@pytest.mark.scenario(22, fault="PostgreSQL crashes as soon as it has told of settlements and, in the "
                                "same transaction, a claim",
                      expected="they are on its disk")
def test_what_was_settled_survives_a_crash(spare_database, broker, crash, stopped_at):
    database, queue = spare_database, broker.queue()
    database.insert_many(12, "", queue)
    relay = stopped_at("settled", merge(quick_config(database.url, broker.url),
                                        {"relay": {"batch_size": 1}}))
    told = database.statuses()
    assert told["sent"] > 0 and told["sending"] > 0
    database.close()
    crash()
    assert database.statuses() == told
    go_on(relay)
    database.wait_for_statuses(sent=12)
    relay.stop()
    exactly_once(database, broker, queue)


@pytest.mark.quick
@pytest.mark.scenario(21, fault="PostgreSQL is restarted under two relays, and who had nothing in hand is "
                                "back first",
                      expected="it leaves the other its claim; each row once")
def test_after_a_restart_of_postgres_a_relay_leaves_others_their_claims(
        spare_postgres, spare_database, broker, stopped_at, make_relay):
    database, queue = spare_database, broker.queue()
    database.insert_many(20, "", queue)
    config = merge(quick_config(database.url, broker.url), {"relay": {"lease": "1m"}})
    relay = stopped_at("before_settle", config)
    other = make_relay(config).start()
    other.wait_for("connected", side="database")
    database.close()
    spare_postgres.stop("postgres")
    spare_postgres.start("postgres")
    back_first(other, relay, database, broker, queue)


@pytest.mark.quick
@pytest.mark.scenario(26, fault="of two relays one loses its session, verdicts in hand, and the other looks",
                      expected="it leaves the claim to its owner, who settles it; each row once")
def test_a_relay_that_loses_its_session_finds_its_claim_again(
        database, broker, twenty, stopped_at, make_relay):
    config = merge(quick_config(database.url, broker.url), {"relay": {"lease": "1m"}})
    relay = stopped_at("before_settle", merge(config, {"relay": {"name": "one"}}))
    # The first look is that of its start; the second one sees the lost session.
    other = make_relay(merge(config, {"relay": {"name": "other"}}), program=FAILPOINTS,
                       env={"RELAY_FAILPOINT": "before_adopt@3:stop"})
    other.start()
    wait_for_a_look(database, "other")
    database.terminate_relay_sessions("AND application_name = 'outbox-relay one'")
    wait_until(lambda: is_stopped(other), what="a look when the absence is over")
    go_on(relay)
    database.wait_for_statuses(sent=20)
    go_on(other)
    other.stop()
    relay.stop()
    assert not other.events("claim adopted from a dead relay")
    exactly_once(database, broker, twenty)


def lose_the_answer(relay, proxy, is_committed):
    """From here on nothing comes back from the database; once the COMMIT has taken effect there,
    the connection ends."""
    proxy.pause(DOWN)
    go_on(relay)
    wait_until(is_committed, what="the COMMIT")
    proxy.reset()
    proxy.heal()


@pytest.mark.quick
@pytest.mark.scenario(6, fault="the session ends between the COMMIT of a settlement and its answer",
                      expected="settled once; nothing is published again")
def test_a_settlement_without_an_answer_is_not_repeated_by_publishing(
        database, broker, twenty, stopped_at, proxy):
    relay = stopped_at("before_settle", quick_config(proxy.url(database.url), broker.url))
    lose_the_answer(relay, proxy, lambda: database.statuses() == {"sent": 20})
    relay.wait_for("connected", side="database", count=2)
    relay.wait_for("claim lost")
    relay.stop()
    exactly_once(database, broker, twenty)


@pytest.mark.quick
@pytest.mark.scenario(6, fault="the session ends between the COMMIT that gives claims back and its "
                               "answer; the broker comes back first",
                      expected="nothing of them is published again")
def test_nothing_is_published_from_a_claim_that_was_perhaps_given_back(
        database, broker, make_relay, proxy):
    queue = broker.queue()
    database.insert_many(3, "", queue)
    with Peer() as one, Proxy.before(one.url) as way:
        first = make_relay(merge(quick_config(proxy.url(database.url), way.url(one.url)), PATIENT),
                           program=FAILPOINTS, env={"RELAY_FAILPOINT": "before_settle:stop"})
        first.start()
        wait_until(lambda: len(one.published) == 3, what="three publishes")
        way.refuse()
        way.reset()
        wait_until(lambda: is_stopped(first), what="a stop before the claim is given back")
        proxy.pause(DOWN)
        go_on(first)
        wait_until(lambda: database.claims() == 0, what="the COMMIT")
        proxy.refuse()
        proxy.reset()
        second = make_relay(quick_config(database.url, broker.url)).start()
        database.wait_for_statuses(sent=3)
        way.heal()
        first.wait_for("connected", side="broker", count=2)
        proxy.heal()
        first.wait_for("connected", side="database", count=2)
        assert len(one.published) == 3
        first.wait_for("claim lost")
        first.stop()
        second.stop()
        assert len(one.published) == 3
    exactly_once(database, broker, queue)


@pytest.mark.quick
@pytest.mark.scenario(6, fault="the session ends between the COMMIT of a claim and its answer",
                      expected="claimed again; each row once")
def test_a_claim_without_an_answer_is_dropped_and_its_rows_are_claimed_again(
        database, broker, twenty, stopped_at, proxy):
    relay = stopped_at("before_claim", quick_config(proxy.url(database.url), broker.url))
    lose_the_answer(relay, proxy, lambda: database.claims() == 1)
    database.wait_for_statuses(sent=20)
    assert not relay.events("claim adopted from a dead relay")
    relay.stop()
    exactly_once(database, broker, twenty)


@pytest.mark.quick
@pytest.mark.scenario(6, fault="the session ends between the COMMIT of a charge and its answer",
                      expected="settled again, charged once")
def test_a_settlement_that_is_repeated_charges_once(
        database, broker, make_relay, stopped_at, proxy):
    queue = broker.queue()
    refused = database.insert(routing_key="no.such.queue")
    database.insert_many(2, "", queue)
    config = merge(quick_config(proxy.url(database.url), broker.url),
                   {"retry": {"first_delay": "1h", "max_delay": "1h"}})
    dead = make_relay(config, program=FAILPOINTS, env={"RELAY_FAILPOINT": "claimed:kill"})
    assert dead.start().wait(check=None) == -signal.SIGKILL
    # Naming the second row settles the first one, and keeps the claim.
    relay = stopped_at("before_name", config, hit=2)
    lose_the_answer(relay, proxy, lambda: database.row(refused)["try_count"] == 1)
    relay.wait_for("connected", side="database", count=2)
    database.wait_for_statuses(sent=2, sending=1)
    wait_until(lambda: database.claims() == 0, what="no claim")
    relay.stop()
    assert database.row(refused)["try_count"] == 1


@pytest.mark.scenario(26, fault="the relay's session is terminated at a critical moment",
                      expected="each row once")
@pytest.mark.parametrize("point", ["before_claim", "claim_sent", "claimed", "before_settle",
                                   "settle_sent", "settled"])
def test_each_row_arrives_once_when_the_session_is_terminated_at(
        database, broker, twenty, stopped_at, point):
    relay = stopped_at(point, quick_config(database.url, broker.url))
    terminate_sessions(database)
    go_on(relay)
    relay.wait_for("connected", side="database", count=2)
    database.wait_for_statuses(sent=20)
    wait_until(lambda: database.claims() == 0, what="no claim")
    relay.stop()
    exactly_once(database, broker, twenty)


# The server would call it idle between a statement and the next; a relay sends them all at once,
# so that its session can only be caught there by stopping it.
@pytest.mark.scenario(28, fault="the session ends in the middle of a transaction")
@pytest.mark.parametrize("hit", [1, 2, 3])
def test_a_transaction_that_was_cut_off_is_done_again(database, broker, twenty, stopped_at, hit):
    config = merge(quick_config(database.url, broker.url), {"relay": {"batch_size": 10}})
    relay = stopped_at("uncommitted", config, hit)
    terminate_sessions(database)
    assert database.claims() == (hit > 2)
    go_on(relay)
    relay.wait_for("disconnected", side="database")
    database.wait_for_statuses(sent=20)
    relay.stop()
    exactly_once(database, broker, twenty)
