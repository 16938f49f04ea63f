import collections
import contextlib
import selectors
import socket
import struct
import threading
import time

UP = "client to server"
DOWN = "server to client"
BOTH = (UP, DOWN)

# What a relay's session sends to have COMMIT executed: the end of Bind, Describe and Execute for the
# statement that it prepared under that name (PostgreSQL, Message Formats; libpq 15).
EXECUTE_COMMIT = (b"\0COMMIT\0" b"\0\0" b"\0\0" b"\0\1\0\1"
                  b"D\0\0\0\6P\0"
                  b"E\0\0\0\x09\0" b"\0\0\0\0")

_CHUNK = 65536
_HELD = 1 << 20  # bytes kept of one direction before its sender has to wait


class Proxy:
    """A TCP proxy in front of a server, which misbehaves like networks do when it is told to:

    with Proxy.before(database.url) as proxy:
        relay = make_relay(quick_config(proxy.url(database.url), broker.url))
        …
        proxy.pause(DOWN)       # what the server says is held back (the receiver's window fills)
        proxy.blackhole()       # both ways, and for new connections: taken, and never delivered
        proxy.drip(1024, DOWN)  # bytes a second
        proxy.delay(0.2, UP)    # seconds
        proxy.half_close(DOWN)  # the server's end of file, and no more of what it says
        proxy.reset()           # RST to both ends of every connection
        proxy.cut(UP, behind=EXECUTE_COMMIT)  # reset right behind these bytes, once
        proxy.refuse()          # nobody listens
        proxy.heal()            # pass everything again; connections that lost bytes are reset

    Directions are UP (client to server), DOWN (server to client) or BOTH. What is set holds for
    the connections there are and for those to come. One thread; every method may be called by
    any other.
    """

    def __init__(self, host, port):
        self._server = (host, port)
        self._lock = threading.RLock()
        self._selector = selectors.DefaultSelector()
        self._listener = None
        self._links = []
        self.port = None
        self.passed = {UP: 0, DOWN: 0}  # bytes, over all connections
        self.accepted = 0  # connections so far
        self._cut = None  # (direction, bytes to pass or None, pattern or None, how)
        self._done = False
        self._wake_read, self._wake_write = socket.socketpair()
        self._wake_read.setblocking(False)
        self._selector.register(self._wake_read, selectors.EVENT_READ, self._on_wake)
        self._clear()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @classmethod
    def before(cls, url):
        """A proxy for the server that a postgresql:// or amqp:// URL names."""
        host, _, port = _host_and_port(url).rpartition(":")
        return cls(host, int(port))

    def url(self, url):
        """The same URL by way of the proxy."""
        return url.replace(_host_and_port(url), self.address)

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def __enter__(self):
        self.listen()
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._done = True
        self._wake()
        self._thread.join(10)
        self._close_all(socket.socket.close)
        for each in (self._listener, self._wake_read, self._wake_write, self._selector):
            if each is not None:
                each.close()

    def point_at(self, url):
        """From now on new connections go to this server: its address has moved."""
        host, _, port = _host_and_port(url).rpartition(":")
        self._server = (host, int(port))

    # --- what to do to the connections ---

    def pause(self, direction=BOTH):
        with self._changed():
            self._paused |= _set(direction)

    def blackhole(self):
        with self._changed():
            self._is_hole = True

    def drip(self, bytes_per_second, direction=BOTH):
        with self._changed():
            self._rate.update(dict.fromkeys(_set(direction), bytes_per_second))

    def delay(self, seconds, direction=BOTH):
        with self._changed():
            self._delay.update(dict.fromkeys(_set(direction), seconds))

    def half_close(self, direction):
        with self._changed():
            for link in self._links:
                for pipe in link.pipes:
                    if pipe.direction in _set(direction):
                        pipe.end()

    def reset(self):
        self._drop(_reset)

    def close(self):
        """In good order, but without a word of the protocol."""
        self._drop(socket.socket.close)

    def _drop(self, how):
        with self._changed():
            self._close_all(how)

    def cut(self, direction, after=None, behind=None, how="reset"):
        """Once, on the first connection that gets there: `after` so many bytes from now on, or
        right `behind` these bytes. `how`: "reset", "close", or for that connection alone
        "blackhole" or "pause" (nothing more goes that way)."""
        assert (after is None) != (behind is None)
        with self._changed():
            for link in self._links:
                for pipe in link.pipes:
                    pipe.restart_count()
            self._cut = (direction, after, behind, how)

    @property
    def is_cut(self):
        """Has the cut() asked for last taken place?"""
        return self._cut is None

    def refuse(self):
        """No new connections; those there are go on."""
        with self._changed():
            if self._listener is not None:
                self._selector.unregister(self._listener)
                self._listener.close()
                self._listener = None

    def listen(self):
        with self._changed():
            if self._listener is None:
                self._listener = socket.create_server(("127.0.0.1", self.port or 0), backlog=128)
                self._listener.setblocking(False)
                self.port = self._listener.getsockname()[1]
                self._selector.register(self._listener, selectors.EVENT_READ, self._on_connection)

    def heal(self):
        with self._changed():
            self._clear()
            self.listen()
            for link in list(self._links):
                for pipe in link.pipes:
                    pipe.is_paused = False
                if link.lost_bytes:
                    link.close(_reset)

    @property
    def connections(self):
        with self._lock:
            return len(self._links)

    # --- the thread ---

    def _clear(self):
        self._paused = set()
        self._is_hole = False
        self._rate = {}
        self._delay = {}
        self._cut = None

    @contextlib.contextmanager
    def _changed(self):
        with self._lock:
            yield
        self._wake()

    def _wake(self):
        self._wake_write.send(b"x")

    def _on_wake(self, _):
        with contextlib.suppress(BlockingIOError):
            self._wake_read.recv(4096)

    def _run(self):
        while not self._done:
            with self._lock:
                timeout = min((link.prepare() for link in list(self._links)), default=None)
            ready = self._selector.select(timeout)
            with self._lock:
                for key, events in ready:
                    if key.fileobj.fileno() != -1:  # closed by an event before
                        key.data(events)

    def _on_connection(self, _):
        with contextlib.suppress(OSError):
            client, _ = self._listener.accept()
            self.accepted += 1
            server = None
            if not self._is_hole:
                try:
                    server = socket.create_connection(self._server, timeout=5)
                except OSError:
                    _reset(client)
                    return
            self._links.append(_Link(self, client, server))

    def _close_all(self, how):
        with self._lock:
            for link in list(self._links):
                link.close(how)


class _Link:
    """One connection: two sockets, and a pipe each way."""

    def __init__(self, proxy, client, server):
        self.proxy = proxy
        self.ends = [end for end in (client, server) if end is not None]
        for end in self.ends:
            end.setblocking(False)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.is_hole = server is None  # was born in a blackhole
        self.lost_bytes = self.is_hole
        up, down = _Pipe(self, UP, client, server), _Pipe(self, DOWN, server, client)
        self.pipes = [up, down]
        self._reading = {client: up, server: down}
        self._writing = {server: up, client: down}
        self._wanted = {}

    def prepare(self):
        """Registers what each socket waits for; how long until time alone changes that."""
        timeout = None
        for end in self.ends:
            read, read_in = self._reading[end].wants_read()
            write, write_in = self._writing[end].wants_write()
            self._register(end, (selectors.EVENT_READ if read else 0) |
                           (selectors.EVENT_WRITE if write else 0))
            for seconds in (read_in, write_in):
                if seconds is not None:
                    timeout = seconds if timeout is None else min(timeout, seconds)
        return 3600 if timeout is None else max(timeout, 0.001)

    def _register(self, end, events):
        selector, before = self.proxy._selector, self._wanted.get(end, 0)
        if events == before:
            return
        if not events:
            selector.unregister(end)
        elif not before:
            selector.register(end, events, lambda ready: self._on_ready(end, ready))
        else:
            selector.modify(end, events, lambda ready: self._on_ready(end, ready))
        self._wanted[end] = events

    def _on_ready(self, end, ready):
        try:
            if ready & selectors.EVENT_READ:
                self._reading[end].read()
            if ready & selectors.EVENT_WRITE and end.fileno() != -1:
                self._writing[end].write()
        except OSError:  # one end has reset the connection: the other gets to know
            self.close(_reset)
            return
        if all(pipe.is_ended for pipe in self.pipes):
            self.close(socket.socket.close)

    def close(self, how):
        for end in self.ends:
            self._register(end, 0)
            how(end)
        if self in self.proxy._links:
            self.proxy._links.remove(self)


class _Pipe:
    """One direction of one connection."""

    def __init__(self, link, direction, source, target):
        self.link, self.direction, self.source, self.target = link, direction, source, target
        self.held = collections.deque()  # (when it may go on, bytes)
        self.size = 0
        self.is_paused = False
        self.at_end = False  # the source said so
        self.is_ended = source is None  # and the target was told
        self.tokens, self.tokens_at = 0.0, time.monotonic()
        self.restart_count()

    def restart_count(self):
        self.counted, self.tail = 0, b""

    @property
    def proxy(self):
        return self.link.proxy

    @property
    def is_hole(self):
        return self.link.is_hole or self.proxy._is_hole

    @property
    def is_held(self):
        return self.is_paused or self.direction in self.proxy._paused

    def wants_read(self):
        return not (self.at_end or self.is_held or self.size >= _HELD), None

    def read(self):
        data = self.source.recv(_CHUNK)
        if not data:
            self.at_end = True
            if not self.held:
                self.end()
        elif self.is_hole or self.is_ended:
            self.link.lost_bytes = True
        else:
            due = time.monotonic() + self.proxy._delay.get(self.direction, 0)
            self.held.append((due, data))
            self.size += len(data)

    def wants_write(self):
        """(now?, in how many seconds otherwise)"""
        if not self.held or self.is_held or self.is_ended:
            return False, None
        if self.is_hole:
            self.held.clear()
            self.size = 0
            self.link.lost_bytes = True
            return False, None
        now = time.monotonic()
        due = self.held[0][0]
        if due > now:
            return False, due - now
        if self.allowance(now) < 1:
            return False, 0.02
        return True, None

    def allowance(self, now):
        """Bytes that the drip lets pass by now."""
        rate = self.proxy._rate.get(self.direction)
        if rate is None:
            return _CHUNK
        self.tokens = min(self.tokens + (now - self.tokens_at) * rate, max(rate / 10, 1))
        self.tokens_at = now
        return int(self.tokens)

    def write(self):
        if not self.wants_write()[0]:
            return
        due, data = self.held.popleft()
        self.size -= len(data)
        part = data[:self.allowance(time.monotonic())]
        part, is_cut = self.until_cut(part)
        sent = self.target.send(part) if part else 0
        self.count(data[:sent])
        if sent < len(data):
            self.held.appendleft((due, data[sent:]))
            self.size += len(data) - sent
        if is_cut and sent == len(part):
            self.cut()
        elif self.at_end and not self.held:
            self.end()

    def until_cut(self, data):
        """What may pass of it, and whether the cut comes right behind."""
        if self.proxy._cut is None or self.proxy._cut[0] != self.direction:
            return data, False
        _, after, behind, _ = self.proxy._cut
        if after is not None:
            left = after - self.counted
            return (data[:left], True) if left <= len(data) else (data, False)
        at = (self.tail + data).find(behind)
        if at < 0:
            return data, False
        return data[:at + len(behind) - len(self.tail)], True

    def count(self, data):
        self.counted += len(data)
        self.tail = (self.tail + data)[-64:]
        self.proxy.passed[self.direction] += len(data)
        if self.proxy._rate.get(self.direction) is not None:
            self.tokens -= len(data)

    def cut(self):
        how, self.proxy._cut = self.proxy._cut[3], None
        if how == "pause":
            self.is_paused = True
        elif how == "blackhole":
            self.link.is_hole = self.link.lost_bytes = True
        else:
            self.link.close(_reset if how == "reset" else socket.socket.close)

    def end(self):
        if not self.is_ended:
            self.is_ended = True
            with contextlib.suppress(OSError):
                if self.target is not None:
                    self.target.shutdown(socket.SHUT_WR)


def _reset(end):
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    end.close()


def _set(direction):
    return {direction} if isinstance(direction, str) else set(direction)


def _host_and_port(url):
    return url.partition("://")[2].rpartition("@")[2].partition("/")[0].partition("?")[0]
