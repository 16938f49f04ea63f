"""RabbitMQ goes wrong in every way that it can, under load; what a real one will not do on demand
is played by a scripted peer or by the proxy."""

import contextlib
import pathlib
import random
import struct
import subprocess
import threading
import time

import psycopg2
import pytest

from harness import DOWN, UP, Consumer, Proxy, merge, quick_config, wait_until
from harness.config import SHORT
from harness.peer import Peer
from harness.program import RELEASE
from harness.scenario import seen


@pytest.fixture
def proxy(broker):
    with Proxy.before(broker.url) as proxy:
        yield proxy


@pytest.fixture
def proxied(database, broker, make_load, proxy):
    """proxied(changes…): load whose relay reaches RabbitMQ by way of the proxy."""
    def make(*changes, **options):
        return make_load(database, broker, *changes, broker_url=proxy.url(broker.url), **options)
    return make


def stay(fault, seconds):
    """The fault lasts so long; that is the fault, and not a wait for anything."""
    time.sleep(max(0, seconds - (time.time() - fault.begin)))


# --- it is away ------------------------------------------------------------------------------


@pytest.mark.scenario(43, fault="restarted under load")
def test_rabbitmq_is_restarted_under_load(spare_rabbitmq, database, spare_broker, make_load):
    load = make_load(database, spare_broker)
    with load.stands(broker=spare_broker.reconnected()):
        spare_rabbitmq.stop("rabbitmq")
        load.relay.wait_for("cannot connect", side="broker")
        spare_rabbitmq.start("rabbitmq")


@pytest.mark.scenario(43, fault="restarted twice under load, with a consumer at the queue",
                      expected="it gets each row; reconnects within 10 s")
def test_a_consumer_gets_each_row_over_restarts_of_rabbitmq(
        spare_rabbitmq, database, spare_broker, make_load):
    load = make_load(database, spare_broker)
    consumer = Consumer(spare_broker.url, load.queue).start()
    load.start()
    for n in range(2):
        with load.fault():
            spare_rabbitmq.stop("rabbitmq")
            load.relay.wait_for("disconnected", side="broker", count=n + 1)
            spare_rabbitmq.start("rabbitmq")
        load.recovers()
    load.finish(consumer=consumer)
    assert consumer.sessions >= 3


@pytest.mark.scenario(43, fault="down for two minutes under load",
                      expected="charges no row; < 5 % CPU, < 2 lines a second")
def test_rabbitmq_is_down_for_two_minutes(spare_rabbitmq, database, spare_broker, make_load):
    load = make_load(database, spare_broker, program=RELEASE)
    with load.stands(cpu=0.05, broker=spare_broker.reconnected()) as fault:
        spare_rabbitmq.stop("rabbitmq")
        load.relay.wait_for("cannot connect", side="broker")
        stay(fault, 120)
        assert database.attempts().keys() == {0}
        spare_rabbitmq.start("rabbitmq")


@pytest.mark.scenario(44, fault="kill -9 of RabbitMQ under load (classic queue)")
def test_rabbitmq_is_killed_under_load(spare_rabbitmq, database, spare_broker, make_load):
    load = make_load(database, spare_broker, bound=False)
    spare_rabbitmq.remember()
    with load.stands(broker=spare_broker.reconnected()):
        spare_rabbitmq.kill("rabbitmq")
        load.relay.wait_for("cannot connect", side="broker")
        spare_rabbitmq.start("rabbitmq")


@pytest.mark.scenario(48)
def test_rabbitmq_is_frozen_for_a_minute(spare_rabbitmq, database, spare_broker, make_load):
    load = make_load(database, spare_broker, program=RELEASE)
    with load.stands(cpu=0.05, broker=spare_broker.reconnected()) as fault:
        spare_rabbitmq.pause("rabbitmq")
        load.relay.wait_for("disconnected", side="broker")
        stay(fault, 60)
        spare_rabbitmq.resume("rabbitmq")


@pytest.mark.scenario(60, fault="connection.close 320 again and again under load")
def test_rabbitmq_closes_every_connection_again_and_again(database, make_relay):
    """The scripted broker closes every connection at its tenth message, eight times."""
    def on_publish(publish):
        if publish.tag == 10 and len(peer.sessions) <= 8:
            publish.session.close()
        else:
            publish.ack()

    with Peer(on_publish) as peer:
        relay = make_relay(merge(quick_config(database.url, peer.url), SHORT,
                                 {"relay": {"batch_size": 20}}))
        database.insert_many(400)
        relay.start()
        database.wait_for_statuses(sent=400, timeout=120)
        relay.stop()
        check_charged_nobody(database, peer)


def check_charged_nobody(database, peer):
    """All rows are sent, none was charged, and each arrived."""
    assert database.attempts() == {0: database.value("SELECT count(*) FROM message_log")}
    assert database.statuses().keys() == {"sent"}
    arrived = {publish.message_id for publish in peer.published}
    rows = {row["message_id"] for row in database.query("SELECT message_id FROM message_log")}
    seen(lost=len(rows - arrived), never_committed=len(arrived - rows), charged=0,
         duplicates=len(peer.published) - len(arrived))
    assert arrived == rows


# --- it takes nothing ------------------------------------------------------------------------


@contextlib.contextmanager
def alarm(servers, kind):
    raised, normal = {"memory": (["set_vm_memory_high_watermark", "0"],
                                 ["set_vm_memory_high_watermark", "0.4"]),
                      "disk": (["set_disk_free_limit", "100000000000000"],
                               ["set_disk_free_limit", "50000000"])}[kind]
    servers.rabbitmqctl(*raised)
    try:
        yield
    finally:
        servers.rabbitmqctl(*normal)


def check_alarm(load, spare_rabbitmq, broker, kind, seconds, reason):
    load.start()
    with load.fault() as fault:
        with alarm(spare_rabbitmq, kind):
            line = load.relay.wait_for("broker blocks publishing", timeout=60)
            assert reason in line["reason"]
            stay(fault, seconds)
            assert load.database.attempts().keys() == {0}
    load.quiet(fault, cpu=0.05)
    load.recovers()
    assert not load.relay.events("disconnected")
    report = load.finish(broker=broker)
    assert report.copies == 0


@pytest.mark.scenario(45, fault="memory alarm for five minutes")
def test_rabbitmq_is_low_on_memory_for_five_minutes(
        spare_rabbitmq, database, spare_broker, make_load):
    load = make_load(database, spare_broker, program=RELEASE, rate=50)
    check_alarm(load, spare_rabbitmq, spare_broker, "memory", 300, "memory")


@pytest.mark.scenario(46)
def test_rabbitmq_is_low_on_disk(spare_rabbitmq, database, spare_broker, make_load):
    load = make_load(database, spare_broker, program=RELEASE)
    check_alarm(load, spare_rabbitmq, spare_broker, "disk", 40, "disk")


@pytest.mark.scenario(50, fault="acks withheld for a minute, heartbeats flow",
                      expected="reconnects at each confirm timeout; nobody is charged")
def test_no_acks_for_a_minute_while_heartbeats_flow(database, make_relay):
    with Peer() as peer:
        relay = make_relay(merge(quick_config(database.url, peer.url), SHORT), program=RELEASE)
        database.insert_many(500)
        relay.start()
        begin, cpu, lines = time.monotonic(), relay.cpu_seconds(), len(relay.events())
        time.sleep(60)  # this is the fault
        seconds = time.monotonic() - begin
        used = (relay.cpu_seconds() - cpu) / seconds
        written = len(relay.events()) - lines
        seen(note=f"{written} log lines and {100 * used:.1f} % CPU in {seconds:.0f} s")
        assert written < 6 + 2 * seconds and used < 0.05
        assert len(peer.sessions) > 3 and any(s.heartbeats for s in peer.sessions)
        assert database.attempts() == {0: 500}
        peer.on_publish = lambda publish: publish.ack()
        database.wait_for_statuses(sent=500, timeout=60)
        relay.stop()
        check_charged_nobody(database, peer)


# --- the network -----------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [
    pytest.param(Proxy.blackhole, id="half-open", marks=[
        pytest.mark.quick, pytest.mark.scenario(49)]),
    pytest.param(lambda proxy: proxy.pause(DOWN), id="mute", marks=pytest.mark.scenario(
        49, fault="what RabbitMQ says does not come, what we say does",
        expected="noticed within two heartbeats or so; duplicates at most")),
    pytest.param(lambda proxy: proxy.half_close(DOWN), id="half-closed", marks=pytest.mark.scenario(
        49, fault="RabbitMQ's end of the connection is closed, ours is not",
        expected="noticed at once"))])
def test_the_connection_to_rabbitmq_is(proxied, proxy, cut):
    load = proxied()
    with load.stands():
        cut(proxy)
        load.relay.wait_for("disconnected", side="broker")
        proxy.heal()


@pytest.mark.scenario(51, fault="reset at any byte, ten times, under load")
def test_the_connection_is_reset_at_any_byte(proxied, proxy):
    load = proxied()
    load.start()
    chance = random.Random(51)
    with load.fault():
        for n in range(10):
            # Of acks, which cover many rows each, there come few bytes.
            direction, most = chance.choice(((UP, 40000), (DOWN, 2000)))
            proxy.cut(direction, after=chance.randrange(1, most))
            wait_until(lambda: proxy.is_cut, 120, what=f"cut {n}")
            load.relay.wait_for("connected", side="broker", count=n + 2, timeout=60)
    load.recovers()
    load.finish()


@pytest.mark.scenario(63, fault="RabbitMQ reads 30 KB a second",
                      expected="heartbeats go on, memory stays bounded; stops in time")
def test_rabbitmq_reads_slowly(proxied, proxy, database):
    load = proxied({"broker": {"confirm_timeout": "60s"}}, program=RELEASE, rate=400)
    load.start()
    before = load.relay.resident_bytes()
    with load.fault() as fault:
        proxy.drip(30_000, UP)
        sent = load.sent()
        stay(fault, 30)
        grown = load.relay.resident_bytes() - before
        seen(note=f"{load.sent() - sent} rows in {fault.seconds or 30:.0f} s, "
                  f"{grown / 1e6:.1f} MB more memory")
        assert load.sent() > sent
        assert grown < 16 << 20
        assert not load.relay.events("disconnected")
        proxy.heal()
    load.quiet(fault)
    load.recovers()
    load.finish()


@pytest.mark.scenario(63, fault="RabbitMQ's acks come at 300 bytes a second",
                      expected="the window stays bounded; goes on")
def test_acks_come_slowly(proxied, proxy):
    load = proxied({"broker": {"confirm_timeout": "60s"}, "relay": {"batch_size": 1000}},
                   program=RELEASE, rate=400)
    with load.stands() as fault:
        proxy.drip(300, DOWN)
        stay(fault, 30)
        proxy.heal()


# --- names -----------------------------------------------------------------------------------


class Names:
    """Name servers for a relay: names.say("fail"), "slow", "never", "" (they work)."""

    def __init__(self, folder):
        self._control = folder / "dns-control"
        library = folder / "dns.so"
        source = pathlib.Path(__file__).parent / "dns.c"
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source], check=True)
        self.env = {"LD_PRELOAD": str(library), "DNS_CONTROL": str(self._control)}
        self.say("")

    def say(self, word):
        self._control.write_text(word)

    def were_asked(self):
        """While they say "never"?"""
        return self._control.with_suffix(".asked").exists()


@pytest.fixture
def names(tmp_path):
    return Names(tmp_path)


@pytest.fixture
def by_name(database, broker, make_load, names):
    """Load whose relay knows both servers by name, each behind a proxy. Seconds as they are in
    practice: a heartbeat of 10."""
    with Proxy.before(broker.url) as amqp, Proxy.before(database.url) as postgres:
        load = make_load(
            database, broker, {"broker": {"heartbeat": "10s"}}, program=RELEASE, env=names.env,
            broker_url=amqp.url(broker.url).replace("127.0.0.1", "localhost"),
            database_url=postgres.url(database.url).replace("127.0.0.1", "localhost"))
        yield load, {"broker": amqp, "database": postgres}


@pytest.mark.scenario(65, fault="names cannot be resolved for 20 s")
@pytest.mark.parametrize("side", ["broker", "database"])
def test_names_cannot_be_resolved(by_name, names, side):
    load, proxies = by_name
    with load.stands(cpu=0.05) as fault:
        names.say("fail")
        proxies[side].reset()
        line = load.relay.wait_for("cannot connect", side=side, saying="cannot resolve")
        assert "localhost" in line["error"]
        stay(fault, 20)
        names.say("")


@pytest.mark.scenario(65, fault="each name takes 30 s to resolve, while one side is away",
                      expected="the other side's session lives; goes on when names are quick")
@pytest.mark.parametrize("side, other", [("broker", "database"), ("database", "broker")])
def test_names_take_long_to_resolve(by_name, names, side, other):
    load, proxies = by_name
    load.start()
    with load.fault() as fault:
        names.say("slow")
        proxies[side].reset()
        load.relay.wait_for("cannot connect", side=side, saying="the name servers do not answer")
        stay(fault, 40)
        names.say("")
    load.quiet(fault, cpu=0.05)
    load.recovers(timeout=90)
    assert not load.relay.events("disconnected", side=other)
    load.finish()


@pytest.mark.scenario(65, fault="SIGTERM while the name servers say nothing at all",
                      expected="ends without them, exit 0")
def test_a_signal_while_names_take_long_to_resolve(database, make_relay, names):
    names.say("never")
    url = database.url.replace("127.0.0.1", "localhost")
    relay = make_relay(quick_config(url, "amqp://localhost:1"), program=RELEASE, env=names.env)
    relay.start()
    wait_until(names.were_asked, what="a question to the name servers")
    begin = time.monotonic()
    relay.stop()
    seen(note=f"{time.monotonic() - begin:.1f} s")


# --- queues, exchanges, rights ---------------------------------------------------------------


@pytest.mark.scenario(53)
def test_the_queue_is_deleted_under_load(database, broker, make_load):
    """Messages go with their queue, acked or not: nobody gets those. Rows that come later are
    returned, and charged by the table; none is lost in the relay's hands."""
    load = make_load(database, broker, {"retry": {"max_attempts": 100, "max_delay": "200ms"}})
    load.start()
    with load.fault() as fault:
        broker.channel.queue_delete(load.queue)
        wait_until(lambda: database.value(
            "SELECT count(*) FROM message_log WHERE try_count > 0") > 10, 60, what="returns")
        broker.channel.queue_declare(load.queue, durable=True)
        broker.bind(load.queue, load.exchange)
    for writer in load.writers:
        writer.stop()
    load.drain()
    load.relay.stop()
    assert database.statuses().keys() == {"sent"}
    arrived = {m.message_id for m in broker.drain(load.queue)}
    rows = database.query("""SELECT message_id, extract(epoch FROM updated_at) AS at, try_count
                               FROM message_log""")
    # Whatever was settled after the queue was there again is in it.
    missing = [row for row in rows if row["at"] > fault.end + 1
               and row["message_id"] not in arrived]
    gone = sum(1 for row in rows if row["message_id"] not in arrived)
    seen(lost=len(missing), never_committed=len(arrived - {row["message_id"] for row in rows}),
         charged=sum(1 for row in rows if row["try_count"]),
         note=f"{gone} messages went with their queue")
    assert not missing


@pytest.fixture
def limited_user(spare_rabbitmq, spare_broker):
    """A user of its own: (its URL, what changes it)."""
    url = spare_broker.url.replace(spare_rabbitmq.amqp_login, "limited:limited")
    spare_rabbitmq.rabbitmqctl("add_user", "limited", "limited")
    yield url, spare_rabbitmq.rabbitmqctl
    spare_rabbitmq.rabbitmqctl("delete_user", "limited")


@pytest.mark.scenario(55, fault="the right to write to one exchange of two is withdrawn for a "
                      "while, under load", expected="that destination waits; no row fails")
def test_the_right_to_write_to_an_exchange_is_withdrawn(
        database, spare_broker, make_load, limited_user):
    """RabbitMQ remembers what a channel was allowed, so a right that is withdrawn counts from the
    next connection on: all of them are closed."""
    url, rabbitmqctl = limited_user
    rabbitmqctl("set_permissions", "limited", ".*", ".*", ".*")
    load = make_load(database, spare_broker, broker_url=url)
    other = spare_broker.exchange("other")
    queue = spare_broker.queue(other, name="other")
    load.start()
    with load.fault() as fault:
        allowed = other.replace(".", "[.]")
        rabbitmqctl("set_permissions", "limited", ".*", f"^{allowed}$", ".*")
        rabbitmqctl("close_all_connections", "rights")
        spare_broker = spare_broker.reconnected()
        load.relay.wait_for("destination parked", timeout=60)
        database.insert_many(50, other)
        spare_broker.wait_for_count(queue, 50, 60)
        rabbitmqctl("set_permissions", "limited", ".*", ".*", ".*")
        load.relay.wait_for("destination takes messages again", timeout=90)
    load.quiet(fault)
    load.recovers()
    rows = database.query("SELECT message_id FROM message_log WHERE exchange = %s", [other])
    in_other = {m.message_id for m in spare_broker.drain(queue)}
    assert in_other == {row["message_id"] for row in rows}
    database.query("DELETE FROM message_log WHERE exchange = %s", [other])
    report = load.finish(charged=None, broker=spare_broker)
    assert report.statuses.keys() == {"sent"}
    seen(note=f"attempts: {report.attempts}")


@pytest.mark.scenario(56)
def test_the_user_and_the_virtual_host_are_missing_for_a_while(
        database, spare_rabbitmq, spare_broker, make_relay):
    url = spare_broker.url.replace(spare_rabbitmq.amqp_login, "late:late").replace("%2f", "late")
    relay = make_relay(merge(quick_config(database.url, url), SHORT), program=RELEASE)
    database.insert_many(10)
    relay.start()
    steps = [("403", ["add_user", "late", "late"]), ("530", ["add_vhost", "late"]),
             ("530", ["set_permissions", "-p", "late", "late", ".*", ".*", ".*"])]
    try:
        for reply, mend in steps:
            line = wait_until(lambda: [e for e in relay.events("cannot connect", side="broker")
                                       if reply in e["error"]], 60, what=f"{reply} in the log")
            seen(note=line[-1]["error"])
            assert database.attempts() == {0: 10} and database.claims() == 0
            spare_rabbitmq.rabbitmqctl(*mend)
        relay.wait_for("connected", side="broker", timeout=60)
        # To the default exchange with an empty key: returned. It is the login that counts here.
        wait_until(lambda: relay.events("retry"), 30, what="a publish")
        assert len(relay.events("cannot connect")) < 12
        relay.stop()
    finally:
        with contextlib.suppress(AssertionError):
            spare_rabbitmq.rabbitmqctl("delete_vhost", "late")
        spare_rabbitmq.rabbitmqctl("delete_user", "late")


# --- the protocol ----------------------------------------------------------------------------


@pytest.mark.scenario(58, fault="multiple acks and nacks that overlap, under load",
                      expected="the first verdict wins; each row one verdict")
def test_multiple_confirms_that_overlap(database, make_relay):
    """Every ten messages: ack the fifth and all before, nack the third and all before (they have
    their verdict), nack the tenth and all before (five that have none), ack the eighth (as well
    too late). A nacked row comes again, alone or in another ten, and is acked the second time."""
    first = {}
    lock = threading.Lock()

    def on_publish(publish):
        with lock:
            if publish.message_id in first:
                publish.ack()
                return
            first[publish.message_id] = publish
            fresh = publish.session.__dict__.setdefault("fresh", [])
            fresh.append(publish)
            if len(fresh) == 10:
                fresh[4].ack(multiple=True)
                fresh[2].nack(multiple=True)
                fresh[9].nack(multiple=True)
                fresh[7].ack(multiple=True)
                fresh.clear()

    with Peer(on_publish) as peer:
        relay = make_relay(merge(quick_config(database.url, peer.url), SHORT,
                                 {"broker": {"confirm_timeout": "30s"}}))
        database.insert_many(500)
        relay.start()
        database.wait_for_statuses(sent=500, timeout=60)
        relay.stop()
        attempts = database.attempts()
        arrived = {publish.message_id for publish in peer.published}
        seen(lost=500 - len(arrived), never_committed=0, charged=attempts.get(1, 0),
             duplicates=len(peer.published) - 500)
        # Half of them were nacked at first; the others were acked, whatever came later.
        assert attempts == {0: 250, 1: 250}
        assert len(arrived) == 500 and len(peer.published) == 750


GARBAGE = {
    "random bytes": bytes(random.Random(61).randrange(256) for _ in range(5000)),
    "HTTP": b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
    "a frame of 4 GiB": b"\x01\x00\x01\xff\xff\xff\xff" + b"x" * 100,
    "a frame without an end": b"\x01\x00\x01\x00\x00\x00\x04\x00\x3c\x00\x50" + b"\0" * 20,
    "half a frame, then nothing": b"\x01\x00\x01\x00\x00\x00\xff\x00",
    "an unknown method": b"\x01\x00\x01\x00\x00\x00\x04\x7f\xff\x7f\xff\xce",
    "an ack without a tag": b"\x01\x00\x01\x00\x00\x00\x04\x00\x3c\x00\x50\xce",
    "an unknown frame type": b"\x09\x00\x01\x00\x00\x00\x00\xce",
    "content nobody asked for": b"\x03\x00\x01\x00\x00\x00\x01x\xce",
    "a body on channel 0": b"\x03\x00\x00\x00\x00\x00\x01x\xce",
    "a table 200 levels deep": None,
}


def deep_table():
    """connection.blocked has no table; connection.start at the wrong moment has."""
    table = b""
    for _ in range(200):
        table = b"\x01aF" + struct.pack(">I", len(table)) + table
    arguments = b"\x00\x09" + struct.pack(">I", len(table)) + table + b"\0\0\0\0" * 2
    payload = b"\x00\x0a\x00\x0a" + arguments
    return b"\x01\0\0" + struct.pack(">I", len(payload)) + payload + b"\xce"


@pytest.mark.scenario(61)
def test_garbage_of_every_sort_ends_the_connection_and_nothing_else(database, make_relay):
    sorts = list(GARBAGE.items())

    def on_publish(publish):
        turn = len(peer.sessions) - 1
        if turn < len(sorts) and publish.tag == 5:
            name, data = sorts[turn]
            publish.session.send_bytes(data or deep_table())
            if "nothing" in name:
                publish.session.reset()
        else:
            publish.ack()

    with Peer(on_publish) as peer:
        relay = make_relay(merge(quick_config(database.url, peer.url), SHORT,
                                 {"relay": {"batch_size": 10}}))
        database.insert_many(300)
        relay.start()
        wait_until(lambda: len(peer.sessions) > len(sorts), 90,
                   what=lambda: f"a session after each sort, but {len(peer.sessions)}:\n"
                                f"{relay.log[-2000:]}")
        database.wait_for_statuses(sent=300, timeout=60)
        relay.stop()
        check_charged_nobody(database, peer)
        seen(note=f"{len(sorts)} sorts of garbage, under sanitizers")


@pytest.mark.quick
@pytest.mark.scenario(62, fault="a scripted broker tunes frame_max to 4096")
def test_bodies_are_split_into_frames_of_4096_bytes(database, make_relay):
    room = 4096 - 8
    sizes = [0, 1, room - 1, room, room + 1, 2 * room - 1, 2 * room, 2 * room + 1, 10 * room,
             100_000]
    with Peer(lambda publish: publish.ack(), frame_max=4096) as peer:
        relay = make_relay(quick_config(database.url, peer.url))
        bodies = {}
        for size in sizes:
            body = random.Random(size).randbytes(size)
            bodies[database.row(database.insert(payload=psycopg2.Binary(body)))["message_id"]] = \
                body
        relay.start()
        database.wait_for_statuses(sent=len(sizes))
        relay.stop()
        assert {publish.message_id: publish.body for publish in peer.published} == bodies
        assert peer.sessions[0].largest_frame == 4096
        check_charged_nobody(database, peer)


@pytest.mark.scenario(62, fault="a real RabbitMQ with frame_max 4096, under load")
def test_rabbitmq_with_small_frames(spare_rabbitmq, database, spare_broker, make_load):
    spare_rabbitmq.rabbitmqctl("eval", "application:set_env(rabbit, frame_max, 4096).")
    try:
        load = make_load(database, spare_broker)
        load.start(rows=1000)
        assert "4096" in spare_rabbitmq.rabbitmqctl("list_connections", "frame_max").split()
        queue = spare_broker.queue(name="large")
        body = random.Random(1).randbytes(300_000)
        database.insert("", queue, psycopg2.Binary(body))
        assert spare_broker.drain(queue, 1)[0].body == body
        database.query("DELETE FROM message_log WHERE exchange = ''")
        load.finish()
    finally:
        spare_rabbitmq.rabbitmqctl("eval", "application:set_env(rabbit, frame_max, 131072).")
