"""Write the events of one connection as frames, without a task while the peer keeps up.

Rules:

1. All events that are due are taken from the outbox and handed to the transport in one call, at the
   time that the scheduler chooses.
2. While the transport still has bytes that the kernel did not take, a task waits until there is
   room, and then sends all that has gathered since. There is never more than one such task.
3. A peer that reads nothing for too long is closed with 4408.
4. A peer that asked for a pace gets its frames that far apart. The first frame after a silence is
   not delayed, nor is the rest of what did not fit into one frame or had to wait for room.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final

from aiohttp import WSCloseCode

from server.core.outbox import Outbox
from server.core.protocol import encode
from server.web.sockets.frame_scheduler import FrameScheduler
from server.web.sockets.socket import Socket

logger = logging.getLogger(__name__)

CLOSE_TOO_SLOW: Final = 4408


class FrameWriter:
    """Write the events of one connection to its socket."""

    def __init__(
        self,
        socket: Socket,
        scheduler: FrameScheduler,
        *,
        timeout_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._socket = socket
        self._scheduler = scheduler
        self._timeout_seconds = timeout_seconds
        self._clock = clock
        self._pace_seconds = 0.0
        self._paced_until = 0.0
        self._outbox: Outbox | None = None
        self._task: asyncio.Task[Any] | None = None

    def take_from(self, outbox: Outbox) -> None:
        """Take events from `outbox` from now on, whenever `wake` is called."""
        self._outbox = outbox

    def set_pace(self, seconds: float) -> None:
        """Keep at least so many seconds between two frames."""
        self._pace_seconds = seconds

    def wake(self) -> None:
        """Schedule a write; called when the outbox has something to send."""
        if self._task is not None:
            return
        if self._pace_seconds and (wait := self._paced_until - self._clock()) > 0:
            self._scheduler.add_later(self.write, wait)
        else:
            self._scheduler.add(self.write)

    def write(self) -> None:
        """Write frames now, while the peer takes them: the hot path, once per frame."""
        outbox, socket = self._outbox, self._socket
        if outbox is None or self._task is not None:
            return
        try:
            if self._pace_seconds:
                self._paced_until = self._clock() + self._pace_seconds
            while outbox.has_due and socket.takes_at_once:
                if events := outbox.take():
                    socket.send_at_once(encode(events))
        except Exception:
            logger.exception("a frame cannot be written")
            self._run(self._give_up())
        else:
            if outbox.has_due and not socket.closed:
                self._run(self._send_patiently(outbox))

    async def close(self) -> None:
        """Write nothing more."""
        self._outbox = None
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def _run(self, task: Coroutine[Any, Any, None]) -> None:
        self._task = asyncio.create_task(task, name="websocket writer")

    async def _send_patiently(self, outbox: Outbox) -> None:
        try:
            while events := outbox.take():
                async with asyncio.timeout(self._timeout_seconds):
                    await self._socket.send(encode(events))
            self._task = None
        except TimeoutError:
            await self._socket.close(code=CLOSE_TOO_SLOW, message=b"the peer stopped reading")
        except ConnectionError:
            # The reader sees the same end and closes the connection.
            return
        except Exception:
            logger.exception("a frame cannot be written")
            await self._give_up()

    async def _give_up(self) -> None:
        """Close a socket that would otherwise be open and silent for ever."""
        await self._socket.close(code=WSCloseCode.INTERNAL_ERROR, message=b"internal error")
