"""A stream of server-sent events to one client: one `data:` line of JSON per event.

Rules:

1. The head is sent with the first event. Until then an error can still be an HTTP status.
2. Pending events are written together, of a prompt some 64 KB at a time, with others' turns in
   between. A client that is slow to read holds up this stream only; new text waits in the answer's
   log.
3. A client that reads nothing for a minute is gone.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import aclosing
from typing import Final

import msgspec
from aiohttp import web

from server.core.errors import SidestreamError
from server.web.failures import failure

logger = logging.getLogger(__name__)

# As for a WebSocket: the kernel takes a write at once, unless the peer has stopped reading.
SEND_TIMEOUT_SECONDS: Final = 60.0

# A client of 10 kbit/s reads it within the time for one write.
_PIECE_BYTES: Final = 64 * 1024

_HEADERS: Final = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-cache",
    # A proxy such as nginx would otherwise collect the events.
    "X-Accel-Buffering": "no",
}


COMMENT: Final = b":\n\n"
"""Clients ignore it; it shows that the stream lives to everything in between."""
DONE: Final = b"data: [DONE]\n\n"
"""OpenAI's end of a stream."""

_encoder = msgspec.json.Encoder()


def event(data: object) -> bytes:
    """Write one event; JSON escapes line ends, so that the data is one line."""
    return b"data: " + _encoder.encode(data) + b"\n\n"


def joined(events: Iterable[object]) -> Iterator[bytes]:
    """Write events, as many together as are 64 KB; a larger one is alone or ends a piece."""
    written: list[bytes] = []
    size = 0
    for one in events:
        written.append(event(one))
        size += len(written[-1])
        if size >= _PIECE_BYTES:
            yield b"".join(written)
            written, size = [], 0
    if written:
        yield b"".join(written)


class EventStream:
    """Send events to the client of one request."""

    def __init__(self, request: web.Request) -> None:
        self._request = request
        self.response = web.StreamResponse(headers=_HEADERS)

    @property
    def has_begun(self) -> bool:
        """Tell whether a status has been sent."""
        return self.response.prepared

    async def send(self, events: bytes) -> None:
        """Write events; raises `ConnectionError` when the client is gone."""
        try:
            async with asyncio.timeout(SEND_TIMEOUT_SECONDS):
                if not self.response.prepared:
                    await self.response.prepare(self._request)
                await self.response.write(events)
        except TimeoutError:
            if self._request.transport is not None:
                self._request.transport.abort()
            raise ConnectionResetError("the client has stopped reading") from None

    async def finish(self) -> None:
        """End the stream; raises `ConnectionError` when the client is gone."""
        if not self.response.prepared:
            await self.response.prepare(self._request)
        await self.response.write_eof()


async def send_events(
    request: web.Request, pieces: AsyncGenerator[bytes, None]
) -> web.StreamResponse:
    """Send events as they come to their end; an error amid them is the last event.

    Raises a `SidestreamError` that comes before the first of them.
    """
    stream = EventStream(request)
    try:
        try:
            async with aclosing(pieces) as several:
                async for piece in several:
                    await stream.send(piece)
        except SidestreamError as error:
            if not stream.has_begun:
                raise
            await stream.send(event(failure(error)))
        await stream.finish()
    except ConnectionError:
        logger.debug("who reads %s is gone", request.path)
    return stream.response
