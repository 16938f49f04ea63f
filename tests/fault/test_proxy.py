"""The fault proxy itself: each fault does what it is called, and healing takes it away."""

import contextlib
import socket
import threading
import time

import pytest

from harness import DOWN, UP, Proxy, wait_until

pytestmark = pytest.mark.quick


class Echo:
    """Sends everything back, and keeps what it got."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.got = bytearray()
        self.ends = []  # how each connection ended: "end of file" or the exception's name
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                threading.Thread(target=self._serve, args=[connection], daemon=True).start()

    def _serve(self, connection):
        try:
            while data := connection.recv(65536):
                self.got += data
                connection.sendall(data)
            self.ends.append("end of file")
        except OSError as error:
            self.ends.append(type(error).__name__)
        connection.close()


@pytest.fixture
def echo():
    server = Echo()
    yield server
    server.listener.close()


@pytest.fixture
def proxy(echo):
    with Proxy("127.0.0.1", echo.port) as proxy:
        yield proxy


@pytest.fixture
def client(proxy):
    """A connection through the proxy over which bytes have passed both ways."""
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as connection:
        connection.sendall(b"hello")
        assert receive(connection, 5) == b"hello"
        yield connection


def echoes(proxy, data):
    """Over a connection of its own."""
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as fresh:
        fresh.sendall(data)
        return receive(fresh, len(data)) == data


def receive(connection, count):
    data = b""
    while len(data) < count:
        more = connection.recv(count - len(data))
        if not more:
            break
        data += more
    return data


def is_silent(connection, seconds=0.3):
    connection.settimeout(seconds)
    try:
        connection.recv(1)
    except socket.timeout:
        return True
    finally:
        connection.settimeout(10)
    return False


def test_bytes_pass_unchanged_in_both_directions(client, echo):
    data = bytes(range(256)) * 20000
    sender = threading.Thread(target=client.sendall, args=[data])
    sender.start()
    assert receive(client, len(data)) == data
    sender.join()
    assert echo.got == b"hello" + data


@pytest.mark.parametrize("direction", [UP, DOWN])
def test_a_paused_direction_holds_bytes_until_it_is_healed(client, echo, proxy, direction):
    proxy.pause(direction)
    client.sendall(b"later")
    assert is_silent(client)
    assert (b"later" in echo.got) == (direction == DOWN)
    proxy.heal()
    assert receive(client, 5) == b"later"


def test_a_paused_direction_makes_its_sender_wait_in_the_end(client, proxy):
    proxy.pause(UP)
    client.settimeout(1)
    with pytest.raises(socket.timeout):
        client.sendall(b"x" * (64 << 20))


def test_a_blackhole_takes_bytes_and_connections_and_delivers_nothing(client, echo, proxy):
    proxy.blackhole()
    client.sendall(b"gone")
    assert is_silent(client)
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as late:
        late.sendall(b"gone")
        assert is_silent(late)
        assert bytes(echo.got) == b"hello"
        proxy.heal()
        for connection in (client, late):
            with pytest.raises(ConnectionResetError):  # its stream has a hole
                connection.recv(1)
    assert proxy.connections == 0
    assert echoes(proxy, b"back")


def test_a_client_may_leave_a_blackhole(client, proxy):
    proxy.blackhole()
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as late:
        late.sendall(b"gone")
    wait_until(lambda: proxy.connections == 1, what="the end of the second")
    client.close()
    wait_until(lambda: proxy.connections <= 1)
    proxy.heal()
    wait_until(lambda: proxy.connections == 0)


def test_a_drip_lets_so_many_bytes_pass_in_a_second(client, proxy):
    proxy.drip(1000, DOWN)
    begin = time.monotonic()
    client.sendall(b"x" * 2000)
    assert receive(client, 2000) == b"x" * 2000
    assert time.monotonic() - begin > 1.5


def test_a_delay_is_added_to_every_byte(client, proxy):
    proxy.delay(0.4, UP)
    begin = time.monotonic()
    client.sendall(b"slow")
    assert receive(client, 4) == b"slow"
    assert time.monotonic() - begin >= 0.4


def test_half_a_close_ends_one_direction_only(client, echo, proxy):
    proxy.half_close(DOWN)
    assert client.recv(1) == b""
    client.sendall(b"still heard")
    wait_until(lambda: b"still heard" in echo.got)


def test_the_clients_own_half_close_is_passed_on_behind_its_bytes(client, echo):
    client.sendall(b"last")
    client.shutdown(socket.SHUT_WR)
    assert receive(client, 100) == b"last"
    wait_until(lambda: echo.ends == ["end of file"])


def test_a_reset_reaches_both_ends(client, echo, proxy):
    proxy.reset()
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    wait_until(lambda: echo.ends == ["ConnectionResetError"])
    assert proxy.connections == 0


def test_a_close_is_an_end_of_file_at_both_ends(client, echo, proxy):
    proxy.close()
    assert client.recv(1) == b""
    wait_until(lambda: echo.ends == ["end of file"])


def test_a_reset_of_one_end_reaches_the_other(client, echo):
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.close()
    wait_until(lambda: echo.ends == ["ConnectionResetError"])


@pytest.mark.parametrize("how", ["reset", "close"])
def test_a_cut_comes_after_exactly_so_many_bytes_and_once(client, echo, proxy, how):
    proxy.cut(UP, after=7, how=how)
    client.sendall(b"0123456789")
    wait_until(lambda: proxy.is_cut)
    wait_until(lambda: len(echo.ends) == 1)
    assert bytes(echo.got[5:]) in (b"0123456", b"")  # a reset may overtake bytes
    assert echoes(proxy, b"0123456789")


def test_a_cut_comes_right_behind_a_pattern_even_where_it_comes_in_pieces(client, echo, proxy):
    proxy.cut(UP, behind=b"COMMIT", how="close")
    client.sendall(b"BEGIN; COM")
    # Were it still on its way when the proxy closes, a reset might overtake the last bytes.
    assert receive(client, 10) == b"BEGIN; COM"
    client.sendall(b"MIT; BEGIN")
    wait_until(lambda: echo.ends)
    assert bytes(echo.got) == b"helloBEGIN; COMMIT"


def test_a_cut_into_a_blackhole_leaves_other_connections_alone(client, proxy):
    proxy.cut(DOWN, after=2, how="blackhole")
    client.sendall(b"0123")
    assert receive(client, 2) == b"01"
    assert is_silent(client)
    assert echoes(proxy, b"fine")


def test_a_cut_into_a_pause_holds_the_rest_until_it_is_healed(client, echo, proxy):
    proxy.cut(UP, behind=b"BEGIN", how="pause")
    client.sendall(b"BEGIN; COMMIT")
    assert receive(client, 5) == b"BEGIN"
    assert is_silent(client)
    proxy.heal()
    assert receive(client, 8) == b"; COMMIT"


def test_new_connections_go_where_the_proxy_points_now(client, echo, proxy):
    other = Echo()
    proxy.point_at(f"postgresql://127.0.0.1:{other.port}/x")
    assert echoes(proxy, b"moved")
    assert bytes(other.got) == b"moved"
    other.listener.close()


def test_who_refuses_lets_nobody_in_and_keeps_whom_it_has(client, proxy):
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", proxy.port), timeout=5)
    client.sendall(b"still")
    assert receive(client, 5) == b"still"
    proxy.listen()
    socket.create_connection(("127.0.0.1", proxy.port), timeout=5).close()


def test_a_server_that_is_away_is_a_reset_for_the_client(echo, proxy):
    echo.listener.shutdown(socket.SHUT_RDWR)
    echo.listener.close()
    with pytest.raises(ConnectionResetError):
        socket.create_connection(("127.0.0.1", proxy.port), timeout=10).recv(1)


@pytest.mark.parametrize("url", [
    "postgresql://a:b@127.0.0.1:5/x", "amqp://a:b@127.0.0.1:5/%2f", "amqp://127.0.0.1:5",
    "postgresql://a:b@127.0.0.1:5/x?connect_timeout=3"])
def test_a_url_by_way_of_the_proxy_differs_in_the_port_only(url):
    proxy = Proxy.before(url)
    proxy.port = 77
    assert proxy.url(url) == url.replace(":5", ":77")
