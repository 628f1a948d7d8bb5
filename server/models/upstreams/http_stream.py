"""One request on a connection of its own, and the answer's body as it comes.

An answer is thousands of small reads. aiohttp's client wakes a task for each of them; here
the loop's own callback hands the bytes on. That is all this is for, so it does what model
servers need and no more: HTTP/1.1, no redirects, no compression, no second request.

Rules:

1. Whoever leaves `open_stream` closes the connection, at whatever moment: that is how the
   server learns that nobody wants the rest.
2. Silence counts from the last byte, comments among them.
3. Every failure is an `OSError`: `TimeoutError`, `ConnectionError`, or `BadAnswer`.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final, cast
from urllib.parse import urlsplit

from server.core.http_body import Body, FramingError, body_for

# Ours are below 1 KiB; aiohttp and nginx allow as much.
MAX_HEAD_BYTES: Final = 32 * 1024

OnData = Callable[[bytes], bool]


class BadAnswer(ConnectionError):
    """The other side does not speak HTTP as we know it."""


class HTTPStream(asyncio.Protocol):
    """Read one answer; made by `open_stream`."""

    __slots__ = (
        "_body",
        "_clock",
        "_early",
        "_failure",
        "_head",
        "_heard_at",
        "_loop",
        "_on_data",
        "_read_timeout_seconds",
        "_silence",
        "_transport",
        "_waiter",
        "status",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, read_timeout_seconds: float) -> None:
        self.status = 0
        self._loop = loop
        self._read_timeout_seconds = read_timeout_seconds
        self._clock = loop.time
        self._heard_at = loop.time()
        self._silence = loop.call_later(read_timeout_seconds, self._check_silence)
        self._transport: asyncio.BaseTransport | None = None
        self._head = b""
        self._body: Body | None = None
        self._early = b""
        self._on_data: OnData | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._failure: Exception | None = None

    # --- for the one who asked --------------------------------------------------------------

    async def head(self) -> None:
        """Return when the answer's head, and with it the `status`, is there."""
        while self._body is None:
            await self._wait()

    async def read(self, on_data: OnData) -> None:
        """Hand the body to `on_data` until that returns True or the body is complete.

        What `on_data` raises is raised here.
        """
        await self.head()
        self._on_data = on_data
        early, self._early = self._early, b""
        if (early and on_data(early)) or (self._body is not None and self._body.is_complete):
            self._on_data = None
        while self._on_data is not None:
            await self._wait()

    async def read_text(self, *, max_bytes: int) -> str:
        """Return the body as text, or as much of it as was asked for."""
        parts: list[bytes] = []

        def on_data(data: bytes) -> bool:
            parts.append(data)
            return sum(map(len, parts)) >= max_bytes

        await self.read(on_data)
        return b"".join(parts)[:max_bytes].decode(errors="replace")

    def close(self) -> None:
        """Close the connection, whatever is under way."""
        self._on_data = None
        self._silence.cancel()
        if self._transport is not None:
            cast(asyncio.Transport, self._transport).abort()

    # --- for the loop -----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Take what has come: the hot path, once per token."""
        self._heard_at = self._clock()
        try:
            if self._body is None:
                data = self._read_head(data)
                if self._body is None:
                    return
            payload = self._body.feed(data)
            on_data = self._on_data
            if on_data is None:
                self._early += payload
            elif (payload and on_data(payload)) or self._body.is_complete:
                self._end()
        except FramingError as error:
            self._fail(BadAnswer(str(error)))
        except Exception as error:  # noqa: BLE001
            # The reader's own, raised again where it reads.
            self._fail(error)

    def connection_lost(self, exc: Exception | None) -> None:
        """End the body, or fail if that was not its end."""
        self._silence.cancel()
        if exc is None and self._body is not None:
            if self._body.ends_with_connection:
                self._body.is_complete = True
            if self._body.is_complete:
                self._end()
                return
        self._fail(exc or ConnectionResetError("it was closed in the middle of an answer"))

    # --- inside -----------------------------------------------------------------------------

    def _read_head(self, data: bytes) -> bytes:
        """Take the head; return what comes after it."""
        self._head += data
        head, found, rest = self._head.partition(b"\r\n\r\n")
        if len(head) > MAX_HEAD_BYTES:
            raise BadAnswer(f"the head of the answer exceeds {MAX_HEAD_BYTES} bytes")
        if not found:
            return b""
        self._head = b""
        status, headers = _parse_head(head)
        if 100 <= status < 200:
            return self._read_head(rest)
        self.status = status
        self._body = body_for(headers)
        self._wake()
        return rest

    def _end(self) -> None:
        self._on_data = None
        self._wake()

    def _check_silence(self) -> None:
        left = self._heard_at + self._read_timeout_seconds - self._loop.time()
        if left > 0:
            self._silence = self._loop.call_later(left, self._check_silence)
        else:
            self._fail(TimeoutError())

    async def _wait(self) -> None:
        if self._failure is not None:
            raise self._failure
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _fail(self, error: Exception) -> None:
        if self._failure is None:
            self._failure = error
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


@asynccontextmanager
async def open_stream(
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    connect_timeout_seconds: float,
    read_timeout_seconds: float,
) -> AsyncIterator[HTTPStream]:
    """Post `body` and give the answer once its head is there; close the connection at the end.

    Raises `TimeoutError`, `ConnectionError` or another `OSError`.
    """
    parts = urlsplit(url)
    is_secure = parts.scheme == "https"
    loop = asyncio.get_running_loop()
    stream = HTTPStream(loop, read_timeout_seconds)
    try:
        try:
            async with asyncio.timeout(connect_timeout_seconds):
                transport, _ = await loop.create_connection(
                    lambda: stream,
                    parts.hostname or "",
                    parts.port or (443 if is_secure else 80),
                    ssl=is_secure or None,
                )
        except TimeoutError:
            raise ConnectionError("it took no connection in time") from None
        fields = {
            "Host": parts.netloc.rpartition("@")[2],
            "Connection": "close",
            "Content-Length": str(len(body)),
            **headers,
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        transport.write(f"POST {parts.path} HTTP/1.1\r\n{lines}\r\n".encode() + body)
        await stream.head()
        yield stream
    finally:
        stream.close()


def _parse_head(head: bytes) -> tuple[int, dict[str, str]]:
    first, *lines = head.decode("latin-1").split("\r\n")
    version, _, status = first.partition(" ")
    if not version.startswith("HTTP/1.") or not status[:3].isdecimal():
        raise BadAnswer(f"{first[:80]!r} is no HTTP answer")
    fields = (line.partition(":") for line in lines)
    return int(status[:3]), {name.lower(): value.strip() for name, _, value in fields}
