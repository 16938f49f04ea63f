"""PostgreSQL goes wrong in every way that it can, under load."""

import pytest


@pytest.mark.quick
@pytest.mark.scenario(21)
def test_postgres_is_restarted_under_load(spare_postgres, spare_database, broker, make_load):
    load = make_load(spare_database, broker)
    load.start()
    with load.fault() as fault:
        spare_postgres.stop("postgres")
        load.relay.wait_for("disconnected", side="database")
        spare_postgres.start("postgres")
    load.quiet(fault)
    load.recovers()
    load.finish()
