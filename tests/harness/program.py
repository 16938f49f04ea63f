import json
import os
import pathlib
import re
import signal
import subprocess

from . import secrets
from .waiting import wait_until

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = ROOT / os.environ.get("RELAY", "build/outbox-relay")
RELEASE = ROOT / "build/outbox-relay"
# With relay/base/failpoint.h: dies, stops or waits where RELAY_FAILPOINT says.
FAILPOINTS = ROOT / os.environ.get("FAILPOINTS_RELAY", "build-failpoints/outbox-relay")

# A finding of a sanitizer ends the program with a status that no test expects.
SANITIZERS = {
    "ASAN_OPTIONS": "exitcode=99:detect_stack_use_after_return=1",
    "UBSAN_OPTIONS": "halt_on_error=1:exitcode=99:print_stacktrace=1",
    "TSAN_OPTIONS": "halt_on_error=1:exitcode=99",
}
_FINDING = re.compile(r"Sanitizer|runtime error:")
_FIELD = re.compile(r'([a-z_]+)=("(?:[^"\\]|\\.)*"|\S*)')


def _environment(extra=None):
    """Nothing of the caller's own settings for PostgreSQL or for us."""
    clean = {k: v for k, v in os.environ.items()
             if not k.startswith(("PG", "OUTBOX_RELAY")) and k not in ("RELAY", "SERVERS", "SERVERS_PASSWORD")}
    return {**clean, **SANITIZERS, **(extra or {})}


def run(*arguments, program=PROGRAM, env=None, timeout=60, check=None):
    """Runs the program to its end, with output and errors as text."""
    done = subprocess.run([str(program), *map(str, arguments)], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, env=_environment(env), timeout=timeout)
    assert not _FINDING.search(done.stderr), done.stderr
    secrets.check_text(done.stdout + done.stderr, f"the output of {arguments[0]}")
    if check is not None:
        assert done.returncode == check, f"exit {done.returncode}:\n{done.stdout}{done.stderr}"
    return done


def parse_line(line):
    """One line of the log, logfmt or JSON, as a dictionary; numbers are numbers."""
    if line.startswith("{"):
        return json.loads(line)
    fields = {}
    for key, value in _FIELD.findall(line):
        if value.startswith('"'):
            fields[key] = json.loads(value)
        else:
            fields[key] = int(value) if re.fullmatch(r"-?\d+", value) else value
    return fields


def yaml(tree, depth=0):
    """Nested dictionaries and lists in the style that people write. A string is quoted."""
    pad = "  " * depth
    lines = []
    for key, value in tree.items():
        if isinstance(value, dict):
            lines += [f"{pad}{key}:", yaml(value, depth + 1)] if value else [f"{pad}{key}: {{}}"]
        elif isinstance(value, list):
            lines += [f"{pad}{key}:"] if value else [f"{pad}{key}: []"]
            for item in value:
                text = yaml(item, depth + 2).lstrip() if isinstance(item, dict) \
                    else json.dumps(item)
                lines.append(f"{pad}  - {text}")
        else:
            lines.append(f"{pad}{key}: {json.dumps(value)}")
    return "\n".join(lines)


def merge(base, *changes):
    """Each of `changes` over `base`, dictionary by dictionary; a None takes the key away."""
    result = dict(base)
    for key, value in (item for each in changes for item in each.items()):
        if isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merge(result[key], value)
        elif value is None:
            result.pop(key, None)
        else:
            result[key] = value
    return result


class Relay:
    """One configuration file and, between start() and its end, one process that runs it."""

    def __init__(self, folder, config, program=PROGRAM, env=None):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.config_file = self.folder / "outbox-relay.yaml"
        self.log_file = self.folder / "log"
        self.program = program
        self.env = env
        self.wrapper = []  # ["prlimit", "--nofile=16"]: a command in front of the program
        self.process = None
        self.configure(config)

    def configure(self, config):
        """Writes the file; a running process reads it at SIGHUP."""
        self.config = config
        self.config_file.write_text(yaml(config) + "\n")

    def run(self, command, *arguments, check=0, timeout=60):
        """A command that ends by itself: "migrate", "check"."""
        return run(command, "-c", self.config_file, *arguments, program=self.program,
                   env=self.env, timeout=timeout, check=check)

    def start(self, *arguments):
        """`run`, with the log going to a file as it comes; again after an end, to the same."""
        assert not self.is_running()
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen(
                [*self.wrapper, str(self.program), "run", "-c", str(self.config_file),
                 *arguments],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=_environment(self.env))
        return self

    def run_until_empty(self, timeout=60, check=0):
        """`run --until-empty`, to its end."""
        self.start("--until-empty")
        return self.wait(timeout, check)

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def signal(self, number):
        secrets.check_arguments(self.process.pid)
        self.process.send_signal(number)

    def wait(self, timeout=60, check=0):
        """For the end; returns the exit status, which is `check` unless that is None."""
        try:
            status = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"did not end within {timeout} s:\n{self.log}") from None
        assert not _FINDING.search(self.log), self.log
        secrets.check_text(self.log, "the log")
        if check is not None:
            assert status == check, f"exit {status}:\n{self.log}"
        return status

    def stop(self, timeout=60, check=0):
        """SIGTERM, and the end in good order."""
        if self.is_running():
            self.signal(signal.SIGTERM)
        return self.wait(timeout, check)

    def kill(self):
        """SIGKILL: no chance to tidy up."""
        self.signal(signal.SIGKILL)
        self.process.wait(10)

    @property
    def log(self):
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def events(self, event=None, **fields):
        """The lines of the log that have these fields, as dictionaries, in order."""
        if event is not None:
            fields["event"] = event
        lines = [parse_line(line) for line in self.log.splitlines() if line]
        return [line for line in lines
                if all(line.get(key) == value for key, value in fields.items())]

    def wait_for(self, event=None, timeout=60, count=1, saying="", **fields):
        """For the count-th such line whose error has these words; returns it. Ends early when
        the process does."""
        def there():
            ended = not self.is_running()
            found = [line for line in self.events(event, **fields)
                     if saying in line.get("error", "")]
            if len(found) >= count:
                return found[count - 1]
            assert not ended, f"ended with {self.process.returncode}:\n{self.log}"
            return None

        return wait_until(there, timeout,
                          what=lambda: f"{event} {saying} {fields} in the log:\n{self.log}")

    def resident_bytes(self):
        pages = pathlib.Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGESIZE")

    def peak_bytes(self):
        """The most that was ever resident."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) << 10

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text()
        user, system = fields.rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
