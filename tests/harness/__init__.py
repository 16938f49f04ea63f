"""What tests/integration and tests/fault stand on: private servers, databases, queues, the program.

Nothing here sleeps for a fixed time. Whatever takes time is awaited as a condition, with a
deadline that only a failing test ever reaches.
"""

from .broker import Broker, Message
from .config import quick_config
from .database import Database
from .program import Relay, merge, run
from .servers import Servers
from .waiting import wait_until

__all__ = ["Broker", "Database", "Message", "Relay", "Servers", "merge", "quick_config", "run",
           "wait_until"]
