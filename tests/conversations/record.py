"""Record the dialogues anew: `python -m tests.conversations.record [NAME...]`.

The Python client speaks to the real gateway through a relay that writes down every frame and can
break the connection; model servers are fakes that can be held where a scene wants them.
"""

import asyncio
import json
import re
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
from aiohttp import WSMsgType, web

from server.client import ConnectionState
from tests.conversations.program import Program
from tests.conversations.script import FOLDER, Step
from tests.fakes.tgi import Fake, serve
from tests.fakes.tgi_options import FakeOptions
from tests.wire.gateway import Running, gateway, until


class Relay:
    """Pass frames on between one client and a gateway, writing them down."""

    def __init__(self, steps: list[Step]) -> None:
        self.steps = steps
        self.target = ""
        self.url = ""
        self.is_deaf = False
        """Answers are dropped: as if the connection had broken already, one way."""
        self._socket: web.WebSocketResponse | None = None

    async def accept(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self._socket = socket
        async with aiohttp.ClientSession() as http, http.ws_connect(self.target) as far:
            pumps = [asyncio.create_task(self._up(socket, far))]
            pumps.append(asyncio.create_task(self._down(far, socket)))
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in pumps:
                pump.cancel()
            await asyncio.wait(pumps)
        return socket

    def cut(self) -> None:
        """Break the connection."""
        socket, self._socket = self._socket, None
        assert socket is not None
        self.steps.append({"cut": True})
        transport = socket._req.transport  # type: ignore[union-attr]
        assert transport is not None
        transport.abort()
        self.is_deaf = False

    async def say_goodbye(self, code: int) -> None:
        """Close the connection like a server that shuts down."""
        socket, self._socket = self._socket, None
        assert socket is not None
        self.steps.append({"close": code})
        await socket.close(code=code)

    async def _up(
        self, socket: web.WebSocketResponse, far: aiohttp.ClientWebSocketResponse
    ) -> None:
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                self.steps.append({"client": json.loads(message.data)})
                await far.send_str(message.data)

    async def _down(
        self, far: aiohttp.ClientWebSocketResponse, socket: web.WebSocketResponse
    ) -> None:
        async for message in far:
            if self._socket is not socket:
                return
            if message.type is WSMsgType.TEXT and not self.is_deaf:
                self.steps.append({"server": json.loads(message.data)})
                await socket.send_str(message.data)


class Recording:
    """The parts of a scene: a gateway, its model servers, a client, and the relay between them."""

    def __init__(self, stack: AsyncExitStack, relay: Relay) -> None:
        self.relay = relay
        self.program = Program(relay.url)
        self._stack = stack
        self._connected = 0
        self._known = 0
        self.program.client.on("connection", self._count)

    async def fake(self, **options: Any) -> Fake:
        return await self._stack.enter_async_context(serve(FakeOptions(**options)))

    async def gateway(self, models: Any, **options: Any) -> Running:
        running = await self._stack.enter_async_context(gateway(models, **options))
        self.relay.target = running.url
        return running

    async def do(self, verb: str, what: Any = None) -> None:
        """Execute and record a step of the program."""
        self.relay.steps.append({"do": [verb] if what is None else [verb, what]})
        await self.program.do(verb, what)

    async def answered(self) -> None:
        """Return when every command has its answer."""
        await until(lambda: all(task.done() for task in self.program._commands), "all answered")

    async def connect(self) -> None:
        await self.do("connect")
        await self.reconnected()

    async def reconnected(self) -> None:
        """Return when the client has reconnected."""
        self._known += 1
        await until(lambda: self._connected >= self._known, "it is connected again")

    async def text(self, index: int, count: int) -> None:
        """Return when so many deltas of an answer are here."""
        await until(lambda: self.program._generations[index].seq >= count, "so much text")

    async def ended(self) -> None:
        """Return when every answer has ended."""
        generations = self.program._generations
        await until(lambda: not any(one.is_live for one in generations), "all ended")

    def _count(self, state: ConnectionState) -> None:
        self._connected += state.name == "connected"


def question(*models: str, **more: Any) -> dict[str, Any]:
    """Return the fields of a command that asks these models."""
    messages = [{"role": "user", "content": "What is AI?"}]
    return {"targets": [{"model": model} for model in models], "messages": messages, **more}


Scene = Callable[[Recording], Awaitable[None]]
SCENES: dict[str, Scene] = {}


def scene(play: Scene) -> Scene:
    SCENES[play.__name__.replace("_", "-")] = play
    return play


async def record(play: Scene) -> list[Step]:
    """Play a scene and return its dialogue."""
    about = " ".join((play.__doc__ or "").split())
    steps: list[Step] = [{"about": about}]
    async with AsyncExitStack() as stack:
        relay = Relay(steps)
        app = web.Application()
        app.router.add_get("/ws", relay.accept)
        runner = web.AppRunner(app, shutdown_timeout=1.0, handler_cancellation=True)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        relay.url = f"ws://127.0.0.1:{runner.addresses[0][1]}/ws"
        recording = Recording(stack, relay)
        try:
            await play(recording)
            steps.append({"expect": await recording.program.outcome()})
            return list(steps)  # hanging up is not recorded
        finally:
            await recording.program.close()


def write(name: str, steps: list[Step]) -> None:
    """Write a dialogue under names that do not change from one recording to the next."""
    text = "".join(
        json.dumps(step, ensure_ascii=False, separators=(",", ":")) + "\n" for step in steps
    )
    for pattern, form in ((r"s_[\w-]{22}", "s_recorded-{}"), (r"\b[0-9a-f]{32}\b", "request-{}")):
        found = dict.fromkeys(re.findall(pattern, text))
        for number, each in enumerate(found, 1):
            text = text.replace(each, form.format(number))
    (FOLDER / f"{name}.jsonl").write_text(text, encoding="utf-8")


async def main(names: list[str]) -> None:
    from tests.conversations import scenes  # noqa: F401 - they enter themselves

    for name in names or SCENES:
        write(name, await record(SCENES[name]))
        print(f"{name}: {SCENES[name].__doc__}")


if __name__ == "__main__":
    from tests.conversations.record import main as recorded_main

    asyncio.run(recorded_main(sys.argv[1:]))
