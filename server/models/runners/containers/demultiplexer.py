"""Turn the bytes of a container's log into lines.

The engine writes frames: one byte for the stream, three of padding, four for the length,
then the text. With `timestamps` the text begins with the time at which it was written. A line
longer than 16 KiB comes in several frames; only the last ends with a line feed.
No I/O: bytes in, lines out, whatever the chunks.
"""

import struct
from datetime import datetime
from typing import Final, NamedTuple

_HEADER: Final = struct.Struct(">BxxxL")
_STREAMS: Final = {0: "stdout", 1: "stdout", 2: "stderr"}
# What the engine itself says of the log, without a time stamp.
_OF_THE_ENGINE: Final = 3
ENGINE_STREAM: Final = "sidestream"
# Bounds the memory for a model server that writes no line feeds.
MAX_LINE_BYTES: Final = 64 * 1024


class StampedLine(NamedTuple):
    """A line with the engine's time stamp, as text and in seconds since the epoch."""

    stamp: str
    time: float
    stream: str
    text: str


class Demultiplexer:
    """Cut one container's log into lines."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._begun: dict[str, bytearray] = {"stdout": bytearray(), "stderr": bytearray()}
        self._stamp = ""

    def feed(self, data: bytes) -> list[StampedLine]:
        """Add received bytes; return the lines that they complete."""
        self._buffer += data
        lines = []
        while len(self._buffer) >= _HEADER.size:
            kind, length = _HEADER.unpack_from(self._buffer)
            end = _HEADER.size + length
            if len(self._buffer) < end:
                break
            frame = bytes(self._buffer[_HEADER.size : end])
            del self._buffer[:end]
            if kind == _OF_THE_ENGINE:
                said = frame.decode(errors="replace").strip()
                lines.append(StampedLine("", 0.0, ENGINE_STREAM, said))
            else:
                lines += self._read(_STREAMS.get(kind, "stdout"), frame)
        return lines

    def finish(self) -> list[StampedLine]:
        """End the log; return the last line if it has no line feed."""
        return [
            self._line(stream)
            for stream, begun in self._begun.items()
            # At most one piece can be left.
            if begun
        ]

    def _read(self, stream: str, frame: bytes) -> list[StampedLine]:
        head, _, text = frame.partition(b" ")
        self._stamp = head.decode("ascii", errors="replace")
        begun = self._begun[stream]
        begun += text
        lines = []
        while begun and (text.endswith(b"\n") or len(begun) >= MAX_LINE_BYTES):
            lines.append(self._line(stream))
        return lines

    def _line(self, stream: str) -> StampedLine:
        """Take a line from the buffer; one that is too long continues as the next line."""
        begun = self._begun[stream]
        text = bytes(begun[:MAX_LINE_BYTES]).decode(errors="replace").rstrip("\r\n")
        del begun[:MAX_LINE_BYTES]
        return StampedLine(self._stamp, _seconds(self._stamp), stream, text)


def _seconds(stamp: str) -> float:
    """Parse an RFC 3339 time with nanoseconds; return 0 for anything else."""
    try:
        # Python takes at most six digits of a second.
        whole, _, fraction = stamp.rstrip("Z").partition(".")
        return datetime.fromisoformat(f"{whole}.{fraction[:6] or 0:0<6}+00:00").timestamp()
    except ValueError:
        return 0.0
