"""What a lifecycle makes of a server whose machine is lost, while it starts and while it serves."""

import asyncio
from typing import Any

import pytest

from server.core.errors import ModelFailed
from server.core.protocol import Progress
from server.dialects.base import Endpoint
from server.engines.cause import Cause
from server.models.catalogue.catalog import ModelSpec
from server.models.runners.base import Condition, Observation, PlaceLost, Replica, Report
from tests.support.fake_fleet import CEILING_SECONDS, FakeRunner, fake_fleet

_AWAY = Cause("engine_unreachable", "gpu1 is away", "see whether it is on", loses_place=True)


class _LosingRunner(FakeRunner):
    """Run servers on machines, the first few of which are lost while a server starts there."""

    def __init__(self, lost: int = 0, **options: Any) -> None:
        super().__init__(**options)
        self.lost = lost

    async def start(self, replica: Replica, spec: ModelSpec, report: Report) -> Endpoint:
        if not self.lost:
            return await super().start(replica, spec, report)
        self.lost -= 1
        self.starts += 1
        report(Progress("loading", None, "loading on gpu1"))
        raise PlaceLost(_AWAY.message, details={"cause": _AWAY.code})

    async def inspect(self, replica: Replica) -> Observation:
        seen = await super().inspect(replica)
        if seen.condition is Condition.EXITED:
            return Observation(replica, Condition.UNKNOWN, seen.endpoint, cause=_AWAY)
        return seen


async def test_a_start_whose_machine_is_lost_is_made_on_another_one() -> None:
    async with fake_fleet(_LosingRunner(lost=2)) as s:
        await s.use()
        assert s.runner.starts == 3
        assert s.fleet.snapshot("a").error is None


async def test_a_start_that_loses_three_machines_is_given_up() -> None:
    async with fake_fleet(_LosingRunner(lost=9)) as s:
        with pytest.raises(ModelFailed, match="gpu1 is away"):
            await s.use()
        assert s.runner.starts == 3


async def test_a_start_that_nobody_waits_for_is_made_again_as_well() -> None:
    async with fake_fleet(_LosingRunner(lost=1), restarts=1) as s:
        s.fleet.start("a")
        await s.state("ready")
        assert s.runner.starts == 2


async def test_a_server_that_is_lost_while_it_loads_is_started_on_another_machine() -> None:
    runner = _LosingRunner()
    runner.loading.close()
    async with fake_fleet(runner) as s:
        asking = asyncio.create_task(s.use())
        await runner.loading.reached()
        runner.loading.open()
        runner.crash("a", 0)
        await asking
        assert s.runner.starts == 2


async def test_a_silent_server_is_not_given_up_before_its_place_knows_why() -> None:
    runner = _LosingRunner()
    runner.loss_seconds = CEILING_SECONDS
    async with fake_fleet(runner, health_interval=0.01) as s:
        upstream = (await s.use()).upstream
        asked, is_healthy = asyncio.Semaphore(0), upstream.is_healthy

        async def counted(*, timeout_seconds: float) -> bool:
            asked.release()
            return await is_healthy(timeout_seconds=timeout_seconds)

        upstream.is_healthy = counted  # type: ignore[method-assign]
        runner.mute("a")
        async with asyncio.timeout(CEILING_SECONDS):
            for _ in range(10):
                await asked.acquire()
        assert s.fleet.snapshot("a").state == "ready"
        runner.crash("a", 0)
        error = (await s.state("failed")).error
        assert error is not None
        assert "gpu1 is away" in error.message


async def test_the_cause_of_a_loss_is_told_although_the_next_server_is_ready_already() -> None:
    """An answer's own look at the lost server may take longer than a start elsewhere."""
    async with fake_fleet(_LosingRunner(), restarts=1) as s, s.fleet.lease("a") as lease:
        s.runner.crash("a", 0)
        await s.sees(lambda _: s.runner.starts == 2 and s.fleet.is_ready("a"))
        lost = await lease.cause_of_loss()
        assert lost is not None
        assert "gpu1 is away" in lost.message


async def test_a_loss_is_told_while_a_look_at_the_lost_server_gets_no_answer() -> None:
    async with fake_fleet(_LosingRunner()) as s, s.fleet.lease("a") as lease:
        is_looked_at = asyncio.Event()

        async def hangs(*, timeout_seconds: float) -> bool:
            is_looked_at.set()
            await asyncio.Event().wait()
            return True

        lease.upstream.is_healthy = hangs  # type: ignore[method-assign]
        asking = asyncio.create_task(lease.cause_of_loss())
        async with asyncio.timeout(CEILING_SECONDS):
            await is_looked_at.wait()
            s.runner.crash("a", 0)
            lost = await asking
        assert lost is not None
        assert "gpu1 is away" in lost.message
