"""The WebSockets that are open, so that they are written together and closed together."""

import asyncio

from aiohttp import WSCloseCode

from server.web.sockets.pulse import Pulse
from server.web.sockets.socket import Socket


class Sockets:
    """Hold the open sockets."""

    def __init__(self) -> None:
        self.pulse = Pulse()
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
        self.pulse.flush()
        await asyncio.gather(
            *(
                socket.close(code=WSCloseCode.GOING_AWAY, message=b"the server is going away")
                for socket in list(self._open)
            )
        )
