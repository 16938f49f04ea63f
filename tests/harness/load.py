import contextlib
import dataclasses
import time

from .checker import check, table_of
from .config import SHORT, quick_config
from .program import merge
from .scenario import seen
from .waiting import wait_until
from .workload import Writer, body_hash, received


@dataclasses.dataclass
class Fault:
    """One fault, from its begin to its end (wall clock), and what the relays did meanwhile."""

    begin: float
    end: float = float("inf")
    seconds: float = 0
    cpu: float = 0  # of the busiest relay, as a part of one processor
    lines: int = 0  # of the log, of the busiest relay
    watched: dict = dataclasses.field(default_factory=dict, repr=False)


class Load:
    """Writers and relays between a database and a queue, faults among them, and the reckoning:

    load = Load(database, broker, make_relay)     # fixtures `load` and `make_load` make them
    load.start()
    with load.fault():
        spare_postgres.kill("postgres")
        …
        spare_postgres.start("postgres")
    load.recovers()
    report = load.finish()     # drains, checks, tells RESULTS.md; asserts that all is well

    or all of that around one fault, with load.stands(): …

    The messages stay in the queue until finish(), which gives the exact number of copies. With
    bound=False they go by the default exchange: RabbitMQ 3.10.8 loses the bindings of others now and
    then to a kill -9 (rabbitmq-server, issue 1873), and then returns each message.
    """

    def __init__(self, database, broker, make_relay, *changes, relays=1, writers=1, rate=200,
                 bound=True, broker_url=None, database_url=None, writer_url=None, program=None,
                 env=None):
        config = merge(quick_config(database_url or database.url, broker_url or broker.url),
                       SHORT, *changes)
        options = {"env": env, **({"program": program} if program else {})}
        self.database = database
        self.broker = broker
        self.relays = [make_relay(config, **options) for _ in range(relays)]
        self.config = config
        self.faults = []
        self.report = None
        self.exchange = broker.exchange() if bound else ""
        self.queue = broker.queue(self.exchange)
        keys = ("key",) if bound else (self.queue,)
        self.writers = [Writer(writer_url or database.url, self.exchange, f"writer{n}", rate,
                               routing_keys=keys) for n in range(writers)]

    @property
    def relay(self):
        (relay,) = self.relays
        return relay

    # --- running ---

    def start(self, rows=200):
        """Returns when this many rows have arrived."""
        for writer in self.writers:
            writer.start()
        for relay in self.relays:
            relay.start()
        self.wait_for_sent(rows)
        return self

    def wait_for_sent(self, count, timeout=60):
        wait_until(lambda: self.sent() >= count, timeout, interval=0.1,
                   what=lambda: f"{count} rows sent: {self.database.statuses()}")

    def sent(self):
        return self.database.statuses().get("sent", 0)

    # --- faults ---

    @contextlib.contextmanager
    def fault(self, name=None):
        """Around everything that goes wrong, and its repair. What the relays spend meanwhile is
        measured; see quiet()."""
        fault = Fault(begin=time.time())
        self.faults.append(fault)
        self._watch(fault)
        lines = {relay: len(relay.events()) for relay in self.relays}
        clock = time.monotonic()
        yield fault
        fault.end = time.time()
        fault.seconds = time.monotonic() - clock
        fault.lines = max(len(relay.events()) - lines[relay] for relay in self.relays)
        for relay, (pid, cpu, since) in fault.watched.items():
            if relay.is_running() and relay.process.pid == pid:
                fault.cpu = max(fault.cpu, (relay.cpu_seconds() - cpu)
                                / (time.monotonic() - since))

    def noticed(self, fault):
        """From here on its processor time counts: before, the relay was at work."""
        self._watch(fault)

    def _watch(self, fault):
        fault.watched = {relay: (relay.process.pid, relay.cpu_seconds(), time.monotonic())
                         for relay in self.relays if relay.is_running()}

    def quiet(self, fault, cpu=None):
        """Fewer than two lines a second, after a handful for the change itself; less than `cpu`
        (0.05: five percent) of a processor, where the fault was long enough to tell."""
        seen(note=f"{fault.lines} log lines and {100 * fault.cpu:.1f} % CPU in "
                  f"{fault.seconds:.0f} s")
        assert fault.lines < 6 + 2 * fault.seconds, fault
        if cpu is not None:
            assert fault.cpu < cpu, fault

    def recovers(self, timeout=60):
        """Seconds from the end of the last fault until a row that was committed after its begin
        is settled."""
        fault = self.faults[-1]
        wait_until(lambda: self.database.is_settled_since(fault.begin, fault.end), timeout,
                   interval=0.05,
                   what=lambda: f"a row settled after {fault}:\n{self.relays[0].log[-3000:]}")
        seconds = max(0, time.time() - fault.end)
        seen(seconds_to_recover=round(seconds, 1))
        return seconds

    @contextlib.contextmanager
    def stands(self, cpu=None, **how):
        """The whole life of a load around one fault:

        with load.stands() as fault:
            …  # breaks something, and repairs it

        Ends with quiet(), recovers() and finish(`how`), whose report stays in `self.report`.
        """
        self.start()
        with self.fault() as fault:
            yield fault
        self.quiet(fault, cpu)
        self.recovers()
        self.report = self.finish(**how)

    # --- the reckoning ---

    def note(self, text):
        """A word for RESULTS.md."""
        seen(note=text)

    def also_committed(self, message_id, body):
        """A row that the test has committed itself."""
        self.writers[0].committed[message_id] = body_hash(body)

    def finish(self, timeout=120, charged=0, failed=0, broker=None, bounded=True,
               explained=True, forgotten=None, consumer=None):
        """Stops the writers, waits until nothing is left to send, stops the relays, takes all
        messages, and checks. `charged`, `failed`: how many rows are (None: any). `broker`: a
        fresh connection to where the queue is now. `consumer`: who has taken the messages out of
        it; told to stop when it has one of each. `bounded`: no more duplicates than publishes
        that were interrupted and rows that were adopted, as the relays tell. `explained`: only of
        rows that were unresolved at a fault. `forgotten`: the time from which on the
        database itself may have forgotten commits, as an asynchronous standby does."""
        for writer in self.writers:
            writer.stop()
        self.drain(timeout)
        for relay in self.relays:
            if relay.is_running():
                relay.stop()
        report = check(table_of(self.database), self.writers,
                       self._consumed(consumer) if consumer else
                       received(broker or self.broker, self.queue),
                       [(fault.begin, fault.end) for fault in self.faults],
                       self.config["relay"].get("on_sent") == "delete", forgotten)
        seen(lost=len(report.lost | report.unsent | report.vanished),
             never_committed=len(report.never_committed), duplicates=report.copies,
             charged=report.charged)
        if report.forgotten:
            self.note(f"{len(report.forgotten)} rows that the database forgot")
        if not explained:
            report.unexplained.clear()
        assert report.committed > 0
        assert not report.problems(), (report.problems(), self.faults)
        if bounded:
            assert report.copies <= self._unresolved(), (report.copies, self._unresolved())
        assert charged is None or report.charged == charged, report.attempts
        assert failed is None or len(report.failed) == failed, report.failed
        return report

    def _consumed(self, consumer):
        committed = {message_id for writer in self.writers for message_id in writer.committed}
        wait_until(lambda: committed <= consumer.copies().keys(), 60, interval=0.5,
                   what=lambda: f"{len(committed - consumer.copies().keys())} more messages")
        consumer.stop()
        hashes = {delivery.message_id: delivery.hash for delivery in consumer.deliveries}
        return [(message_id, hashes[message_id]) for message_id, copies in
                consumer.copies().items() for _ in range(copies)]

    def _unresolved(self):
        """Publishes that may have been repeated: those without a verdict when a connection or
        channel ended, and rows taken over from another relay."""
        told = [line for relay in self.relays for line in relay.events()]
        return (sum(line["interrupted"] for line in told if line["event"] == "stopped")
                + sum(line["rows"] for line in told
                      if line["event"] == "claim adopted from a dead relay"))

    def drain(self, timeout=120):
        """Until no row is left to be sent and no claim is held."""
        wait_until(self.database.is_drained, timeout, interval=0.1,
                   what=lambda: f"nothing left to send: {self.database.statuses()}\n"
                                f"{self.relays[0].log[-3000:]}")

    def close(self):
        for writer in self.writers:
            writer.abandon()
