"""Group the lines of a model server's log into entries, each with a level and a phase.

Rules:

1. A framed line, with a level and a time stamp, begins an entry. A bare line continues the entry
   only if such frames can be followed by bare lines (TGI's text form), and only if the line does
   not begin an entry itself.
2. Consecutive lines of one process with the same frame (vLLM) are one entry.
3. A traceback right below a warning may belong to the warning or be the program's last words: it is
   an entry of its own, marked as doubtful.
4. Known lines begin a phase. Phases never go back.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from server.models.diagnosis.log_lines import (
    SERVING,
    LogEntry,
    read_framed,
    without_colours,
    without_rank,
)

HARMLESS: Final = frozenset({"TRACE", "DEBUG", "INFO", "WARN"})
# Bare lines that always begin an entry: a panic, a program's final error.
_OWN: Final = re.compile(r"thread '.*' (?:\(\d+\) )?panicked at |Error: |(?:[\w./-]+: )?error: ")
_TRACEBACK: Final = re.compile(r".*\bTraceback \(most recent call last\)")

# No useful line is longer; a log cannot be trusted.
_MAX_LINE_CHARS: Final = 8_000

# The first lines of phases in TGI, vLLM and llama.cpp; the embedded engine logs phases as data.
_BEGINNINGS: Final = (
    ("downloading", re.compile(r"Starting check and download process")),
    ("loading", re.compile(r"Starting shard|Starting to load model|.*\bloading model '")),
    ("warming up", re.compile(r"Starting Webserver|Warming up model")),
    ("serving", SERVING),
)
_ORDER: Final = ("", *(phase for phase, _ in _BEGINNINGS))


@dataclass
class Entry:
    """One message of a log: its level ("" for bare lines), its lines, and its phase.

    `place` is the place in the server's code that wrote it, if the frame names it.
    """

    level: str
    lines: list[str] = field(default_factory=list)
    phase: str = ""
    place: str = ""
    is_doubtful: bool = False

    @property
    def is_harmless(self) -> bool:
        """Tell whether the entry cannot be the cause of the server's end."""
        return self.level in HARMLESS


def read_entries(lines: Iterable[str]) -> list[Entry]:
    """Return the entries of a log, in its order."""
    reader = _Reader()
    for line in lines:
        reader.feed(without_colours(line))
    return reader.entries


class _Reader:
    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self._phase = ""
        # The current entry of each process.
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
        told = framed.progress.phase if framed.progress is not None else ""
        for phase, beginning in _BEGINNINGS:
            is_begun = phase == told or beginning.match(framed.message)
            if is_begun and _ORDER.index(phase) > _ORDER.index(self._phase):
                self._phase = phase
