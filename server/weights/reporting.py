"""What is told while weights are looked for and fetched: facts, and how far a download is."""

from typing import Protocol

import msgspec


class DownloadProgress(msgspec.Struct, frozen=True):
    """How far a download is; a null total or time left means that it is not known."""

    done_bytes: int
    total_bytes: int | None
    eta_seconds: float | None
    phase: str = "downloading"

    def describe(self, name: str) -> str:
        """Return the line a reader sees: share, megabytes and seconds left."""
        if self.total_bytes is None:
            return f"Downloading {name}: {_megabytes(self.done_bytes)} MB"
        percent = 100 * self.done_bytes // max(self.total_bytes, 1)
        line = (
            f"Downloading {name}: {percent} % "
            f"({_megabytes(self.done_bytes)} of {_megabytes(self.total_bytes)} MB)"
        )
        return line if self.eta_seconds is None else f"{line}, {self.eta_seconds:.0f} s left"


class Report(Protocol):
    """Take one line for people, and the progress that it tells of as data."""

    def __call__(self, message: str, progress: DownloadProgress | None = None) -> None:
        """Take both; `progress` is None where nothing is measured."""


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.1f}"
