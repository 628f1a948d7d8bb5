"""Why a model server ended: read from how it exited and from its last words.

Rules:

1. What the engine knows (out of memory) goes before the exit code of a signal, that before
   what the log says, and the log before other exit codes: TGI exits with 1 whatever happened.
2. Warnings tell no cause: TGI warns of a missing GPU at every start without one. Nor do the lines
   of code that tracebacks quote, which hold the words of other errors.
3. Each cause has a code to act on, in `details["cause"]`, and a hint at what to do. The
   last lines come along.
"""

import re
import signal
from collections.abc import Iterable, Sequence
from typing import Any, Final

from server.core.errors import ModelFailed
from server.models.known_causes import (
    BAD_ARGUMENT,
    CAUSES,
    ENDED,
    KILLED,
    OUT_OF_MEMORY,
    STOPPED,
    WENT_AWAY,
    Cause,
)
from server.models.log_lines import LogEntry, read_line
from server.models.runners.base import Condition, LogLine, Observation

# Of a launcher that cannot read its arguments.
_USAGE_ERROR: Final = 2
# Longer than what people read; the whole is in the details.
_MAX_QUOTED_CHARS: Final = 300
# Of the lines that come along. In JSON it is at most twelve times as much, and common WebSocket
# clients refuse a megabyte.
_MAX_TOLD_CHARS: Final = 32_000

_HARMLESS: Final = frozenset({"TRACE", "DEBUG", "INFO", "WARN", "WARNING"})
# The frame of a traceback, and the code in it, which is indented; rich's have a box around them.
_QUOTED: Final = re.compile(r"[\u2500-\u257f]|[ >]\s+\S")
_EXCEPTION: Final = re.compile(r"[A-Za-z_][\w.]*(?:Error|Exception|Interrupt): .*")

_PATTERNS: Final = [
    (cause, re.compile(cause.pattern, re.IGNORECASE | re.MULTILINE)) for cause in CAUSES
]


def explain_exit(observation: Observation) -> ModelFailed:
    """Say why a model server is not running, with its last lines as details."""
    details: dict[str, Any] = {"log": last_words(line.text for line in observation.tail)}
    if observation.condition is not Condition.EXITED:
        details["cause"] = "gone"
        return ModelFailed(
            "the model server is gone: somebody else removed it",
            hint="start it again",
            details=details,
        )
    cause, said = _find(observation, _telling_entries(observation.tail))
    details |= {"cause": cause.code if cause else "unknown", "exit_code": observation.exit_code}
    message = cause.message if cause else f"the model server {_ending(observation)}"
    return ModelFailed(
        f"{message}: {said}" if said else message,
        hint=cause.hint if cause else None,
        details=details,
    )


def last_words(lines: Iterable[str]) -> list[str]:
    """Return the last lines, as many as an error may carry; of one that is too long, its end."""
    told: list[str] = []
    room = _MAX_TOLD_CHARS
    for line in reversed(list(lines)):
        told.insert(0, line[-room:])
        room -= len(line)
        if room <= 0:
            break
    return told


def _telling_entries(lines: Iterable[LogLine]) -> list[LogEntry]:
    """Return what was said of errors, without what tracebacks quote."""
    telling = []
    for line in lines:
        entry = read_line(line.text)
        # Lines of an error in several come as they are, without a head.
        is_bare = not entry.level
        if entry.level in _HARMLESS or (is_bare and _QUOTED.match(line.text)):
            continue
        said = [part for part in entry.message.split("\n") if not _QUOTED.match(part)]
        telling.append(LogEntry(entry.level, "\n".join(said)))
    return telling


def _find(observation: Observation, entries: Sequence[LogEntry]) -> tuple[Cause | None, str]:
    """Return the cause and what was said of it, each if there is one."""
    code = observation.exit_code
    if observation.was_out_of_memory:
        return OUT_OF_MEMORY, ""
    if observation.ended_by == signal.SIGKILL:
        return KILLED, ""
    if observation.ended_by == signal.SIGTERM:
        return STOPPED, ""
    if code == 0:
        return (WENT_AWAY if observation.left_behind else ENDED), ""
    text = "\n".join(entry.message for entry in entries)
    for cause, pattern in _PATTERNS:
        found = [_line_at(text, match.start()) for match in pattern.finditer(text)]
        if found:
            return cause, _shortened(_last_exception(found) or found[0])
    return BAD_ARGUMENT if code == _USAGE_ERROR else None, _shortened(_telling_line(entries))


def _ending(observation: Observation) -> str:
    if observation.exit_code is None:
        return "has ended"
    if observation.ended_by is not None:
        try:
            return f"was ended by {signal.Signals(observation.ended_by).name}"
        except ValueError:
            pass
    return f"ended with exit code {observation.exit_code}"


def _telling_line(entries: Sequence[LogEntry]) -> str:
    """Return the last error in the log; the launcher's bare `Error: Variant` tells least."""
    lines = [line for entry in entries for line in entry.message.split("\n")]
    if exception := _last_exception(lines):
        return exception
    for entry in reversed(entries):
        if entry.level == "ERROR" and entry.message:
            return entry.message.rstrip().rsplit("\n", 1)[-1]
    for entry in reversed(entries):
        if entry.message.startswith("Error: "):
            return entry.message.removeprefix("Error: ")
    return ""


def _last_exception(lines: Sequence[str]) -> str:
    """Return the line that says what it was, of errors that led to one another the last."""
    return next(filter(_EXCEPTION.fullmatch, reversed(lines)), "")


def _line_at(text: str, place: int) -> str:
    start = text.rfind("\n", 0, place) + 1
    return text[start:].split("\n", 1)[0]


def _shortened(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _MAX_QUOTED_CHARS else text[: _MAX_QUOTED_CHARS - 1] + "…"
