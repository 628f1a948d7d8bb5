"""Idle connections that wait for another request.

Rules:

1. Only a connection without an unfinished answer is put in. One that the server has closed, or
   sent bytes on, is not taken out. The one used last is taken first, so that the others expire.
2. A body whose reader has all it wants, while the body's end is still on its way, is given a
   moment to end. Anything else in it closes the connection: that is how the server learns that
   nobody wants the rest.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from server.dialects.http.silence import Clock, Timer
from server.dialects.http.stream import HTTPStream

# As many answers as usually come from one server at a time; what an answer costs is far above
# what a further handshake costs.
MAX_IDLE: Final = 8
# Below the 60 s after which common load balancers and NATs forget a silent connection.
IDLE_SECONDS: Final = 50.0
# A server's timer is not ours: what it keeps for so long is not used in its last second.
_MARGIN_SECONDS: Final = 1.0
# The end of a body comes in the packet after its last event, if not with it. A server that
# computes on sends a token within that, or is told that nobody listens.
REST_SECONDS: Final = 0.25


class Pool:
    """Keep connections to one server."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._idle: list[_Idle] = []
        self._ending: set[HTTPStream] = set()
        self._closing: set[_Idle] = set()
        self._is_closed = False

    def __len__(self) -> int:
        """Return how many connections wait."""
        return len(self._idle)

    def take(self) -> asyncio.Transport | None:
        """Return a connection that waits, None if there is none."""
        while self._idle:
            idle = self._idle.pop()
            idle.timer.cancel()
            if not idle.transport.is_closing():
                return idle.transport
        return None

    def give_back(self, stream: HTTPStream) -> None:
        """Keep a stream's connection if it can be used again, close it if not."""
        transport = stream.transport
        if self._is_closed or transport is None:
            stream.close()
        elif stream.can_be_reused:
            self._keep(transport, stream.kept_seconds)
        elif stream.ends_soon:
            self._ending.add(stream)
            stream.await_rest(REST_SECONDS, lambda: self._on_rest(stream))
        else:
            stream.close()

    async def close(self) -> None:
        """Close what waits; return when it is closed. From now on nothing is kept."""
        self._is_closed = True
        for stream in list(self._ending):
            # Kept for no longer than the next lines: these wait until all are closed.
            self._ending.discard(stream)
            if stream.transport is not None:
                self._keep(stream.transport, None)
            stream.forget()
        for idle in list(self._idle):
            self._drop(idle)
        while self._closing:
            await asyncio.wait([idle.is_lost for idle in self._closing])

    def _keep(self, transport: asyncio.Transport, kept_seconds: float | None) -> None:
        seconds = IDLE_SECONDS
        if kept_seconds is not None:
            seconds = min(seconds, kept_seconds - _MARGIN_SECONDS)
        if seconds <= 0:
            transport.abort()
            return
        idle = _Idle(transport, self._drop, self._forget)
        idle.timer = self._clock.call_later(seconds, lambda: self._drop(idle))
        transport.set_protocol(idle)
        self._idle.append(idle)
        if len(self._idle) > MAX_IDLE:
            self._drop(self._idle[0])

    def _on_rest(self, stream: HTTPStream) -> None:
        self._ending.discard(stream)
        transport = stream.transport
        if transport is not None and stream.can_be_reused:
            self._keep(transport, stream.kept_seconds)
        else:
            stream.close()

    def _drop(self, idle: "_Idle") -> None:
        idle.timer.cancel()
        if idle in self._idle:
            self._idle.remove(idle)
            self._closing.add(idle)
            idle.transport.abort()

    def _forget(self, idle: "_Idle") -> None:
        idle.timer.cancel()
        if idle in self._idle:
            self._idle.remove(idle)
        self._closing.discard(idle)


class _Idle(asyncio.Protocol):
    """Hold a connection that waits; whatever comes on it ends it."""

    timer: Timer

    def __init__(
        self,
        transport: asyncio.Transport,
        on_data: Callable[["_Idle"], None],
        on_lost: Callable[["_Idle"], None],
    ) -> None:
        self.transport = transport
        self.is_lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._on_data = on_data
        self._on_lost = on_lost

    def data_received(self, data: bytes) -> None:
        """Close: nobody asked for that."""
        self._on_data(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Be forgotten: the server, or we, closed it."""
        self._on_lost(self)
        if not self.is_lost.done():
            self.is_lost.set_result(None)
