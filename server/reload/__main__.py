"""Have the gateway that runs read its settings again: `python3 run.py reload`.

The settings are checked here first, so that a broken file disturbs nobody. Then the gateway,
found by its lock, is sent SIGHUP, and what it says of it is shown.
"""

import argparse
import os
import select
import signal
import sys
import time
from pathlib import Path
from typing import Final

import msgspec

from server.instance import InstanceLock
from server.reload.reloader import Reloaded, report_pipe
from server.settings import DEFAULT_SETTINGS, Settings, SettingsError, load

# Reading the settings takes milliseconds; a gateway that is starting hears nobody yet.
TIMEOUT_SECONDS: Final = 15.0
_MAX_REPORT_BYTES: Final = 1 << 20


def main() -> int:
    """Have them read again; the exit code is 0 if they were taken, 1 or 2 if not."""
    parser = argparse.ArgumentParser(prog="run.py reload", description=__doc__)
    parser.add_argument(
        "--settings",
        type=Path,
        default=DEFAULT_SETTINGS,
        help="the settings file that the gateway was started with",
    )
    try:
        # A path given to run.py is relative to where that was called.
        file = Path(os.environ.get("CALLED_FROM", ""), parser.parse_args().settings)
        settings = load(file, dict(os.environ), looks_up=False)
    except SettingsError as error:
        print("The settings cannot be used; the gateway keeps those it has:", file=sys.stderr)
        for problem in error.problems:
            print(f"  {problem}", file=sys.stderr)
        return 2
    pid = _gateway(settings)
    if pid is None:
        print(f"No gateway named {settings.server.instance!r} runs.", file=sys.stderr)
        return 1
    reloaded = _ask(pid, report_pipe(settings.server.state_dir, settings.server.instance))
    if reloaded is None:
        print(
            f"The gateway (process {pid}) said nothing within {TIMEOUT_SECONDS:g} s; see its log.",
            file=sys.stderr,
        )
        return 1
    return _show(reloaded)


def _gateway(settings: Settings) -> int | None:
    """Return the process that holds the instance; a lock that nobody holds tells nothing."""
    lock = InstanceLock(settings.server.state_dir.expanduser(), settings.server.instance)
    return None if lock.is_free() else lock.holder()


def _ask(pid: int, pipe: Path) -> Reloaded | None:
    """Send the signal and return the report; None when none comes."""
    pipe.unlink(missing_ok=True)
    os.mkfifo(pipe, 0o600)
    try:
        # Open before the signal, or there would be nobody to report to.
        with os.fdopen(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0) as reader:
            os.kill(pid, signal.SIGHUP)
            deadline = time.monotonic() + TIMEOUT_SECONDS
            said = b""
            while select.select([reader], [], [], max(deadline - time.monotonic(), 0))[0]:
                part = reader.read(_MAX_REPORT_BYTES)
                if not part:
                    return msgspec.json.decode(said, type=Reloaded)
                said += part
    finally:
        pipe.unlink(missing_ok=True)
    return None


def _show(reloaded: Reloaded) -> int:
    for problem in reloaded.problems:
        print(f"The gateway keeps its settings: {problem}", file=sys.stderr)
    if reloaded.problems:
        return 2
    print("\n".join(reloaded.changed) or "Nothing is new.")
    if reloaded.needs_restart:
        print(f"This takes a restart: {', '.join(reloaded.needs_restart)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
