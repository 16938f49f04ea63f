import contextlib
import socket
import struct
import threading

import pika.frame
import pika.spec


class Publish:
    """One message as the peer got it."""

    def __init__(self, session, tag, routing_key):
        self.session = session
        self.tag = tag  # the delivery tag, counted from 1 in each session
        self.routing_key = routing_key
        self.properties = None
        self.body = b""

    @property
    def message_id(self):
        return self.properties.message_id

    def ack(self, multiple=False):
        self.session.send(1, pika.spec.Basic.Ack(self.tag, multiple))

    def nack(self, multiple=False):
        self.session.send(1, pika.spec.Basic.Nack(self.tag, multiple))


class Session:
    """One connection of a relay to the peer."""

    def __init__(self, peer, connection):
        self.peer = peer
        self.connection = connection
        self.publishes = []
        self.heartbeats = 0
        self.largest_frame = 0
        self._writing = threading.Lock()

    def send(self, channel, method):
        self._write(pika.frame.Method(channel, method))

    def _write(self, frame):
        self.send_bytes(frame.marshal())

    def send_bytes(self, data):
        """Whatever they may be: garbage, half a frame."""
        with self._writing:
            self.connection.sendall(data)

    def block(self):
        self.send(0, pika.spec.Connection.Blocked("low on memory"))

    def unblock(self):
        self.send(0, pika.spec.Connection.Unblocked())

    def close(self, code=320, text="CONNECTION_FORCED"):
        """As a broker does it that is shut down: with a word."""
        self.send(0, pika.spec.Connection.Close(code, text, 0, 0))

    def reset(self):
        """As a network does it: without one."""
        # Zero seconds to linger make a reset of the close. The thread that reads wakes first.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.shutdown(socket.SHUT_RD)

    def serve(self):
        with contextlib.suppress(OSError), self.connection:
            for frame in self._frames():
                self._on_frame(frame)

    def _frames(self):
        data = b""
        while chunk := self.connection.recv(65536):
            data += chunk
            while True:
                size, frame = pika.frame.decode_frame(data)
                if not frame:
                    break
                self.largest_frame = max(self.largest_frame, size)
                data = data[size:]
                yield frame

    def _on_frame(self, frame):
        if isinstance(frame, pika.frame.ProtocolHeader):
            self.send(0, pika.spec.Connection.Start(
                0, 9, {"product": "peer"}, "PLAIN", "en_US"))
        elif isinstance(frame, pika.frame.Heartbeat):
            self.heartbeats += 1
            self._write(pika.frame.Heartbeat())
        elif isinstance(frame, pika.frame.Header):
            publish = self.publishes[-1]
            publish.properties = frame.properties
            publish.size = frame.body_size
            self._on_content(publish)
        elif isinstance(frame, pika.frame.Body):
            self.publishes[-1].body += frame.fragment
            self._on_content(self.publishes[-1])
        else:
            self._on_method(frame.method)

    def _on_method(self, method):
        spec = pika.spec
        answers = {
            spec.Connection.StartOk: (0, lambda: spec.Connection.Tune(10, self.peer.frame_max, 0)),
            spec.Connection.Open: (0, spec.Connection.OpenOk),
            spec.Connection.Close: (0, spec.Connection.CloseOk),
            spec.Channel.Open: (1, spec.Channel.OpenOk),
            spec.Confirm.Select: (1, spec.Confirm.SelectOk),
        }
        if isinstance(method, spec.Basic.Publish):
            tag = len(self.publishes) + 1
            self.publishes.append(Publish(self, tag, method.routing_key))
        elif type(method) in answers:
            channel, answer = answers[type(method)]
            self.send(channel, answer())

    def _on_content(self, publish):
        if len(publish.body) == publish.size:
            self.peer.published.append(publish)
            self.peer.on_publish(publish)


class Peer:
    """An AMQP broker that takes every login and then behaves as the test says:

    with Peer(lambda publish: publish.ack()) as peer: …

    `on_publish` may be replaced at any time. It is called by the thread of the connection.
    """

    def __init__(self, on_publish=lambda publish: None, port=0, frame_max=131072):
        self.on_publish = on_publish
        self.frame_max = frame_max
        self.sessions = []
        self.published = []  # complete messages of all sessions, in order
        self._listener = socket.create_server(("127.0.0.1", port))
        self.url = "amqp://guest:guest@127.0.0.1:%d" % self._listener.getsockname()[1]

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
        self._listener.close()
        for session in self.sessions:
            with contextlib.suppress(OSError):
                session.connection.shutdown(socket.SHUT_RDWR)

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                session = Session(self, connection)
                self.sessions.append(session)
                threading.Thread(target=session.serve, daemon=True).start()
