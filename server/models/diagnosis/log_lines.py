"""Parse log lines: separate the level and the message from the frames of known engines.

TGI's launcher and router, and the embedded engine like them, write JSON objects under
`--json-output` (launcher lines nest the message under `fields`, router lines do not) and plain
text otherwise, with or without ANSI colours. Their last words are always plain text. vLLM, SGLang,
llama.cpp, Ollama and their libraries have frames of their own.
"""

import re
from typing import Annotated, Final

import msgspec

_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
# A span, with its fields in braces, which may be nested.
_SPAN: Final = r"[a-z][a-z0-9_-]*(?:\{(?:[^{}]|\{[^{}]*\})*\})?"
# Time, level, spans and target (lower case, unlike the names of Python's errors), the router's
# file and line, message.
_TEXT_LINE = re.compile(
    r"^\d{4}-\d\d-\d\dT\S+\s+(?P<level>[A-Z]+)\s+"
    rf"(?:{_SPAN}(?:::?{_SPAN})*: )*(?:[a-z0-9_/-]+\.rs:\d+: )?(?P<message>.*)$"
)
# The field that lines of a shard's thread end with.
_RANK = re.compile(r" rank=\d+$")
# The name of the vLLM process that wrote the line; some lines have no other frame.
_PROCESS = re.compile(r"^\((?P<process>\w[\w .=-]*) ?pid=\d+\) ?")
_LOGGED: Final = r"(?P<level>DEBUG|INFO|WARNING|ERROR|CRITICAL)"
_FRAMES: Final = tuple(
    re.compile(pattern)
    for pattern in (
        # vLLM
        rf"^{_LOGGED} \d\d-\d\d \d\d:\d\d:\d\d \[(?P<place>[\w./-]+:\d+)\] ?(?P<message>.*)$",
        # loguru, used by TGI's shards
        r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+ \| (?P<level>[A-Z]+) *\| \S+ - (?P<message>.*)$",
        # llama.cpp; older versions write only the function's name before the message
        r"^\d+\.\d\d\.\d{3}\.\d{3} (?P<level>[DIWE]) (?P<message>.*)$",
        # SGLang
        rf"^\[\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d[^\]]*\] (?:{_LOGGED}:? )?(?P<message>.*)$",
        # uvicorn
        rf"^{_LOGGED}:\s+(?P<message>.*)$",
        # PyTorch's C++, in glog's form
        r"^(?:\[rank\d+\]:)?\[?(?P<level>[IWEF])\d{4} \d\d:\d\d:\d\d\.\d+ [^\]]*\] "
        r"(?P<message>.*)$",
        # Ollama
        r"^time=\S+ level=(?P<level>[A-Z]+) (?:source=\S+ )?msg=(?P<message>.*)$",
        # Python's warnings: a place, a kind that ends with `Warning`
        r"^\S+:\d+: (?P<message>(?P<level>\w*Warning): .*)$",
    )
)
_LEVELS: Final = {
    "D": "DEBUG",
    "I": "INFO",
    "W": "WARN",
    "E": "ERROR",
    "F": "ERROR",
    "WARNING": "WARN",
    "CRITICAL": "ERROR",
    "FATAL": "ERROR",
}


SERVING: Final = re.compile(
    r"Connected$|Application startup complete|.*\bserver is listening on|.*\blistening on "
    r"|The server is fired up"
)
"""The messages of TGI, vLLM, llama.cpp and SGLang that they serve, or are about to."""


# A server's log cannot be trusted: larger numbers are ignored.
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
    msg: str = ""
    fields: _Fields | None = None


_json_line = msgspec.json.Decoder(_JsonLine)


class LogEntry(msgspec.Struct, frozen=True):
    """A log line's message without its frame; bare lines have no level.

    `process` and `place` are the process that wrote the line and the place in its code, if the
    frame names them. `is_open` is whether bare lines that follow may belong to it.
    """

    level: str
    message: str
    progress: ReportedProgress | None = None
    process: str = ""
    place: str = ""
    is_open: bool = False

    @property
    def says_it_serves(self) -> bool:
        """Tell whether the server says that it serves."""
        told = self.progress.phase if self.progress is not None else ""
        return told == "serving" or SERVING.match(self.message) is not None


def read_line(text: str) -> LogEntry:
    """Parse a log line; without a known frame the whole line is the message."""
    return read_framed(_ANSI.sub("", text).strip())


def read_framed(text: str) -> LogEntry:
    """Parse a line without colours, keeping its indentation."""
    if text.startswith("{"):
        try:
            line = _json_line.decode(text)
        except (msgspec.DecodeError, RecursionError):
            return LogEntry("", text)
        level = _LEVELS.get(line.level.upper(), line.level.upper())
        if line.fields is not None:
            return LogEntry(level, line.fields.message, line.fields.progress)
        return LogEntry(level, line.message or line.msg.rstrip("\n"))
    if framed := _TEXT_LINE.match(text):
        return LogEntry(framed["level"], _RANK.sub("", framed["message"]), is_open=True)
    process = ""
    if prefixed := _PROCESS.match(text):
        process, text = prefixed["process"].strip(), text[prefixed.end() :]
    for frame in _FRAMES:
        if framed := frame.match(text):
            level = framed["level"] or ""
            level = "WARN" if level.endswith("Warning") else _LEVELS.get(level, level)
            place = framed.groupdict().get("place") or ""
            return LogEntry(level, framed["message"], process=process, place=place)
    return LogEntry("", text, process=process)


def without_colours(text: str) -> str:
    """Return a line without colour codes, with its indentation."""
    return _ANSI.sub("", text).rstrip("\r\n")


def without_rank(text: str) -> str:
    """Return a line without the rank that TGI appends to a shard's lines."""
    return _RANK.sub("", text)
