"""The engine's log: one JSON object a line on standard output, which the gateway reads.

    {"timestamp", "level", "fields": {"message", "progress"?}, "target": "sidestream_engine"}

`progress` has the phase (`downloading`, `loading`, `serving`) and, for a download,
`done_bytes`, `total_bytes` and `eta_seconds`. Prompts, answers and keys are never logged.
"""

import logging
import sys
import threading
from datetime import UTC, datetime
from typing import Any, TextIO

import msgspec

from server.weights.reporting import DownloadProgress

TARGET = "sidestream_engine"


class EngineLog:
    """Write the engine's lines; safe to call from any thread."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        self._lock = threading.Lock()

    def write(self, message: str, progress: DownloadProgress | None = None) -> None:
        """Write one line, with the progress that it tells of."""
        self._write("INFO", message, {} if progress is None else {"progress": progress})

    def phase(self, name: str, message: str) -> None:
        """Write that a phase of the start begins."""
        self._write("INFO", message, {"progress": {"phase": name}})

    def error(self, message: str) -> None:
        """Write the cause of a failure, in one line.

        llama.cpp may be in the middle of a line of its own, from a thread: this one begins anew.
        """
        self._write("ERROR", " ".join(message.split()), {}, before="\n")

    def forward(self, level: str, message: str) -> None:
        """Write what a library has to say."""
        self._write(level, message, {})

    def capture_standard_logging(self) -> None:
        """Send what libraries log from WARNING on through this log."""
        logging.basicConfig(level=logging.WARNING, handlers=[_Forwarder(self)], force=True)

    def _write(self, level: str, message: str, fields: dict[str, Any], *, before: str = "") -> None:
        line = {
            "timestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "level": level,
            "fields": {"message": message, **fields},
            "target": TARGET,
        }
        with self._lock:
            self._out.write(before + msgspec.json.encode(line).decode() + "\n")
            self._out.flush()


class _Forwarder(logging.Handler):
    """Hand a library's record to the engine's log."""

    def __init__(self, log: EngineLog) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        level = "ERROR" if record.levelno >= logging.ERROR else "WARN"
        self._log.forward(level, self.format(record))
