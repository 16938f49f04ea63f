#!/usr/bin/python3
"""Random faults on everybody, for as long as wanted; then the reckoning.

    python3 tests/fault/soak.py --minutes 10 [--seed N] [--no-results]

Two writers, three relays, PostgreSQL and RabbitMQ, and a proxy on each way. Every few seconds
something goes wrong with one of them, or with two at once; in between the relays must come to
settling fresh rows again. At the end nothing may be lost, nothing delivered that was never
committed, no neighbour of a bad row charged, every duplicate must come from a fault, and the
relay that was never killed must hold no more files and memory than before. The seed draws
faults, victims and lengths, and so repeats a run but for its timing.
"""

import argparse
import collections
import contextlib
import datetime
import os
import pathlib
import random
import signal
import statistics
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

# pylint: disable=wrong-import-position
from harness import (BOTH, DOWN, UP, Broker, Database, Proxy, Relay, Servers, Writer, check, merge,
                     quick_config, received, results, table_of, wait_until)
from harness.config import SHORT
from harness.program import RELEASE
from harness.proxy import EXECUTE_COMMIT

RELAYS = 3
SURVIVOR = 0  # is paused and reloaded, and never killed
RATE = 100  # rows a second and writer
# One row in a hundred goes nowhere, and fails. One in a thousand is for an exchange that is not
# there before the end: it is parked, and arrives then.
NOWHERE = "nowhere"
MISSING = "missing.exchange"


class Soak:
    def __init__(self, folder, seed, program):
        self.random = random.Random(seed)
        self.folder = folder
        self.servers = Servers(folder / "servers")
        self.program = program
        self.faults = []  # (begin, end) by the wall clock
        self.counts = collections.Counter()
        self.recoveries = []
        self.samples = []  # (seconds, files, resident bytes) of the survivor
        self.begin = time.monotonic()
        self.healers = []

    def say(self, text):
        print(f"{time.monotonic() - self.begin:6.1f}  {text}", flush=True)

    # --- the parties ---

    @contextlib.contextmanager
    def parties(self):
        with contextlib.ExitStack() as stack:
            self.servers.start()
            stack.callback(self.servers.stop)
            self.database = Database(self.servers).create()
            self.broker = Broker(self.servers.amqp_url)
            self.exchange = self.broker.exchange()
            self.queue = self.broker.queue(self.exchange, "key")
            self.to_database = stack.enter_context(Proxy.before(self.database.url))
            self.to_broker = stack.enter_context(Proxy.before(self.broker.url))
            config = merge(quick_config(self.to_database.url(self.database.url),
                                        self.to_broker.url(self.broker.url)), SHORT,
                           {"broker": {"heartbeat": "2s", "confirm_timeout": "5s"},
                            "log": {"level": "info"}})
            self.relays = [Relay(self.folder / f"relay{n}", merge(
                config, {"relay": {"name": f"relay{n}"}}), self.program) for n in range(RELAYS)]
            self.relays[0].run("migrate")
            stack.callback(self.end_relays)
            for relay in self.relays:
                relay.start()
            self.writers = [SoakWriter(self.database.url, self.exchange, f"writer{n}", RATE,
                                       routing_keys=["key"] * 99 + [NOWHERE], seed=n).start()
                            for n in range(2)]
            stack.callback(lambda: [writer.abandon() for writer in self.writers])
            yield

    def end_relays(self):
        for relay in self.relays:
            if relay.is_running():
                relay.signal(signal.SIGCONT)
                relay.kill()

    # --- what goes wrong: each method breaks something and returns how to repair it ---

    def victim(self):
        return self.relays[self.random.randrange(1, RELAYS)]

    def relay_killed(self):
        relay = self.victim()
        relay.kill()
        return relay.start

    def relay_stopped(self):
        relay = self.victim()
        relay.signal(signal.SIGTERM)

        def again():
            relay.wait(30, check=None)
            relay.start()
        return again

    def relay_paused(self):
        relay = self.random.choice(self.relays)
        relay.signal(signal.SIGSTOP)
        return lambda: relay.signal(signal.SIGCONT)

    def relay_reloads(self):
        self.random.choice(self.relays).signal(signal.SIGHUP)
        return None

    def database_killed(self):
        self.servers.kill("postgres")
        return lambda: self.servers.start("postgres")

    def database_restarted(self):
        self.servers.stop("postgres")
        return lambda: self.servers.start("postgres")

    def database_frozen(self):
        """Every process of it."""
        pids = [self.servers.pid("postgres"), *children(self.servers.pid("postgres"))]
        signal_all(pids, signal.SIGSTOP)
        return lambda: signal_all(pids, signal.SIGCONT)

    def backends_terminated(self):
        self.database.close()  # it may be older than a restart
        self.database.terminate_relay_sessions()
        return None

    def table_locked(self):
        connection = self.database.connect()
        connection.cursor().execute("LOCK TABLE message_log IN ACCESS EXCLUSIVE MODE")
        return connection.close

    def database_read_only(self):
        self.servers.set_read_only(True)
        return lambda: self.servers.set_read_only(False)

    def broker_killed(self):
        self.servers.kill("rabbitmq")
        return lambda: self.servers.start("rabbitmq")

    def broker_restarted(self):
        self.servers.stop("rabbitmq")
        return lambda: self.servers.start("rabbitmq")

    def broker_frozen(self):
        self.servers.pause("rabbitmq")
        return lambda: self.servers.resume("rabbitmq")

    def connections_closed(self):
        self.servers.rabbitmqctl("close_all_connections", "soak")
        return None

    def memory_alarm(self):
        self.servers.rabbitmqctl("set_vm_memory_high_watermark", "0")
        return lambda: self.servers.rabbitmqctl("set_vm_memory_high_watermark", "0.4")

    def network(self):
        """One of the two ways."""
        name = self.random.choice(["to_database", "to_broker"])
        proxy = getattr(self, name)
        direction = self.random.choice([UP, DOWN, BOTH])
        how, act = self.random.choice([
            ("reset", proxy.reset),
            ("close", proxy.close),
            ("refuse", lambda: (proxy.refuse(), proxy.reset())),
            ("blackhole", proxy.blackhole),
            ("pause", lambda: proxy.pause(direction)),
            ("drip", lambda: proxy.drip(self.random.choice([100, 2000]), direction)),
            ("delay", lambda: proxy.delay(0.3, direction)),
            ("half-close", lambda: proxy.half_close(direction)),
            ("cut", lambda: proxy.cut(self.random.choice([UP, DOWN]),
                                      after=self.random.randrange(1, 20000),
                                      how=self.random.choice(["reset", "close", "blackhole"]))),
            ("cut behind COMMIT", lambda: self.to_database.cut(UP, behind=EXECUTE_COMMIT)),
        ])
        self.counts[how] += 1
        self.say(f"  {how} {name}")
        act()
        return proxy.heal

    # A party has one fault at a time; those of one line exclude each other.
    PARTIES = {
        "relay": ["relay_killed", "relay_killed", "relay_stopped", "relay_paused", "relay_reloads"],
        "database": ["database_killed", "database_restarted", "database_frozen",
                     "backends_terminated", "table_locked", "database_read_only"],
        "broker": ["broker_killed", "broker_restarted", "broker_frozen", "connections_closed",
                   "memory_alarm"],
        "network": ["network"],
    }

    def one_round(self):
        parties = self.random.sample(["relay", "database", "broker", "network", "network"],
                                     2 if self.random.random() < 0.3 else 1)
        names = [self.random.choice(self.PARTIES[party]) for party in dict.fromkeys(parties)]
        seconds = self.random.uniform(0.2, 6)
        begin = time.time()
        self.say(f"{' and '.join(names)} for {seconds:.1f} s")
        repairs = []
        for name in names:
            self.counts[name] += 1
            repairs.append(getattr(self, name)())
        time.sleep(seconds)
        for repair in repairs:
            if repair:
                repair()
        healed = time.time()
        self.database.close()
        wait_until(lambda: self.database.is_settled_since(begin, healed), 60, interval=0.1,
                   what=lambda: f"progress after {names}:\n" +
                   "\n".join(relay.log[-1500:] for relay in self.relays))
        self.recoveries.append(time.time() - healed)
        # Adopted rows are still on their way, one at a time.
        wait_until(lambda: self.settled_before(healed), 60, interval=0.1,
                   what=lambda: f"what was there when {names} ended:\n" +
                   "\n".join(relay.log[-1500:] for relay in self.relays))
        self.faults.append((begin, time.time()))
        self.say(f"  repaired after {healed - begin:.1f} s; then fresh rows within "
                 f"{self.recoveries[-1]:.1f} s, all older ones within {time.time() - healed:.1f} s")
        for relay in self.relays:
            assert relay.is_running(), relay.log[-3000:]
        time.sleep(self.random.uniform(0, 2))

    def settled_before(self, moment):
        """But for rows that go nowhere, and may be at it for a while."""
        left = self.database.ask("""SELECT count(*) FROM message_log WHERE status = 'sending' AND
            routing_key = 'key' AND exchange = %s AND created_at < to_timestamp(%s)""",
                                 [self.exchange, moment])
        return left and not left[0]["count"]

    # --- the survivor's files and memory ---

    def sample(self, done):
        process = self.relays[SURVIVOR].process.pid
        while not done.wait(1) and self.relays[SURVIVOR].is_running():
            self.samples.append((time.monotonic() - self.begin,
                                 len(os.listdir(f"/proc/{process}/fd")),
                                 self.relays[SURVIVOR].resident_bytes()))

    def growth(self):
        """(files, bytes of memory) between the second quarter and the last; the first warms up."""
        quarter = len(self.samples) // 4
        middle, last = self.samples[quarter:2 * quarter], self.samples[-quarter:]
        return tuple(statistics.median(each[n] for each in last) -
                     statistics.median(each[n] for each in middle) for n in (1, 2))

    def slope(self):
        """KiB a minute, by least squares, without the first quarter."""
        points = [(at / 60, resident / 1024) for at, _, resident in
                  self.samples[len(self.samples) // 4:]]
        return statistics.linear_regression(*zip(*points)).slope

    # --- the whole ---

    def run(self, minutes):
        done = threading.Event()
        with self.parties():
            self.begin = time.monotonic()
            sampler = threading.Thread(target=self.sample, args=[done], daemon=True)
            sampler.start()
            while time.monotonic() < self.begin + 60 * minutes:
                self.one_round()
            for writer in self.writers:
                writer.stop()
            self.say("draining")
            self.broker = self.broker.reconnected()
            self.broker.channel.exchange_declare(MISSING, "fanout", durable=True)
            self.broker.bind(self.queue, MISSING)
            wait_until(self.database.is_drained, 300, interval=0.2,
                       what=lambda: f"nothing left: {self.database.statuses()}\n" +
                       "\n".join(relay.log[-1500:] for relay in self.relays))
            done.set()
            sampler.join()
            for relay in self.relays:
                assert relay.stop(check=None) == 0, relay.log[-3000:]
            return self.reckon(minutes)

    def closed_channels(self):
        """A row whose exchange is missing makes the broker close the channel, and what was in
        flight with it is published again: when it came, and when a relay tells of one."""
        times = [row["at"] for row in self.database.query(
            """SELECT extract(epoch FROM created_at)::float8 AS at FROM message_log
                WHERE exchange = %s""", [MISSING])]
        for relay in self.relays:
            times += [datetime.datetime.fromisoformat(line["ts"].replace("Z", "+00:00")).timestamp()
                      for line in relay.events() if "404" in str(line.get("error"))]
        return [(at - 3, at + 3) for at in times]

    def charged_for_a_death(self):
        """Rows that a relay was publishing alone when it died, or was paused for longer than its
        lease: each death may charge one, and its adopter tells which."""
        named = [line["was_publishing"] for relay in self.relays
                 for line in relay.events("claim adopted from a dead relay")
                 if line["was_publishing"]]
        if len(named) > self.counts["relay_killed"] + self.counts["relay_paused"]:
            return set()
        return {row["message_id"] for row in self.database.query(
            "SELECT message_id FROM message_log WHERE id = ANY (%s)", [named])}

    def reckon(self, minutes):
        rows = table_of(self.database)
        report = check(rows, self.writers, received(self.broker, self.queue),
                       self.faults + self.closed_channels())
        nowhere, missing = ({row["message_id"] for row in self.database.query(
            f"SELECT message_id FROM message_log WHERE {column} = %s", [value])}
            for column, value in (("routing_key", NOWHERE), ("exchange", MISSING)))
        charged = {row["message_id"] for row in rows if row["try_count"]} - nowhere - missing
        died = charged & self.charged_for_a_death()
        files, grown = self.growth()
        wrong = dict(report.problems())
        for name, value in {
                "charged without being bad": sorted(charged - died)[:5],
                "bad and not failed": sorted(nowhere - missing - report.failed)[:5],
                "failed without three attempts": [row["message_id"] for row in rows if
                                                  (row["status"] == "failed") !=
                                                  (row["try_count"] == 3)][:5],
                "files grew by": files if files > 2 else 0,
                "memory grew by": grown if grown > 4 << 20 else 0}.items():
            if value:
                wrong[name] = value
        entry = {
            "minutes": minutes, "rounds": len(self.faults),
            "committed": report.committed, "lost": len(report.lost | report.unsent
                                                       | report.vanished),
            "never committed": len(report.never_committed), "duplicates": report.copies,
            "bad rows, failed after three": len(report.failed),
            "charged for a relay's death": len(died),
            "others charged": len(charged - died),
            "parked, then sent": len(missing - report.failed),
            "COMMITs without answer, there": len(report.recovered),
            "seconds to recover, median and longest":
                f"{statistics.median(self.recoveries):.1f}, {max(self.recoveries):.1f}",
            "open files": f"{self.samples[len(self.samples) // 4][1]} to {self.samples[-1][1]}",
            "memory": f"{self.samples[-1][2] / (1 << 20):.1f} MiB, {self.slope():+.1f} KiB/min",
            "verdict": "clean" if not wrong else f"FAILED: {wrong}",
        }
        return entry, wrong


class SoakWriter(Writer):
    """A few of its rows name an exchange that is not there."""

    def _exchange(self):
        return MISSING if self._random.random() < 0.001 else self.exchange


def children(pid):
    return [int(child) for child in
            pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def signal_all(pids, number):
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--no-results", action="store_true")
    parser.add_argument("--program", default=RELEASE)
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(10 ** 6)
    print(f"soak for {options.minutes:g} minutes, seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="outbox-relay-soak.") as folder:
        os.chmod(folder, 0o755)
        soak = Soak(pathlib.Path(folder), seed, options.program)
        try:
            entry, wrong = soak.run(options.minutes)
        except BaseException as error:
            entry = {"minutes": options.minutes, "rounds": len(soak.faults),
                     "verdict": f"FAILED: {type(error).__name__} in round {len(soak.faults) + 1}"}
            if not options.no_results and isinstance(error, Exception):
                results.update("soak", {f"seed {seed}": entry})
            raise
    for name, value in entry.items():
        print(f"{name:>42}  {value}")
    print("faults:", ", ".join(f"{count} {name}" for name, count in soak.counts.most_common()))
    if not options.no_results:
        results.update("soak", {f"seed {seed}": entry})
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
