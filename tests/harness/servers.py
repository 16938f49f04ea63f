import os
import pathlib
import signal
import socket
import subprocess

import psycopg2

from .waiting import wait_until

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "deploy" / "servers.sh"


def free_port():
    """A port that nobody listens on, for a moment at least."""
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        return reserved.getsockname()[1]


class Servers:
    """A folder with a private PostgreSQL and RabbitMQ; see deploy/servers.sh.

    `which` is "postgres" or "rabbitmq"; without it both are meant.
    """

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(exist_ok=True)

    def _call(self, command, *arguments, timeout=300):
        done = subprocess.run(
            ["sh", str(SCRIPT), command, str(self.folder), *arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, timeout=timeout)
        assert done.returncode == 0, f"servers.sh {command} {arguments}:\n{done.stdout}"
        return done.stdout

    def start(self, *which):
        """Starts, again after stop() or kill(), with the same data and ports."""
        self._call("start", *which)
        return self

    def stop(self, *which):
        self._call("stop", *which)

    def kill(self, which):
        """SIGKILL, as the kernel would do it when memory runs out."""
        process = pathlib.Path(f"/proc/{self.pid(which)}")
        self.signal(which, signal.SIGKILL)
        # Not even a zombie may be left, or start() takes it for running.
        wait_until(lambda: not process.exists(), what=f"the end of {which}")

    def pause(self, which):
        """Frozen: connections stay open, nobody answers."""
        self.signal(which, signal.SIGSTOP)

    def resume(self, which):
        if self.is_running(which):
            self.signal(which, signal.SIGCONT)

    def signal(self, which, number):
        """To the server's main process."""
        os.kill(self.pid(which), number)

    def pid(self, which):
        return int((self.folder / f"{which}.pid").read_text())

    def is_running(self, which):
        try:
            stat = pathlib.Path(f"/proc/{self.pid(which)}/stat").read_text()
        except FileNotFoundError:
            return False
        return stat.rpartition(")")[2].split()[0] != "Z"

    def log(self, which):
        return (self.folder / f"{which}.log").read_text(errors="replace")

    def rabbitmqctl(self, *arguments):
        """Starts a whole Erlang, about a second of processor time: prefer AMQP itself."""
        return self._call("rabbitmqctl", *arguments)

    def remember(self):
        """RabbitMQ keeps what was declared in its head for some seconds; a kill -9 shall find it on
        the disk."""
        self.rabbitmqctl("eval", "mnesia:sync_log().")

    @property
    def env(self):
        lines = (self.folder / "env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)

    @property
    def amqp_url(self):
        return self.env["AMQP_URL"]

    @property
    def database_login(self):
        """"outbox:password", as a URL has it."""
        return self.env["DATABASE_URL"].partition("://")[2].rpartition("@")[0]

    @property
    def amqp_login(self):
        """"guest:password", as a URL has it."""
        return self.amqp_url.partition("://")[2].rpartition("@")[0]

    def superuser(self, database="postgres"):
        """Arguments for psycopg2.connect()."""
        env = self.env
        return dict(host=env["PGHOST"], port=env["PGPORT"], user=env["PGUSER"], dbname=database)

    def as_superuser(self, *statements, database="postgres"):
        """Each in a transaction of its own; returns the value of the last, if it has one."""
        connection = psycopg2.connect(**self.superuser(database))
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)
                return cursor.fetchone()[0] if cursor.description else None
        finally:
            connection.close()

    def set_read_only(self, is_read_only):
        """PostgreSQL, in place, for sessions there are and to come."""
        self.as_superuser(*(["ALTER SYSTEM SET default_transaction_read_only = on"]
                            if is_read_only else
                            ["SET default_transaction_read_only = off",
                             "ALTER SYSTEM RESET default_transaction_read_only"]),
                          "SELECT pg_reload_conf()")

    def database_url(self, database):
        """As the role `outbox`, over TCP with a password."""
        return self.env["DATABASE_URL"].rpartition("/")[0] + "/" + database
