"""A webhook that answers as a test tells it."""

import contextlib
import dataclasses
import hashlib
import hmac
import http.server
import json
import socketserver
import ssl
import threading

from . import secrets
from .waiting import wait_until

SECRET = f"sign/{secrets.WORD}"


@dataclasses.dataclass
class Request:
    method: str
    path: str
    headers: dict
    body: bytes
    answered: bool = False  # wholly

    @property
    def message(self):
        return json.loads(self.body)

    def is_signed(self, secret=SECRET):
        signed = self.headers["X-Outbox-Relay-Timestamp"].encode() + b"." + self.body
        digest = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
        return self.headers["X-Outbox-Relay-Signature"] == "sha256=" + digest


# Answers: called with the handler and the webhook. ---------------------------------------------


def status(code, **headers):
    def answer(handler, _hook):
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()
    return answer


def hang(_handler, hook):
    """Never."""
    hook.closing.wait()


def drip(beginning):
    """That, and then a byte of the same line now and then, without end."""
    def answer(handler, hook):
        handler.wfile.write(beginning)
        while not hook.closing.wait(0.05):
            handler.wfile.write(b"x")
            handler.wfile.flush()
    return answer


def flood(code):
    """A body of a GiB, as far as anybody reads it."""
    def answer(handler, hook):
        handler.send_response(code)
        handler.send_header("Content-Length", str(1 << 30))
        handler.end_headers()
        for _ in range(1 << 10):
            handler.wfile.write(bytes(1 << 20))
            hook.flooded += 1 << 20
    return answer


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        size = int(self.headers.get("Content-Length", 0))
        request = Request(self.command, self.path, dict(self.headers), self.rfile.read(size))
        answer = self.server.hook.take(request)
        with contextlib.suppress(OSError):  # who hangs up has seen enough
            answer(self, self.server.hook)
            request.answered = True
        self.close_connection = True

    do_GET = do_POST

    def log_message(self, *_arguments):  # pylint: disable=arguments-differ
        pass


class _Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, *_arguments):  # pylint: disable=arguments-differ
        pass


class Webhook:
    """Webhook(certificate=…): answers 200, or in turn what `answers` holds, the last for ever.

    Its path has the word by which the harness finds secrets that came out.
    """

    def __init__(self, *answers, certificate=None, port=0):
        self.answers = list(answers)
        self.requests = []
        self.flooded = 0
        self.closing = threading.Event()
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.hook = self
        self.port = self._server.server_address[1]
        self.scheme = "http"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True,
                                                      do_handshake_on_connect=False)
            self.scheme = "https"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02},
                         daemon=True).start()

    @property
    def url(self):
        return f"{self.scheme}://localhost:{self.port}/services/{secrets.WORD}"

    def take(self, request):
        with self._lock:
            self.requests.append(request)
            if not self.answers:
                return status(200)
            return self.answers[0] if len(self.answers) == 1 else self.answers.pop(0)

    def alerts(self, name=None, **fields):
        """Of all messages of the generic format so far, those with this name and these fields."""
        found = [alert for request in self.requests for alert in request.message["alerts"]]
        return [alert for alert in found if (name is None or alert["alert"] == name)
                and all(alert.get(key) == value for key, value in fields.items())]

    def wait_for(self, name, timeout=60, **fields):
        """For the first such alert."""
        return wait_until(lambda: self.alerts(name, **fields), timeout,
                          what=lambda: f"{name} {fields}, but {[r.body for r in self.requests]}")[0]

    def wait_for_requests(self, count, timeout=60):
        wait_until(lambda: len(self.requests) >= count, timeout,
                   what=lambda: f"{count} requests, but {len(self.requests)}")
        return self.requests[:count]

    def close(self):
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def alerts_config(url, **changes):
    """With short waits, and plain HTTP allowed."""
    webhook = {"url": url, "allow_http": True, **changes.pop("webhook", {})}
    return {"alerts": {"webhook": webhook, "down": "1s", "oldest_due": "2s", "group_wait": "1s",
                       "group_interval": "1s", **changes}}
