"""What all measurements stand on: private servers, a table to fill, queues, programs to time.

Every number is a list of values, one for each repetition; spread() makes of it a cell that knows
its median, its lowest and its highest. Contenders take turns (interleaved()), so that whatever
else the machine does hits all of them, and ratios are made within one turn.
"""

import contextlib
import json
import os
import pathlib
import random
import signal
import statistics
import subprocess
import tempfile
import threading
import time

import pika
import psycopg2

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "build/outbox-relay"
PROGRAMS = ROOT / "build/tests/bench"
SERVERS = ROOT / "deploy/servers.sh"

# Of the private PostgreSQL, apart from what it ships with. A checkpoint in the middle of one
# contender's turn would be its bad luck: we make one before each.
SETTINGS = {"max_wal_size": "16GB", "checkpoint_timeout": "1h",
            "shared_preload_libraries": "pg_stat_statements"}


# --- numbers ----------------------------------------------------------------------------------


def spread(values, unit=""):
    """One cell of a table: the median of the repetitions, and how far they lie apart."""
    values = [round(value, 6) for value in values]
    return {"median": statistics.median(values), "low": min(values), "high": max(values),
            "values": values, "unit": unit}


def ratios(values, to):
    """Turn by turn."""
    return [value / other if other else 0 for value, other in zip(values, to)]


def stolen_ticks():
    """What the processors gave to other virtual machines so far, and all ticks there were: proc(5)."""
    ticks = [int(text) for text in pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return ticks[7], sum(ticks)


# Of the processors' time: a turn in which other virtual machines got more measures them, not us.
STOLEN_MAX = 0.05

# The shares of turns with more, for who tells of them.
disturbed = []


def stolen_during(measure):
    """(its result, the share of the processors' time that was stolen meanwhile)"""
    before = stolen_ticks()
    result = measure()
    stolen, all_ticks = (now - then for now, then in zip(stolen_ticks(), before))
    return result, stolen / max(all_ticks, 1)


def least_stolen(measured, count, stolen_max=STOLEN_MAX):
    """Of such pairs the results of the least disturbed; those that are no better than disturbed are
    told of."""
    kept = sorted(measured, key=lambda each: each[1])[:count]
    disturbed.extend(share for _, share in kept if share > stolen_max)
    return [result for result, _ in kept]


def interleaved(repeats, contenders, stolen_max=STOLEN_MAX):
    """Calls each contender (a dictionary of functions) once a turn; returns lists of results.

    A turn with more than `stolen_max` counts as disturbed and is followed by one more, up to twice as
    many in all; of these the least disturbed are kept, as many as were asked for. Who counts and does
    not time says 1: then no turn is disturbed.
    """
    turns = []

    def turn():
        found = {}
        for name, run in contenders.items():
            began = time.monotonic()
            found[name] = run()
            say(f"  {len(turns) + 1}/{repeats} {name}: {time.monotonic() - began:.0f} s")
        return found

    while len(turns) < 2 * repeats and sum(share <= stolen_max for _, share in turns) < repeats:
        turns.append(stolen_during(turn))
        if turns[-1][1] > stolen_max:
            say(f"  disturbed: {turns[-1][1]:.0%} of the processors' time was stolen")
    kept = least_stolen(turns, repeats, stolen_max)
    return {name: [found[name] for found in kept] for name in contenders}


def say(text):
    print(text, flush=True)


# --- processes --------------------------------------------------------------------------------


class Usage:
    """What a process that has ended took: seconds by the clock, user and system time."""

    def __init__(self, seconds, rusage):
        self.seconds = seconds
        self.user = rusage.ru_utime
        self.system = rusage.ru_stime

    @property
    def cpu(self):
        return self.user + self.system

    def less(self, idle, part):
        """cpu, user or system, without what the run `idle` took of it."""
        return max(getattr(self, part) - getattr(idle, part), 0)


class Process:
    def __init__(self, arguments, environment, log):
        self._log = pathlib.Path(log)
        self.began = time.monotonic()
        with open(self._log, "wb") as errors:
            self._process = subprocess.Popen(
                [str(argument) for argument in arguments], env={**_clean(), **environment},
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors)
        self.pid = self._process.pid

    def has_ended(self):
        """Without taking its Usage, which is wait()'s."""
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None

    def wait(self, timeout=3600):
        """For its end, in good order; returns its Usage. What it printed is in self.output."""
        killer = threading.Timer(timeout, self._process.kill)
        killer.start()
        try:
            self.output = self._process.stdout.read().decode()
            _, status, rusage = os.wait4(self.pid, 0)
        except BaseException:  # we have been told to end
            self.end()
            raise
        finally:
            killer.cancel()
        ended = time.monotonic()
        self._process.returncode = os.waitstatus_to_exitcode(status)
        if self._process.returncode != 0:
            raise RuntimeError(f"{self._process.args[0]} ended with {self._process.returncode}:\n"
                               f"{self._log.read_text(errors='replace')[-2000:]}")
        return Usage(ended - self.began, rusage)

    def send(self, number):
        """A signal."""
        self._process.send_signal(number)

    def stop(self):
        """SIGTERM; returns its Usage."""
        self.send(signal.SIGTERM)
        return self.wait(60)

    def end(self):
        """In any case, whatever state it is in."""
        if self._process.returncode is None:
            self._process.kill()
            self._process.wait()

    def cpu_seconds(self):
        """So far, of all threads: in nanoseconds by the scheduler, not in ticks."""
        tasks = pathlib.Path(f"/proc/{self.pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9

    def peak_memory(self):
        """The most bytes that were resident at any time."""
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def cpu_of_tree(pid):
    """Seconds that a process took and all that it started, those that have ended included: proc(5)."""
    folder = pathlib.Path(f"/proc/{pid}")
    try:
        ticks = sum(map(int, (folder / "stat").read_text().rpartition(")")[2].split()[11:15]))
        children = [child for task in (folder / "task").iterdir()
                    for child in (task / "children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):  # ended just now
        return 0
    return ticks / os.sysconf("SC_CLK_TCK") + sum(map(cpu_of_tree, children))


def _clean():
    return {name: value for name, value in os.environ.items()
            if not name.startswith(("PG", "OUTBOX_RELAY")) and name != "SERVERS_PASSWORD"}


# --- the ground -------------------------------------------------------------------------------


class Bench:
    """Servers, one migrated database, and what a measurement asks of them.

    `size` is "quick", "normal" or "full". With $SERVERS (a folder of deploy/servers.sh, in use by
    others) those are taken as they are, without pg_stat_statements.
    """

    def __init__(self, size):
        self.size = size
        self._stack = contextlib.ExitStack()
        self._queues = 0

    def __enter__(self):
        self.folder = pathlib.Path(self._stack.enter_context(
            tempfile.TemporaryDirectory(prefix="outbox-relay-bench.")))
        self.folder.chmod(0o755)  # for the servers' users
        self.servers = pathlib.Path(os.environ.get("SERVERS") or self.folder / "servers")
        try:
            if "SERVERS" not in os.environ:
                self._start_servers()
            self._open()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        # Told again to end, we would leave servers running.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        self._stack.close()

    def pick(self, quick, normal, full=None):
        """The size that fits this run; full is normal unless said."""
        return {"quick": quick, "normal": normal, "full": normal if full is None else full}[self.size]

    def rows(self, quick, normal, full=None):
        """The same for numbers of rows, which $SCALE makes smaller for a busy machine."""
        return max(int(self.pick(quick, normal, full) * float(os.environ.get("SCALE") or 1)), 2)

    def turns(self, normal, full=None):
        """How often each contender is measured, which $REPEATS says instead."""
        return int(os.environ.get("REPEATS") or self.pick(1, normal, full))

    # --- servers ---

    def control(self, command, *arguments):
        """deploy/servers.sh."""
        subprocess.run(["sh", SERVERS, command, self.servers, *arguments], check=True,
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=180)

    def servers_cpu(self):
        """Seconds so far, of PostgreSQL and of RabbitMQ."""
        return {name: cpu_of_tree((self.servers / f"{name}.pid").read_text().strip())
                for name in ("postgres", "rabbitmq")}

    def _start_servers(self):
        self.servers.mkdir()
        self._stack.callback(self.control, "stop")
        self.control("start")
        for name, value in SETTINGS.items():
            self.control("psql", "-q", "-c", f"ALTER SYSTEM SET {name} = '{value}'")
        self.control("stop", "postgres")
        self.control("start", "postgres")

    def _open(self):
        env = dict(line.split("=", 1) for line in (self.servers / "env").read_text().splitlines())
        name = f"bench{os.getpid()}"
        self.amqp_url = env["AMQP_URL"]
        self.database_url = env["DATABASE_URL"].rpartition("/")[0] + "/" + name
        self.environment = {"AMQP_URL": self.amqp_url, "DATABASE_URL": self.database_url}
        self._login = dict(host=env["PGHOST"], port=env["PGPORT"], user=env["PGUSER"])
        self.superuser_environment = {"PGHOST": env["PGHOST"], "PGPORT": env["PGPORT"],
                                      "PGUSER": env["PGUSER"], "PGDATABASE": name}
        admin = self._stack.enter_context(contextlib.closing(self.session("postgres")))
        admin.cursor().execute(f"CREATE DATABASE {name} OWNER outbox")
        self._stack.callback(admin.cursor().execute, f"DROP DATABASE {name} WITH (FORCE)")
        self.connection = self._stack.enter_context(contextlib.closing(self.session(name)))
        self.has_statements = bool(self.query(
            "SELECT 1 WHERE current_setting('shared_preload_libraries') ~ 'pg_stat_statements'"))
        if self.has_statements:
            self.query("CREATE EXTENSION pg_stat_statements")
        self.migrate("public")

    def session(self, name=None):
        """A further one, of the superuser, one transaction a statement."""
        connection = psycopg2.connect(dbname=name or self.connection.info.dbname, **self._login)
        connection.autocommit = True
        return connection

    def await_end_of_sessions(self):
        """A session tells the last of what it did when it ends, a little after its client."""
        while self.query("SELECT 1 FROM pg_stat_activity WHERE usename = 'outbox'"
                         " AND datname = current_database()"):
            time.sleep(0.01)

    def migrate(self, schema):
        self.query(f"CREATE SCHEMA IF NOT EXISTS {schema} AUTHORIZATION outbox")
        relay = Relay(self, database={"schema": schema})
        Process([PROGRAM, "migrate", "-c", relay.file], {}, self.folder / "migrate.log").wait()

    # --- the table ---

    def query(self, statement, arguments=None):
        """Rows as tuples; [] for a statement without a result."""
        with self.connection.cursor() as cursor:
            cursor.execute(statement, arguments)
            return cursor.fetchall() if cursor.description is not None else []

    def value(self, statement, arguments=None):
        ((value,),) = self.query(statement, arguments)
        return value

    def fill(self, queue, rows, body_bytes, table="message_log", status="sending"):
        """Rows that are due, for this queue; bodies that cannot be compressed."""
        body = random.Random(1).randbytes(body_bytes)
        self.query(f"INSERT INTO {table} (exchange, routing_key, payload, status)"
                   " SELECT '', %s, %s, %s FROM generate_series(1, %s)",
                   [queue, psycopg2.Binary(body), status, rows])

    def settled(self, table="message_log"):
        """As a table is some minutes after such an insert; then nothing is left to write."""
        self.query(f"VACUUM (ANALYZE) {table}")
        self.query("CHECKPOINT")

    def refill(self, queue, rows, body_bytes, table="message_log"):
        self.query(f"TRUNCATE {table}")
        self.fill(queue, rows, body_bytes, table)
        self.settled(table)

    def check_all_sent(self, table="message_log", also=0):
        left = self.value(f"SELECT count(*) FROM {table} WHERE status <> 'sent'")
        assert left == also, f"{left} rows of {table} were not sent"

    # --- the broker ---

    def amqp(self):
        parameters = pika.URLParameters(self.amqp_url)
        parameters.heartbeat = 0  # nobody serves it while we measure
        return pika.BlockingConnection(parameters)

    @contextlib.contextmanager
    def queue(self, kind="quorum", expect=None):
        """A fresh durable queue (a long one is slower); `expect`: how many messages shall be in
        it in the end."""
        self._queues += 1
        name = f"bench.{os.getpid()}.{self._queues}"
        arguments = {"x-queue-type": kind}
        with contextlib.closing(self.amqp()) as connection:
            connection.channel().queue_declare(name, durable=True, arguments=arguments)
        try:
            yield name
            if expect is not None:
                self._check_count(name, expect)
        finally:
            with contextlib.closing(self.amqp()) as connection:
                connection.channel().queue_delete(name)

    def _check_count(self, name, expected):
        """A quorum queue tells its length a little later."""
        deadline = time.monotonic() + 30
        with contextlib.closing(self.amqp()) as connection:
            channel = connection.channel()
            while True:
                count = channel.queue_declare(name, passive=True).method.message_count
                if count == expected:
                    return
                assert time.monotonic() < deadline, f"{count} of {expected} messages in {name}"
                time.sleep(0.1)

    # --- programs ---

    def start(self, program, *arguments):
        """One of ours in C, by name; the caller waits for it or ends it."""
        return Process([PROGRAMS / program, *arguments], self.environment,
                       self.folder / f"{program}.log")

    def run(self, program, *arguments):
        process = self.start(program, *arguments)
        return process.wait(), process.output


class Relay:
    """outbox-relay as it is released, with one configuration."""

    _count = 0

    def __init__(self, bench, wrapper=(), **sections):
        Relay._count += 1
        self._bench = bench
        self._wrapper = list(wrapper)
        config = {"database": {"url": bench.database_url}, "broker": {"urls": [bench.amqp_url]},
                  "relay": {}, "http": {"listen": "off"}, "log": {"level": "warn"}, "retention": {}}
        for section, keys in sections.items():
            config[section] = {**config[section], **keys}
        self.file = bench.folder / f"relay{Relay._count}.yaml"
        self.file.write_text(json.dumps(config))  # which is YAML, too

    def _process(self, *arguments):
        return Process([*self._wrapper, PROGRAM, "run", "-c", self.file, *arguments], {},
                       self.file.with_suffix(".log"))

    def start(self):
        return self._process()

    def start_until_empty(self):
        return self._process("--until-empty")

    def run_until_empty(self):
        """From the start of the process to its end; returns its Usage."""
        return self.start_until_empty().wait()

    @contextlib.contextmanager
    def running(self):
        """A relay that has connected to both sides and has nothing to do; stopped at the end."""
        process = self._process()
        try:
            self._await_first_row()
            yield process
            process.stop()
        finally:
            process.end()

    def _await_first_row(self):
        with self._bench.queue("classic", expect=1) as queue:
            self._bench.fill(queue, 1, 4)
            deadline = time.monotonic() + 60
            while self._bench.value("SELECT count(*) FROM message_log WHERE routing_key = %s"
                                    " AND status = 'sending'", [queue]):
                assert time.monotonic() < deadline, self.file.with_suffix(".log").read_text()
                time.sleep(0.02)


# --- what it costs the database ---------------------------------------------------------------


class Cost:
    """What the database does between two moments, with autovacuum off:

    with Cost(bench, ["message_log"]) as cost: …
    cost.wal_bytes, cost.statements, cost.dirtied, cost.dead
    """

    def __init__(self, bench, tables):
        self._bench = bench
        self._tables = tables

    def __enter__(self):
        self._before = self._read()
        return self

    def __exit__(self, *_):
        self.wal_bytes, self.dead, self.statements, self.dirtied = (
            None if after is None else after - before
            for before, after in zip(self._before, self._read()))

    def _read(self):
        query = self._bench.query
        if self._bench.connection.server_version >= 150000:
            query("SELECT pg_stat_force_next_flush()")
        else:
            time.sleep(1)
        ((wal,),) = query("SELECT pg_current_wal_insert_lsn() - '0/0'")
        ((dead,),) = query("SELECT coalesce(sum(n_tup_upd + n_tup_del), 0) FROM pg_stat_user_tables"
                           " WHERE relname = ANY (%s)", [self._tables])
        statements = dirtied = None
        if self._bench.has_statements:
            ((statements, dirtied),) = query(
                "SELECT coalesce(sum(calls), 0), coalesce(sum(shared_blks_dirtied), 0)"
                " FROM pg_stat_statements WHERE userid = 'outbox'::regrole")
        return float(wal), float(dead), _float(statements), _float(dirtied)


def _float(value):
    return None if value is None else float(value)
