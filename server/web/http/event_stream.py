"""A stream of server-sent events to one client.

Rules:

1. The head goes out with the first bytes. Until then an error can still be a real status.
2. What is due is one write. A client that is slow to read holds up this stream only; what
   is written meanwhile waits in the answer's log.
3. A client that reads nothing for a minute is gone.
"""

import asyncio
from typing import Final

from aiohttp import web

# As for a WebSocket: the kernel takes a write at once, unless the peer has stopped reading.
SEND_TIMEOUT_SECONDS: Final = 60.0

_HEADERS: Final = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-cache",
    # A proxy such as nginx would otherwise collect the events.
    "X-Accel-Buffering": "no",
}


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
