"""What is known of a container by the engine's events is dropped when it starts anew or goes."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from server.models.runners.containers.client import DockerEngine
from server.models.runners.docker.events import Events

CEILING_SECONDS = 10


class FakeEngine:
    """An engine that tells the events it is given, and lists the containers it is said to have."""

    def __init__(self) -> None:
        self.containers: list[str] = []
        self._lines: asyncio.Queue[bytes] = asyncio.Queue()
        self._transport: Any = None

    def tell(self, action: str, container: str, **attributes: str) -> None:
        """Tell one event."""
        event = {"Action": action, "Actor": {"ID": container, "Attributes": attributes}}
        self._lines.put_nowait(json.dumps(event).encode() + b"\n")

    def end_stream(self) -> None:
        """End the stream of events; the next one goes on."""
        self._lines.put_nowait(b"")

    def die(self) -> None:
        """Break the stream of events off in the middle."""
        self._transport.abort()

    def app(self) -> web.Application:
        """Return what answers as an engine does."""
        app = web.Application()
        app.router.add_get("/_ping", self._ping)
        app.router.add_get("/{version:v[^/]+/|}version", self._version)
        app.router.add_get("/{version:v[^/]+/|}info", self._version)
        app.router.add_get("/{version}/events", self._events)
        app.router.add_get("/{version}/containers/json", self._list)
        return app

    async def _ping(self, _: web.Request) -> web.Response:
        return web.Response(text="OK")

    async def _version(self, _: web.Request) -> web.Response:
        return web.json_response({"ApiVersion": "1.44", "MinAPIVersion": "1.24"})

    async def _list(self, _: web.Request) -> web.Response:
        return web.json_response([{"Id": one} for one in self.containers])

    async def _events(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        self._transport = request.transport
        while line := await self._lines.get():
            await response.write(line)
        return response


@pytest.fixture
def engine() -> FakeEngine:
    """Return an engine without containers."""
    return FakeEngine()


@pytest.fixture
async def events(engine: FakeEngine) -> AsyncIterator[Events]:
    """Return what listens to the engine."""
    async with TestServer(engine.app()) as server:
        client = DockerEngine(f"tcp://127.0.0.1:{server.port}", {}, ports=(1, 2))
        events = Events(client, "test")
        events.listen()
        yield events
        engine.end_stream()
        await events.close()
        await client.close()


async def known(events: Events, out_of_memory: set[str], signals: dict[str, set[int]]) -> None:
    """Return once exactly this is known."""
    async with asyncio.timeout(CEILING_SECONDS):
        while (events.out_of_memory, events.sent_signals) != (out_of_memory, signals):
            await events.after(events.count)


async def test_a_container_that_is_removed_is_forgotten(engine: FakeEngine, events: Events) -> None:
    engine.tell("oom", "a")
    engine.tell("kill", "a", signal="15")
    await known(events, {"a"}, {"a": {15}})
    engine.tell("destroy", "a")
    await known(events, set(), {})


async def test_a_container_that_starts_anew_begins_with_nothing(
    engine: FakeEngine, events: Events
) -> None:
    """One whose memory ran out once was said to have run out of it at every later end."""
    engine.tell("oom", "a")
    engine.tell("kill", "a", signal="9")
    await known(events, {"a"}, {"a": {9}})
    engine.tell("start", "a")
    await known(events, set(), {})


async def test_a_removal_while_the_engine_was_away_is_found(
    engine: FakeEngine, events: Events
) -> None:
    """The id of a container whose removal nobody heard was kept for ever."""
    for one in ("gone", "there"):
        engine.tell("oom", one)
        engine.tell("kill", one, signal="15")
    await known(events, {"gone", "there"}, {"gone": {15}, "there": {15}})
    engine.containers = ["there"]
    engine.end_stream()
    await known(events, {"there"}, {"there": {15}})


async def test_an_engine_that_dies_breaks_its_answer_off(
    engine: FakeEngine, events: Events
) -> None:
    async with asyncio.timeout(CEILING_SECONDS):
        await events.changed.wait_for(lambda: events.is_connected)
        engine.die()
        await events.changed.wait_for(lambda: not events.is_connected)
    assert events.trouble == "the answer broke off"
