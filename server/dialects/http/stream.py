"""One request on a connection of its own, and the answer's body as it comes.

An answer is thousands of small reads. aiohttp's client wakes a task for each of them; here
the loop's own callback hands the bytes on. It does what model servers need and no more:
HTTP/1.1, no redirects, no compression, no second request on a connection.

Rules:

1. Whoever leaves `open_stream` closes the connection, at whatever moment: that is how the
   server learns that nobody wants the rest.
2. Silence counts from the last byte, comments among them, while this process runs.
3. Every failure is an `OSError`: `TimeoutError`, `ConnectionError`, or `BadAnswer`.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final, cast
from urllib.parse import SplitResult, urlsplit

from server.core.http_body import Body, FramingError, body_for, lone_chunk
from server.dialects.http.silence import Silence

# Ours are below 1 KiB; aiohttp and nginx allow as much.
MAX_HEAD_BYTES: Final = 32 * 1024

OnData = Callable[[bytes], bool]


class BadAnswer(ConnectionError):
    """The other side does not speak HTTP as we know it."""


class HTTPStream(asyncio.Protocol):
    """Read one answer; made by `open_stream`."""

    __slots__ = (
        "_body",
        "_early",
        "_failure",
        "_head",
        "_is_between_chunks",
        "_loop",
        "_on_data",
        "_silence",
        "_transport",
        "_waiter",
        "_was_heard",
        "status",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, read_timeout_seconds: float) -> None:
        self.status = 0
        self._loop = loop
        self._was_heard = False
        self._is_between_chunks = False
        self._silence = Silence(loop, read_timeout_seconds, self._hear, self._on_silence)
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

    async def read_bytes(self, *, max_bytes: int) -> bytes:
        """Return the body, or as much of it as was asked for."""
        body = bytearray()

        def on_data(data: bytes) -> bool:
            body.extend(data)
            return len(body) >= max_bytes

        await self.read(on_data)
        return bytes(body[:max_bytes])

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
        """Take what has come."""
        self._was_heard = True
        try:
            # The hot path, once per token: one chunk and nothing else.
            if self._is_between_chunks and self._on_data is not None:
                payload = lone_chunk(data)
                if payload is not None:
                    if self._on_data(payload):
                        self._end()
                    return
            self._take(data)
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

    def _take(self, data: bytes) -> None:
        """Take whatever has come, in whatever state."""
        if self._body is None:
            data = self._read_head(data)
            if self._body is None:
                return
        payload = self._body.feed(data)
        self._is_between_chunks = self._body.is_between_chunks
        on_data = self._on_data
        if on_data is None:
            self._early += payload
        elif (payload and on_data(payload)) or self._body.is_complete:
            self._end()

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

    def _hear(self) -> bool:
        was_heard, self._was_heard = self._was_heard, False
        return was_heard

    def _on_silence(self) -> None:
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
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    connect_timeout_seconds: float,
    read_timeout_seconds: float,
) -> AsyncIterator[HTTPStream]:
    """Ask, and give the answer once its head is there; close the connection at the end.

    Raises `TimeoutError`, `ConnectionError` or another `OSError`.
    """
    parts = urlsplit(url)
    loop = asyncio.get_running_loop()
    stream = HTTPStream(loop, read_timeout_seconds)
    try:
        transport = await _connect(stream, parts, connect_timeout_seconds)
        fields = {
            "Host": parts.netloc.rpartition("@")[2],
            "Connection": "close",
            **({"Content-Length": str(len(body))} if body else {}),
            **headers,
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        transport.write(f"{method} {parts.path} HTTP/1.1\r\n{lines}\r\n".encode() + body)
        await stream.head()
        yield stream
    finally:
        stream.close()


async def _connect(
    stream: HTTPStream, parts: SplitResult, timeout_seconds: float
) -> asyncio.WriteTransport:
    is_secure = parts.scheme == "https"
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(None) as limit:
            waiting = Silence(
                loop, timeout_seconds, lambda: False, lambda: limit.reschedule(loop.time())
            )
            try:
                transport, _ = await loop.create_connection(
                    lambda: stream,
                    parts.hostname or "",
                    parts.port or (443 if is_secure else 80),
                    ssl=is_secure or None,
                )
            finally:
                waiting.cancel()
    except TimeoutError:
        raise ConnectionError("it took no connection in time") from None
    return transport


def _parse_head(head: bytes) -> tuple[int, dict[str, str]]:
    first, *lines = head.decode("latin-1").split("\r\n")
    version, _, status = first.partition(" ")
    if not version.startswith("HTTP/1.") or not status[:3].isdecimal():
        raise BadAnswer(f"{first[:80]!r} is no HTTP answer")
    fields = (line.partition(":") for line in lines)
    return int(status[:3]), {name.lower(): value.strip() for name, _, value in fields}
