"""A fake of the part of Docker's API that pulls an image, for want of a registry.

`docker_pull.jsonl` was recorded from an engine 20.10 that pulled an image of eight layers, of
which it had three, from a registry on the same machine. The fake sends it line by line, and
pauses where a test says so; the last words may be an error instead. Everything else about
containers is tested against a real engine.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

RECORDED = (Path(__file__).parent / "docker_pull.jsonl").read_text().splitlines()


class FakeEngine:
    """An engine that has no image, and gets one by a pull."""

    def __init__(self, path: Path) -> None:
        self.host = f"unix://{path}"
        self.asked: list[dict[str, str]] = []
        """The parameters of each pull."""
        self.messages = [json.loads(line) for line in RECORDED]
        self.pause_after: int | None = None
        self.refusal: tuple[int, str] | None = None
        self.paused = asyncio.Event()
        self.go_on = asyncio.Event()
        self.cancelled = asyncio.Event()
        self._has_image = False

    async def version(self, request: web.Request) -> web.Response:
        return web.json_response({"ApiVersion": "1.41"})

    async def info(self, request: web.Request) -> web.Response:
        return web.json_response({"MemTotal": 1 << 34, "Runtimes": {"runc": {}}})

    async def absent(self, request: web.Request) -> web.Response:
        return web.json_response({"message": "No such container"}, status=404)

    async def image(self, request: web.Request) -> web.Response:
        if self._has_image:
            return web.json_response({"Id": "sha256:0"})
        return web.json_response({"message": "No such image"}, status=404)

    async def pull(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(dict(request.query))
        if self.refusal is not None:
            status, message = self.refusal
            return web.json_response({"message": message}, status=status)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        try:
            for number, message in enumerate(self.messages):
                if number == self.pause_after:
                    self.paused.set()
                    await self.go_on.wait()
                await response.write(json.dumps(message).encode() + b"\r\n")
        except (asyncio.CancelledError, ConnectionError):
            self.cancelled.set()
            raise
        self._has_image = "error" not in self.messages[-1]
        return response

    async def events(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await asyncio.Event().wait()
        return response


@asynccontextmanager
async def serve(folder: Path) -> AsyncIterator[FakeEngine]:
    """Run a fake engine at a socket in `folder`."""
    path = folder / "engine.sock"
    fake = FakeEngine(path)
    app = web.Application()
    version: Any = "/{version:v[0-9.]+}"
    app.add_routes(
        [
            web.get("/_ping", fake.version),
            web.get("/version", fake.version),
            web.get(version + "/info", fake.info),
            web.get(version + "/events", fake.events),
            web.get(version + "/containers/{name}/json", fake.absent),
            web.get(version + "/images/{name:.+}/json", fake.image),
            web.post(version + "/images/create", fake.pull),
        ]
    )
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.0, access_log=None)
    await runner.setup()
    try:
        await web.UnixSite(runner, path).start()
        yield fake
    finally:
        await runner.cleanup()
