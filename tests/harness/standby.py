from .servers import Servers
from .waiting import wait_until


class Standby(Servers):
    """A streaming copy of a private PostgreSQL, hot, on a port of its own:

    standby = Standby(primary, folder).start()
    primary.kill("postgres")
    standby.promote()
    """

    def __init__(self, primary, folder):
        super().__init__(folder)
        self.primary = primary
        if not (self.folder / "env").exists():
            self._call("standby", str(self.primary.folder))

    def start(self, *_):
        return super().start("postgres")

    def stop(self, *_):
        super().stop("postgres")

    def promote(self):
        """Returns when it takes writes."""
        assert self.as_superuser("SELECT pg_promote(true, 60)")

    def wait_until_caught_up(self, timeout=60):
        """Everything that the primary has written so far is replayed here."""
        position = self.primary.as_superuser("SELECT pg_current_wal_flush_lsn()::text")
        wait_until(lambda: self.as_superuser(
            f"SELECT coalesce(pg_last_wal_replay_lsn() >= '{position}', false)"), timeout,
            what=f"the standby at {position}")
