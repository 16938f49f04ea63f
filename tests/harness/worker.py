"""For runs that pytest-xdist spreads over several processes, on the same servers."""

import os

import pytest

# "" or, in such a run, "gw0_" and so on: part of every name that one test alone shall use.
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")
WORKER = WORKER and WORKER + "_"

_GROUP = "rabbitmq"


def share_out(items):
    """A spare RabbitMQ takes long to start, and so do its tests: one process has it, and begins
    with them. (With --dist loadgroup.)"""
    theirs = [item for item in items
              if {"spare_rabbitmq", "listeners"}.intersection(item.fixturenames)]
    for item in theirs:
        item.add_marker(pytest.mark.xdist_group(_GROUP))
    items[:] = theirs + [item for item in items if item not in theirs]


def nodeid(report):
    """Without the group, which xdist writes behind it."""
    return report.nodeid.removesuffix("@" + _GROUP)
