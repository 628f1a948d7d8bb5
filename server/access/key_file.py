"""The file that stores an instance's keys.

Rules:

1. A change writes a new file and renames it over the old one, so that readers see the old keys or
   the new ones. A lock on the folder makes writers wait for each other.
2. Only its owner may read the file. One that others may write, or that another user owns, is
   refused: they could add keys. If root changes it, the owner of the folder stays its owner.
3. A file that cannot be parsed is never overwritten, and none of its keys are valid.
"""

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal

import msgspec

from server.access.key import Key
from server.core.files import alone_in, write_whole

# Enough for some ten thousand keys.
_MAX_BYTES: Final = 8 << 20

Keys = tuple[Key, ...]


class KeysUnusable(Exception):
    """The key file cannot be used; the message says why and what to do."""


class _Content(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: Literal[1]
    keys: Keys


class KeyFile:
    """Read and change the keys of one instance."""

    def __init__(self, directory: Path, instance: str) -> None:
        self.path = directory / f"{instance}.keys.json"

    def signature(self) -> tuple[int, ...] | None:
        """Return a value that changes with the file, None if there is no file."""
        try:
            found = self.path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return (found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_mode)

    def read(self) -> Keys:
        """Return the keys, an empty tuple if there is no file; raises `KeysUnusable`."""
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
        """Replace the keys by what `edit` returns; raises `KeysUnusable` and what `edit` raises."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with alone_in(self.path.parent):
                keys = edit(self.read())
                text = msgspec.json.format(msgspec.json.encode(_Content(1, keys)), indent=2)
                write_whole(self.path, text + b"\n", is_the_folders=True)
        except OSError as error:
            raise KeysUnusable(f"{self.path}: cannot be written: {error.strerror}") from None


def _check_unique(keys: Keys) -> None:
    for what in ("name", "digest"):
        if len({getattr(key, what) for key in keys}) < len(keys):
            raise ValueError(f"two keys have one {what}")
