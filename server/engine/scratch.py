"""A private directory for the engine's socket, and nothing left of it.

A directory is its owner's as long as the owner holds the lock on it, which the kernel
takes back when the process ends, however it ends. The engine removes its own directory
when it stops; one left by a process that was killed is removed by the next engine to
start, which can lock it.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
from pathlib import Path

_PREFIX = "sidestream-engine-"
# A Unix socket's path is limited to 104 bytes (macOS) or 108 (Linux).
_LONGEST_SOCKET_PATH_BYTES = 100
SOCKET_NAME = "llama.sock"


class ScratchDirectory:
    """Make a directory that only this user can enter; remove what dead engines left."""

    def __init__(self) -> None:
        root = Path(tempfile.gettempdir())
        if (
            len(os.fsencode(root)) + len(_PREFIX) + len(SOCKET_NAME) + 12
            > _LONGEST_SOCKET_PATH_BYTES
        ):
            root = Path("/tmp")  # noqa: S108  (mkdtemp makes it private)
        _sweep(root)
        self.path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=root))
        self._lock = os.open(self.path, os.O_RDONLY)
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    @property
    def socket_path(self) -> Path:
        """Return where llama.cpp's server listens."""
        return self.path / SOCKET_NAME

    def remove(self) -> None:
        """Remove the directory; doing so again is no error."""
        shutil.rmtree(self.path, ignore_errors=True)


def _sweep(root: Path) -> None:
    for left in root.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            if left.stat().st_uid == os.getuid():
                _remove_if_ownerless(left)


def _remove_if_ownerless(directory: Path) -> None:
    lock = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(directory)
    finally:
        os.close(lock)
