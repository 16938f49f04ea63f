"""The passwords of the tests' servers hold one word that nothing else has: wherever it is seen
outside the configuration, a secret has come out."""

import os
import pathlib

WORD = "c4nary"

# With a character that URLs have to encode, so that every decoder is passed.
PASSWORD = f"mine/{WORD}"

# For the servers that are started from here; tests/run.sh says the same for its own.
os.environ.setdefault("SERVERS_PASSWORD", PASSWORD)


def check_text(text, where):
    at = text.find(WORD)
    assert at < 0, f"a secret in {where}: …{text[max(0, at - 200):at + 50]}…"


def check_arguments(pid):
    """Of a process that runs; one that has just ended has none."""
    try:
        arguments = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return
    check_text(arguments.decode(errors="replace"), f"the arguments of {pid}")


def check_no_cores(*folders):
    for folder in folders:
        cores = [path for path in pathlib.Path(folder).glob("core*") if path.is_file()]
        assert not cores, f"core files: {cores}"
