"""How the log is written: lines for people on a terminal, JSON objects for programs elsewhere.

Rules:

1. One record is one line, except for the traceback of an unexpected error; text from a client
   cannot begin another line.
2. A record says for which request it was written, wherever in the program that was.
3. What a record has beside its message stands in `fields`: numbers stay numbers.
"""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, Final, TextIO

from server.core.trace import current

# What ends a line somewhere, moves a terminal's cursor, or has text read in another direction.
_CONTROLS: Final = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))} | {
    code: f"\\u{code:04x}"
    for code in (0x61C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A))
}
_ESCAPES: Final = {code: f"\\u{code:04x}" for code in _CONTROLS if code >= 127}


class TextFormatter(logging.Formatter):
    """Write a record for people."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """Write the line, without the traceback that may follow it."""
        told = {key: value for key, value in _fields(record).items() if value is not None}
        record.message = record.message.translate(_CONTROLS)
        line = super().formatMessage(record)
        return line + "".join(f" {key}={_word(value)}" for key, value in told.items())


class JSONFormatter(logging.Formatter):
    """Write a record as an object."""

    def format(self, record: logging.LogRecord) -> str:
        """Write the line."""
        told: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            told["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            told["stack"] = record.stack_info
        # JSON leaves some of them as they are, and within a string an escape is the same.
        return json.dumps(told, ensure_ascii=False, default=str).translate(_ESCAPES)


def configure(level: str, form: str, *, output: TextIO | None = None) -> None:
    """Have the log written to `output` (standard error), in place of how it was before.

    `form` is `text`, `json`, or `auto`: text where somebody looks on, JSON elsewhere.
    """
    output = output or sys.stderr
    handler = logging.StreamHandler(output)
    is_text = form == "text" or (form == "auto" and output.isatty())
    handler.setFormatter(TextFormatter() if is_text else JSONFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    trace = current()
    fields: dict[str, Any] = dict(getattr(record, "fields", {}))
    if trace.request_id:
        fields["request_id"] = trace.request_id
    if trace.trace_id:
        fields["trace_id"] = trace.trace_id
    return fields


def _word(value: object) -> str:
    text = str(value).translate(_CONTROLS)
    return json.dumps(text, ensure_ascii=False) if " " in text or not text else text
