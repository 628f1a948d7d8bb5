"""A model that its server loads on request is started and stopped over HTTP like any other."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from server.settings.tables import Settings
from server.settings.upstreams import UpstreamSettings
from server.web.keys import FLEET
from tests.fakes.openai import Fake, serve
from tests.fakes.openai_options import Canned, like
from tests.web.gateway import Gateway, remote, running, server_settings

LOAD = "GET /upstream/a/health"
UNLOAD = "POST /api/models/unload/a"


class Memory(Mapping[str, Any]):
    """What the fake's list says of its model: loaded since it was last asked to load it."""

    def __init__(self) -> None:
        self.fake: Fake | None = None

    def __getitem__(self, name: str) -> Any:
        routes = {} if self.fake is None else self.fake.state.routes
        is_loaded = routes.get(LOAD, 0) > routes.get(UNLOAD, 0)
        return {"status": {"value": "loaded" if is_loaded else "unloaded"}}[name]

    def __iter__(self) -> Iterator[str]:
        return iter(["status"])

    def __len__(self) -> int:
        return 1


@asynccontextmanager
async def swapping(load: Canned, *, is_known: bool = True) -> AsyncIterator[tuple[Gateway, Fake]]:
    """Run a gateway before a llama-swap whose model `a` is not in memory yet."""
    memory = Memory()
    routes = {LOAD: load, UNLOAD: Canned("OK")}
    options = like("llama-swap", models=("a",), routes=routes, model_fields=memory)
    async with serve(options) as fake:
        memory.fake = fake
        upstream = UpstreamSettings(
            url=fake.api, dialect="openai", flavour="llama-swap", models=("*",)
        )
        settings = Settings(
            server=server_settings(),
            upstreams={"swap": upstream},
            models={"one": remote(fake.api, dialect="openai", flavour="llama-swap")},
        )
        async with running(settings) as gateway:
            if is_known:
                await _known(gateway, "swap/a")
            yield gateway, fake


async def test_a_start_that_is_waited_for_returns_when_the_model_is_loaded() -> None:
    async with swapping(Canned("OK")) as (gateway, fake):
        assert (await gateway.get("/models/swap/a")).json["state"] == "stopped"
        started = await gateway.post("/models/swap/a/start?wait=30")
        assert (started.status, started.json["state"]) == (202, "ready")
        assert started.json["server"]["loaded"] is True
        assert fake.state.routes[LOAD] == 1
        again = await gateway.post("/models/swap/a/start?wait=30")
        assert again.json["state"] == "ready"
        assert fake.state.routes[LOAD] == 1, "what is loaded is not loaded again"
        stopped = await gateway.post("/models/swap/a/stop?wait=30")
        assert (stopped.status, stopped.json["state"]) == (202, "stopped")
        assert fake.state.routes[UNLOAD] == 1


async def test_a_load_is_started_without_waiting_for_it() -> None:
    async with swapping(Canned("OK")) as (gateway, fake):
        started = await gateway.post("/models/swap/a/start")
        assert (started.status, started.json["state"]) == (202, "loading")
        await _until(gateway, "swap/a", "ready")
        assert fake.state.routes[LOAD] == 1


async def test_a_load_that_fails_answers_with_the_reason() -> None:
    async with swapping(Canned("no memory left", 500)) as (gateway, _):
        failed = await gateway.post("/models/swap/a/start?wait=30")
        assert failed.status == 202
        assert failed.json["state"] == "stopped"
        assert "no memory left" in failed.json["error"]["message"]


async def test_a_model_with_a_section_of_its_own_is_loaded_and_unloaded_too() -> None:
    async with swapping(Canned("OK")) as (gateway, fake):
        started = await gateway.post("/models/one/start?wait=30")
        assert (started.status, started.json["state"]) == (202, "ready")
        assert fake.state.routes[LOAD] == 1
        stopped = await gateway.post("/models/one/stop?wait=30")
        assert stopped.status == 202
        assert fake.state.routes[UNLOAD] == 1


async def test_a_model_is_loaded_where_abilities_are_known_only_once_the_server_is_up() -> None:
    async with swapping(Canned("OK"), is_known=False) as (gateway, fake):
        started = await gateway.post("/models/one/start?wait=30")
        assert (started.status, started.json["state"]) == (202, "ready")
        assert fake.state.routes[LOAD] == 1


async def _known(gateway: Gateway, model_id: str) -> None:
    """Return once a model stands in its server's list, and what the server can do is known."""

    def is_known() -> bool:
        return any(
            model.id == model_id and model.capabilities["load"]
            for model in gateway.app[FLEET].snapshots()
        )

    changed = asyncio.Event()
    unsubscribe = gateway.app[FLEET].subscribe(lambda _: changed.set(), lambda _: changed.set())
    try:
        async with asyncio.timeout(20):
            while not is_known():
                changed.clear()
                await changed.wait()
    finally:
        unsubscribe()


async def _until(gateway: Gateway, model_id: str, state: str) -> None:
    fleet, changed = gateway.app[FLEET], asyncio.Event()
    unsubscribe = fleet.subscribe(lambda _: changed.set(), lambda _: changed.set())
    try:
        async with asyncio.timeout(20):
            while fleet.snapshot(model_id).state != state:
                changed.clear()
                await changed.wait()
    finally:
        unsubscribe()
