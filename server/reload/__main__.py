"""Have the running gateway reload its settings: `python3 run.py reload`.

The settings are checked here first, so that a broken file does not reach the gateway. Then the
gateway, found by its lock, is sent SIGHUP, and its report is shown.
"""

import argparse
import os
import sys
from pathlib import Path

from server.reload.asking import TIMEOUT_SECONDS, ask_to_reload, running_gateway
from server.reload.reloader import Reloaded
from server.settings.files import DEFAULT_SETTINGS
from server.settings.loading import load
from server.settings.values import SettingsError


def main() -> int:
    """Have the settings reloaded; return 0 if they were applied, 1 or 2 if not."""
    parser = argparse.ArgumentParser(prog="run.py reload", description=__doc__)
    parser.add_argument(
        "--settings",
        type=Path,
        default=DEFAULT_SETTINGS,
        help="the settings file that the gateway was started with",
    )
    try:
        # A path given to run.py is relative to the folder in which that was called.
        file = Path(os.environ.get("CALLED_FROM", ""), parser.parse_args().settings)
        settings = load(file, dict(os.environ), looks_up=False)
    except SettingsError as error:
        print(
            "The settings cannot be used; the gateway keeps those it has:",
            *error.problems,
            sep="\n  ",
            file=sys.stderr,
        )
        return 2
    pid = running_gateway(settings)
    if pid is None:
        print(f"No gateway named {settings.server.instance!r} runs.", file=sys.stderr)
        return 1
    reloaded = ask_to_reload(pid, settings)
    if reloaded is None:
        print(
            f"The gateway (process {pid}) said nothing within {TIMEOUT_SECONDS:g} s; see its log.",
            file=sys.stderr,
        )
        return 1
    return _show(reloaded)


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
