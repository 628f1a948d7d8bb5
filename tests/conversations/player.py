"""A server that plays its part of a recorded dialogue.

After each frame it waits until the client has read it: it sends a WebSocket ping, whose pong comes
after everything before it. So every replay is the same.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import WSMsgType, web

from tests.conversations.script import Names, Step

CEILING_SECONDS = 20.0

Do = Callable[[str, Any], Awaitable[None]]


class _Socket:
    def __init__(self, socket: web.WebSocketResponse) -> None:
        self.socket = socket
        self.frames: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.pongs: asyncio.Queue[bytes] = asyncio.Queue()
        self.ended = asyncio.Event()

    async def read(self) -> None:
        async for message in self.socket:
            if message.type is WSMsgType.TEXT:
                self.frames.put_nowait(json.loads(message.data))
            elif message.type is WSMsgType.PONG:
                self.pongs.put_nowait(message.data)
            elif message.type is WSMsgType.PING:
                await self.socket.pong(message.data)
        self.ended.set()


class Player:
    """Play the server's part, and have the program's part done."""

    def __init__(self) -> None:
        self.url = ""
        self._arrivals: asyncio.Queue[_Socket] = asyncio.Queue()
        self._current: _Socket | None = None
        self._names = Names()

    async def accept(self, request: web.Request) -> web.WebSocketResponse:
        """Serve a socket for as long as it lasts."""
        socket = web.WebSocketResponse(autoping=False)
        await socket.prepare(request)
        taken = _Socket(socket)
        self._arrivals.put_nowait(taken)
        await taken.read()
        return socket

    async def play(self, steps: list[Step], do: Do) -> dict[str, Any]:
        """Go through a dialogue; return what the client is expected to know in the end."""
        for number, step in enumerate(steps, 1):
            ((kind, what),) = step.items()
            try:
                async with asyncio.timeout(CEILING_SECONDS):
                    if kind == "do":
                        await do(what[0], what[1] if len(what) > 1 else None)
                    elif kind not in {"about", "expect"}:
                        await self._step(kind, what)
            except (AssertionError, TimeoutError) as problem:
                raise AssertionError(f"line {number}, {step}: {problem!r}") from problem
        expected: dict[str, Any] = steps[-1]["expect"]
        return expected

    async def _step(self, kind: str, what: Any) -> None:
        if self._current is None:
            self._current = await self._arrivals.get()
        current = self._current
        if kind == "client":
            self._names.match(what, await current.frames.get())
        elif kind == "server":
            await current.socket.send_str(json.dumps(self._names.translate(what)))
            await current.socket.ping()
            await current.pongs.get()
        elif kind == "cut":
            transport = current.socket._req.transport  # type: ignore[union-attr]
            assert transport is not None
            transport.abort()
            self._current = None
        else:
            assert kind == "close"
            await current.socket.close(code=what)
            self._current = None


@asynccontextmanager
async def player() -> AsyncIterator[Player]:
    """Run a player on loopback."""
    made = Player()
    app = web.Application()
    app.router.add_get("/ws", made.accept)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0, handler_cancellation=True)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        made.url = f"ws://127.0.0.1:{runner.addresses[0][1]}/ws"
        yield made
    finally:
        await runner.cleanup()
