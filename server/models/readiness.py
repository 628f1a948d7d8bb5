"""What a starting model server tells of itself, and why one ended.

Both are read from log lines in the form of TGI's launcher, which the embedded engine
shares: JSON objects under `--json-output` (launcher lines nest the message under `fields`,
router lines do not), plain text otherwise, with or without ANSI colours.

Rules:

1. A phase never goes back, and inside a phase the fraction never does.
2. A line that is not understood changes nothing.
3. A cause is what the last telling line says, not the exit code alone.
"""

import re
import signal
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from server.core.errors import ModelFailed
from server.core.protocol import ModelState, Progress
from server.models.runners.base import Condition, LogLine, Observation

_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_TEXT_LINE = re.compile(r"^\d{4}-\d\d-\d\dT\S+\s+(?P<level>[A-Z]+)\s+(?:\S+: )*(?P<message>.*)$")

# Phase names as they go out, in the order in which a start goes through them.
PHASES: Final = ("pulling", "starting", "downloading", "loading", "warming up")
STATE_OF_PHASE: Final[dict[str, ModelState]] = {
    "pulling": "pulling",
    "starting": "starting",
    "downloading": "pulling",
    "loading": "loading",
    "warming up": "loading",
}

# The beginning of a message, and the phase it opens.
_SIGNS: Final = (
    ("Starting check and download process", "downloading"),
    ("Download file:", "downloading"),
    ("Successfully downloaded weights", "loading"),
    ("Starting shard", "loading"),
    ("Waiting for shard", "loading"),
    ("Starting Webserver", "warming up"),
    ("Warming up model", "warming up"),
)


class ReportedProgress(msgspec.Struct):
    """Progress in bytes, as the embedded engine writes it into its log lines."""

    phase: str
    done_bytes: int = 0
    total_bytes: int | None = None
    eta_seconds: float | None = None


class _Fields(msgspec.Struct):
    message: str = ""
    progress: ReportedProgress | None = None


class _JsonLine(msgspec.Struct):
    level: str = ""
    message: str = ""
    fields: _Fields | None = None


_json_line = msgspec.json.Decoder(_JsonLine)


class LogEntry(msgspec.Struct, frozen=True):
    """A log line's message without its frame."""

    level: str
    message: str
    progress: ReportedProgress | None = None


def read_line(text: str) -> LogEntry:
    """Take a log line out of whichever frame it stands in."""
    text = _ANSI.sub("", text).strip()
    if text.startswith("{"):
        try:
            line = _json_line.decode(text)
        except msgspec.DecodeError:
            return LogEntry("", text)
        if line.fields is not None:
            return LogEntry(line.level, line.fields.message, line.fields.progress)
        return LogEntry(line.level, line.message)
    framed = _TEXT_LINE.match(text)
    return LogEntry(framed["level"], framed["message"]) if framed else LogEntry("", text)


class StartProgress:
    """Follow one start by its log lines."""

    def __init__(self) -> None:
        self._phase = -1
        self._fraction = 0.0

    def feed(self, line: LogLine) -> Progress | None:
        """Return the progress that the line means, or nothing if it means none."""
        entry = read_line(line.text)
        reported = entry.progress
        if reported is not None:
            fraction = reported.done_bytes / reported.total_bytes if reported.total_bytes else None
            return self.advance(
                Progress(reported.phase, fraction, entry.message, reported.eta_seconds)
            )
        for beginning, phase in _SIGNS:
            if entry.message.startswith(beginning):
                return self.advance(Progress(phase, None, entry.message))
        return None

    def advance(self, progress: Progress) -> Progress | None:
        """Accept a step forward; return nothing for one that would go back."""
        if progress.phase not in PHASES:
            return None
        phase = PHASES.index(progress.phase)
        if phase < self._phase:
            return None
        if phase > self._phase:
            self._phase, self._fraction = phase, 0.0
        if progress.fraction is not None:
            self._fraction = min(max(self._fraction, progress.fraction), 1.0)
            progress = msgspec.structs.replace(progress, fraction=self._fraction)
        return progress


def explain_exit(observation: Observation) -> ModelFailed:
    """Say why a model server is not running, with its last lines as details."""
    tail = [line.text for line in observation.tail]
    details: dict[str, Any] = {"log": tail}
    if observation.condition is not Condition.EXITED:
        return ModelFailed("the model server is gone", details=details)
    details["exit_code"] = observation.exit_code
    message = f"the model server {_ending(observation.exit_code)}"
    cause = _telling_line(tail)
    return ModelFailed(f"{message}: {cause}" if cause else message, details=details)


def _ending(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        try:
            return f"was ended by {signal.Signals(-exit_code).name}"
        except ValueError:
            return f"was ended by signal {-exit_code}"
    return f"ended with exit code {exit_code}"


def _telling_line(tail: Iterable[str]) -> str:
    """Return the last error in the log; the launcher's bare `Error: Variant` tells least."""
    entries = [read_line(text) for text in tail]
    for entry in reversed(entries):
        if entry.level == "ERROR" and entry.message:
            return entry.message
    for entry in reversed(entries):
        if entry.message.startswith("Error: "):
            return entry.message.removeprefix("Error: ")
    return ""
