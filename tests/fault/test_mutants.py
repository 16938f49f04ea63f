"""`make mutants` takes minutes; that its table fits the sources is seen at once."""

import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "mutants"))

from mutants import MUTANTS  # noqa: E402  pylint: disable=wrong-import-position

pytestmark = pytest.mark.quick


def test_every_mutant_changes_a_text_that_stands_once():
    unfit = [f"{mutant.name}: {name}" for mutant in MUTANTS for name, text, instead in mutant.edits
             if (ROOT / name).read_text().count(text) != 1 or text == instead]
    assert unfit == []
    assert all(mutant.steps for mutant in MUTANTS)


def test_no_mutant_is_listed_twice():
    names = [mutant.name for mutant in MUTANTS]
    assert len(names) == len(set(names)) >= 50
