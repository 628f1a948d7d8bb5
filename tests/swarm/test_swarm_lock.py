"""Two gateways of one instance over one swarm: one of them changes its services."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TypeVar

import pytest

from server.core.errors import ModelFailed
from server.models.runners.containers.errors import DockerUnreachable
from server.models.runners.swarm.claims import PATIENCE_SECONDS, Verdict
from server.models.runners.swarm.errors import LockedOut
from server.models.runners.swarm.lock import Lock, lock_name
from server.models.runners.swarm.managers import Managers
from server.models.runners.swarm.runner import SwarmRunner
from server.models.runners.swarm.tasks import name_of
from tests.docker.engine import INSTANCE
from tests.docker.watching import A, B, answers, silent
from tests.swarm.bed import Bed
from tests.swarm.conftest import MakeRunner, model
from tests.swarm.test_swarm_runner import causes

CEILING_SECONDS = 60

T = TypeVar("T")

MakeLock = Callable[..., Lock]


@pytest.fixture
async def make_lock(bed: Bed) -> AsyncIterator[MakeLock]:
    """Return `make_lock(clock=…)`: a lock of a gateway with a state folder of its own."""
    async with AsyncExitStack() as stack:

        def make(**words: Callable[[], float]) -> Lock:
            managers = Managers((bed.manager.host,), {})
            stack.push_async_callback(managers.close)
            lock = Lock(managers, INSTANCE, None, **words)
            stack.push_async_callback(lock.release)
            return lock

        yield make


async def test_a_second_gateway_is_refused_until_the_first_has_ended(
    make_runner: MakeRunner, bed: Bed, tmp_path: Path
) -> None:
    first, second = make_runner(), make_runner(state_file=tmp_path / "elsewhere")
    endpoint = await first.start(A, model("fake/tgi"), silent)
    for attempt in (
        second.list(),
        second.start(B, model("fake/tgi", "b"), silent),
        second.stop(A, grace_seconds=1),
    ):
        with pytest.raises(ModelFailed, match="another gateway of the instance") as refused:
            async with asyncio.timeout(CEILING_SECONDS):
                await attempt
        assert causes(refused.value) == "instance_taken"
    assert (_may_act(first), _may_act(second)) == (True, False)
    assert list(bed.services()) == [name_of(A)]
    await first.close()
    assert not bed.locks()
    assert await second.start(A, model("fake/tgi"), silent) == endpoint
    assert _may_act(second)
    assert await answers(endpoint.url) == 200


async def test_a_lock_that_is_not_renewed_is_taken_over_and_its_loser_may_change_nothing(
    make_lock: MakeLock,
) -> None:
    now = 0.0
    first, second = make_lock(), make_lock(clock=lambda: now)
    await first.confirm()
    assert first._keeping is not None
    # As where its machine stands still.
    first._keeping.cancel()
    taking = asyncio.create_task(second.confirm())
    async with asyncio.timeout(CEILING_SECONDS):
        await second._looked.wait()
    assert not taking.done()
    now += PATIENCE_SECONDS
    async with asyncio.timeout(CEILING_SECONDS):
        await taking
    with pytest.raises(LockedOut):
        async with asyncio.timeout(CEILING_SECONDS):
            await asyncio.gather(first.confirm(), second._looked.wait())
    # What it releases is not its own any more.
    await first.release()
    await second.confirm()


async def test_of_several_that_take_it_at_once_one_holds_it(make_lock: MakeLock) -> None:
    locks = [make_lock() for _ in range(4)]
    async with asyncio.timeout(CEILING_SECONDS):
        ends = await asyncio.gather(*(one.confirm() for one in locks), return_exceptions=True)
    assert sorted(type(end).__name__ for end in ends) == [*["LockedOut"] * 3, "NoneType"]
    assert len({one.lockout is None for one in locks}) == 2


async def test_while_the_swarm_does_not_answer_nothing_is_decided(
    make_lock: MakeLock, bed: Bed
) -> None:
    now = 0.0
    holder, other = make_lock(), make_lock(clock=lambda: now)
    await holder.confirm()
    assert await other._look() is Verdict.UNSURE
    bed.manager.kill_engine()
    now += PATIENCE_SECONDS
    for lock in (holder, other):
        with pytest.raises(DockerUnreachable):
            await lock.confirm()
        assert lock.lockout is None
    bed.manager.start_engine()
    # The time without an answer is no part of what it waits.
    assert await _once_it_answers(other._look) in {Verdict.UNSURE, Verdict.TAKEN}
    await _once_it_answers(holder.confirm)
    shown = bed.locks()[lock_name(INSTANCE)]["Spec"]["Labels"]
    assert holder._judge is not None
    assert shown["sidestream.lock.run"] == holder._judge.us.run


async def test_a_lock_that_somebody_edits_or_removes_by_hand_is_its_holders_again(
    make_lock: MakeLock, bed: Bed
) -> None:
    now = 0.0
    holder = make_lock(clock=lambda: now)
    await holder.confirm()
    assert holder._keeping is not None
    holder._keeping.cancel()
    shown = await holder._shown()
    assert shown is not None
    config = f"configs/{shown['ID']}"
    unlabelled = shown["Spec"] | {"Labels": {}}
    version = shown["Version"]["Index"]
    await holder._managers.update("edit the lock", config, unlabelled, version=version)
    # It might be anybody's, until nobody renews it.
    with pytest.raises(LockedOut, match="on an unknown machine"):
        await holder.confirm()
    now += PATIENCE_SECONDS
    await holder.confirm()
    await holder._managers.delete("remove the lock", config)
    await holder.confirm()
    assert holder.lockout is None
    assert lock_name(INSTANCE) in bed.locks()


def _may_act(runner: SwarmRunner) -> bool:
    return runner.lockout is None


async def _once_it_answers(call: Callable[[], Awaitable[T]]) -> T:
    """Call until the swarm has managers again, which takes a little longer than their engines."""
    async with asyncio.timeout(CEILING_SECONDS):
        while True:
            try:
                return await call()
            except DockerUnreachable:
                await asyncio.sleep(0.05)
