"""Several exports in one file, written piece by piece: a list in JSON, or a ZIP of documents."""

import io
import re
import zipfile
from typing import Final

from server.archive.shapes import Form

ZIP: Final = "application/zip"

# What no file system takes in a name.
_UNFIT: Final = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*]+')


class Bundle:
    """One file of several exports; the list is one that an import takes."""

    def __init__(self, form: Form) -> None:
        self._written = _Written()
        self._names: set[str] = set()
        self._zip = (
            None if form == "json" else zipfile.ZipFile(self._written, "w", zipfile.ZIP_DEFLATED)
        )

    def add(self, name: str, body: bytes) -> bytes:
        """Add an export; return what of the file is new."""
        if self._zip is None:
            self._written.write(b",\n" if self._names else b"[")
            self._written.write(body)
        else:
            self._zip.writestr(self._free(_UNFIT.sub("_", name)), body)
        self._names.add(name)
        return self._written.take()

    def end(self) -> bytes:
        """Return the end of the file."""
        if self._zip is None:
            self._written.write(b"]\n" if self._names else b"[]\n")
        else:
            self._zip.close()
        return self._written.take()

    def _free(self, name: str) -> str:
        stem, _, ending = name.rpartition(".")
        number = 1
        while name.casefold() in self._names:
            number += 1
            name = f"{stem} {number}.{ending}"
        self._names.add(name.casefold())
        return name


class _Written(io.RawIOBase):
    """A stream that is taken from while it is written, and cannot go back."""

    def __init__(self) -> None:
        super().__init__()
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, piece: object) -> int:
        data = bytes(piece)  # type: ignore[call-overload]
        self._pieces.append(data)
        return len(data)

    def take(self) -> bytes:
        taken, self._pieces = b"".join(self._pieces), []
        return taken
