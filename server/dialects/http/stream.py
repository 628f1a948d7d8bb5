"""One request on a connection, and the body of its answer as it comes.

An answer is thousands of small reads. aiohttp's client wakes a task for each of them; here
the loop's own callback hands the bytes on. It does what model servers need and no more:
HTTP/1.1, one request at a time.

Rules:

1. A stream is the connection's protocol for one request. Once the answer is complete another
   stream may take the connection over (`can_be_reused`).
2. Silence counts from the last byte, comments among them, while this process runs.
3. Every failure of the connection is an `EngineError` in words.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, cast

from server.core.errors import EngineLost
from server.core.http_body import Body, FramingError, SizedBody, body_for, lone_chunk
from server.dialects.http.head import Head, HeadReader
from server.dialects.http.patience import Patience
from server.dialects.http.silence import Clock, Timer
from server.dialects.http.timeouts import IsWell, Timeouts

OnData = Callable[[bytes], bool]

# Held for a reader that is not there yet; what comes beyond it waits in the connection.
_MAX_EARLY_BYTES: Final = 1024 * 1024

# Answers that never have a body (RFC 9112, 6.3).
_BODYLESS: Final = frozenset({204, 304})


class BadAnswer(EngineLost):
    """The other side does not speak HTTP as we know it."""


@dataclass(frozen=True)
class Reply:
    """A whole answer; names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class HTTPStream(asyncio.Protocol):
    """Read one answer; made by `HTTPClient.request`."""

    def __init__(self, clock: Clock, *, is_bodyless: bool = False) -> None:
        # Whether the other side closed the connection before any byte came.
        self.was_refused = False
        self._has_answered = False
        self._clock = clock
        self._is_bodyless = is_bodyless
        self._was_heard = False
        self._is_between_chunks = False
        self._is_enough = False
        self._patience: Patience | None = None
        self.transport: asyncio.Transport | None = None
        self._reader = HeadReader()
        self._head: Head | None = None
        self._body: Body | None = None
        self._early = b""
        self._on_data: OnData | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._failure: Exception | None = None
        self._on_rest: Callable[[], None] | None = None
        self._rest_timer: Timer | None = None

    # --- for the caller ---------------------------------------------------------------------

    @property
    def status(self) -> int:
        """Return the answer's status, 0 before its head is there."""
        return self._head.status if self._head is not None else 0

    @property
    def headers(self) -> Mapping[str, str]:
        """Return the answer's headers, names in lower case."""
        return self._head.headers if self._head is not None else {}

    async def read(self, on_data: OnData) -> None:
        """Hand the body to `on_data` until that returns True or the body is complete.

        What `on_data` raises is raised here. Raises `EngineLost` and `EngineTimeout`.
        """
        await self.head()
        self._on_data = on_data
        early, self._early = self._early, b""
        if len(early) > _MAX_EARLY_BYTES and self.transport is not None:
            self.transport.resume_reading()
        if early and on_data(early):
            self._is_enough = True
            self._on_data = None
        elif self._body is not None and self._body.is_complete:
            self._on_data = None
        while self._on_data is not None:
            await self._wait()

    async def read_bytes(self, *, max_bytes: int) -> bytes:
        """Return the body, or as much of it as was asked for; raises as `read` does."""
        body = bytearray()

        def on_data(data: bytes) -> bool:
            body.extend(data)
            return len(body) >= max_bytes

        await self.read(on_data)
        return bytes(body[:max_bytes])

    async def read_reply(self, *, max_bytes: int) -> Reply:
        """Return status, headers and the body up to `max_bytes`; raises as `read` does."""
        body = await self.read_bytes(max_bytes=max_bytes)
        return Reply(self.status, self.headers, body)

    # --- for the client ---------------------------------------------------------------------

    async def ask(
        self,
        transport: asyncio.Transport,
        request: bytes,
        timeouts: Timeouts,
        is_well: IsWell | None = None,
    ) -> None:
        """Send a request over a connection, and return when the answer's head is there."""
        self.transport = transport
        self._patience = Patience(self._clock, timeouts, is_well, self._hear, self._fail)
        transport.set_protocol(self)
        transport.write(request)
        await self.head()

    async def head(self) -> None:
        """Return when the answer's head, and with it the `status`, is there."""
        while self._body is None:
            await self._wait()

    @property
    def kept_seconds(self) -> float | None:
        """Return how long the server keeps the connection, None if it does not say."""
        return self._head.kept_seconds if self._head is not None else None

    @property
    def can_be_reused(self) -> bool:
        """Tell whether the connection is free for another request."""
        body = self._body
        is_over = body is not None and body.is_complete and not body.has_surplus
        return is_over and self._may_be_reused()

    @property
    def ends_soon(self) -> bool:
        """Tell whether the reader has all it wants, and only the body's end is missing."""
        return self._is_enough and not self._early.strip() and self._may_be_reused()

    def await_rest(self, seconds: float, on_rest: Callable[[], None]) -> None:
        """Call `on_rest` once the body's end is there, it is not, or the time is over."""
        self._on_rest = on_rest
        self._on_data = _is_content
        self._rest_timer = self._clock.call_later(seconds, self._end)

    def end_waiting(self) -> None:
        """Have silence count no more."""
        if self._patience is not None:
            self._patience.end()

    async def ended(self) -> None:
        """Return when nothing that belongs to the request runs any more."""
        if self._patience is not None:
            await self._patience.ended()

    def close(self) -> None:
        """Close the connection, whatever is under way."""
        self.forget()
        if self.transport is not None:
            self.transport.abort()

    def forget(self) -> None:
        """Wait for nothing any more; somebody else has the connection."""
        self._on_data = None
        self._on_rest = None
        if self._rest_timer is not None:
            self._rest_timer.cancel()
        self.end_waiting()

    # --- for the loop -----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Take what has come."""
        self._was_heard = True
        try:
            # The hot path, once per token: one chunk and nothing else.
            if self._is_between_chunks and self._on_data is not None:
                payload = lone_chunk(data)
                if payload is not None:
                    if self._on_data(payload):
                        self._is_enough = True
                        self._end()
                    return
            self._take(data)
        except FramingError as error:
            self._fail(_broken(error, BadAnswer))
        except Exception as error:  # noqa: BLE001
            # The reader's own, raised again where it reads.
            self._fail(error)

    def connection_lost(self, exc: Exception | None) -> None:
        """End the body, or fail if that was not its end."""
        self.end_waiting()
        if self._body is not None:
            if exc is None and self._body.ends_with_connection:
                self._body.is_complete = True
            if self._body.is_complete:
                self.transport = None
                self._end()
                return
        self.was_refused = not self._has_answered
        self._fail(_broken(exc or "it was closed in the middle of an answer"))

    # --- inside -----------------------------------------------------------------------------

    def _take(self, data: bytes) -> None:
        """Take whatever has come, in whatever state."""
        self._has_answered = True
        if self._body is None:
            rest = self._reader.feed(data)
            if rest is None or self._reader.head is None:
                return
            data, self._head = rest, self._reader.head
            is_bodyless = self._is_bodyless or self._head.status in _BODYLESS
            self._body = SizedBody(0) if is_bodyless else body_for(self._head.headers)
            self._wake()
        payload = self._body.feed(data)
        self._is_between_chunks = self._body.is_between_chunks
        on_data = self._on_data
        if on_data is None:
            self._early += payload
            if len(self._early) > _MAX_EARLY_BYTES and self.transport is not None:
                self.transport.pause_reading()
        elif payload and on_data(payload):
            self._is_enough = True
            self._end()
        elif self._body.is_complete:
            self._end()

    def _may_be_reused(self) -> bool:
        return (
            self._failure is None
            and self._head is not None
            and self._head.allows_reuse
            and self.transport is not None
            and not self.transport.is_closing()
            # An answer may come before all of the request is sent.
            and self.transport.get_write_buffer_size() == 0
        )

    def _end(self) -> None:
        self._on_data = None
        self._wake()

    def _hear(self) -> bool:
        was_heard, self._was_heard = self._was_heard, False
        return was_heard

    async def _wait(self) -> None:
        if self._failure is not None:
            raise self._failure
        self._waiter = asyncio.get_running_loop().create_future()
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
        if self._on_rest is not None:
            on_rest, self._on_rest = self._on_rest, None
            if self._rest_timer is not None:
                self._rest_timer.cancel()
            on_rest()


def _broken(error: object, kind: type[EngineLost] = EngineLost) -> EngineLost:
    """Return the error for a connection that broke."""
    return kind(f"the connection to the model server broke: {error}")


def _is_content(data: bytes) -> bool:
    """Tell whether there is more than the blank lines which may follow a last event."""
    return bool(data.strip())
