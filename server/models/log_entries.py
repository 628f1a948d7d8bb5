"""A model server's log as entries: who said what, of what weight, in which phase.

Rules:

1. A line in a frame begins an entry. Bare lines go on with one only where a frame is known to
   be followed by them (TGI's, as text), and where they do not begin something of their own.
2. Lines that one process writes into one frame after the other (vLLM's) are one entry.
3. A traceback right below a warning may be the warning's, or a program's last words: it is an
   entry of its own, and doubtful.
4. A phase begins with the line that says so, and never goes back.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from server.models.log_lines import LogEntry, read_framed, without_colours, without_rank

HARMLESS: Final = frozenset({"TRACE", "DEBUG", "INFO", "WARN"})
# What begins an entry of its own, whatever stands above it: a panic, the last words of a program.
_OWN: Final = re.compile(r"thread '.*' (?:\(\d+\) )?panicked at |Error: |(?:[\w./-]+: )?error: ")
_TRACEBACK: Final = re.compile(r".*\bTraceback \(most recent call last\)")

# Longer than what a server has to say in a line; a log is not to be trusted.
_MAX_LINE_CHARS: Final = 8_000

# Of TGI and the embedded engine; of vLLM; of llama.cpp.
_BEGINNINGS: Final = tuple(
    (phase, re.compile(pattern))
    for phase, pattern in (
        ("downloading", r"Starting check and download process"),
        ("loading", r"Starting shard|Starting to load model|.*\bloading model '"),
        ("warming up", r"Starting Webserver|Warming up model"),
        (
            "serving",
            r"Connected$|Application startup complete|.*\bserver is listening on|.*\blistening on "
            r"|The server is fired up",
        ),
    )
)
_ORDER: Final = ("", *(phase for phase, _ in _BEGINNINGS))


@dataclass
class Entry:
    """One thing that was said: its level ("" for bare lines), its lines, and the phase it is of.

    `place` is where in the server's code it was written, if that is told.
    """

    level: str
    lines: list[str] = field(default_factory=list)
    phase: str = ""
    place: str = ""
    is_doubtful: bool = False

    @property
    def is_harmless(self) -> bool:
        """Tell whether it cannot be why the server ended."""
        return self.level in HARMLESS


def read_entries(lines: Iterable[str]) -> list[Entry]:
    """Return what a log says, in its order."""
    reader = _Reader()
    for line in lines:
        reader.feed(without_colours(line))
    return reader.entries


class _Reader:
    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self._phase = ""
        # The entry that lines of a process go on with, and whether bare ones do.
        self._under_way: dict[str, Entry] = {}
        self._is_open = False

    def feed(self, text: str) -> None:
        is_json = text.lstrip().startswith("{")
        framed = read_framed(text.strip() if is_json else text[:_MAX_LINE_CHARS])
        level = framed.level
        parts = [part[:_MAX_LINE_CHARS] for part in framed.message.split("\n")]
        if level:
            self._enter(framed)
        going_on = self._under_way.get(framed.process)
        is_below_warning = going_on is not None and going_on.is_harmless and self._is_open
        if going_on is not None and self._goes_on(going_on, framed):
            going_on.lines += [without_rank(part) for part in parts] if not level else parts
            return
        is_doubtful = is_below_warning and bool(_TRACEBACK.match(framed.message)) and not level
        entry = Entry(level, parts, self._phase, framed.place, is_doubtful)
        self.entries.append(entry)
        self._under_way[framed.process] = entry
        self._is_open = framed.is_open

    def _goes_on(self, entry: Entry, framed: LogEntry) -> bool:
        if framed.level:
            return bool(framed.place) and (entry.level, entry.place) == (framed.level, framed.place)
        if not entry.level:
            return not _OWN.match(framed.message)
        if not self._is_open or _OWN.match(framed.message):
            return False
        return not entry.is_harmless or not _TRACEBACK.match(framed.message)

    def _enter(self, framed: LogEntry) -> None:
        for phase, beginning in _BEGINNINGS:
            if beginning.match(framed.message) and _ORDER.index(phase) > _ORDER.index(self._phase):
                self._phase = phase
