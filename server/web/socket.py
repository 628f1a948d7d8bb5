"""A WebSocket whose peer may be slow, silent or gone.

Rules:

1. A peer that does not answer pings is gone, unless it is slow: while a send waits, a ping waits
   behind it, and how long a reader may be slow is the sender's question.
2. Closing never waits for a peer that does not read. It has a while to take what is under way
   and the good-bye behind it; then the connection is cut.
"""

import asyncio
from typing import Final

from aiohttp import WSCloseCode, WSMsgType, web
from aiohttp.abc import AbstractStreamWriter

# aiohttp pauses a writer when this many bytes wait: little, so that text waits in the log
# and leaves joined, rather than in a buffer as the frames it once was.
_WRITE_BUFFER_BYTES: Final = 64 * 1024

# Enough for a good-bye and its answer over any network that is worth the name.
_LEAVING_SECONDS: Final = 5.0


class Socket(web.WebSocketResponse):
    """Send frames one at a time, and close whatever the peer does."""

    def __init__(self, *, heartbeat_seconds: float, max_frame_bytes: int) -> None:
        super().__init__(
            timeout=_LEAVING_SECONDS,
            heartbeat=heartbeat_seconds,
            max_msg_size=max_frame_bytes + 1,  # aiohttp refuses what reaches its limit
            compress=False,
            writer_limit=_WRITE_BUFFER_BYTES,
        )
        self._is_sending = False
        self._transport: asyncio.Transport | None = None

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter:
        """Answer the handshake."""
        self._transport = request.transport
        return await super().prepare(request)

    async def send(self, frame: bytes) -> None:
        """Send a text frame; returns when there is room for the next.

        Raises `ConnectionError` when the connection has ended.
        """
        self._is_sending = True
        try:
            await self.send_frame(frame, WSMsgType.TEXT)
        finally:
            self._is_sending = False

    async def close(
        self, *, code: int = WSCloseCode.OK, message: bytes = b"", drain: bool = False
    ) -> bool:
        """Close with `code`; a peer that does not take it within some seconds is cut off."""
        try:
            return await super().close(code=code, message=message, drain=False)
        finally:
            # A transport that is closed still waits for its peer to take what is buffered.
            if self._transport is not None and self._transport.get_write_buffer_size():
                loop = asyncio.get_running_loop()
                loop.call_later(_LEAVING_SECONDS, self._transport.abort)

    def _pong_not_received(self) -> None:
        # aiohttp's own would drop a slow reader long before its time is over.
        if self._is_sending:
            self._reset_heartbeat()
        else:
            super()._pong_not_received()
