"""What runs have found, kept for tests/fault/RESULTS.md.

    update("mutants", {"mark before ack": {"caught by": "test_…", "verdict": "caught"}})

writes tests/fault/results/mutants.jsonl, one entry a line, and RESULTS.md anew from all such
files. Entries that a run did not touch stay as they were. From a shell, with a JSON object of
entries as standard input; without a section RESULTS.md is only written anew:

    python3 tests/harness/results.py [SECTION [--replace] < entries.json]

An entry is a dictionary; its keys are the columns. "verdict" is what the totals count; a section
that nobody has told HEADS about is shown as it is.
"""

import collections
import datetime
import json
import pathlib
import sys

if __package__:
    from . import catalogue
else:
    import catalogue

FAULT = pathlib.Path(__file__).resolve().parents[1] / "fault"
FOLDER = FAULT / "results"
PAGE = FAULT / "RESULTS.md"

# section -> (title, words below it)
HEADS = {
    "scenarios": ("Scenarios", None),
    "kills": ("Kill -9 everywhere",
              "The relay is killed at each fail point, started again, and checked."),
    "mutants": ("Mutants", "Each is the relay with one mistake built in; the suite has to find "
                           "it. `make mutants`."),
    "soak": ("Soak", "Random faults on all parties; the seed repeats the run. "
                     "`make soak MINUTES=… SEED=…`."),
    "simulation": ("Simulation", "The engine on fake store, broker and clock."),
    "model": ("Model", "Promela, checked by spin. `make model`."),
    "fuzz": ("Fuzzing", None),
}

SEEN = ("lost", "never committed", "duplicates", "charged", "seconds to recover")


def load(section):
    file = FOLDER / f"{section}.jsonl"
    if not file.exists():
        return {}
    lines = [json.loads(line) for line in file.read_text().splitlines() if line]
    return {line.pop("key"): line for line in lines}


def update(section, entries, replace=False):
    """Adds or replaces these entries (key -> dictionary); `replace`: and drops all others."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    today = datetime.date.today().isoformat()
    kept = {} if replace else load(section)
    kept.update({key: {**entry, "date": today} for key, entry in entries.items()})
    text = "".join(json.dumps({"key": key, **kept[key]}, ensure_ascii=False) + "\n"
                   for key in sorted(kept))
    (FOLDER / f"{section}.jsonl").write_text(text)
    write_page()


def write_page():
    sections = {file.stem: load(file.stem) for file in sorted(FOLDER.glob("*.jsonl"))}
    PAGE.write_text(page(sections))


def page(sections):
    scenarios = sections.get("scenarios", {})
    parts = ["# Results", "Written by the runs themselves: `make test-fault`, `make mutants`, "
             "`make soak`. Do not edit.", totals(sections), promises(scenarios),
             scenario_tables(scenarios)]
    names = [name for name in HEADS if name in sections and name != "scenarios"]
    names += sorted(set(sections) - set(HEADS))
    for name in names:
        title, words = HEADS.get(name, (name.capitalize(), None))
        parts += [f"## {title}", words, plain_table(sections[name])]
    return "\n\n".join(part for part in parts if part) + "\n"


# --- totals ----------------------------------------------------------------------------------


def totals(sections):
    rows = []
    scenarios = sections.get("scenarios", {})
    if scenarios:
        verdicts = collections.Counter(entry["verdict"] for entry in scenarios.values())
        counts = {name: [entry[name] for entry in scenarios.values()
                         if isinstance(entry.get(name), (int, float))] for name in SEEN}
        numbers = {entry["number"] for entry in scenarios.values() if entry.get("number")}
        rows += [
            ("scenarios run", f"{len(scenarios)}: " + _told(verdicts)),
            ("rows of the catalogue covered", f"{len(numbers)} of {len(catalogue.NUMBERS)}"),
            ("lost", f"{sum(counts['lost'])} (counted in {len(counts['lost'])} scenarios)"),
            ("never committed, but delivered", f"{sum(counts['never committed'])} "
             f"(counted in {len(counts['never committed'])})"),
            ("duplicates", f"{sum(counts['duplicates'])} (counted in "
             f"{len(counts['duplicates'])}; wherever the checker judges, each of a row that was "
             "unresolved at the fault)"),
        ]
        times = sorted(counts["seconds to recover"])
        if times:
            rows.append(("seconds to recover", f"median {times[len(times) // 2]:.1f}, "
                         f"longest {times[-1]:.1f} (measured in {len(times)})"))
    for name, entries in sections.items():
        if name != "scenarios" and entries:
            verdicts = collections.Counter(entry.get("verdict", "–") for entry in entries.values())
            rows.append((HEADS.get(name, (name,))[0].lower(), f"{len(entries)}: " + _told(verdicts)))
    dates = sorted(entry["date"] for entries in sections.values() for entry in entries.values())
    if dates:
        rows.append(("run", dates[0] if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}"))
    return _table(("", ""), rows) if rows else "Nothing has been run yet."


def _told(verdicts):
    return ", ".join(f"{count} {verdict}" for verdict, count in verdicts.most_common())


# --- promises --------------------------------------------------------------------------------


def promises(scenarios):
    verdicts = collections.defaultdict(collections.Counter)
    for key, entry in scenarios.items():
        verdicts[_function(key)][entry["verdict"]] += 1
    rows = [(promise, "; ".join(f"*{_words(test)}* ({_told(verdicts[test]) or 'not run'})"
                                for test in tests))
            for promise, tests in catalogue.PROMISES.items()]
    head = ("what is promised", "the tests that would see it broken")
    return "## The promises\n\n" + _table(head, rows)


def _function(key):
    return key.partition("[")[0].rpartition("::")[2]


def _words(test):
    return test.removeprefix("test_").replace("_", " ")


# --- scenarios -------------------------------------------------------------------------------


def scenario_tables(scenarios):
    by_number = collections.defaultdict(dict)
    for key, entry in scenarios.items():
        by_number[entry.get("number")][key] = entry
    parts = []
    for group, numbers in catalogue.GROUPS.items():
        rows = [row for number in numbers for row in _rows(number, by_number.get(number, {}))]
        parts += [f"## {group}", _table(_HEAD, rows)]
    if by_number.get(None):
        parts += ["## Beyond the catalogue", _table(_HEAD, _rows(None, by_number[None]))]
    return "\n\n".join(parts)


_HEAD = ("#", "fault", "expected", *SEEN, "verdict", "seen")


def _rows(number, entries):
    """One line for each test function and fault; further cases of a parametrized one are added
    up."""
    tests = collections.defaultdict(list)
    for key, entry in sorted(entries.items()):
        tests[key.partition("[")[0], entry["fault"]].append(entry)
    if not tests:
        fault, expected = catalogue.NUMBERS[number]
        return [(number, fault, expected, *[""] * len(SEEN), "not run", "no scenario yet")]
    return [_row(number, name, cases) for (name, _), cases in tests.items()]


def _row(number, name, cases):
    def total(key, how=sum):
        values = [case[key] for case in cases if isinstance(case.get(key), (int, float))]
        return how(values) if values else ""

    seconds = total("seconds to recover", max)
    notes = list(dict.fromkeys(case["note"] for case in cases if case.get("note")))
    if len(cases) > 1:
        notes.insert(0, f"{len(cases)} cases")
    verdicts = collections.Counter(case["verdict"] for case in cases)
    return (number or "", cases[0]["fault"], cases[0]["expected"],
            *(total(key) for key in SEEN[:-1]),
            f"{seconds:.1f}" if seconds != "" else "",
            next(iter(verdicts)) if len(verdicts) == 1 else _told(verdicts),
            "; ".join([*notes, f"*{_words(_function(name))}*"]))


# --- tables ----------------------------------------------------------------------------------


def plain_table(entries):
    columns = list(dict.fromkeys(name for entry in entries.values() for name in entry
                                 if name != "date"))
    return _table(("", *columns), [(key, *(entry.get(name, "") for name in columns))
                                   for key, entry in entries.items()])


def _table(head, rows):
    def line(cells):
        return "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ")
                                 for cell in cells) + " |"
    return "\n".join([line(head), "|" + "---|" * len(head), *map(line, rows)])


if __name__ == "__main__":
    if len(sys.argv) > 1:
        update(sys.argv[1], json.load(sys.stdin), "--replace" in sys.argv)
    else:
        write_page()
