"""Secrets: how they are resolved when the settings are read, and kept out of all output.

A value `env:NAME` stands for an environment variable, `file:PATH` for the content of a file, as
Docker and Kubernetes provide secrets. Any other value is the secret itself. Errors name the place
of a secret, never the secret.
"""

import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self

# A secret is one line; a larger file holds something else.
_MAX_BYTES: Final = 16_384

WRITTEN: Final = "written"
"""The origin of a secret that is written in a settings file itself."""


class Secret(str):
    """A text whose `repr` is its `origin`, the place it was read from, instead of its value."""

    __slots__ = ("origin",)
    origin: str

    def __new__(cls, text: str, origin: str = WRITTEN) -> Self:
        """Make a secret of a text."""
        secret = super().__new__(cls, text)
        secret.origin = origin
        return secret

    @property
    def is_from_elsewhere(self) -> bool:
        """Tell whether it was read from a file or a variable that the settings name."""
        return is_reference(self.origin)

    def __repr__(self) -> str:
        """Return the place it was read from."""
        return f"<secret: {self.origin}>"


def is_reference(text: str) -> bool:
    """Tell whether the text refers to a secret and is not the secret itself."""
    return text.startswith(("env:", "file:"))


def resolve_secret(
    text: str, *, folder: Path, environment: Mapping[str, str], origin: str = WRITTEN
) -> Secret:
    """Return the secret that `text` is or stands for; a relative path begins at `folder`.

    Raises `ValueError` with what is missing, which never repeats the secret.
    """
    kind, _, place = text.partition(":")
    if kind == "env" and is_reference(text):
        if place not in environment:
            raise ValueError(f"the environment variable {place!r} is not set")
        return _checked(environment[place].strip(), text, f"the environment variable {place!r}")
    if kind == "file" and is_reference(text):
        path = file_at(place, folder)
        content = read_file(path, _MAX_BYTES, ", which is no key")
        try:
            return _checked(content.decode("utf-8-sig").strip(), f"file:{path}", str(path))
        except UnicodeDecodeError:
            raise ValueError(f"{path} is not text") from None
    return _checked(text, origin, "it")


def file_at(text: str, folder: Path) -> Path:
    """Return the file that a setting names; a relative path begins at `folder`.

    Raises `ValueError` for a home folder of an unknown user.
    """
    try:
        return Path(folder, Path(text.strip()).expanduser()).absolute()
    except RuntimeError as error:
        raise ValueError(f"{text!r} cannot be found: {error}") from None


def _checked(text: str, origin: str, place: str) -> Secret:
    if not text:
        raise ValueError(f"{place} is empty")
    if "\n" in text or "\r" in text:
        raise ValueError(f"{place} has several lines; expected one")
    if not (text.isascii() and text.isprintable()):
        raise ValueError(f"{place} has characters that no key has; expected ASCII")
    return Secret(text, origin)


def read_file(path: Path, max_bytes: int, too_large: str = "") -> bytes:
    """Return a file's content; raises `ValueError` if it cannot be read or exceeds `max_bytes`."""
    try:
        # Reading a pipe or a device could take for ever.
        if not stat.S_ISREG(path.stat().st_mode):
            raise ValueError(f"{path} is no file")
        with path.open("rb") as file:
            content = file.read(max_bytes + 1)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    if len(content) > max_bytes:
        raise ValueError(f"{path} has more than {max_bytes} bytes{too_large}")
    return content
