"""The runners that a model's settings can name, and what is known of each.

`server/models/runners/registry.py` says how each runner is made, `PROBLEMS` in `checks.py` which
settings it refuses; a test compares the tables.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class RunnerKind:
    """What the settings and the catalogue know of a runner."""

    about: str
    """What it runs, for the documentation of the settings."""
    section: str = "engines"
    """The section of the settings that limits how long a start may take."""
    is_asked: bool = False
    """Whether a server is asked what it is, because its settings do not determine that."""
    starts_servers: bool = True


RUNNERS: Final = {
    "process": RunnerKind("the embedded engine"),
    "command": RunnerKind("any program that serves", is_asked=True),
    "docker": RunnerKind("an engine in a container", section="docker"),
    "remote": RunnerKind("a server somebody else runs", is_asked=True, starts_servers=False),
}
ASKED_RUNNERS: Final = tuple(name for name, kind in RUNNERS.items() if kind.is_asked)
STARTING_RUNNERS: Final = tuple(name for name, kind in RUNNERS.items() if kind.starts_servers)


def runners_in_words() -> str:
    """Return the names of all runners with what each runs."""
    *some, last = (f"`{name}` ({kind.about})" for name, kind in RUNNERS.items())
    return f"{', '.join(some)} or {last}"
