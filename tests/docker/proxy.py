"""A socket between the runner and the engine, where a test sees each request and may hold it.

The runner makes a connection for each request, so that one connection is one request. A held
one waits before it reaches the engine, or with the engine's answer in hand: a test that cancels
then has hit that very moment, and no other.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Literal

from tests.docker.engine import SOCKET

Moment = Literal["asked", "answered"]
_READ_BYTES = 65536


class Proxy:
    """Pass requests on, count them, hold one of them."""

    def __init__(self, path: Path, engine: str) -> None:
        self.host = f"unix://{path}"
        self.path = path
        self.requests: list[str] = []
        self._engine = engine
        self._server: asyncio.Server | None = None
        self._is_cut = False
        self._connections: set[asyncio.Task[None]] = set()
        self._hold: tuple[int, Moment] | None = None
        self.held = asyncio.Event()
        self._let_go = asyncio.Event()
        self._frozen: str | None = None
        self.is_keeping_quiet = asyncio.Event()
        """Set once a request was taken that will not be answered."""

    def hold(self, number: int, moment: Moment) -> None:
        """Hold the request with that number, from 0, of those that follow."""
        self.requests.clear()
        self._hold = (number, moment)
        self.held.clear()
        self._let_go.clear()

    def let_go(self) -> None:
        """Let the held request go on, and hold none."""
        self._hold = None
        self._let_go.set()

    def freeze(self, beginning: str = "") -> None:
        """Take requests that begin so and never answer them, as an engine that hangs."""
        self._frozen = beginning

    async def open(self) -> None:
        """Listen, for the first time or again."""
        self._frozen = None
        if self._server is None:
            self._server = await asyncio.start_unix_server(self._accept, self.path)
        else:
            self._away.rename(self.path)
        self._is_cut = False

    async def cut(self) -> None:
        """Break every connection and let none be made, as an engine that is gone.

        The socket is moved away and goes on listening: asyncio neither serves nor closes a
        connection that it accepted right before its server is closed.
        """
        self._is_cut = True
        self.path.rename(self._away)
        await self._break()

    async def close(self) -> None:
        """Break every connection and stop listening."""
        self._is_cut = True
        if self._server is not None:
            self._server.close()
        await self._break()

    @property
    def _away(self) -> Path:
        return self.path.with_suffix(".away")

    async def _break(self) -> None:
        connections = list(self._connections)
        for connection in connections:
            connection.cancel()
        if connections:
            await asyncio.wait(connections)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            if not self._is_cut:
                await self._serve(reader, writer)
        except asyncio.CancelledError:
            pass  # Cut: the connection is to break, and nobody asks this task.
        finally:
            self._connections.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        request = re.sub(r"/v[\d.]+", "", head.split(b" HTTP/", 1)[0].decode())
        if self._frozen is not None and request.startswith(self._frozen):
            self.is_keeping_quiet.set()
            await asyncio.Event().wait()
        is_background = request.startswith("GET /events")
        number = len(self.requests)
        if not is_background:
            self.requests.append(request)
        if not is_background:
            await self._pass((number, "asked"))
        engine_reader, engine_writer = await asyncio.open_unix_connection(self._engine)
        engine_writer.write(head)
        upwards = asyncio.create_task(_pump(reader, engine_writer))
        try:
            first = await engine_reader.read(_READ_BYTES)
            if not is_background:
                await self._pass((number, "answered"))
            writer.write(first)
            await _pump(engine_reader, writer)
        finally:
            upwards.cancel()
            engine_writer.close()

    async def _pass(self, place: tuple[int, Moment]) -> None:
        if self._hold == place:
            self.held.set()
            await self._let_go.wait()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(_READ_BYTES):
            writer.write(data)
            await writer.drain()


@asynccontextmanager
async def proxy(folder: Path, engine: str = SOCKET) -> AsyncIterator[Proxy]:
    """Run a proxy before an engine's socket."""
    running = Proxy(folder / "proxy.sock", engine)
    await running.open()
    try:
        yield running
    finally:
        running.let_go()
        await running.close()
