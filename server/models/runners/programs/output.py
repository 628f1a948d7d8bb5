"""Read the output of a program as lines, within bounds.

Rules:

1. The pipe is always emptied, so that a program never blocks when it logs.
2. A token bucket limits lines and bytes. Output above the limit is dropped in whole pieces, except
   for its end, because the last lines tell most; a line says how much was dropped.
3. A line ends with a line feed or, for progress bars, with a carriage return. A line that is too
   long is cut, and bytes that are not UTF-8 are escaped.
"""

import asyncio
import os
import re
import time
from collections.abc import Callable
from typing import Final

from server.models.logbook import LogLine

MAX_LINE_BYTES: Final = 64 * 1024
# The size of the bucket and its rate, far above what servers write while they start.
BURST_BYTES: Final = 2 << 20
BURST_LINES: Final = 10_000
BYTES_A_SECOND: Final = 512 << 10
LINES_A_SECOND: Final = 2_000
_TAIL_BYTES: Final = 64 * 1024
_CATCH_UP_SECONDS: Final = 1.0
_ENDS: Final = re.compile(rb"\r\n|\n|\r(?=.)", re.DOTALL)


class Output(asyncio.Protocol):
    """Read a pipe until its end or `close`, and call `add` with each line."""

    def __init__(self, add: Callable[[LogLine], None]) -> None:
        self._add = add
        self._partial = b""
        self._skipped = 0
        self._tail = b""
        self._bytes, self._lines = float(BURST_BYTES), float(BURST_LINES)
        self._filled_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.ReadTransport | None = None
        self.ended = asyncio.Event()

    async def follow(self, pipe: int) -> None:
        """Begin to read the pipe; this object owns it from now on."""
        loop = asyncio.get_running_loop()
        self._filled_at = loop.time()
        self._transport, _ = await loop.connect_read_pipe(lambda: self, os.fdopen(pipe, "rb", 0))

    def close(self) -> None:
        """Stop reading, and pass on the output that was read."""
        self._finish()
        if self._transport is not None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Pass on a piece of output, or drop it if the limit is exceeded."""
        self._fill()
        count = data.count(b"\n") + data.count(b"\r") + 1
        if not self._skipped and len(data) <= self._bytes and count <= self._lines:
            self._bytes -= len(data)
            self._lines -= count
            self._take(data)
            return
        self._skipped += len(data)
        self._tail = (self._tail + data)[-_TAIL_BYTES:]
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(_CATCH_UP_SECONDS, self._catch_up)

    def eof_received(self) -> None:
        """Pass on the rest of the output."""
        self._finish()

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass on the rest of the output."""
        self._finish()

    # --- inside -----------------------------------------------------------------------------

    def _fill(self) -> None:
        now = asyncio.get_running_loop().time()
        passed = now - self._filled_at
        self._filled_at = now
        self._bytes = min(self._bytes + passed * BYTES_A_SECOND, BURST_BYTES)
        self._lines = min(self._lines + passed * LINES_A_SECOND, BURST_LINES)

    def _catch_up(self) -> None:
        """Pass on the end of the dropped output, with a line that says how much was dropped."""
        self._timer = None
        skipped, tail = self._skipped, self._tail
        self._skipped, self._tail = 0, b""
        lost = skipped - len(tail)
        if lost > 0:
            self._break()
            self._say(f"[{lost} bytes left out: the program writes faster than can be followed]")
            # The tail begins in the middle of a line.
            tail = tail.partition(b"\n")[2] or tail
        count = tail.count(b"\n") + tail.count(b"\r") + 1
        self._bytes = max(self._bytes - len(tail), 0.0)
        self._lines = max(self._lines - count, 0.0)
        self._take(tail)

    def _take(self, data: bytes) -> None:
        *lines, self._partial = _ENDS.split(self._partial + data)
        for line in lines:
            self._cut(line)
        while len(self._partial) >= MAX_LINE_BYTES:
            self._say(self._partial[:MAX_LINE_BYTES])
            self._partial = self._partial[MAX_LINE_BYTES:]

    def _cut(self, line: bytes) -> None:
        self._say(line[:MAX_LINE_BYTES])
        for start in range(MAX_LINE_BYTES, len(line), MAX_LINE_BYTES):
            self._say(line[start : start + MAX_LINE_BYTES])

    def _break(self) -> None:
        if self._partial:
            self._say(self._partial)
            self._partial = b""

    def _say(self, text: bytes | str) -> None:
        if isinstance(text, bytes):
            text = text.decode(errors="replace").rstrip("\r\n")
        self._add(LogLine(time.time(), "stdout", text))

    def _finish(self) -> None:
        if self.ended.is_set():
            return
        if self._timer is not None:
            self._timer.cancel()
            self._catch_up()
        self._break()
        self.ended.set()
