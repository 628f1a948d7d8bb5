"""Remote servers: watched from the start, used again when they come back, never stopped."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from server.core.errors import InvalidCommand, ModelFailed
from tests.fakes.tgi import serve
from tests.fakes.tgi_options import FakeOptions
from tests.support.fake_fleet import FakeFleet, fake_fleet
from tests.support.ports import free_ports


@asynccontextmanager
async def watching(port: int) -> AsyncIterator[FakeFleet]:
    """Run a fleet with one remote model whose health is checked often."""
    models = {"r": {"runner": "remote", "url": f"http://127.0.0.1:{port}"}}
    async with fake_fleet(models=models, health_interval=0.05) as s:
        yield s


@pytest.fixture
def port() -> int:
    """Return a port on which nobody listens yet."""
    return free_ports(1)[0]


async def test_a_remote_server_is_found_without_a_request(port: int) -> None:
    async with serve(FakeOptions(model_id="org/name"), port=port), watching(port) as s:
        model = await s.state("ready", "r")
        assert (model.runner, model.engine) == ("remote", "TGI")
        lease = await s.use("r")
        assert lease.info.model_id == "org/name"


async def test_a_remote_server_is_lost_and_found_by_itself(port: int) -> None:
    async with watching(port) as s:
        error = (await s.state("failed", "r")).error
        assert error is not None
        assert error.message == f"no model server answers at http://127.0.0.1:{port}"
        # Inside a container, the hint speaks of that.
        assert "`url`" in (error.hint or "")
        async with serve(port=port):
            assert (await s.state("ready", "r")).error is None
        await s.state("failed", "r")
        async with serve(port=port):
            await s.state("ready", "r")


async def test_while_it_is_missed_it_does_not_pretend_to_start(port: int) -> None:
    async with watching(port) as s:
        for _ in range(3):
            with pytest.raises(ModelFailed, match="no model server answers"):
                await s.use("r")
        assert s.states("r").count("starting") == 1


async def test_a_request_probes_a_remote_server_at_once(port: int) -> None:
    models = {"r": {"runner": "remote", "url": f"http://127.0.0.1:{port}"}}
    async with fake_fleet(models=models) as s:
        await s.state("failed", "r")
        async with serve(port=port):
            await s.use("r")


async def test_a_remote_server_cannot_be_stopped(port: int) -> None:
    async with serve(port=port), watching(port) as s:
        await s.state("ready", "r")
        with pytest.raises(InvalidCommand, match="run by somebody else"):
            s.fleet.stop("r")
        await s.use("r")


async def test_a_remote_server_outlives_the_gateway(port: int) -> None:
    async with serve(port=port):
        for _ in range(2):
            async with watching(port) as s:
                await s.use("r")


async def test_two_gateways_may_use_it_at_once(port: int) -> None:
    async with serve(port=port), watching(port) as one, watching(port) as other:
        await asyncio.gather(one.use("r"), other.use("r"))
