"""The engine's log: one line per fact on stdout, in the forms of TGI's launcher.

Whoever starts the engine reads its state from these lines, so the messages are TGI's
own where TGI has one. In the order of a start:

    Starting check and download process for MODEL
    Files are already present on the host. Skipping download.      (nothing to fetch)
    Download file: FILE
    Downloading FILE: 42 % (39.1 of 93.8 MB), 12 s left            (at most 4 a second)
    Downloaded PATH in 0:00:12.
    Successfully downloaded weights for MODEL
    Starting shard
    Shard ready in 0.6s
    Starting Webserver
    Warming up model
    Connected                                                      (the port listens now)

Rules:

1. Text form: `2025-04-16T17:58:47.007168Z  INFO sidestream_engine: MESSAGE`. JSON form
   (`--json-output`): one object a line, `{"timestamp", "level", "fields": {"message"},
   "target": "sidestream_engine"}`; a download line's `fields` also holds `progress`:
   `{"phase": "downloading", "done_bytes", "total_bytes": int | null,
   "eta_seconds": float | null}`.
2. A failed start ends with the cause, as an ERROR line, and then, plain in both forms,
   `Error: VARIANT`, where VARIANT is DownloadError, ShardCannotStart, WebserverFailed or
   ArgumentValidation("...").
3. Prompts, answers and keys are never logged.
"""

import logging
import sys
import threading
from datetime import UTC, datetime
from typing import Any, TextIO

import msgspec

TARGET = "sidestream_engine"


class Progress(msgspec.Struct, frozen=True):
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


class EngineLog:
    """Write the engine's lines; safe to call from any thread."""

    def __init__(self, *, json_output: bool, out: TextIO | None = None) -> None:
        self._json_output = json_output
        self._out = out or sys.stdout
        self._lock = threading.Lock()

    def fact(self, message: str, **fields: Any) -> None:
        """Write one line; `fields` appear in the JSON form only."""
        self._write("INFO", message, fields)

    def cause(self, message: str) -> None:
        """Write the cause of a failure, in one line."""
        self._write("ERROR", " ".join(message.split()), {})

    def failed(self, variant: str) -> None:
        """Write the last line of a failed start, as TGI's launcher does."""
        self._emit(f"Error: {variant}")

    def forward(self, level: str, message: str) -> None:
        """Write what a library has to say, on as many lines as it takes."""
        self._write(level, message, {})

    def capture_standard_logging(self) -> None:
        """Send what libraries log from WARNING on through this log."""
        logging.basicConfig(level=logging.WARNING, handlers=[_Forwarder(self)], force=True)

    def _write(self, level: str, message: str, fields: dict[str, Any]) -> None:
        timestamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        if not self._json_output:
            self._emit(f"{timestamp} {level:>5} {TARGET}: {message}")
            return
        line = {
            "timestamp": timestamp,
            "level": level,
            "fields": {"message": message, **fields},
            "target": TARGET,
        }
        self._emit(msgspec.json.encode(line).decode())

    def _emit(self, line: str) -> None:
        with self._lock:
            self._out.write(line + "\n")
            self._out.flush()


class _Forwarder(logging.Handler):
    """Hand a library's record to the engine's log."""

    def __init__(self, log: EngineLog) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        level = "ERROR" if record.levelno >= logging.ERROR else "WARN"
        self._log.forward(level, self.format(record))


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.1f}"
