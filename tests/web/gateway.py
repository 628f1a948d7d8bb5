"""A gateway in the test's own loop, and requests to it."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp import web

from server.app import build_app
from server.core.protocol import Model
from server.settings.models import ModelSettings
from server.settings.tables import AnswerSettings, ServerSettings, Settings
from server.web.keys import FLEET
from server.web.listening import make_runner
from tests.fakes.openai import Fake, serve
from tests.fakes.openai_options import FakeOptions
from tests.support.launching import fake_launcher
from tests.support.ports import free_ports
from tests.support.state import state_dir

JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Reply:
    """A whole answer."""

    status: int
    headers: Any
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def events(self) -> list[Any]:
        """Return what a stream's events hold; `[DONE]` as it is."""
        data = [part.removeprefix("data: ") for part in self.text.split("\n\n")]
        return [
            text if text == "[DONE]" else json.loads(text)
            for text in data
            if text and not text.startswith(":")
        ]


@dataclass(frozen=True)
class Gateway:
    """A gateway that listens, and a client of it."""

    url: str
    app: web.Application
    http: aiohttp.ClientSession

    async def ask(self, method: str, path: str, body: Any = None, **words: Any) -> Reply:
        """Make a request with a JSON body, or with what `words` say."""
        if body is not None:
            words["data"], words["headers"] = json.dumps(body), JSON
        async with self.http.request(method, self.url + path, **words) as response:
            text = (await response.read()).decode()
            return Reply(response.status, response.headers, text)

    async def post(self, path: str, body: Any = None, **words: Any) -> Reply:
        return await self.ask("POST", path, body, **words)

    async def get(self, path: str, **words: Any) -> Reply:
        return await self.ask("GET", path, **words)

    async def until(self, is_so: Callable[[Model], bool], *, ceiling_seconds: float = 20) -> None:
        """Return once that is so of the model `m`."""
        await self.until_any(
            lambda model: model.id == "m" and is_so(model), ceiling_seconds=ceiling_seconds
        )

    async def until_any(
        self, is_so: Callable[[Model], bool], *, ceiling_seconds: float = 20
    ) -> None:
        """Return once that is so of one of the models."""
        fleet, changed = self.app[FLEET], asyncio.Event()
        unsubscribe = fleet.subscribe(lambda _: changed.set(), lambda _: changed.set())
        try:
            async with asyncio.timeout(ceiling_seconds):
                while not any(is_so(model) for model in fleet.snapshots()):
                    changed.clear()
                    await changed.wait()
        finally:
            unsubscribe()

    @asynccontextmanager
    async def open(self, path: str, body: Any) -> AsyncIterator[aiohttp.ClientResponse]:
        """Have a stream's head, and go away in the end whether or not all of it has come."""
        data = json.dumps(body)
        async with self.http.post(self.url + path, data=data, headers=JSON) as response:
            yield response
            response.close()


@asynccontextmanager
async def running(settings: Settings, *fake_flags: str) -> AsyncIterator[Gateway]:
    """Run a gateway whose own model servers are fakes with those flags."""
    app = build_app(settings, embedded=fake_launcher(*fake_flags))
    runner = make_runner(app, settings.access)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        # A connection for each request: what is left half read is not read by the next.
        connector = aiohttp.TCPConnector(force_close=True)
        async with aiohttp.ClientSession(connector=connector) as http:
            yield Gateway(f"http://127.0.0.1:{runner.addresses[0][1]}", app, http)
    finally:
        await runner.cleanup()


@asynccontextmanager
async def before_fake(options: FakeOptions, **words: Any) -> AsyncIterator[tuple[Gateway, Fake]]:
    """Run a fake server of OpenAI's form, and a gateway with its model `m` ready."""
    async with serve(options) as fake:
        settings = Settings(
            server=server_settings(),
            answers=AnswerSettings(queue_timeout=0.0),
            models={"m": remote(fake.api, **{"dialect": "openai", **words})},
        )
        async with running(settings) as gateway:
            await gateway.until(lambda model: model.state == "ready")
            yield gateway, fake


def server_settings(**words: Any) -> ServerSettings:
    """Return settings of a gateway that gets in nobody's way."""
    name = f"http-{uuid.uuid4().hex[:8]}"
    ours = {"instance": name, "shutdown_grace": 0.0, "state_dir": state_dir()}
    return ServerSettings(**{**ours, **words})


def remote(url: str, **words: Any) -> ModelSettings:
    """Return a model whose server listens already."""
    return ModelSettings(runner="remote", url=url, **words)


def own(**words: Any) -> ModelSettings:
    """Return a model whose server the gateway starts."""
    return ModelSettings(weights="fake", **words)


def ports() -> tuple[int, int]:
    return free_ports(4)
