"""A client of the relay's HTTP server."""

import contextlib
import http.client
import json


class Client:
    def __init__(self, port, headers={}):
        self.port = port
        self.headers = headers

    def request(self, path, method="GET", headers={}, body=None):
        """(status, headers, body)"""
        headers = {**self.headers, **headers}
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, 10)) as c:
            c.request(method, path, body, headers)
            response = c.getresponse()
            return response.status, response.headers, response.read().decode()

    def get(self, path):
        return self.request(path)[2]

    def status(self, path):
        return self.request(path)[0]

    def ready(self):
        return json.loads(self.get("/readyz"))

    def metrics(self):
        """{'name{labels}': value}"""
        lines = [line for line in self.get("/metrics").splitlines() if not line.startswith("#")]
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}

    def ask(self, path, **headers):
        """(status, JSON) of the console's questions."""
        status, _, body = self.request(f"/api/{path}", headers=headers)
        return status, json.loads(body)

    def act(self, path, body, **headers):
        """(status, JSON)"""
        headers = {"Content-Type": "application/json", **headers}
        status, _, body = self.request(f"/api/{path}", "POST", headers, json.dumps(body))
        return status, json.loads(body)
