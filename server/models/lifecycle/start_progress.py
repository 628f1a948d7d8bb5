"""Follow the phases and the progress of a start by the log lines of the model server.

Rules:

1. Phases never go back; within a phase the fraction never falls.
2. An unknown line changes nothing. For an unknown program the last line is shown, at most once a
   second, since people may understand it.
3. A phase that has logged nothing for a while is shown with its duration.
"""

import re
from typing import Final

import msgspec

from server.core.protocol import Progress
from server.engines.engine import Sign
from server.engines.known import ENGINES
from server.models.diagnosis.log_lines import read_line
from server.models.lifecycle.state import Event
from server.models.logbook import LogLine

# The phases by their names on the wire, in their order.
EVENT_OF_PHASE: Final[dict[str, Event]] = {
    "waiting": "start",
    "pulling": "pull",
    "starting": "start",
    "downloading": "pull",
    "loading": "load",
    "warming up": "load",
}
PHASES: Final = tuple(EVENT_OF_PHASE)

# For an unknown engine, the signs of all engines.
_ANY: Final = tuple(sign for engine in ENGINES.values() for sign in engine.signs)
_SIGNS: Final = {
    name: [(re.compile(sign.pattern), sign) for sign in signs]
    for name, signs in {"": _ANY, **{one.name: one.signs for one in ENGINES.values()}}.items()
}
# Lines with signs are short; a log cannot be trusted.
_MAX_SEARCHED_CHARS: Final = 2_000

# TGI itself writes a line every 10 s while it loads.
_QUIET_SECONDS: Final = 10.0
_SAY_EVERY_SECONDS: Final = 5.0
# As much as fits into a row of the page; the log has the whole line.
_MAX_TOLD_CHARS: Final = 160


class StartProgress:
    """Follow one start by its log lines, and by the clock if there are none.

    `engine` is the name of the engine, empty if it is not known. `tells_lines` also shows unknown
    lines.
    """

    def __init__(self, engine: str = "", *, tells_lines: bool = False) -> None:
        self._signs = _SIGNS[engine]
        self._tells_lines = tells_lines
        self._line = ""
        self._phase = -1
        self._fraction: float | None = None
        self._total = 1
        self._done = 0
        self._has_news = False
        self._phase_since: float | None = None
        self._quiet_since = 0.0
        self.says_it_serves = False
        """Whether the last line says that the server serves."""

    def feed(self, line: LogLine) -> Progress | None:
        """Return the progress that a line means; None if it means none."""
        entry = read_line(line.text)
        self.says_it_serves = entry.says_it_serves
        reported = entry.progress
        if reported is not None:
            fraction = reported.done_bytes / reported.total_bytes if reported.total_bytes else None
            return self.advance(
                Progress(reported.phase, fraction, entry.message, reported.eta_seconds)
            )
        # A progress bar overwrites its line; only the last state counts.
        message = entry.message.rstrip("\r").rpartition("\r")[2][:_MAX_SEARCHED_CHARS]
        for pattern, sign in self._signs:
            if found := pattern.search(message):
                return self._read(sign, found)
        if self._tells_lines and entry.message:
            self._line = _shown(entry.message)
        return None

    def advance(self, progress: Progress) -> Progress | None:
        """Record progress and return it; return None if it would go back."""
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
        """Return progress for a phase that has logged nothing; `now_seconds` is monotonic."""
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

    def _read(self, sign: Sign, found: re.Match[str]) -> Progress | None:
        """Return the phase, the fraction and the message that a line means."""
        numbers = {name: int(text or 0) for name, text in found.groupdict().items()}
        if not sign.phase:
            self._total = max(numbers["total"], 1)
            return None
        if sign.counts:
            self._done += 1
            numbers = {"done": self._done, "total": self._total}
        fraction: float | None = None
        if "total" in numbers:
            fraction = min(numbers["done"] / max(numbers["total"], 1), 1.0)
        eta_seconds: float | None = None
        if "seconds" in numbers:
            minutes = numbers["hours"] * 60 + numbers["minutes"]
            eta_seconds = float(minutes * 60 + numbers["seconds"])
        text = sign.words.format(**numbers) if sign.words else _shown(found.string)
        return self.advance(Progress(sign.phase, fraction, text, eta_seconds))


def _shown(message: str) -> str:
    """Return the beginning of a line in printable form."""
    text = " ".join(message[: 4 * _MAX_TOLD_CHARS].split())
    text = "".join(char if char.isprintable() else "\ufffd" for char in text)
    return text if len(text) <= _MAX_TOLD_CHARS else f"{text[: _MAX_TOLD_CHARS - 1]}…"
