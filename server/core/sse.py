"""Server-sent events: bytes in, events out.

Rules:

1. Only `\\n` ends a line. A model's text may hold U+2028, U+0085 or a lone `\\r`; a parser
   that splits on those would cut an event in two. One `\\r` before the `\\n` is dropped.
2. Lines stay bytes until an event is whole, so a character cut by the network is
   never decoded in halves.
3. What an engine sends is not trusted: an event larger than `max_event_bytes` is an
   error, not a growing buffer.
4. A comment is a sign of life and nothing else.
5. What is no event is not lost: lines that are no fields, such as an error page's, are kept as
   `stray`, and `close` returns the event that the end of the stream left without its empty line.
6. A line `error: …`, which some servers write, is an event of that name.
"""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

# A token event with five alternatives is under 1 KiB; the last event repeats the whole
# answer, which a long context makes a few hundred KiB.
MAX_EVENT_BYTES = 4 * 1024 * 1024

# Of what is no event, an error's words are wanted and not a whole download.
_MAX_STRAY_BYTES: Final = 64 * 1024

_BOM: Final = b"\xef\xbb\xbf"
_FIELD_NAME: Final = re.compile(rb"[A-Za-z0-9_-]*")
_LONE_HEAD: Final = b"data: "
_LONE_HEAD_BYTES: Final = len(_LONE_HEAD)
_NEWLINE: Final = 0x0A


class ServerSentEvent(NamedTuple):
    """One dispatched event: its data lines joined by `\\n`, and its name (empty if unnamed)."""

    data: str
    event: str = ""


class StreamError(ValueError):
    """The bytes are not a server-sent event stream we can read.

    `events` holds what the same bytes had completed before they went wrong.
    """

    events: Sequence[ServerSentEvent] = ()


class EventTooLarge(StreamError):
    """An event, or a line of it, exceeds the limit."""


def lone_data(chunk: bytes) -> bytes | None:
    """Return the data of the one event that `chunk` is, None if it is anything else.

    For the common case that a read brings one token: one line of data, the empty line behind it,
    and nothing else. What is None here is for `SSEParser.feed`, and so is everything unless the
    parser is between events. Whether the data is UTF-8 is not looked at.
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
        whole event is not UTF-8. After an error the parser is of no further use.
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
        """Return the event that lacks only its empty line where the stream ends, None if none does.

        Whether it is whole is for the caller to judge: it may end anywhere. Raises `StreamError`
        when it is not UTF-8. After that the parser is of no further use.
        """
        line = self._partial.removeprefix(_BOM) if self._is_at_start else self._partial
        self._partial = b""
        if line := line.removesuffix(b"\r"):
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
