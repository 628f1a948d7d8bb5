"""The heads of requests and answers: text to bytes, bytes to status and headers.

Rules:

1. What goes into a head can end neither a line nor the head: a value that could is refused, and
   never shown, for it may be a secret.
2. The headers that frame a request are ours alone.
3. An answer's head is read strictly where a body's length depends on it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from server.core.errors import EngineError
from server.core.http_body import FramingError

# Ours are below 1 KiB; aiohttp and nginx allow as much.
MAX_HEAD_BYTES: Final = 32 * 1024

_HTTP: Final = b"HTTP/"
# How a server that expects TLS answers what is none: with an alert (RFC 8446, 5.1).
_TLS_ALERT: Final = b"\x15\x03"
_FRAMING: Final = frozenset(
    {"connection", "content-length", "expect", "te", "trailer", "transfer-encoding", "upgrade"}
)
# RFC 9110, 5.6.2 and 5.5: a name is a token, and a value has no control characters but the tab.
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_NO_VALUE: Final = re.compile(r"[^\t\x20-\x7e\x80-\xff]")
# Some servers say how long they keep an idle connection (RFC 2068, 19.7.1.1).
_KEPT: Final = re.compile(r"\btimeout=(\d{1,6})\b")


@dataclass(frozen=True)
class Head:
    """The head of an answer; names of headers are in lower case."""

    is_http_1_1: bool
    status: int
    headers: Mapping[str, str]

    @property
    def allows_reuse(self) -> bool:
        """Tell whether the server takes another request on the connection (RFC 9112, 9.3)."""
        options = {
            option.strip().lower() for option in self.headers.get("connection", "").split(",")
        }
        # With both, somebody in between may have read another body than we did (RFC 9112, 6.1).
        if "close" in options or {"transfer-encoding", "content-length"} <= self.headers.keys():
            return False
        return self.is_http_1_1 or "keep-alive" in options

    @property
    def kept_seconds(self) -> float | None:
        """Return how long the server keeps an idle connection, None if it does not say."""
        found = _KEPT.search(self.headers.get("keep-alive", ""))
        return float(found[1]) if found else None


class HeadReader:
    """Find the head of an answer in what comes, after those that only tell that it will come."""

    def __init__(self) -> None:
        self.head: Head | None = None
        self._bytes = b""

    def feed(self, data: bytes) -> bytes | None:
        """Return what follows the head, None while the head is not whole.

        Raises `FramingError` for what is none, `EngineError` for a server that expects https.
        """
        rest = self._bytes + data
        taken_bytes = 0
        while self.head is None:
            text, found, after = rest.partition(b"\r\n\r\n")
            if len(text) + taken_bytes > MAX_HEAD_BYTES:
                raise FramingError(f"the head of the answer exceeds {MAX_HEAD_BYTES} bytes")
            if not found:
                self._bytes = rest
                if not _HTTP.startswith(rest[: len(_HTTP)]):
                    raise _no_http(rest)
                return None
            taken_bytes += len(text)
            rest = after
            head = parse_head(text)
            if head.status == HTTPStatus.SWITCHING_PROTOCOLS:
                raise FramingError("it changes to a protocol that nobody asked for")
            if head.status >= HTTPStatus.OK:
                self.head = head
        return rest


def parse_head(head: bytes) -> Head:
    """Read a head without the empty line at its end; raises `FramingError`."""
    first, *lines = head.decode("latin-1").split("\r\n")
    version, _, status = first.partition(" ")
    is_status = status[:3].isascii() and status[:3].isdecimal() and 100 <= int(status[:3]) < 600
    if not version.startswith("HTTP/1.") or not is_status or status[3:4].strip():
        raise FramingError(f"{first[:80]!r} is no HTTP answer")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        name = name.strip().lower()
        if not colon or not _NAME.fullmatch(name):
            raise FramingError(f"{line[:80]!r} is no header")
        value = value.strip()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return Head(version != "HTTP/1.0", int(status[:3]), headers)


def write_head(method: str, target: str, headers: Mapping[str, str]) -> bytes:
    """Return a request's head; raises `EngineError` for what cannot stand in one."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"{method} {target} HTTP/1.1\r\n{lines}\r\n".encode("latin-1")


def check_headers(headers: Mapping[str, str], *, setting: str = "headers") -> None:
    """Raise `EngineError` for headers that cannot be sent; their values are not told."""
    for name, value in headers.items():
        if not _NAME.fullmatch(name):
            raise EngineError(f"{name[:80]!r} cannot be the name of a header", hint=_hint(setting))
        if name.lower() in _FRAMING:
            raise EngineError(
                f"the header {name} cannot be set: it belongs to the connection",
                hint=_hint(setting),
            )
        if _NO_VALUE.search(value) or value != value.strip():
            raise EngineError(
                f"the value of the header {name} cannot be sent: it has a line break, a blank at "
                "an end, or a character that no header can have",
                hint=_hint(setting),
            )


def _hint(setting: str) -> str:
    return f"change `{setting}` in the model's section"


def _no_http(data: bytes) -> Exception:
    if data.startswith(_TLS_ALERT):
        return EngineError(
            "the model server speaks https where its address says http",
            hint="write https:// in `url`",
        )
    return FramingError(f"{data[:80]!r} is no HTTP answer")
