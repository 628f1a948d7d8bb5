"""A WebSocket whose peer may be slow, silent or gone, and the set of those that are open.

Rules:

1. A peer that does not answer pings is gone, unless it is slow: while a send waits, pings wait
   behind it, and the sender decides how long a peer may be slow.
2. Closing never waits for a peer that does not read. It has some seconds to take what is buffered
   and the close frame behind it; then the connection is cut.
"""

import asyncio
from struct import Struct
from typing import Final

from aiohttp import WSCloseCode, WSMsgType, web
from aiohttp.abc import AbstractStreamWriter

from server.web.sockets.frame_scheduler import FrameScheduler

# RFC 6455, 5.2: a final text frame, not masked; 126 and 127 announce a longer length.
_TEXT: Final = 0x81
_MEDIUM: Final = Struct("!BBH")
_LONG: Final = Struct("!BBQ")

# After so many bytes a sender waits while the transport holds more than it likes (64 KiB), so
# that text waits in the log and leaves joined. Pings and close frames are shorter and never wait.
_UNCHECKED_BYTES: Final = 1024

# Enough for a close frame and its answer over a slow network.
_LEAVING_SECONDS: Final = 5.0


class Socket(web.WebSocketResponse):
    """Send frames one at a time, and close whatever the peer does."""

    def __init__(self, *, heartbeat_seconds: float, max_frame_bytes: int) -> None:
        super().__init__(
            timeout=_LEAVING_SECONDS,
            heartbeat=heartbeat_seconds,
            max_msg_size=max_frame_bytes + 1,  # aiohttp refuses what reaches its limit
            compress=False,
            writer_limit=_UNCHECKED_BYTES,
        )
        self._is_sending = False
        self._transport: asyncio.Transport | None = None

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter:
        """Answer the handshake."""
        self._transport = request.transport
        return await super().prepare(request)

    @property
    def takes_at_once(self) -> bool:
        """Tell whether the socket is open and nothing waits to be sent."""
        transport = self._transport
        return (
            transport is not None
            and not self.closed
            and not transport.is_closing()
            and not transport.get_write_buffer_size()
        )

    def send_at_once(self, frame: bytes) -> None:
        """Send a text frame, past aiohttp's writer, which costs as much again as the rest."""
        if self._transport is not None:
            self._transport.write(text_frame(frame))

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
        """Close with `code`; a peer that does not read it within some seconds is cut off."""
        try:
            return await super().close(code=code, message=message, drain=False)
        finally:
            # A closed transport still waits for its peer to read what is buffered.
            if self._transport is not None and self._transport.get_write_buffer_size():
                loop = asyncio.get_running_loop()
                loop.call_later(_LEAVING_SECONDS, self._transport.abort)

    def _pong_not_received(self) -> None:
        # aiohttp would drop a slow reader long before `reader_timeout`.
        if self._is_sending:
            self._reset_heartbeat()
        else:
            super()._pong_not_received()


class Sockets:
    """Hold the open sockets, which share one schedule of frames."""

    def __init__(self) -> None:
        self.scheduler = FrameScheduler()
        self._open: set[Socket] = set()

    def __len__(self) -> int:
        return len(self._open)

    def add(self, socket: Socket) -> None:
        """Remember a socket."""
        self._open.add(socket)

    def discard(self, socket: Socket) -> None:
        """Forget a socket."""
        self._open.discard(socket)

    async def close(self) -> None:
        """Write what is due and tell every client that the server is going away."""
        self.scheduler.flush()
        await asyncio.gather(
            *(
                socket.close(code=WSCloseCode.GOING_AWAY, message=b"the server is going away")
                for socket in list(self._open)
            )
        )


def text_frame(payload: bytes) -> bytes:
    """Return the frame that carries a text, as a server sends it."""
    size = len(payload)
    if size < 126:
        return bytes((_TEXT, size)) + payload
    if size < 1 << 16:
        return _MEDIUM.pack(_TEXT, 126, size) + payload
    return _LONG.pack(_TEXT, 127, size) + payload
