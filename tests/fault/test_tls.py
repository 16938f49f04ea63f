"""TLS to a real RabbitMQ and a real PostgreSQL gone wrong in every way: each is refused in words
of its own, and nothing ever falls back to plain text."""

import collections
import contextlib
import json
import pathlib
import random
import socket
import tempfile
import threading

import pytest

from harness import DOWN, UP, Proxy, merge, quick_config, wait_until
from harness.scenario import seen
from harness.tls import Authority, PostgresTls, RabbitListeners

Certificates = collections.namedtuple(
    "Certificates", "folder ca other_ca good address expired elsewhere client foreign_client")


@pytest.fixture(scope="module")
def certificates():
    # Not among pytest's folders: those are closed to the servers' users.
    with tempfile.TemporaryDirectory(prefix="outbox-relay-test.") as folder:
        pathlib.Path(folder).chmod(0o755)
        ca, other = Authority(folder, "ca"), Authority(folder, "other")
        yield Certificates(
            folder=pathlib.Path(folder), ca=ca, other_ca=other,
            good=ca.issue("good", "DNS:localhost"),
            address=ca.issue("address", "IP:127.0.0.1"),
            expired=ca.issue("expired", "DNS:localhost", days=0),
            elsewhere=ca.issue("elsewhere", "DNS:elsewhere.example"),
            # For the login by certificate: the name is the user's.
            client=ca.issue("client", subject="guest"),
            foreign_client=other.issue("client", subject="guest"))


def broker_row(report):
    return next(row for row in report if row["check"] == "broker")


def database_row(report):
    return next(row for row in report if row["check"] == "database")


def keys(certificates, changes):
    """Of a tls section: our CA, unless told otherwise; None takes a key away."""
    tls = {"ca_file": str(certificates.ca.certificate), **changes}
    return {key: value for key, value in tls.items() if value is not None}


def check_of(relay):
    lines = relay.run("check", "--json", check=None).stdout.splitlines()
    return [json.loads(line) for line in lines]


def refused(row, words):
    assert not row["ok"], row
    assert words in row["detail"], row
    seen(note=row["detail"])


# --- RabbitMQ --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def listeners(_spare, certificates):
    _spare.start("rabbitmq")
    rabbit = RabbitListeners(_spare, certificates.ca)
    demanding = "{verify, verify_peer}, {fail_if_no_peer_cert, true}"
    rabbit.open(good=certificates.good, address=certificates.address,
                expired=certificates.expired, elsewhere=certificates.elsewhere,
                old=(*certificates.good, "{versions, ['tlsv1.1']}"),
                demanding=(*certificates.good, demanding),
                demanding_12=(*certificates.good, demanding, "{versions, ['tlsv1.2']}"))
    return rabbit


@pytest.fixture
def relay_to(database, listeners, certificates, make_relay):
    """relay_to("good", host=…, login=…, ca_file=…, …): further words are keys of broker.tls."""
    def make(listener, host="localhost", login=None, **tls):
        config = quick_config(database.url, listeners.url(listener, host, login))
        return make_relay(merge(config, {"broker": {"tls": keys(certificates, tls)}}))
    return make


@pytest.mark.quick
@pytest.mark.scenario(64, fault="RabbitMQ: none; certificate of the given CA",
                      expected="delivered over TLS 1.3")
def test_messages_pass_over_tls_to_rabbitmq(database, spare_broker, relay_to):
    queue = spare_broker.queue()
    relay = relay_to("good")
    database.insert_many(300, "", queue, size=100_000)
    relay.run_until_empty()
    assert database.statuses() == {"sent": 300}
    assert len(spare_broker.drain(queue)) == 300
    assert relay.wait_for("connected", side="broker")["peer"].endswith("over TLSv1.3")


@pytest.mark.scenario(64, fault="RabbitMQ: certificate for the address alone (IP SAN)",
                      expected="accepted by address, refused by name")
def test_a_certificate_for_the_address_is_good_for_the_address(relay_to):
    assert broker_row(check_of(relay_to("address", "127.0.0.1")))["ok"]
    refused(broker_row(check_of(relay_to("address"))), "certificate is not for localhost")


@pytest.mark.quick
@pytest.mark.scenario(64, fault="RabbitMQ: certificate of an unknown CA",
                      expected="refused: unknown authority")
def test_rabbitmqs_certificate_comes_from_an_unknown_authority(relay_to, certificates):
    other = str(certificates.other_ca.certificate)
    refused(broker_row(check_of(relay_to("good", ca_file=other))), "an unknown authority")
    refused(broker_row(check_of(relay_to("good", ca_file=None))), "an unknown authority")


@pytest.mark.quick
@pytest.mark.scenario(64, fault="RabbitMQ: expired certificate", expected="refused: expired")
def test_rabbitmqs_certificate_has_expired(relay_to):
    refused(broker_row(check_of(relay_to("expired"))), "has expired")


@pytest.mark.scenario(64, fault="RabbitMQ: certificate for another host",
                      expected="refused: not for this host; accepted where tls.server_name says so")
def test_rabbitmqs_certificate_is_for_another_host(relay_to):
    refused(broker_row(check_of(relay_to("elsewhere"))), "certificate is not for localhost")
    refused(broker_row(check_of(relay_to("good", "127.0.0.1"))), "certificate is not for 127.0.0.1")
    assert broker_row(check_of(relay_to("elsewhere", server_name="elsewhere.example")))["ok"]


@pytest.mark.scenario(64, fault="RabbitMQ: offers TLS 1.1 at most", expected="refused: too old")
def test_rabbitmq_offers_tls_1_1_only(relay_to):
    refused(broker_row(check_of(relay_to("old"))), "does not offer TLS 1.2 or newer")


@pytest.mark.scenario(64, fault="RabbitMQ: no TLS on this port", expected="refused: no TLS")
def test_rabbitmqs_plain_port_is_asked_for_tls(relay_to, listeners):
    listeners.ports["plain"] = listeners.servers.env["AMQP_PORT"]
    refused(broker_row(check_of(relay_to("plain"))), "does not speak TLS on this port")


@pytest.mark.scenario(64, fault="RabbitMQ: plain text to a TLS port", expected="refused: use amqps")
def test_rabbitmqs_tls_port_is_spoken_to_in_plain_text(database, listeners, make_relay):
    url = listeners.url("good").replace("amqps", "amqp")
    refused(broker_row(check_of(make_relay(quick_config(database.url, url)))),
            "speaks TLS on this port: use amqps://")


@pytest.mark.quick
@pytest.mark.scenario(64, fault="RabbitMQ: demands a client certificate, there is none or a wrong "
                      "one", expected="refused in the server's words")
@pytest.mark.parametrize("listener", ["demanding", "demanding_12"])
def test_rabbitmq_demands_a_certificate_of_ours(relay_to, certificates, listener):
    refused(broker_row(check_of(relay_to(listener))),
            "certificate required" if listener == "demanding" else "the server says")
    certificate, key = map(str, certificates.foreign_client)
    refused(broker_row(check_of(relay_to(listener, cert_file=certificate, key_file=key))),
            "unknown ca")


@pytest.mark.scenario(64, fault="RabbitMQ: login by client certificate (EXTERNAL)",
                      expected="delivered; the user is the certificate's")
def test_a_certificate_is_the_login(database, spare_broker, relay_to, certificates):
    queue = spare_broker.queue()
    certificate, key = map(str, certificates.client)
    relay = relay_to("demanding", login="", cert_file=certificate, key_file=key)
    # RabbitMQ takes no user_id but that of the login.
    database.insert("", queue, properties={"user_id": "guest"})
    relay.run_until_empty()
    assert database.statuses() == {"sent": 1}
    assert spare_broker.count(queue) == 1


@pytest.mark.scenario(64, fault="RabbitMQ: expired certificate, tls.verify: false",
                      expected="delivered, with a warning")
def test_an_unverified_rabbitmq_is_warned_of(database, spare_broker, relay_to):
    relay = relay_to("expired", verify=False)
    database.insert("", spare_broker.queue())
    relay.run_until_empty()
    assert database.statuses() == {"sent": 1}
    (line,) = relay.events("not protected", side="broker")
    assert "is not checked" in line["reason"]
    assert next(row for row in check_of(relay) if row["check"] == "broker TLS")["ok"]


# --- PostgreSQL ------------------------------------------------------------------------------


@pytest.fixture
def postgres_tls(spare_postgres, spare_database, certificates):
    tls = PostgresTls(spare_postgres, certificates.ca)
    tls.show(*certificates.good)
    yield tls
    tls.restore()


@pytest.fixture
def relay_from(spare_database, postgres_tls, certificates, servers, make_relay):
    """relay_from(host=…, query=…, env=…, ca_file=…, …): further words are keys of database.tls."""
    def make(host="localhost", query="", env=None, **tls):
        url = spare_database.url.replace("127.0.0.1", host) + query
        config = quick_config(url, servers.amqp_url)
        return make_relay(merge(config, {"database": {"tls": keys(certificates, tls)}}), env=env)
    return make


@pytest.mark.quick
@pytest.mark.scenario(64, fault="PostgreSQL: none; certificate of the given CA",
                      expected="all of it over TLS 1.3")
def test_rows_come_over_tls_from_postgres(spare_database, broker, relay_from):
    queue = broker.queue()
    spare_database.insert_many(300, "", queue, size=20_000)
    relay = relay_from()
    relay.start()
    spare_database.wait_for_statuses(sent=300)
    sessions = spare_database.query("""SELECT ssl, version FROM pg_stat_ssl JOIN pg_stat_activity
        USING (pid) WHERE application_name LIKE 'outbox-relay %'""")
    assert sessions == [{"ssl": True, "version": "TLSv1.3"}]
    assert relay.wait_for("connected", side="database")["peer"].endswith("over TLSv1.3")
    relay.stop()
    assert broker.count(queue) == 300


@pytest.mark.scenario(64, fault="PostgreSQL: certificate for the address alone (IP SAN)",
                      expected="accepted by address, refused by name")
def test_a_certificate_for_the_address_of_postgres(postgres_tls, relay_from, certificates):
    postgres_tls.show(*certificates.address)
    assert database_row(check_of(relay_from("127.0.0.1")))["ok"]
    refused(database_row(check_of(relay_from())), 'does not match host name "localhost"')


@pytest.mark.scenario(64, fault="PostgreSQL: certificate of an unknown CA",
                      expected="refused: unknown authority")
def test_the_certificate_of_postgres_comes_from_an_unknown_authority(relay_from, certificates):
    other = str(certificates.other_ca.certificate)
    refused(database_row(check_of(relay_from(ca_file=other))), "an unknown authority")
    # The system's authorities do not know it either.
    refused(database_row(check_of(relay_from(query="?sslmode=verify-full", ca_file=None))),
            "an unknown authority")


@pytest.mark.quick
@pytest.mark.scenario(64, fault="PostgreSQL: expired certificate, then a new one",
                      expected="refused: expired; goes on by itself")
def test_the_certificate_of_postgres_has_expired_and_is_renewed(
        spare_database, broker, postgres_tls, relay_from, certificates):
    postgres_tls.show(*certificates.expired)
    spare_database.insert("", broker.queue())
    relay = relay_from()
    relay.start()
    line = relay.wait_for("cannot connect", side="database", saying="has expired")
    seen(note=line["error"])
    postgres_tls.show(*certificates.good)
    spare_database.wait_for_statuses(sent=1, timeout=60)
    relay.stop()


@pytest.mark.scenario(64, fault="PostgreSQL: certificate for another host",
                      expected="refused: not for this host; accepted with host= and hostaddr=")
def test_the_certificate_of_postgres_is_for_another_host(postgres_tls, relay_from, certificates):
    postgres_tls.show(*certificates.elsewhere)
    refused(database_row(check_of(relay_from())), 'does not match host name "localhost"')
    both = relay_from("elsewhere.example", "?hostaddr=127.0.0.1")
    assert database_row(check_of(both))["ok"]


@pytest.mark.scenario(64, fault="PostgreSQL: offers TLS 1.1 at most", expected="refused: too old")
def test_postgres_offers_tls_1_1_only(postgres_tls, relay_from, certificates):
    postgres_tls.show(*certificates.good, ssl_min_protocol_version="TLSv1.1",
                      ssl_max_protocol_version="TLSv1.1")
    refused(database_row(check_of(relay_from())), "at least TLS 1.2 is needed")


@pytest.mark.quick
@pytest.mark.scenario(64, fault="PostgreSQL: offers no TLS",
                      expected="refused: no TLS; on the network by default, too")
def test_postgres_offers_no_tls(postgres_tls, relay_from, certificates):
    postgres_tls.show(*certificates.good, ssl="off")
    refused(database_row(check_of(relay_from())), "server does not support SSL")
    # 127.1 is not written as a loopback address is, and so is taken for the network.
    refused(database_row(check_of(relay_from("127.1", ca_file=None))),
            "server does not support SSL")


@pytest.mark.scenario(64, fault="PostgreSQL: on the network, nothing configured",
                      expected="TLS, verified against the system's authorities")
def test_postgres_on_the_network_is_verified_unless_somebody_says_otherwise(
        postgres_tls, relay_from, certificates):
    postgres_tls.show(*certificates.address)
    row = database_row(check_of(relay_from("127.1", ca_file=None)))
    refused(row, "an unknown authority")
    system = {"SSL_CERT_FILE": str(certificates.ca.certificate)}
    row = database_row(check_of(relay_from("127.1", ca_file=None, env=system)))
    assert row["ok"] and row["detail"].endswith("over TLSv1.3"), row


@pytest.mark.scenario(64, fault="PostgreSQL: sslmode=prefer, by somebody's word",
                      expected="connects, with a warning")
@pytest.mark.parametrize("how", ["url", "environment"])
def test_a_weak_sslmode_is_warned_of(spare_database, broker, relay_from, how):
    spare_database.insert("", broker.queue())
    relay = relay_from("127.1", "?sslmode=prefer" if how == "url" else "", ca_file=None,
                       env={"PGSSLMODE": "prefer"} if how == "environment" else None)
    relay.run_until_empty()
    (line,) = relay.events("not protected", side="database")
    assert "falls back to plain text" in line["reason"]


@pytest.mark.scenario(64, fault="PostgreSQL: expired certificate, tls.verify: false",
                      expected="connects over TLS")
def test_an_unverified_postgres(postgres_tls, relay_from, certificates):
    postgres_tls.show(*certificates.expired)
    row = database_row(check_of(relay_from("127.1", ca_file=None, verify=False)))
    assert row["ok"] and row["detail"].endswith("over TLSv1.3"), row


@pytest.mark.scenario(64, fault="PostgreSQL: demands a client certificate",
                      expected="refused without, accepted with it")
def test_postgres_demands_a_certificate_of_ours(postgres_tls, relay_from, certificates):
    postgres_tls.access("hostssl all outbox 127.0.0.1/32 scram-sha-256 clientcert=verify-full")
    refused(database_row(check_of(relay_from())), "valid client certificate")
    certificate, key = own_key(certificates, certificates.client)
    # It is for the user guest, and here is the user outbox.
    refused(database_row(check_of(relay_from(cert_file=certificate, key_file=key))),
            "authentication failed")
    postgres_tls.access("hostssl all outbox 127.0.0.1/32 scram-sha-256 clientcert=verify-ca")
    assert database_row(check_of(relay_from(cert_file=certificate, key_file=key)))["ok"]


def own_key(certificates, pair):
    """libpq takes no key that others can read."""
    certificate, key = pair
    own = certificates.folder / "own.key"
    own.touch(0o600)
    own.write_bytes(key.read_bytes())
    return str(certificate), str(own)


@pytest.mark.scenario(64, fault="PostgreSQL: demands TLS of a local client that does not ask for it",
                      expected="refused: it wants TLS")
def test_postgres_wants_tls_of_a_local_client(postgres_tls, relay_from):
    postgres_tls.access("hostnossl all outbox 127.0.0.1/32 reject",
                        "hostssl all outbox 127.0.0.1/32 scram-sha-256")
    refused(database_row(check_of(relay_from("127.0.0.1", ca_file=None))), "it wants TLS")


@pytest.mark.scenario(64, fault="PostgreSQL: another TLS server on its port",
                      expected="refused; never plain text")
def test_some_other_tls_server_is_on_the_port_of_postgres(
        spare_database, listeners, relay_from):
    relay = relay_from()
    own = f":{spare_database.servers.env['PGPORT']}/"
    relay.configure(merge(relay.config, {"database": {
        "url": relay.config["database"]["url"].replace(own, f":{listeners.ports['good']}/")}}))
    refused(database_row(check_of(relay)), "SSL")


# --- both, under load ------------------------------------------------------------------------


@pytest.fixture
def tls_load(spare_database, spare_broker, postgres_tls, listeners, certificates, make_load):
    """Load over TLS to both servers, each by way of a proxy."""
    postgres_tls.show(*certificates.address)
    tls = {"tls": {"ca_file": str(certificates.ca.certificate)}}
    amqp_url = listeners.url("address", "127.0.0.1")
    with Proxy.before(amqp_url) as amqp, Proxy.before(spare_database.url) as postgres:
        load = make_load(spare_database, spare_broker, {"database": tls, "broker": tls},
                         broker_url=amqp.url(amqp_url),
                         database_url=postgres.url(spare_database.url))
        yield load, amqp, postgres


@pytest.mark.scenario(64, fault="both connections over TLS, reset at any byte, under load",
                      expected="as without TLS: nobody is charged")
def test_tls_connections_are_reset_at_any_byte(tls_load):
    load, amqp, postgres = tls_load
    load.start()
    chance = random.Random(64)
    connects = {"broker": 1, "database": 1}
    with load.fault():
        for _ in range(5):
            for side, proxy in (("broker", amqp), ("database", postgres)):
                proxy.cut(chance.choice((UP, DOWN)), after=chance.randrange(1, 30000))
                wait_until(lambda p=proxy: p.is_cut, 60, what="the cut")
                connects[side] += 1
                load.relay.wait_for("connected", side=side, count=connects[side], timeout=60)
    load.recovers()
    load.finish()


@pytest.mark.scenario(64, fault="both connections over TLS are half-open, then slow, under load",
                      expected="as without TLS: noticed, goes on")
def test_tls_connections_are_half_open_and_slow(tls_load):
    load, amqp, postgres = tls_load
    load.start()
    with load.fault() as fault:
        amqp.blackhole()
        load.relay.wait_for("disconnected", side="broker")
        amqp.heal()
        postgres.blackhole()
        load.relay.wait_for("disconnected", side="database")
        postgres.heal()
        # Handshakes and records come in pieces.
        amqp.drip(20_000)
        postgres.drip(20_000)
        sent = load.sent()
        wait_until(lambda: load.sent() > sent + 50, 60, what="rows that trickle through")
        amqp.heal()
        postgres.heal()
    load.quiet(fault)
    load.recovers()
    load.finish()


# --- never in plain text ---------------------------------------------------------------------


class Listener:
    """Takes connections, answers with `answer` as soon as something came, keeps what it got."""

    def __init__(self, answer):
        self.answer = answer
        self.got = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                with connection:
                    got = connection.recv(65536)
                    with contextlib.suppress(OSError):
                        connection.sendall(self.answer)
                        connection.settimeout(10)
                        while more := connection.recv(65536):
                            got += more
                    self.got.append(got)

    def close(self):
        self._socket.close()


@pytest.fixture
def listener():
    made = []

    def make(answer):
        made.append(Listener(answer))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.mark.quick
@pytest.mark.scenario(64, fault="either side: the server says no to TLS",
                      expected="not one byte of plain text, however often it is tried")
def test_a_server_that_says_no_to_tls_hears_nothing_more(listener, make_relay):
    postgres, rabbit = listener(b"N"), listener(b"AMQP\0\0\x09\x01")
    config = quick_config(f"postgresql://user:secret-word@127.1:{postgres.port}/app",
                          f"amqps://user:secret-word@localhost:{rabbit.port}/%2f")
    relay = make_relay(config)
    relay.start()
    wait_until(lambda: len(postgres.got) >= 3 and len(rabbit.got) >= 3, 30, what="three tries each")
    relay.stop()
    # SSLRequest and nothing else; a TLS handshake record (22, 3, …) and nothing else.
    assert set(postgres.got) == {b"\0\0\0\x08\x04\xd2\x16\x2f"}
    assert all(got[:2] == b"\x16\x03" and b"secret-word" not in got and b"AMQP" not in got
               for got in rabbit.got)
    assert "secret-word" not in relay.log
