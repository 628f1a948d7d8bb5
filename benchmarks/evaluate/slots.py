"""A fake model server that counts how many answers it writes at each moment."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

_MODEL: Final = """
[model m{number}]
runner = remote
url = {url}
dialect = openai
flavour = plain
max_concurrent = {slots}
"""


class Slots:
    """A fake server, and how many answers it writes at each moment."""

    def __init__(self, tokens: int, pause_seconds: float) -> None:
        self._tokens = tokens
        self._pause_seconds = pause_seconds
        self._busy = 0
        self._changed = 0.0
        self.answers = 0
        self.began: float | None = None
        self.ended = 0.0
        self.busy_seconds = 0.0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Write an answer in OpenAI's form."""
        self._count(1)
        try:
            await request.read()
            response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            await response.prepare(request)
            for number in range(self._tokens):
                await asyncio.sleep(self._pause_seconds)
                is_last = number + 1 == self._tokens
                await response.write(_CHUNKS[is_last])
            await response.write(b"data: [DONE]\n\n")
            return response
        finally:
            self.answers += 1
            self._count(-1)

    def _count(self, change: int) -> None:
        now = time.monotonic()
        if self.began is None:
            self.began = self._changed = now
        self.busy_seconds += self._busy * (now - self._changed)
        self._busy += change
        self._changed = self.ended = now

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        """Listen on loopback while the context lasts; yields the address."""
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self.answer)
        app.router.add_get("/v1/models", _models)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        finally:
            await runner.cleanup()


def _chunk(text: str, reason: str | None) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": reason}
    body = {"id": "c", "object": "chat.completion.chunk", "model": "m", "choices": [choice]}
    return b"data: " + json.dumps(body).encode() + b"\n\n"


_CHUNKS: Final = {False: _chunk(" word", None), True: _chunk(" end", "stop")}


async def _models(_: web.Request) -> web.StreamResponse:
    return web.json_response({"object": "list", "data": [{"id": "m", "object": "model"}]})


def sections(url: str, targets: int, slots: int) -> str:
    """Return settings of so many models of the server at an address."""
    return "".join(_MODEL.format(number=number, url=url, slots=slots) for number in range(targets))
