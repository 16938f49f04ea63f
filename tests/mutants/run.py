"""Builds every mutant of mutants.py and runs the tests that must see it, until one is red.

    run.py [NAME…]     all, or those whose names begin so; into tests/fault/RESULTS.md

The sources are changed in a copy, build-mutants/, which is kept: the next run builds little.
First the same tests must be green without a change. Prints a line for each mutant; exit 1 when
one survived, 2 when the table does not fit the sources.
"""

import contextlib
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

from mutants import MUTANTS

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from harness import results  # pylint: disable=wrong-import-position

ROOT = pathlib.Path(__file__).resolve().parents[2]
COPY = ROOT / "build-mutants"
SUFFIXES = {".c", ".h", ".sql", ".sh"}
HANGS = 60  # seconds; a test that does not end is red, too


class Broken(Exception):
    """Nothing is proven: the table does not fit, or a mutant does not build."""


# --- the copy --------------------------------------------------------------------------------


def refresh():
    """Writes what differs, and deletes what is gone, so that make builds that and no more."""
    wanted = {"Makefile"}
    for folder in ("relay", "schema", "tests"):
        wanted |= {str(file.relative_to(ROOT)) for file in (ROOT / folder).rglob("*")
                   if file.is_file() and file.suffix in SUFFIXES and "corpus" not in file.parts}
    for name in wanted:
        write(name, (ROOT / name).read_text())
    for folder in ("relay", "schema", "tests"):
        for file in (COPY / folder).rglob("*"):
            if file.is_file() and str(file.relative_to(COPY)) not in wanted:
                file.unlink()


def write(name, text):
    file = COPY / name
    if not file.exists() or file.read_text() != text:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


@contextlib.contextmanager
def mutated(mutant):
    originals = {}
    try:
        for name, text, instead in mutant.edits:
            now = (COPY / name).read_text()
            originals.setdefault(name, now)
            if now.count(text) != 1:
                raise Broken(f"{mutant.name}: its text stands {now.count(text)} times, "
                             f"not once, in {name}:\n{text}")
            write(name, now.replace(text, instead))
        yield
    finally:
        for name, text in originals.items():
            write(name, text)


def make(*targets):
    done = subprocess.run(["make", "-s", "-j2", *targets], cwd=COPY, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        raise Broken(f"make {' '.join(targets)}:\n{done.stdout}")


# --- the steps -------------------------------------------------------------------------------


def unit(name):
    make(f"build/tests/unit/test_{name}")
    environment = {**os.environ, "CK_DEFAULT_TIMEOUT": str(HANGS // 4)}
    with contextlib.suppress(subprocess.TimeoutExpired):
        done = subprocess.run([COPY / "build/tests/unit" / f"test_{name}"], env=environment,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True, timeout=HANGS)
        if done.returncode == 0:
            return None
        found = re.search(r"^\S+:[FE]:[^:]*:([^:]+):\d+: (.*)", done.stdout, re.MULTILINE)
        return (found[1], found[2]) if found else (name, f"ended with {done.returncode}")
    return name, "hangs"


def pytest(folder):
    def run(name):
        make("FAILPOINTS=1", "all")
        make("all")
        environment = {**os.environ, "SERVERS": servers(), "PYTHONDONTWRITEBYTECODE": "1",
                       "COLUMNS": "300",
                       "RELAY": str(COPY / "build/outbox-relay"),
                       "FAILPOINTS_RELAY": str(COPY / "build-failpoints/outbox-relay")}
        done = subprocess.run(
            ["/usr/bin/python3", "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider",
             ROOT / "tests" / folder, "-k", name], cwd=ROOT, env=environment, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode not in (0, 1):
            raise Broken(f"pytest tests/{folder} -k {name}:\n{done.stdout}")
        if done.returncode == 0:
            return None
        found = re.search(r"^(?:FAILED|ERROR) \S+?::(.*?)(?: - (.*))?$", done.stdout, re.MULTILINE)
        return found[1], found[2] or ""
    return run


STEPS = {"unit": unit, "integration": pytest("integration"), "fault": pytest("fault")}


def take(step):
    """None when it is green, or the test that was red and what it said."""
    kind, _, name = step.partition(" ")
    return STEPS[kind](name)


_folder = None


def servers():
    """Private ones, started when the first step asks for them."""
    global _folder
    if "SERVERS" in os.environ:
        return os.environ["SERVERS"]
    if not _folder:
        _folder = tempfile.TemporaryDirectory(prefix="outbox-relay-mutants.")
        subprocess.run(["sh", ROOT / "deploy/servers.sh", "start", _folder.name], check=True)
    return _folder.name


def stop_servers():
    if _folder:
        subprocess.run(["sh", ROOT / "deploy/servers.sh", "stop", _folder.name])
        _folder.cleanup()


# --- the run ---------------------------------------------------------------------------------


def check_texts(mutants):
    """Before anything is built."""
    for mutant in mutants:
        with mutated(mutant):
            pass


def check_green(mutants):
    for step in sorted({step for mutant in mutants for step in mutant.steps}):
        red = take(step)
        if red:
            raise Broken(f"{step} is red without any mutant: {' '.join(red)}")


def catch(mutant):
    """A line of RESULTS.md."""
    with mutated(mutant):
        for step in mutant.steps:
            red = take(step)
            if red:
                test, said = red
                suite = step.partition(" ")[0]
                return {"the mistake": mutant.what, "caught by": f"{suite}: {test}",
                        "it said": said[:120], "verdict": "caught"}
    return {"the mistake": mutant.what, "verdict": "SURVIVED"}


def main(prefixes):
    chosen = [mutant for mutant in MUTANTS
              if not prefixes or mutant.name.startswith(tuple(prefixes))]
    entries = {}
    refresh()
    check_texts(chosen)
    check_green(chosen)
    for mutant in chosen:
        began = time.monotonic()
        entry = entries[mutant.name] = catch(mutant)
        print(f"{mutant.name:28} {entry['verdict']} by {entry.get('caught by', 'nobody')} "
              f"({time.monotonic() - began:.0f} s)\n{'':30}{entry.get('it said', '')}", flush=True)
    survived = sum(entry["verdict"] != "caught" for entry in entries.values())
    results.update("mutants", entries, replace=not prefixes)
    print(f"{len(entries) - survived} mutants caught, {survived} survived")
    return 1 if survived else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except Broken as broken:
        print(broken)
        sys.exit(2)
    finally:
        stop_servers()
