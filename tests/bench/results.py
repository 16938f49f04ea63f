"""What the runs have found: results.json, and RESULTS.md and results.svg, which are made of it.

A run replaces the sections that it measured and keeps the others, each with the run that it comes
from.
"""

import datetime
import json
import os
import pathlib
import platform
import re
import subprocess

import chart
from measure import PROGRAM, ROOT

# Design section 7, the numbers to reach: key -> (what, words, the test).
REACH = {
    "mark": ("`mark`, backlog, quorum queue", "≥ 0.85 × bare", lambda x: x >= 0.85),
    "delete": ("`delete`, backlog, quorum queue", "≥ 1.0 × bare", lambda x: x >= 1.0),
    "mark_classic": ("`mark`, backlog, classic queue", "≥ 0.95 × bare", lambda x: x >= 0.95),
    "poller": ("`mark` against a poller with row locks", "≥ 1.7 ×", lambda x: x >= 1.7),
    "poller_full": ("the same, it on full pages as PostgreSQL makes them", "≥ 1.7 ×", lambda x: x >= 1.7),
    "p50": ("commit to consumer at 500/s, p50", "≤ 2 ms", lambda x: x <= 2),
    "p99": ("commit to consumer at 500/s, p99", "≤ 10 ms", lambda x: x <= 10),
    "cpu": ("the relay's processor time a message", "≤ 2 µs", lambda x: x <= 2),
    "memory": ("resident memory, any backlog of 1 KiB rows", "≤ 16 MiB", lambda x: x <= 16),
    "wal_mark": ("WAL a message against lease columns, `mark`", "≤ 0.6 ×", lambda x: x <= 0.6),
    "wal_mark_full": ("the same, they on full pages as PostgreSQL makes them", "≤ 0.6 ×", lambda x: x <= 0.6),
    "wal_delete": ("WAL a message against lease columns, `delete`", "≤ 0.25 ×", lambda x: x <= 0.25),
    "growth": ("large table against a small one", "≥ 0.95 ×", lambda x: x >= 0.95),
    "horizon": ("vacuum horizon pinned, under load", "≥ 0.9 ×", lambda x: x >= 0.9),
    "idle_statements": ("idle, statements a second", "≤ 1", lambda x: x <= 1),
    "idle_cpu": ("idle, CPU", "< 0.2 %", lambda x: x < 0.2),
    "requeue": ("relay while 1 M failed rows are requeued", "≥ 0.9 ×", lambda x: x >= 0.9),
    "retention": ("relay while rows sent long ago are deleted", "≥ 0.95 ×", lambda x: x >= 0.95),
    "status": ("`outbox-relay status`, 10 M rows", "< 100 ms", lambda x: x < 100),
    "inserts": ("doorbell's cost to inserts", "≤ 5 %", lambda x: x <= 5),
}

# Asked of 10 M rows, or of ten minutes: what FULL=1 takes the time for. A section that was told its size
# in another way says `as_asked` itself.
LONG = ("memory", "growth", "horizon", "status")


# --- the run ----------------------------------------------------------------------------------


def _output(*command):
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    return done.stdout.strip()


def _first(pattern, text, otherwise="unknown"):
    found = re.search(pattern, text, re.M)
    return found.group(1).strip() if found else otherwise


def describe_run(bench):
    """Where, when and with what."""
    memory = _first(r"MemTotal:\s+(\d+)", pathlib.Path("/proc/meminfo").read_text(), "0")
    cpu = _first(r"model name\s*:\s*(.*)", pathlib.Path("/proc/cpuinfo").read_text())
    system = _first(r'PRETTY_NAME="(.*)"', pathlib.Path("/etc/os-release").read_text())
    rabbitmq = _output("dpkg-query", "-W", "-f", "${Version}", "rabbitmq-server")
    library = _first(r"librabbitmq ([\d.]+)", _output(str(PROGRAM), "--version"))
    commit = _output("git", "rev-parse", "--short", "HEAD")
    changed = "+" if _output("git", "status", "--porcelain", "relay", "schema") else ""
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": f"{os.cpu_count()} × {cpu}, {int(memory) / (1 << 20):.0f} GiB, {system}, "
                   f"Linux {platform.release().split('-')[0]}",
        "versions": f"PostgreSQL {bench.value('SHOW server_version').split()[0]}, "
                    f"RabbitMQ {rabbitmq or 'unknown'}, librabbitmq {library}",
        "commit": commit + changed, "size": bench.size,
        "load before": round(os.getloadavg()[0], 2),
    }


# --- keeping ----------------------------------------------------------------------------------


def load(folder):
    file = folder / "results.json"
    return json.loads(file.read_text()) if file.exists() else {}


def save(folder, sections, order):
    """`order`: all names there are, as they shall appear."""
    folder.mkdir(parents=True, exist_ok=True)
    sections = {name: sections[name] for name in order if name in sections}
    lines = [f"{json.dumps(name)}: {json.dumps(section, ensure_ascii=False)}"
             for name, section in sections.items()]
    (folder / "results.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
    (folder / "RESULTS.md").write_text(page(sections))
    (folder / "results.svg").write_text(chart.draw(sections))
    if folder == ROOT / "tests/bench":
        _quote(ROOT / "README.md", table(REACH_COLUMNS, reach_rows(sections)))


def _quote(file, text):
    """Between the two comments that are there for it."""
    before, begin, rest = file.read_text().partition("<!-- numbers -->\n")
    _, end, after = rest.partition("<!-- end of numbers -->\n")
    assert begin and end, f"{file} has no place for the numbers"
    file.write_text(f"{before}{begin}{text}\n{end}{after}")


# --- showing ----------------------------------------------------------------------------------


def number(value):
    """Three digits that count."""
    if value is None:
        return "–"
    if isinstance(value, (str, bool)):
        return str(value)
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    return f"{value:.{digits}f}" if not isinstance(value, int) else str(value)


def cell(value):
    if not isinstance(value, dict):
        return number(value)
    if len(value["values"]) == 1:
        return number(value["median"])
    return f"{number(value['median'])} ({number(value['low'])}–{number(value['high'])})"


def table(columns, rows):
    def line(cells):
        return "| " + " | ".join(str(each).replace("|", "\\|") for each in cells) + " |"
    return "\n".join([line(columns), "|" + "---|" * len(columns),
                      *(line(map(cell, row)) for row in rows)])


def reach_rows(sections):
    found = {key: value for section in sections.values() for key, value in section["reach"].items()}
    as_asked = {key: section.get("as_asked", section["run"]["size"] == "full")
                for section in sections.values() for key in section["reach"]}
    for key, (what, words, test) in REACH.items():
        value = found.get(key)
        verdict = "not measured" if value is None else \
            "reached" if test(value["median"]) else "**missed**"
        if value is not None and key in LONG and not as_asked[key]:
            verdict += ", at less than asked"
        yield what, words, value, verdict


REACH_COLUMNS = ("what", "to reach", "seen: median (lowest–highest)", "")


def page(sections):
    parts = ["# Results", "Written by `make bench`; do not edit. `results.json` has every "
             "repetition. Cells show the median of the turns and (lowest–highest).",
             "![Throughput and latency](results.svg)", "## Numbers to reach",
             table(REACH_COLUMNS, reach_rows(sections)), "## Runs", _runs(sections),
             "A load beyond the number of processors says that others used the machine at the same "
             "time: rates are then too low and latencies too long for all, what needs several "
             "processors at once suffers most, and only counts can be trusted to the digit. A turn is "
             "disturbed when other virtual machines were given more than 5 % of the processors' time; "
             "it is measured again, up to twice as many turns in all, and the least disturbed count; "
             "`disturbed` tells how many of these were."]
    for section in sections.values():
        parts += [f"## {section['title']}", section["note"],
                  f"{section['settings']}. Run {_run_number(sections, section)}."]
        parts += [table(each["columns"], each["rows"]) for each in section["tables"]]
    return "\n\n".join(parts) + "\n"


def _distinct(sections):
    runs = []
    for section in sections.values():
        if section["run"] not in runs:
            runs.append(section["run"])
    return runs


def _run_number(sections, section):
    return _distinct(sections).index(section["run"]) + 1


def _runs(sections):
    runs = _distinct(sections)
    columns = list(dict.fromkeys(name for each in runs for name in each))
    return table(("run", *columns), [(n, *(each.get(name) for name in columns))
                                     for n, each in enumerate(runs, 1)])


def on_terminal(columns, rows):
    lines = [list(map(str, columns)), *([cell(each).replace("*", "").replace("`", "")
                                         for each in row] for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    return "\n".join("  ".join(text.ljust(width) for text, width in zip(line, widths)).rstrip()
                     for line in lines)
