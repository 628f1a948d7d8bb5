#!/usr/bin/env python3
"""Set Sidestream up and run it: one file, the standard library only, nothing installed before.

Set-up happens in `.venv` beside this file, in three steps, each safe to be cut off anywhere:

1. Make the virtual environment. It counts only while its record (`.venv/sidestream.json`) exists;
   one without a record, or for another Python or machine, is made anew.
2. Download what the lock file pins and the record lacks, by hash, to `.venv.wheels`, a part at a
   time; a finished part is not fetched again. A failure here leaves what was installed as it was.
3. Install from there, without network. The record is away meanwhile.

A lock on this file lets one set-up run at a time; pip inherits it, so a pip that outlives a killed
run.py is waited for too. Python 3.6 must be able to parse this file, to say that it is too old.
"""

import sys

# Pythons older than 3.6 stop at this line and show it.
NEEDED: str = "Sidestream needs Python 3.11 or newer. Try: python3.11 run.py"
if sys.version_info < (3, 11):
    sys.exit(f"{NEEDED} (this is {sys.version.split()[0]})")
if sys.platform == "win32":
    sys.exit("Sidestream runs on Linux and macOS; on Windows, inside WSL.")

import argparse
import fcntl
import hashlib
import importlib.util
import json
import os
import platform
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
RECORD = VENV / "sidestream.json"
WHEELS = ROOT / ".venv.wheels"
LOG = ROOT / ".venv.log"
# What a virtual environment depends on.
MACHINE = f"Python 3.{sys.version_info.minor} on {sys.platform} {platform.machine()}"
RUN_LOCK = "requirements.lock"
TEST_LOCK = "requirements-test.lock"
PART = 8  # pins that one pip downloads: its start costs half a second, a cut costs one part
# Verbs that are programs of their own: what they are, what has to be installed, and what help says.
PROGRAMS = {
    "key": ("server.access", RUN_LOCK, "Make, list and remove the keys that let others in."),
    "doctor": ("server.doctor", "", "Tell what is there and missing, and the mend (--json)."),
    "bench": ("benchmarks", TEST_LOCK, "Run one benchmark, or list them."),
    "model": ("server.adding", RUN_LOCK, "Add a model by name, list and remove what was added."),
    "evaluate": ("server.evaluate", RUN_LOCK, "Ask prompts of several models, and compare."),
    "reload": ("server.reload", RUN_LOCK, "Have the running gateway read its settings again."),
    "lock": ("tests.lock", TEST_LOCK, "Pin what pyproject.toml names, for all systems."),
}
NO_NETWORK = r"Retrying \(|Connection|Temporary failure|timed out|Proxy|SSL|to fetch|ENOTFOUND"
# What pip or npm says, what we say of it, and the mend. The first that fits counts.
FAILURES = {
    r"No space left on device|ENOSPC": "the disk is full. Make room (about 1 GB for all).",
    r"DO NOT MATCH THE HASHES|EINTEGRITY": "a download is not what the lock file expects; something"
    " on the way changed it. Use another network.",
    NO_NETWORK: "the package index cannot be reached. Check the network (and a proxy's settings).",
    r"No matching distribution": "the package index has nothing that fits. Check the network, and"
    " use Python 3.11, 3.12 or 3.13 on Linux or macOS.",
    r"Permission denied|EACCES": "a file may not be written. See to the rights in this folder.",
}


class SetupError(Exception):
    """Carry what the step that failed has said."""


def prepare(lock: str) -> None:
    """Make sure that `.venv` holds what `lock` pins; raises SetupError."""
    if is_prepared(lock):
        return
    with one_at_a_time() as lock_fd:
        if is_prepared(lock):
            return
        print(f"Setting up {VENV} from {lock}:")
        if read_record().get("for") != MACHINE:
            make_environment(lock_fd)
            write_record({})
        install(lock, lock_fd)
        shutil.rmtree(WHEELS, ignore_errors=True)
        print("  done")


def is_prepared(lock: str) -> bool:
    """Tell whether `.venv` is made for this Python and holds all that this lock file pins."""
    record = read_record()
    return record.get("for") == MACHINE and record["pins"].items() >= read_pins(lock).items()


def make_environment(lock_fd: int) -> None:
    """Make an empty `.venv` with pip in it, in place of whatever is there."""
    if importlib.util.find_spec("ensurepip") is None:
        package = f"python3.{sys.version_info.minor}-venv"
        raise SetupError(f"this Python has no ensurepip. Install it (apt install {package}).")
    print(f"  making the virtual environment with Python {platform.python_version()}")
    # This process may run in the very environment that is about to go.
    python = os.path.realpath(sys.executable) if sys.prefix != sys.base_prefix else sys.executable
    shutil.rmtree(VENV, ignore_errors=True)
    call([python, "-m", "venv", "--clear", str(VENV)], lock_fd)


def install(lock: str, lock_fd: int) -> None:
    """Download and install what `lock` pins and the record lacks."""
    installed = read_record()["pins"]
    missing = [pin for name, pin in read_pins(lock).items() if installed.get(name) != pin]
    names: list[str] = []

    def show(line: str) -> None:
        if line.startswith(("Collecting ", "Processing ")):
            names.append(line.split()[1])
        size = re.match(r"\s+Downloading \S+\.whl \((.+)\)", line)
        if size:
            print(f"  fetching {len(names)} of {len(missing)}: {names[-1]} ({size[1]})")

    pip = [str(PYTHON), "-I", "-m", "pip", "--disable-pip-version-check", "--no-input"]
    how = ["--require-hashes", "--no-deps", "--only-binary", ":all:", "--progress-bar", "off"]
    WHEELS.mkdir(exist_ok=True)
    wanted = WHEELS / "wanted.txt"
    for start in range(0, len(missing), PART):
        part, names[:] = "\n".join(missing[start : start + PART]), missing[:start]
        finished = WHEELS / hashlib.sha256(part.encode()).hexdigest()
        if not finished.exists():
            wanted.write_text(part)
            call([*pip, "download", *how, "-d", str(WHEELS), "-r", str(wanted)], lock_fd, show)
            wanted.rename(finished)
    print("  installing them")
    RECORD.unlink()
    offline = ["--no-index", "--find-links", str(WHEELS), "-r", str(ROOT / lock)]
    call([*pip, "install", *how, *offline], lock_fd)
    write_record(installed | read_pins(lock))


def call(command: list[str], lock_fd: int, show: Callable[[str], object] = str) -> None:
    """Run one step, its output going to the log and to `show`; raises SetupError if it fails."""
    misleading = {"PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PYTHONHOME"}
    env = {name: value for name, value in os.environ.items() if name not in misleading}
    with LOG.open("w+") as log:
        with subprocess.Popen(
            command, cwd=ROOT, env=env, pass_fds=[lock_fd], text=True, errors="replace",
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        ) as process:  # fmt: skip
            try:
                for line in process.stdout or ():
                    log.write(line)
                    show(line)
            except BaseException:
                process.terminate()
                raise
        log.seek(0)
        if process.returncode != 0:
            raise SetupError(log.read() or f"{command} ended with exit code {process.returncode}.")


def explain(said: str) -> str:
    """Return one line for what stopped the set-up, with the mend."""
    whats = [what for pattern, what in FAILURES.items() if re.search(pattern, said)]
    errors = re.findall(r"(?i)^(?:npm )?error:? *(.+)", said, re.MULTILINE) or said.splitlines()
    details = f" (Details: {LOG.name})" if "\n" in said else ""
    what = [*whats, errors[-1]][0]
    return f"Set-up stopped: {what} Then start again; it goes on from there.{details}"


def prepare_node() -> None:
    """Install the page's test tools with npm if it is there; raises SetupError."""
    npm = shutil.which("npm")
    stamp = ROOT / "node_modules/.sidestream"
    wanted = (ROOT / "package-lock.json").read_text()
    if npm is None or (stamp.exists() and stamp.read_text() == wanted):
        return
    with one_at_a_time() as lock_fd:
        print("  installing the page's test tools (npm ci)")
        call([npm, "ci", "--no-audit", "--no-fund"], lock_fd)
        stamp.write_text(wanted)


@contextmanager
def one_at_a_time() -> Iterator[int]:
    """Hold the set-up's lock, waiting for another run.py if need be; yields its descriptor."""
    with Path(__file__).open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Another run.py is setting up; waiting for it.")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()


def read_record() -> dict[str, Any]:
    """Return the environment's record, empty if there is no environment that can be used."""
    try:
        record: dict[str, Any] = json.loads(RECORD.read_text())
    except (OSError, ValueError):
        return {}
    return record if PYTHON.exists() and "pins" in record else {}


def write_record(pins: dict[str, str]) -> None:
    """Record in one step what the environment holds."""
    temporary = RECORD.with_suffix(".new")
    temporary.write_text(json.dumps({"for": MACHINE, "pins": pins}))
    temporary.replace(RECORD)


def read_pins(lock: str) -> dict[str, str]:
    """Return what a lock file pins, with its hashes, by the package's name."""
    found = re.findall(r"(?m)^[^\s#].*(?:(?<=\\)\n.*)*", (ROOT / lock).read_text())
    return {pin.partition("==")[0]: pin for pin in found}


def run(options: argparse.Namespace, _: list[str]) -> NoReturn:
    """Run the server (what happens without a verb)."""
    prepare(RUN_LOCK)
    given = {"host": options.host, "port": options.port, "settings": options.settings}
    words = [f"--{name}={value}" for name, value in given.items() if value is not None]
    become("server", *words, *["--standby"] * options.standby)


def test(options: argparse.Namespace, rest: list[str]) -> NoReturn:
    """Run every check there is as one pytest run; other words go to pytest."""
    if options.system and subprocess.call([sys.executable, "-m", "tests.system"], cwd=ROOT):
        raise SetupError("not all system packages are there; see above.")
    prepare(TEST_LOCK)
    prepare_node()
    workers = "--numprocesses=auto --maxprocesses=4 --dist=loadscope --no-loadscope-reorder"
    become("pytest", *workers.split(), *["--no-skips"] * options.no_skips, *rest)


def program(options: argparse.Namespace, rest: list[str]) -> NoReturn:
    """Become the program that the verb names; all other words are its own."""
    module, lock, _ = PROGRAMS[options.program]
    if lock:
        prepare(lock)
    # A relative path means the caller's folder.
    settings = [f"--settings={options.settings}"] if options.settings else []
    become(module, *settings, *rest, python=str(PYTHON) if read_record() else sys.executable)


def become(module: str, *words: str, python: str = str(PYTHON)) -> NoReturn:
    """Replace this process by `python -m module`, so that signals and exit code are its own."""
    os.environ["CALLED_FROM"] = str(Path.cwd())  # what a relative path among the words means
    # Some shells and containers ask for it, and each start would compile 300 modules anew.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.chdir(ROOT)
    os.execv(python, [python, "-m", module, *words])


def main(words: list[str]) -> None:
    """Do what the words say, most of it by becoming another program."""
    top = argparse.ArgumentParser(
        prog="run.py",
        description="Set Sidestream up in a virtual environment beside this file, and run it.",
        allow_abbrev=False,
    )
    verbs = top.add_subparsers(title="verbs", metavar="VERB")
    for verb in (run, test):
        parser = verbs.add_parser(verb.__name__, help=verb.__doc__, allow_abbrev=False)
        parser.set_defaults(verb=verb)
        add = parser.add_argument
        if verb is test:
            add("--system", action="store_true", help="first install system packages for tests")
            add("--no-skips", action="store_true", help="take a skipped test for a failed one")
    for name, (_, _, text) in PROGRAMS.items():
        parser = verbs.add_parser(name, help=text, add_help=False)
        parser.set_defaults(verb=program, program=name)
        # Given before the verb, it stands.
        parser.add_argument("--settings", type=os.path.abspath, default=argparse.SUPPRESS)
    top.set_defaults(verb=run, host=None, port=None, settings=None, standby=False)
    for parser in (top, verbs.choices["run"]):
        group = parser.add_argument_group("options of run", argument_default=argparse.SUPPRESS)
        group.add_argument("--host", help="listen on this address (127.0.0.1)")
        group.add_argument("--port", type=int, help="listen on this port (8000)")
        group.add_argument("--settings", metavar="FILE", type=os.path.abspath, help="read FILE")
        group.add_argument("--standby", action="store_true", help="wait till the one running goes")
    options, rest = top.parse_known_args(words)
    if rest and options.verb is run:
        top.error(f"unknown: {' '.join(rest)}")
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        options.verb(options, rest)
    except (SetupError, OSError) as error:
        sys.exit(explain(str(error)))
    except KeyboardInterrupt:
        sys.exit("\nStopped. The next start goes on from here.")


if __name__ == "__main__":
    main(sys.argv[1:])
