"""An engine that is restarted under its containers: an engine of the tests' own."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest

from server.models.runners.base import Condition
from server.models.runners.docker.runner import DockerRunner
from server.settings.tables import DockerSettings
from tests.docker.conftest import end, model
from tests.docker.own_engine import OwnEngine, own_engine
from tests.docker.watching import CEILING_SECONDS, A, B, answers, says, silent
from tests.support.ports import free_ports


@pytest.fixture(scope="module")
def engine(alone: None, fake: str) -> Iterator[OwnEngine]:
    with own_engine("--live-restore") as engine:
        engine.load(fake)
        yield engine


@pytest.fixture
async def runner(engine: OwnEngine, settings: DockerSettings) -> AsyncIterator[DockerRunner]:
    runner = DockerRunner(
        replace(settings, host=engine.host), instance="test", ports=free_ports(10), environment={}
    )
    yield runner
    await end(runner)
    assert not engine.containers()


async def test_containers_that_outlive_their_engine_are_there_again_afterwards(
    engine: OwnEngine, runner: DockerRunner
) -> None:
    endpoint = await runner.start(A, model("fake/tgi"), silent)
    await says(runner, A, "Connected")
    waiting = asyncio.create_task(runner.wait(A))
    await asyncio.to_thread(engine.kill)
    async with asyncio.timeout(CEILING_SECONDS):
        assert (await runner.inspect(A)).condition is Condition.UNKNOWN
        assert not waiting.done()
        await asyncio.to_thread(engine.start)
        seen = await runner.inspect(A)
        assert (seen.condition, seen.endpoint) == (Condition.RUNNING, endpoint)
        assert not waiting.done()
        assert await answers(endpoint.url) == 200
        await runner.stop(A, grace_seconds=5)
        assert (await waiting).condition in (Condition.EXITED, Condition.MISSING)


async def test_a_container_that_ended_while_its_engine_was_away_is_seen_to_have_ended(
    engine: OwnEngine, runner: DockerRunner
) -> None:
    for replica in (A, B):
        await runner.start(replica, model("fake/tgi"), silent)
        await says(runner, replica, "Connected")
    pid = engine.inspect("sidestream-test-a")["State"]["Pid"]
    waiting = asyncio.create_task(runner.wait(A))
    await asyncio.to_thread(engine.kill)
    os.kill(pid, signal.SIGKILL)
    await asyncio.to_thread(engine.start)
    async with asyncio.timeout(CEILING_SECONDS):
        assert (await waiting).condition is Condition.EXITED
    assert (await runner.inspect(B)).condition is Condition.RUNNING


async def test_a_start_that_meets_a_restart_comes_through(
    engine: OwnEngine, runner: DockerRunner
) -> None:
    await runner.start(A, model("fake/tgi"), silent)
    await asyncio.to_thread(engine.kill)
    starting = asyncio.create_task(runner.start(B, model("fake/tgi", "b"), silent))
    await asyncio.to_thread(engine.start)
    async with asyncio.timeout(CEILING_SECONDS):
        endpoint = await starting
    await says(runner, B, "Connected")
    assert await answers(endpoint.url) == 200
