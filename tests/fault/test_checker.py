"""The checker goes red for each kind of mistake, and for nothing else."""

import types

import pytest

from harness import check

pytestmark = pytest.mark.quick


def writer(committed=(), unknown=(), rolled_back=()):
    return types.SimpleNamespace(
        **{name: {i: "h" + i for i in ids} for name, ids in
           dict(committed=committed, unknown=unknown, rolled_back=rolled_back).items()})


def row(message_id, status="sent", created_at=10, updated_at=20, try_count=0):
    return dict(message_id=message_id, status=status, created_at=created_at,
                updated_at=updated_at, try_count=try_count)


def got(*ids):
    return [(i, "h" + i) for i in ids]


def test_all_is_well_when_each_row_arrived_once():
    report = check([row("a"), row("b")], [writer("ab")], got("b", "a"))
    assert report.problems() == {}
    assert (report.committed, report.delivered, report.copies, report.charged) == (2, 2, 0, 0)
    assert report.statuses == {"sent": 2} and report.attempts == {0: 2}


@pytest.mark.parametrize("what, arguments", [
    ("lost", ([], [writer("a")], [])),  # and not in the table
    ("lost", ([row("a")], [writer("a")], [])),
    ("unsent", ([row("a")], [writer(unknown="a")], [])),
    ("vanished", ([], [writer("a")], got("a"))),
    ("never_committed", ([row("a")], [writer("a")], got("a", "x"))),
    ("never_committed", ([], [writer(rolled_back="r")], got("r"))),
    ("never_committed", ([], [writer(unknown="u")], got("u"))),  # its COMMIT did not happen
    ("altered", ([row("a")], [writer("a")], [("a", "another hash")])),
    ("unexplained", ([row("a")], [writer("a")], got("a", "a"))),
])
def test_the_checker_finds_what_is(what, arguments):
    assert what in check(*arguments).problems()


@pytest.mark.parametrize("status", ["sending", "failed"])
def test_a_row_that_is_not_delivered_is_not_lost_while_it_is(status):
    assert check([row("a", status)], [writer("a")], []).problems() == {}


def test_a_row_whose_commit_was_not_answered_may_be_there_or_not():
    report = check([row("a"), row("u")], [writer("a", unknown="uv")], got("a", "u"))
    assert report.problems() == {} and report.recovered == {"u"}


@pytest.mark.parametrize("fault, is_explained", [
    ((15, 16), True),  # committed at 10, settled at 20
    ((19, 30), True),
    ((5, 11), True),
    ((22, 30), False),  # settled before
    ((5, 9), False),  # committed behind it
])
def test_a_duplicate_needs_a_fault_between_its_commit_and_its_settlement(fault, is_explained):
    report = check([row("a")], [writer("a")], got("a", "a"), [(1, 2), fault])
    assert (report.problems() == {}) == is_explained
    assert (report.duplicated, report.copies) == ({"a"}, 1)


def test_rows_that_are_deleted_when_sent_are_not_missed():
    assert check([], [writer("a", unknown="u")], got("a", "u"), deletes_sent=True).problems() == {}
    assert "lost" in check([], [writer("a")], [], deletes_sent=True).problems()


def test_what_an_asynchronous_standby_lacks_is_the_databases_loss_only_near_the_failover():
    one = writer("ab", unknown="u")
    one.times = {"a": 100, "b": 50, "u": 101}
    report = check([row("b")], [one], got("a", "b", "u"), forgotten=101)
    assert report.problems() == {} and report.forgotten == {"a", "u"}
    problems = check([], [one], got("a", "b", "u"), forgotten=101).problems()
    assert problems == {"vanished": ["b"]}


def test_charged_rows_are_counted():
    report = check([row("a", try_count=2), row("b")], [writer("ab")], got("a", "b"))
    assert report.charged == 1 and report.attempts == {0: 1, 2: 1}
