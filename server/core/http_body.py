"""The body of an HTTP answer, taken out of its framing: bytes in, bytes out.

Rules:

1. Bytes of a body are returned as soon as they arrive, also in the middle of a chunk.
2. The common case has a fast path: a server that flushes each event sends it as one chunk in one
   packet. `lone_chunk` recognises that, for a reader that is between chunks.
3. Invalid framing is an error, never a guess.
4. Bytes after a complete body are ignored but set `has_surplus`: such a connection must not be
   reused.
"""

import re
from collections.abc import Mapping
from typing import Final, Protocol

# Of a chunk's length with its extension, or of a trailer.
MAX_LINE_BYTES: Final = 8 * 1024
# As many as the largest number of 64 bits has in decimal; in hex it is more than that.
MAX_LENGTH_DIGITS: Final = 19
# By itself `int` would take a sign, underscores and `0x`, which others on the way read otherwise.
_SIZE: Final = rb"[0-9a-fA-F]{1,%d}" % MAX_LENGTH_DIGITS
_is_size: Final = re.compile(_SIZE).fullmatch
_size_line: Final = re.compile(rb"(%s)\r\n" % _SIZE).match


class FramingError(ValueError):
    """The bytes are not framed as the headers announced."""


class Body(Protocol):
    """Decode a body's framing."""

    is_complete: bool
    # Whether the connection's end is the body's end.
    ends_with_connection: bool
    # Whether what comes may be a `lone_chunk`.
    is_between_chunks: bool
    # Whether bytes came after the body's end.
    has_surplus: bool

    def feed(self, data: bytes) -> bytes:
        """Return the bytes of the body in `data`; raises `FramingError`."""


def body_for(headers: Mapping[str, str]) -> Body:
    """Return the decoder for the body that these headers (names in lower case) announce.

    Raises `FramingError` for an invalid length, and for a transfer encoding other than chunked.
    """
    encoding = headers.get("transfer-encoding", "").strip().lower()
    if encoding == "chunked":
        return ChunkedBody()
    if encoding not in {"", "identity"}:
        raise FramingError(f"the body is transferred as {encoding[:40]!r}")
    length = headers.get("content-length")
    if length is None:
        return OpenBody()
    # Repeated headers are joined by commas (RFC 9112, 6.3).
    lengths = {part.strip() for part in length.split(",")}
    text = lengths.pop()
    if lengths or not (text.isascii() and text.isdigit() and len(text) <= MAX_LENGTH_DIGITS):
        raise FramingError(f"{length[:40]!r} is not a length")
    return SizedBody(int(text))


def lone_chunk(data: bytes) -> bytes | None:
    """Return the content if `data` is exactly one chunk, else None: then use `Body.feed`.

    Only valid while the body `is_between_chunks`.
    """
    line = _size_line(data)
    if line is None:
        return None
    size, start = int(line[1], 16), line.end()
    # Its content, CR LF.
    if size > 0 and len(data) == start + size + 2 and data[-2:] == b"\r\n":
        return data[start:-2]
    return None


class OpenBody:
    """Read a body that ends when the connection does."""

    ends_with_connection = True
    is_between_chunks = False
    has_surplus = False

    def __init__(self) -> None:
        self.is_complete = False

    def feed(self, data: bytes) -> bytes:
        """Return the data."""
        return data


class SizedBody:
    """Read a body of known length; bytes after it are ignored."""

    ends_with_connection = False
    is_between_chunks = False

    def __init__(self, size_bytes: int) -> None:
        self._left_bytes = size_bytes
        self.is_complete = size_bytes == 0
        self.has_surplus = False

    def feed(self, data: bytes) -> bytes:
        """Return the part of the data that is within the length."""
        part = data[: self._left_bytes]
        self.has_surplus = self.has_surplus or len(part) < len(data)
        self._left_bytes -= len(part)
        self.is_complete = self._left_bytes == 0
        return part


class ChunkedBody:
    """Read a body that comes in chunks, however they are cut (RFC 9112, 7.1)."""

    ends_with_connection = False

    __slots__ = (
        "_is_after_chunk",
        "_is_in_trailers",
        "_left_bytes",
        "_partial_line",
        "has_surplus",
        "is_between_chunks",
        "is_complete",
    )

    def __init__(self) -> None:
        self.is_complete = False
        self.is_between_chunks = True
        self.has_surplus = False
        self._partial_line = b""
        self._left_bytes = 0
        self._is_after_chunk = False
        self._is_in_trailers = False

    def feed(self, data: bytes) -> bytes:
        """Return the bytes of the body in `data`; raises `FramingError`."""
        if self.is_complete:
            self.has_surplus = self.has_surplus or bool(data)
            return b""
        body = b"".join(self._parts(self._partial_line + data))
        self.is_between_chunks = not (
            self._left_bytes or self._is_after_chunk or self._partial_line or self._is_in_trailers
        )
        return body

    def _parts(self, data: bytes) -> list[bytes]:
        parts = []
        at = 0
        while not self.is_complete:
            if self._left_bytes:
                part = data[at : at + self._left_bytes]
                if not part:
                    break
                parts.append(part)
                at += len(part)
                self._left_bytes -= len(part)
                continue
            end = data.find(b"\r\n", at)
            if end < 0:
                break
            self._line(data[at:end])
            at = end + 2
        if self.is_complete:
            self.has_surplus = at < len(data)
            self._partial_line = b""
            return parts
        self._partial_line = data[at:]
        if len(self._partial_line) > MAX_LINE_BYTES:
            raise FramingError(f"a chunk's head exceeds {MAX_LINE_BYTES} bytes")
        return parts

    def _line(self, line: bytes) -> None:
        if self._is_in_trailers:
            self.is_complete = not line
        elif self._is_after_chunk:
            if line:
                raise FramingError("a chunk is longer than its length")
            self._is_after_chunk = False
        else:
            digits = line.partition(b";")[0].strip()
            if not _is_size(digits):
                raise FramingError(f"{line[:40]!r} is not a chunk's length")
            size = int(digits, 16)
            self._left_bytes = size
            self._is_after_chunk = size > 0
            self._is_in_trailers = size == 0
