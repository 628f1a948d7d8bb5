"""Files that are changed whole: readers find the old ones or the new ones, never a half."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_MODE: Final = 0o600


@contextlib.contextmanager
def alone_in(directory: Path) -> Iterator[None]:
    """Keep out other writers of a folder; what was renamed in it is on the disk at the end."""
    folder = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
        os.fsync(folder)
    finally:
        os.close(folder)


def write_whole(file: Path, content: bytes, *, is_the_folders: bool = False) -> None:
    """Write a file beside its place, for its owner only, then move it there.

    `is_the_folders` makes the owner of the folder its owner where root writes it.
    """
    new = file.with_name(f"{file.name}.new")
    # A killed writer may have left one, perhaps with another mode.
    new.unlink(missing_ok=True)
    with open(new, "xb", opener=_private) as output:
        output.write(content)
        output.flush()
        if is_the_folders and os.geteuid() == 0:
            folder = file.parent.stat()
            os.fchown(output.fileno(), folder.st_uid, folder.st_gid)
        os.fsync(output.fileno())
    new.replace(file)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, _MODE)
