"""A log line's message, taken out of whichever frame it stands in.

TGI's launcher and router, and the embedded engine with them, write JSON objects under
`--json-output` (launcher lines nest the message under `fields`, router lines do not) and
plain text otherwise, with or without ANSI colours. Last words are plain text always.
"""

import re
from typing import Annotated

import msgspec

_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
# Time, level, spans and target (lower case, unlike the names of Python's errors), message, and
# the field that lines of a shard's thread end with.
_TEXT_LINE = re.compile(
    r"^\d{4}-\d\d-\d\dT\S+\s+(?P<level>[A-Z]+)\s+"
    r"(?:[a-z][a-z0-9_:-]*(?:\{[^}]*\})?: )*(?P<message>.*?)(?: rank=\d+)?$"
)


# A server's log is not to be trusted: what no disk holds and nobody waits for is no progress.
_Bytes = Annotated[int, msgspec.Meta(ge=0, le=2**60)]
_Seconds = Annotated[float, msgspec.Meta(ge=0, le=10**9)]


class ReportedProgress(msgspec.Struct):
    """Progress in bytes, as the embedded engine writes it into its log lines."""

    phase: str
    done_bytes: _Bytes = 0
    total_bytes: _Bytes | None = None
    eta_seconds: _Seconds | None = None


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
    """Take the message out of a log line; a line in no known frame is all message."""
    text = _ANSI.sub("", text).strip()
    if text.startswith("{"):
        try:
            line = _json_line.decode(text)
        except (msgspec.DecodeError, RecursionError):
            return LogEntry("", text)
        if line.fields is not None:
            return LogEntry(line.level, line.fields.message, line.fields.progress)
        return LogEntry(line.level, line.message)
    framed = _TEXT_LINE.match(text)
    return LogEntry(framed["level"], framed["message"]) if framed else LogEntry("", text)
