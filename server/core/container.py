"""Whether this process runs in a container, where 127.0.0.1 may be the container itself."""

from pathlib import Path
from typing import Final

# Docker and Podman put one of these into every container's root.
_MARKS: Final = (".dockerenv", "run/.containerenv")

HINT: Final = (
    "in a container with a network of its own 127.0.0.1 is the container itself: for a server on "
    "the machine around it write `host.docker.internal` into `url`, and have that server listen on "
    "more than 127.0.0.1"
)


def is_in_container(root: Path = Path("/")) -> bool:
    """Tell whether the system whose files are under `root` is a container's."""
    return any((root / mark).exists() for mark in _MARKS)
