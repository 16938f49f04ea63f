"""The ground that the other tests stand on."""

import pathlib
import socket

import psycopg2
import pytest

from harness import Broker, Database, wait_until


def listening_addresses(pid):
    """Local addresses of the TCP sockets that a process listens on, as hexadecimal."""
    own = {link.readlink().name for link in _links(pid)}
    found = []
    for table in ("tcp", "tcp6"):
        for line in pathlib.Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in own:
                found.append(fields[1].split(":")[0])
    return found


def _links(pid):
    return list(pathlib.Path(f"/proc/{pid}/fd").iterdir())


@pytest.mark.parametrize("which", ["postgres", "rabbitmq", "epmd"])
def test_servers_listen_on_the_loopback_interface_only(servers, which):
    loopback = {"0100007F", "00000000000000000000000001000000"}
    addresses = listening_addresses(servers.pid(which))
    assert addresses and set(addresses) <= loopback


def test_a_row_and_a_message_pass(bare_database, broker):
    assert bare_database.value("SELECT 1") == 1
    exchange = broker.exchange()
    queue = broker.queue(exchange, "a.*")
    for n in range(3):
        broker.channel.basic_publish(exchange, "a.b", b"%d" % n)
    broker.wait_for_count(queue, 3)
    assert [m.body for m in broker.drain(queue, 2)] == [b"0", b"1"]
    assert [m.body for m in broker.drain(queue)] == [b"2"]


def test_the_spare_postgres_survives_a_kill(spare_postgres):
    database = Database(spare_postgres).create()
    database.query("CREATE TABLE t (n int)")
    spare_postgres.kill("postgres")
    wait_until(lambda: _is_refused(spare_postgres.env["PGPORT"]), what="a closed port")
    spare_postgres.start("postgres")
    database.close()
    assert database.value("SELECT count(*) FROM t") == 0
    database.drop()


def test_the_spare_rabbitmq_survives_a_kill(spare_rabbitmq):
    broker = Broker(spare_rabbitmq.amqp_url)
    queue = broker.queue()
    spare_rabbitmq.remember()
    spare_rabbitmq.kill("rabbitmq")
    wait_until(lambda: _is_refused(spare_rabbitmq.env["AMQP_PORT"]), what="a closed port")
    spare_rabbitmq.start("rabbitmq")
    again = Broker(spare_rabbitmq.amqp_url)
    assert again.count(queue) == 0
    broker.close()
    again.close()


def test_the_database_role_needs_its_password(servers):
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(servers.database_url("outbox"), password="wrong")


def _is_refused(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", int(port))) != 0
