"""An Ollama that says exactly what a test tells it, and keeps what it was asked.

Without being told anything it has one model, which is in memory, and answers as recorded.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.dialects.ollama_recordings import RECORDINGS, Recording

MODEL = "smollm2:135m"


@dataclass
class FakeOllama:
    """The fake while it runs; `asked` has path and body of each request, the oldest first."""

    url: str = ""
    asked: list[tuple[str, Any]] = field(default_factory=list)
    answers: dict[str, Recording] = field(default_factory=dict)
    """What is answered instead, by path."""
    loaded: list[dict[str, Any]] = field(
        default_factory=lambda: [{"name": MODEL, "context_length": 4096}]
    )
    held: dict[str, asyncio.Event] = field(default_factory=dict)
    """Paths that answer only once the event is set."""
    pauses: asyncio.Event | None = None
    """Where set, an answer stops after its first piece until the event is."""
    cuts: bool = False
    """Whether the connection is cut after the first piece."""
    left: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a client has gone before its answer ended."""
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    def bodies(self, path: str) -> list[Any]:
        """Return the bodies of all requests for a path."""
        return [body for asked, body in self.asked if asked == path]

    async def until_asked(self, path: str, times: int = 1) -> None:
        """Return once a path has been asked so many times."""
        async with asyncio.timeout(20), self.changed:
            await self.changed.wait_for(lambda: len(self.bodies(path)) >= times)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        path = request.path
        body = await request.json() if request.can_read_body else None
        async with self.changed:
            self.asked.append((path, body))
            self.changed.notify_all()
        try:
            if path in self.held:
                await self.held[path].wait()
            return await self._answer(request, path)
        except asyncio.CancelledError:
            self.left.set()
            raise

    async def _answer(self, request: web.Request, path: str) -> web.StreamResponse:
        if path == "/api/ps" and path not in self.answers:
            return web.json_response({"models": self.loaded})
        recording = self.answers.get(path) or DEFAULTS.get(path) or RECORDINGS["get /nothing"]
        response = web.StreamResponse(status=recording.status)
        response.enable_chunked_encoding()
        await response.prepare(request)
        for number, read in enumerate(recording.reads):
            if number == 1 and self.pauses is not None:
                await self.pauses.wait()
            if number == 1 and self.cuts and request.transport is not None:
                request.transport.abort()
            await response.write(read)
        await response.write_eof()
        return response


DEFAULTS = {
    "/api/version": RECORDINGS["get /api/version"],
    "/api/tags": RECORDINGS["get /api/tags"],
    "/api/show": RECORDINGS["show"],
    "/api/chat": RECORDINGS["chat stream"],
    "/api/generate": RECORDINGS["generate raw stream"],
}


def saying(path: str, *lines: Any, status: int = 200) -> Recording:
    """Return an answer of these objects, or of these bytes, each a read of its own."""
    reads = [
        line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n" for line in lines
    ]
    return Recording("made up", path, status, tuple(reads))


@asynccontextmanager
async def serve(fake: FakeOllama) -> AsyncIterator[FakeOllama]:
    """Run the fake until the block ends."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", fake.answer)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.01, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        fake.url = f"http://{host}:{port}"
        yield fake
    finally:
        await runner.cleanup()
