"""RESULTS.md says what ran, keeps what did not run, and counts."""

import pathlib
import re
import subprocess
import sys

import pytest

from harness import results

pytestmark = pytest.mark.quick


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "FOLDER", tmp_path / "results")
    monkeypatch.setattr(results, "PAGE", tmp_path / "RESULTS.md")
    return tmp_path


def entry(number=21, verdict="held", **values):
    return dict(number=number, fault="f", expected="e", verdict=verdict, **values)


def page():
    return results.PAGE.read_text()


def line(beginning):
    (found,) = [each for each in page().splitlines() if each.startswith(beginning)]
    return found


def test_a_run_of_some_scenarios_keeps_the_others():
    results.update("scenarios", {"a::test_x": entry(21), "a::test_y": entry(22, lost=0)})
    results.update("scenarios", {"a::test_x": entry(21, "FAILED", lost=3)})
    assert line("| 21 |") == "| 21 | f | e | 3 |  |  |  |  | FAILED | *x* |"
    assert "held" in line("| 22 |")
    assert "2: 1 FAILED, 1 held" in line("| scenarios run |")
    assert line("| lost |").startswith("| lost | 3 (counted in 2")


def test_cases_of_one_test_are_one_line():
    results.update("scenarios", {
        "a::test_x[1]": {**entry(duplicates=2, note="n"), "seconds to recover": 1.5},
        "a::test_x[2]": {**entry(duplicates=3, note="n"), "seconds to recover": 0.5}})
    assert line("| 21 |") == "| 21 | f | e |  |  | 5 |  | 1.5 | held | 2 cases; n; *x* |"


def test_every_row_of_the_catalogue_has_a_line_also_where_it_was_not_run():
    results.update("scenarios", {"a::test_x": entry(21)})
    for number in results.catalogue.NUMBERS:
        assert line(f"| {number} |")
    assert "no scenario yet" in line("| 76 |") and "not run" in line("| 76 |")


def test_every_promise_names_tests_that_are_there_and_tell_their_verdict():
    folder = pathlib.Path(results.__file__).resolve().parents[1]
    # With the decorators above each, among which the marker has to be.
    sources = "\n".join(file.read_text() for name in ("fault", "integration")
                        for file in (folder / name).glob("test_*.py"))
    told = {name: decorators for decorators, name in re.findall(
        r"\n\n\n((?:[@ )].*\n)*)def (test_\w+)\(", sources)}
    for promise, tests in results.catalogue.PROMISES.items():
        assert tests, promise
        for test in tests:
            assert "mark.scenario" in told.get(test, "") or "parameters()" in told[test], test


def test_a_promise_shows_what_became_of_its_tests():
    results.update("scenarios", {"a::test_a_row_is_not_sent_before_its_ack": entry(None),
                                 "a::test_nobody_is_killed": entry(None, "FAILED")})
    assert "before its ack* (1 held)" in line("| sent means") and "(1 FAILED)" in line("| sent means")
    assert "(not run)" in line("| nothing committed")


def test_sections_are_written_by_their_own_runs(folder):
    results.update("scenarios", {"a::test_x": entry(21)})
    results.update("mutants", {"mark before ack": {"caught by": "x", "verdict": "caught"}})
    results.update("mutants", {"ignore returns": {"caught by": "y", "verdict": "caught"}})
    assert "| mark before ack | x | caught |" in page() and "| ignore returns |" in page()
    assert "2 caught" in line("| mutants |") and line("| 21 |")
    results.update("mutants", {"other": {"verdict": "caught"}}, replace=True)
    assert "ignore returns" not in page()


@pytest.mark.parametrize("workers", [[], ["-n2"]], ids=["one process", "several"])
def test_scenarios_of_a_run_reach_the_page_by_pytest_itself(folder, workers):
    (folder / "test_it.py").write_text("""
import pytest
from harness import seen
@pytest.mark.scenario(21)
def test_fine():
    seen(lost=0, note="a")
    seen(lost=1, note="b")
@pytest.mark.scenario(fault="F", expected="E")
def test_bad():
    assert False
@pytest.mark.scenario(22)
def test_cannot():
    pytest.skip("no way")
def test_no_scenario():
    pass
""")
    tests = results.__file__.rpartition("/harness/")[0]
    (folder / "conftest.py").write_text(f"""
import pathlib, sys
sys.path.insert(0, {tests!r})
from harness import results
results.FOLDER = pathlib.Path({str(folder)!r}) / "results"
results.PAGE = pathlib.Path({str(folder)!r}) / "RESULTS.md"
from harness.scenario import *
""")
    pytest_run = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *workers]
    subprocess.run([*pytest_run, str(folder)], check=False, capture_output=True)
    assert not results.PAGE.exists()  # unless asked for
    subprocess.run([*pytest_run, "--results", str(folder)], check=False, capture_output=True)
    assert "| 1 |" in line("| 21 |") and "a; b" in line("| 21 |") and "held" in line("| 21 |")
    assert "skipped" in line("| 22 |") and "no way" in line("| 22 |")
    assert "FAILED" in line("|  | F | E |")
    subprocess.run([*pytest_run, "--results", "-k", "fine", str(folder)], check=False,
                   capture_output=True)
    assert "no way" in line("| 22 |")  # that was a run of some
    subprocess.run([*pytest_run, "--results", "--anew", "-k", "not cannot", str(folder)],
                   check=False, capture_output=True)
    assert "not run" in line("| 22 |") and "FAILED" in line("|  | F | E |")
    assert len(results.load("scenarios")) == 2
