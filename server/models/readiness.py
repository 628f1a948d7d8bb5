"""What a starting model server tells of itself: phases and progress, from its log lines.

Rules:

1. A phase never goes back, and inside a phase the fraction never does.
2. A line that is not understood changes nothing. Of a program that may be any, the last one is
   shown once a second at most: people see more in it than we do.
3. A phase that goes on without a word says so, with its age.
"""

import re
from typing import Final

import msgspec

from server.core.protocol import ModelState, Progress
from server.models.causes import explain_exit, last_words
from server.models.log_lines import LogEntry, read_line
from server.models.runners.base import LogLine

__all__ = ["PHASES", "STATE_OF_PHASE", "StartProgress", "explain_exit", "last_words", "read_line"]

# Phase names as they go out, in the order in which a start goes through them.
PHASES: Final = ("waiting", "pulling", "starting", "downloading", "loading", "warming up")
STATE_OF_PHASE: Final[dict[str, ModelState]] = {
    "waiting": "starting",
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
# No number that is meant is longer, and Python refuses to read those of thousands of digits.
_N = r"(\d{1,9})"
_FILES = re.compile(rf"Download: \[{_N}/{_N}\] -- ETA: (?:{_N}:{_N}:{_N}|0)")
_SHARDS = re.compile(rf"Sharding model on {_N} processes")

# TGI itself writes a line every 10 s while it loads.
_QUIET_SECONDS: Final = 10.0
_SAY_EVERY_SECONDS: Final = 5.0
# What fits into a row of the page; the whole line is in the log.
_MAX_TOLD_CHARS: Final = 160


class StartProgress:
    """Follow one start by its log lines, and by the clock where there are none.

    `tells_lines` shows lines that are not understood, too.
    """

    def __init__(self, *, tells_lines: bool = False) -> None:
        self._tells_lines = tells_lines
        self._line = ""
        self._phase = -1
        self._fraction: float | None = None
        self._shards = 1
        self._shards_ready = 0
        self._has_news = False
        self._phase_since: float | None = None
        self._quiet_since = 0.0

    def feed(self, line: LogLine) -> Progress | None:
        """Return the progress that the line means, or nothing if it means none."""
        entry = read_line(line.text)
        reported = entry.progress
        if reported is not None:
            fraction = reported.done_bytes / reported.total_bytes if reported.total_bytes else None
            return self.advance(
                Progress(reported.phase, fraction, entry.message, reported.eta_seconds)
            )
        counted = self._counted(entry)
        if counted is not None:
            return self.advance(counted)
        for beginning, phase in _SIGNS:
            if entry.message.startswith(beginning):
                return self.advance(Progress(phase, None, entry.message))
        if self._tells_lines and entry.message:
            self._line = _shown(entry.message)
        return None

    def advance(self, progress: Progress) -> Progress | None:
        """Accept a step forward; return nothing for one that would go back."""
        if progress.phase not in PHASES:
            return None
        phase = PHASES.index(progress.phase)
        if phase < self._phase:
            return None
        if phase > self._phase:
            self._phase, self._fraction, self._phase_since = phase, None, None
        self._has_news = True
        if progress.fraction is not None:
            self._fraction = min(max(self._fraction or 0.0, progress.fraction), 1.0)
        return msgspec.structs.replace(progress, fraction=self._fraction)

    def tick(self, now_seconds: float) -> Progress | None:
        """Return a sign of life for a phase that has been quiet; `now_seconds` only goes up."""
        if self._phase < 0:
            return None
        if self._phase_since is None:
            self._phase_since = now_seconds
        if self._has_news:
            self._has_news, self._quiet_since = False, now_seconds
        if self._line:
            line, self._line, self._quiet_since = self._line, "", now_seconds
            return Progress(PHASES[self._phase], self._fraction, line)
        if now_seconds - self._quiet_since < _QUIET_SECONDS:
            return None
        self._quiet_since += _SAY_EVERY_SECONDS
        phase = PHASES[self._phase]
        age_seconds = int(now_seconds - self._phase_since)
        return Progress(phase, self._fraction, f"{phase}, {age_seconds} s")

    def _counted(self, entry: LogEntry) -> Progress | None:
        """Read the lines that count something: files fetched, shards loaded."""
        if files := _FILES.match(entry.message):
            number, total, hours, minutes, seconds = (int(part or 0) for part in files.groups())
            eta_seconds = float(hours * 3600 + minutes * 60 + seconds)
            text = f"{number} of {total} files"
            return Progress("downloading", number / max(total, 1), text, eta_seconds)
        if shards := _SHARDS.match(entry.message):
            self._shards = max(int(shards[1]), 1)
        elif entry.message.startswith("Shard ready"):
            self._shards_ready += 1
            fraction = min(self._shards_ready / self._shards, 1.0)
            return Progress("loading", fraction, f"{self._shards_ready} of {self._shards} loaded")
        return None


def _shown(message: str) -> str:
    """Return a line's beginning as one that can be shown."""
    text = " ".join(message[: 4 * _MAX_TOLD_CHARS].split())
    text = "".join(char if char.isprintable() else "\ufffd" for char in text)
    return text if len(text) <= _MAX_TOLD_CHARS else f"{text[: _MAX_TOLD_CHARS - 1]}…"
