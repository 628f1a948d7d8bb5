"""The runner contract, over services of a real swarm.

The tests are those of `tests/models/runners/test_runner_contract.py`, all but two: closing leaves
services running, and starts are cancelled at random moments in `test_swarm_runner.py`, not at each
step of the event loop, of which a start here has thousands.
"""

import asyncio
from collections.abc import AsyncIterator

import pytest

from server.models.catalogue.catalog import ModelSpec
from server.models.runners.swarm.runner import SwarmRunner
from server.settings.tables import SwarmSettings
from tests.models.runners import test_runner_contract as contract
from tests.swarm.bed import Bed
from tests.swarm.conftest import model

_OTHERWISE = {
    "test_closing_ends_everything",
    "test_a_start_that_is_cancelled_leaves_nothing_behind",
}


class _EndingRunner(SwarmRunner):
    """A runner that ends what it runs when it is closed, as the contract's tests expect."""

    async def close(self) -> None:
        there = await self.list()
        await asyncio.gather(*(self.stop(seen.replica, grace_seconds=0) for seen in there))
        await super().close()


class SwarmBench:
    """Services."""

    def __init__(self, bed: Bed, settings: SwarmSettings, broken: str) -> None:
        self._bed = bed
        self._settings = settings
        self._broken = broken

    def runner(self, ports: tuple[int, int]) -> SwarmRunner:
        return _EndingRunner(self._settings, instance="test", environment={})

    def spec(self, what: str) -> ModelSpec:
        if what == "missing":
            return model("program/missing", image=self._broken)
        return model(f"program/{what}")

    def leftovers(self) -> object:
        # A node removes an ended container a little later than the manager forgets its task.
        running = {name: one for name, one in self._bed.containers().items() if one == "running"}
        return {**running, **dict.fromkeys(self._bed.services(), "service")}


@pytest.fixture
def bench(bed: Bed, settings: SwarmSettings, broken: str) -> SwarmBench:
    return SwarmBench(bed, settings, broken)


@pytest.fixture
def ports() -> tuple[int, int]:
    """Return nothing that is used: nodes take ports by themselves."""
    return (1, 1)


@pytest.fixture
async def runner(bench: SwarmBench, ports: tuple[int, int]) -> AsyncIterator[SwarmRunner]:
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
