"""Pytest's side of RESULTS.md: a test becomes a scenario by its marker,

    @pytest.mark.scenario(21)                            # fault and expected: the catalogue's
    @pytest.mark.scenario(22, fault="pg_ctl -m immediate")
    @pytest.mark.scenario(fault="…", expected="…")       # beyond the catalogue

and what was seen is told from anywhere below it, by seen(lost=0, duplicates=3). The verdict is
pytest's own. With `--results` the run brings tests/fault/results and RESULTS.md up to date for
the scenarios that ran, and for no others (`--anew`: and drops those); without it nothing is
written.
"""

import pytest

from . import catalogue, results, secrets, worker

# Imported into tests/conftest.py, where pytest finds them.
__all__ = ["pytest_addoption", "pytest_configure", "pytest_runtest_logreport",
           "pytest_runtest_makereport", "pytest_runtest_setup", "pytest_sessionfinish"]

_KEYS = ("lost", "never_committed", "duplicates", "charged", "seconds_to_recover", "note")
_current = {}  # of the scenario that runs
_told = {}  # by node id


def seen(**values):
    """Of the scenario that runs: lost, never_committed, duplicates, charged, seconds_to_recover
    (numbers; the worse one counts when told twice) and note (text; notes are joined)."""
    for name, value in values.items():
        assert name in _KEYS, name
        secrets.check_text(str(value), "the results")
        name = name.replace("_", " ")
        if name == "note":
            before = _current.get("note")
            _current["note"] = f"{before}; {value}" if before else value
        else:
            _current[name] = max(value, _current.get(name, value))


def pytest_addoption(parser):
    parser.addoption("--results", action="store_true",
                     help="bring tests/fault/RESULTS.md up to date")
    parser.addoption("--anew", action="store_true",
                     help="with --results: what is not run is not kept either")


def pytest_configure(config):
    config.addinivalue_line(
        "markers", "scenario(number=None, fault=None, expected=None): a line of RESULTS.md")


def _entry(item):
    marker = item.get_closest_marker("scenario")
    if marker is None:
        return None
    number = marker.args[0] if marker.args else None
    fault, expected = catalogue.NUMBERS[number] if number else (None, None)
    entry = {"number": number, "fault": marker.kwargs.get("fault", fault),
             "expected": marker.kwargs.get("expected", expected)}
    assert entry["fault"] and entry["expected"], f"{item.nodeid}: what fault, what is expected?"
    return entry


def check_markers(items):
    """A marker that says too little is found before anything runs."""
    for item in items:
        _entry(item)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup():
    _current.clear()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    entry = _entry(item)
    if entry is None:
        return
    if report.skipped:
        told = {**entry, "verdict": "skipped", "note": _skip_reason(report)}
    elif report.when == "call":
        told = {**entry, **_current, "verdict": "held" if report.passed else "FAILED"}
    elif report.failed:
        told = {**entry, **_current, "verdict": "FAILED"}
    else:
        return
    report.scenario = told


def pytest_runtest_logreport(report):
    """In a run of several processes reports travel, with whatever hangs on them, to the first."""
    if getattr(report, "scenario", None):
        _told[worker.nodeid(report)] = report.scenario


def _skip_reason(report):
    return str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)


def pytest_sessionfinish(session):
    is_worker = hasattr(session.config, "workerinput")
    if session.config.getoption("--results") and _told and not is_worker:
        results.update("scenarios", _told, session.config.getoption("--anew"))
