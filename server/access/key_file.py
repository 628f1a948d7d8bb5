"""The file in which an instance's keys are kept.

Rules:

1. It is written whole, to a file beside it that then takes its place: whoever reads finds the
   old keys or the new ones. Writers wait for each other by a lock on the folder.
2. Only its owner may read it. One that others may write, or that is another's, is refused: they
   could make keys. Root may change the keys of a server that runs as somebody else: the file
   stays its owner's, who is the folder's.
3. A file that cannot be understood is never written over, and nothing of it counts.
"""

import fcntl
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

import msgspec

from server.access.key import Key

_MODE: Final = 0o600
# Ten thousand keys; more is no file of ours.
_MAX_BYTES: Final = 8 << 20

Keys = tuple[Key, ...]


class KeysUnusable(Exception):
    """The file of the keys cannot be used; the message says why and what to do."""


class _Content(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: Literal[1]
    keys: Keys


class KeyFile:
    """Read and change the keys of one instance."""

    def __init__(self, directory: Path, instance: str) -> None:
        self.path = directory / f"{instance}.keys.json"

    def signature(self) -> tuple[int, ...] | None:
        """Return what changes when the file does, None if there is no file."""
        try:
            found = self.path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return (found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_mode)

    def read(self) -> Keys:
        """Return the keys, none if there is no file; raises `KeysUnusable`."""
        try:
            with self.path.open("rb") as file:
                found = os.fstat(file.fileno())
                text = file.read(_MAX_BYTES + 1)
        except (FileNotFoundError, NotADirectoryError):
            return ()
        except OSError as error:
            raise KeysUnusable(f"{self.path}: cannot be read: {error.strerror}") from None
        if found.st_uid not in (os.geteuid(), 0, self.path.parent.stat().st_uid):
            raise KeysUnusable(
                f"{self.path}: it is another user's, who could make keys; chown it once you have "
                "looked at what it holds"
            )
        if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise KeysUnusable(
                f"{self.path}: others may write it, and so make keys; chmod 600 it once you have "
                "looked at what it holds"
            )
        try:
            if len(text) > _MAX_BYTES:
                raise ValueError("it is too large")
            content = msgspec.json.decode(text, type=_Content)
            _check_unique(content.keys)
        except (ValueError, RecursionError) as error:
            raise KeysUnusable(
                f"{self.path}: this is no file of keys ({error}). It was left as it is: bring back "
                "a copy of it, or move it away and make the keys anew"
            ) from None
        return content.keys

    def change(self, edit: Callable[[Keys], Keys]) -> None:
        """Write what `edit` makes of the keys; raises `KeysUnusable`, and what `edit` does."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with _alone_in(self.path.parent) as folder:
                keys = edit(self.read())
                text = msgspec.json.format(msgspec.json.encode(_Content(1, keys)), indent=2)
                self._write(text + b"\n")
                os.fsync(folder)
        except OSError as error:
            raise KeysUnusable(f"{self.path}: cannot be written: {error.strerror}") from None

    def _write(self, text: bytes) -> None:
        new = self.path.with_suffix(".new")
        # One that was left behind by a writer that was killed, perhaps with another mode.
        new.unlink(missing_ok=True)
        with open(new, "xb", opener=_private) as file:
            file.write(text)
            file.flush()
            if os.geteuid() == 0:
                folder = self.path.parent.stat()
                os.fchown(file.fileno(), folder.st_uid, folder.st_gid)
            os.fsync(file.fileno())
        new.replace(self.path)


def _check_unique(keys: Keys) -> None:
    for what in ("name", "digest"):
        if len({getattr(key, what) for key in keys}) < len(keys):
            raise ValueError(f"two keys have one {what}")


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, _MODE)


@contextmanager
def _alone_in(directory: Path) -> Iterator[int]:
    folder = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield folder
    finally:
        os.close(folder)
