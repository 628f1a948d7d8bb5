"""The runners that a model's settings can name, and what is known of each.

`server/models/runners/registry.py` defines how each runner is made, and `PROBLEMS` in `checks.py`
which settings it refuses. A test checks that the tables agree.
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
    """Whether the server is asked for its engine, because the settings do not determine it."""
    starts_servers: bool = True
    is_container: bool = False
    """Whether it runs an engine's image, which the settings name."""


RUNNERS: Final = {
    "process": RunnerKind("the embedded engine"),
    "command": RunnerKind("any program that serves", is_asked=True),
    "docker": RunnerKind("an engine in a container", section="docker", is_container=True),
    "swarm": RunnerKind("the same on any machine of a swarm", section="swarm", is_container=True),
    "remote": RunnerKind("a server somebody else runs", is_asked=True, starts_servers=False),
}
ASKED_RUNNERS: Final = tuple(name for name, kind in RUNNERS.items() if kind.is_asked)
STARTING_RUNNERS: Final = tuple(name for name, kind in RUNNERS.items() if kind.starts_servers)
CONTAINER_RUNNERS: Final = tuple(name for name, kind in RUNNERS.items() if kind.is_container)


def runners_in_words() -> str:
    """Return the names of all runners with what each runs."""
    *some, last = (f"`{name}` ({kind.about})" for name, kind in RUNNERS.items())
    return f"{', '.join(some)} or {last}"
