"""Certificates made on the spot, and real servers that show them."""

import contextlib
import pathlib
import shutil
import subprocess

from .servers import free_port
from .waiting import wait_until


class Authority:
    """A CA of one's own, and what it signs: paths of PEM files below `folder`, readable for all
    (nothing here is a secret)."""

    def __init__(self, folder, name="ca"):
        self.folder = pathlib.Path(folder)
        self.name = name
        self.certificate = self.folder / f"{name}.pem"
        self._key = self.folder / f"{name}.key"
        self._openssl("req", "-x509", *_NEW_KEY, "-keyout", self._key, "-out", self.certificate,
                      "-subj", f"/CN={name}", "-days", "30")

    def issue(self, name, *alternatives, days=30, subject=None):
        """(certificate, key): "DNS:localhost", "IP:127.0.0.1"; no days: expired."""
        stem = self.folder / f"{self.name}-{name}"
        certificate, key, request = (stem.with_suffix(s) for s in (".pem", ".key", ".csr"))
        names = ["-addext", "subjectAltName=" + ",".join(alternatives)] if alternatives else []
        self._openssl("req", "-new", *_NEW_KEY, "-keyout", key, "-out", request,
                      "-subj", f"/CN={subject or name}", *names)
        self._openssl("x509", "-req", "-in", request, "-out", certificate, "-CA",
                      self.certificate, "-CAkey", self._key, "-CAcreateserial",
                      "-copy_extensions", "copy", "-days", str(days or -1))
        key.chmod(0o644)
        return certificate, key

    @staticmethod
    def _openssl(*arguments):
        done = subprocess.run(["openssl", *map(str, arguments)], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr


_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


class RabbitListeners:
    """Further listeners of a running RabbitMQ, each with TLS options of its own. They last until
    the node stops."""

    def __init__(self, servers, authority):
        self.servers = servers
        self.authority = authority
        self.ports = {}

    def open(self, **listeners):
        """name=(certificate, key, Erlang's further options as text), all by one rabbitmqctl."""
        lines = []
        for name, (certificate, key, *options) in listeners.items():
            self.ports[name] = free_port()
            tls = ", ".join([f'{{cacertfile, "{self.authority.certificate}"}}',
                             f'{{certfile, "{certificate}"}}', f'{{keyfile, "{key}"}}', *options])
            lines.append(f'rabbit_networking:start_ssl_listener({{"127.0.0.1", '
                         f'{self.ports[name]}}}, [{tls}], 1)')
        # The login by certificate: the user is the certificate's common name. The node's own
        # options decide whether it is offered.
        lines += ["application:set_env(rabbit, ssl_options, "
                  "[{verify, verify_peer}, {fail_if_no_peer_cert, true}])",
                  "application:set_env(rabbit, auth_mechanisms, "
                  "['PLAIN', 'AMQPLAIN', 'EXTERNAL'])",
                  "application:set_env(rabbit, ssl_cert_login_from, common_name)"]
        self.servers.rabbitmqctl(
            "eval", "{ok, _} = application:ensure_all_started(ssl), " + ", ".join(lines) + ".")

    def url(self, name, host="localhost", login=None):
        """login: "user:password", "" for none; that of the servers unless given."""
        login = self.servers.amqp_login if login is None else login
        return f"amqps://{login}{'@' if login else ''}{host}:{self.ports[name]}/%2f"


class PostgresTls:
    """TLS settings of a running PostgreSQL, changed without a restart; restore() ends it."""

    def __init__(self, servers, authority):
        self.servers = servers
        self.authority = authority
        self._data = servers.folder / "postgres" / "data"
        self._hba = (self._data / "pg_hba.conf").read_text()

    def show(self, certificate, key, **settings):
        """This certificate from now on; further settings by name."""
        for source, name in ((certificate, "server.crt"), (key, "server.key"),
                             (self.authority.certificate, "root.crt")):
            target = self._data / name
            shutil.copyfile(source, target)
            target.chmod(0o600)
            with contextlib.suppress(PermissionError):
                shutil.chown(target, self._data.owner(), self._data.group())
        self._alter(**{"ssl": "on", "ssl_ca_file": "root.crt", **settings})

    def access(self, *lines):
        """Lines of pg_hba.conf in front of the others."""
        (self._data / "pg_hba.conf").write_text("\n".join(lines) + "\n" + self._hba)
        self._alter()

    def restore(self):
        (self._data / "pg_hba.conf").write_text(self._hba)
        self._alter("reset")

    def _alter(self, reset=None, **settings):
        """Returns when new sessions get them."""
        before = self._loaded_at()
        self.servers.as_superuser(
            *(["ALTER SYSTEM RESET ALL"] if reset else []),
            *(f"ALTER SYSTEM SET {name} = '{value}'" for name, value in settings.items()),
            "SELECT pg_reload_conf()")
        wait_until(lambda: self._loaded_at() > before, what="the reload of PostgreSQL")

    def _loaded_at(self):
        """A new session has the postmaster's own time of the last reload."""
        return self.servers.as_superuser("SELECT pg_conf_load_time()")
