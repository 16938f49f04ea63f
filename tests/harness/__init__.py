"""What tests/integration and tests/fault stand on.

    servers.py    Servers: private PostgreSQL and RabbitMQ; start, stop, kill, pause
    standby.py    Standby: a streaming copy of such a PostgreSQL; promote()
    database.py   Database: one database of one test; rows in, statuses and attempts out
    broker.py     Broker: exchanges and queues of one test; drain()
    peer.py       Peer: a scripted AMQP broker
    proxy.py      Proxy: a TCP proxy that pauses, swallows, drips, delays, cuts and resets
    program.py    Relay: one configuration file and process, its log as events; run()
    config.py     quick_config(), SHORT: configurations with short waits
    workload.py   Writer: commits, rolls back, and remembers; Consumer; received()
    checker.py    check(): what became of every row: lost, never committed, duplicated, …
    load.py       Load: writers, relays and a queue under faults, and the reckoning
    scenario.py   the marker `scenario`, and seen(): a line of tests/fault/RESULTS.md
    results.py    update(): sections of RESULTS.md, also for programs that are not pytest
    catalogue.py  the faults by number
    waiting.py    wait_until()
    worker.py     WORKER: who we are in a run of several processes

Fixtures are in tests/conftest.py. Nothing here sleeps for a fixed time: whatever takes time is
awaited as a condition, with a deadline that only a failing test ever reaches.
"""

from .broker import Broker, Message
from .checker import Report, check, table_of
from .config import DEAD, SHORT, quick_config
from .database import Database
from .load import Load
from .program import Relay, merge, run
from .proxy import BOTH, DOWN, UP, Proxy
from .scenario import seen
from .servers import Servers, free_port
from .standby import Standby
from .waiting import wait_until
from .workload import Consumer, Writer, body_hash, received

__all__ = ["BOTH", "Broker", "Consumer", "DEAD", "DOWN", "Database", "Load", "Message", "Proxy",
           "Relay", "Report", "SHORT", "Servers", "Standby", "UP", "Writer", "body_hash", "check",
           "free_port", "merge", "quick_config", "received", "run", "seen", "table_of", "wait_until"]
