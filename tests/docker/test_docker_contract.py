"""The runner contract, over containers of a real engine.

The tests are those of `tests/models/runners/test_runner_contract.py`, all but two: closing leaves
containers running, and a cancel is put at each call to the engine in `test_docker_cancel.py`,
not at each step of the event loop, of which a start here has thousands.
"""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from server.models.catalogue.catalog import ModelSpec
from server.models.runners.base import Runner
from server.models.runners.docker.engines import DockerEnginesRunner
from server.models.runners.docker.runner import DockerRunner
from server.settings.tables import (
    DockerEngineSettings,
    DockerSettings,
    EngineSettings,
    ServerSettings,
    Settings,
)
from tests.docker import image
from tests.docker.conftest import model
from tests.docker.engine import Engine
from tests.models.runners import test_runner_contract as contract
from tests.support.ports import free_ports

_OTHERWISE = {
    "test_closing_ends_everything",
    "test_a_start_that_is_cancelled_leaves_nothing_behind",
}


class _EndingRunner(DockerRunner):
    """A runner that ends what it runs when it is closed, as the contract's tests expect."""

    async def close(self) -> None:
        for seen in await self.list():
            await self.stop(seen.replica, grace_seconds=0)
        await super().close()


class DockerBench:
    """Containers."""

    def __init__(self, engine: Engine, settings: DockerSettings, kind: str) -> None:
        self._engine = engine
        self._settings = settings
        # Of every engine it is the same image, told what to do by the engine's own arguments.
        self._kind = {"engine": kind, "image": settings.image}

    def runner(self, ports: tuple[int, int]) -> Runner:
        return _EndingRunner(self._settings, instance="test", ports=ports, environment={})

    def spec(self, what: str) -> ModelSpec:
        if what == "missing":
            return model("program/missing", **{**self._kind, "image": image.broken_image()})
        return model(f"program/{what}", **self._kind)

    def leftovers(self) -> object:
        return {name: one["Id"] for name, one in self._engine.containers().items()}


class _EndingEnginesRunner(DockerEnginesRunner):
    """The same for several engines."""

    async def close(self) -> None:
        for seen in await self.list():
            await self.stop(seen.replica, grace_seconds=0)
        await super().close()


class EnginesBench(DockerBench):
    """Containers on one of several engines, another of which is never there."""

    def runner(self, ports: tuple[int, int]) -> Runner:
        settings = Settings(
            server=ServerSettings(instance="test"),
            engines=EngineSettings(ports=ports),
            docker=replace(self._settings, host="unix:///nonexistent"),
            docker_engines={"here": DockerEngineSettings(host=self._engine.host)},
        )
        return _EndingEnginesRunner(settings, environment={})

    def spec(self, what: str) -> ModelSpec:
        spec = super().spec(what)
        return replace(spec, settings=replace(spec.settings, engine_host="here"))


@pytest.fixture(params=["tgi", "llama.cpp on one of several engines"])
def bench(engine: Engine, settings: DockerSettings, request: pytest.FixtureRequest) -> DockerBench:
    """Go through two kinds of servers, the second of them on one of several engines."""
    kind, _, is_one_of_several = request.param.partition(" ")
    return (EnginesBench if is_one_of_several else DockerBench)(engine, settings, kind)


@pytest.fixture
def ports() -> tuple[int, int]:
    return free_ports(10)


@pytest.fixture
async def runner(bench: DockerBench, ports: tuple[int, int]) -> AsyncIterator[Runner]:
    runner = bench.runner(ports)
    yield runner
    await runner.close()
    assert not bench.leftovers()


globals().update(
    {
        name: test
        for name, test in vars(contract).items()
        if name.startswith("test_") and name not in _OTHERWISE
    }
)
