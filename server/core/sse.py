r"""Server-sent events: bytes in, events out.

Rules:

1. Only `\n` ends a line. A model's text may hold U+2028, U+0085 or a lone `\r`; a parser
   that splits on those would cut an event in two. One `\r` before the `\n` is dropped.
2. Lines stay bytes until an event is whole, so a character cut by the network is
   never decoded in halves.
3. Servers are not trusted: an event larger than `max_event_bytes` is an error, and no growing
   buffer.
4. Comments are ignored.
5. Lines that are no fields, such as an error page's, are collected in `stray`, and `close` returns
   a last event that lacks its empty line.
6. A line `error: …`, which some servers write, is an event of that name.
"""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

# A token event with five alternatives is under 1 KiB; the last event repeats the whole
# answer, which a long context makes a few hundred KiB.
MAX_EVENT_BYTES = 4 * 1024 * 1024

# Enough for an error message, without holding a whole download.
_MAX_STRAY_BYTES: Final = 64 * 1024

_BOM: Final = b"\xef\xbb\xbf"
_FIELD_NAME: Final = re.compile(rb"[A-Za-z0-9_-]*")
_FIELD_NAMES: Final = (b"data", b"event", b"error", b"id", b"retry")
_LONE_HEAD: Final = b"data: "
_LONE_HEAD_BYTES: Final = len(_LONE_HEAD)
_NEWLINE: Final = 0x0A


class ServerSentEvent(NamedTuple):
    r"""One dispatched event: its data lines joined by `\n`, and its name (empty if unnamed)."""

    data: str
    event: str = ""


class StreamError(ValueError):
    """The bytes are not a valid stream of server-sent events.

    `events` are those that the same bytes completed before the error.
    """

    events: Sequence[ServerSentEvent] = ()


class EventTooLarge(StreamError):
    """An event, or a line of it, exceeds the limit."""


def lone_data(chunk: bytes) -> bytes | None:
    """Return the data if `chunk` is exactly one event, else None: then use `SSEParser.feed`.

    This is the fast path for a read that brings one token: one line of data and the empty line
    behind it. Only valid while the parser `is_between_events`. UTF-8 is not checked.
    """
    if (
        chunk.startswith(_LONE_HEAD)
        and chunk.find(b"\n") == len(chunk) - 2 < MAX_EVENT_BYTES
        and chunk[-1] == _NEWLINE
        and b"\r" not in chunk
    ):
        return chunk[_LONE_HEAD_BYTES:-2]
    return None


class SSEParser:
    """Cut a byte stream into events, however the bytes arrive."""

    __slots__ = (
        "_data",
        "_data_bytes",
        "_event",
        "_is_at_start",
        "_max_event_bytes",
        "_partial",
        "is_between_events",
        "stray",
    )

    def __init__(self, *, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max_event_bytes = max_event_bytes
        self._partial = b""
        self._data: list[bytes] = []
        self._data_bytes = 0
        self._event = b""
        self._is_at_start = True
        self.is_between_events = True
        self.stray = b""

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        """Return the events that `chunk` completes.

        Raises `EventTooLarge` when an event exceeds the limit, `StreamError` when a
        whole event is not UTF-8. The parser cannot be used after an error.
        """
        lines = (self._partial + chunk).split(b"\n")
        self._partial = lines.pop()
        if lines and self._is_at_start:
            self._is_at_start = False
            lines[0] = lines[0].removeprefix(_BOM)
        events: list[ServerSentEvent] = []
        try:
            for ended_line in lines:
                if line := ended_line.removesuffix(b"\r"):
                    self._field(line)
                elif self._data:
                    events.append(self._dispatch())
                else:
                    self._event = b""
            self._check_size(len(self._partial))
            self.is_between_events = not (self._partial or self._data or self._event)
        except StreamError as error:
            error.events = events
            raise
        return events

    def close(self) -> ServerSentEvent | None:
        """Return the last event if the stream ended without its empty line, else None.

        It may be cut anywhere; the caller decides whether it is whole. Raises `StreamError`
        when it is not UTF-8. The parser cannot be used afterwards.
        """
        line = self._partial.removeprefix(_BOM) if self._is_at_start else self._partial
        self._partial = b""
        line = line.removesuffix(b"\r")
        # The name of a field may be cut.
        if not any(name.startswith(line) for name in _FIELD_NAMES):
            self._field(line)
        return self._dispatch() if self._data else None

    def _field(self, line: bytes) -> None:
        name, colon, value = line.partition(b":")
        # TGI 2.1 and later write "data: {…}", earlier versions "data:{…}".
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
            self._data_bytes += len(value) + 1
            self._check_size(0)
        elif name == b"event":
            self._event = value
        elif name.lower() == b"error":
            self._event = b"error"
            self._field(b"data:" + value)
        elif len(self.stray) < _MAX_STRAY_BYTES and not (colon and _FIELD_NAME.fullmatch(name)):
            self.stray += line + b"\n"
        # An empty name is a comment; `id` and `retry` mean nothing without a browser's
        # reconnection; any other field is to be ignored.

    def _check_size(self, partial_bytes: int) -> None:
        if self._data_bytes + partial_bytes > self._max_event_bytes:
            raise EventTooLarge(f"an event exceeds {self._max_event_bytes} bytes")

    def _dispatch(self) -> ServerSentEvent:
        try:
            event = ServerSentEvent(b"\n".join(self._data).decode(), self._event.decode())
        except UnicodeDecodeError as error:
            raise StreamError(f"an event is not UTF-8: {error}") from None
        self._data = []
        self._data_bytes = 0
        self._event = b""
        return event
