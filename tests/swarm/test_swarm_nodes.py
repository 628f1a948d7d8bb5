"""What happens to a server when something happens to its node."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest

from server.models.diagnosis.causes import explain_exit
from server.models.runners.base import Condition
from server.models.runners.swarm.runner import SwarmRunner
from server.models.runners.swarm.tasks import name_of
from server.settings.tables import SwarmSettings
from tests.docker.watching import A, B, answers, ends, says, silent
from tests.swarm.bed import Bed, Node, until
from tests.swarm.conftest import MakeRunner, model
from tests.swarm.test_swarm_runner import causes

CEILING_SECONDS = 60
DEFAULT_HEARTBEAT_SECONDS = 5
# Swarm spreads over all nodes, and what happens to the manager is another matter.
ON_WORKERS = ("node.role == worker",)


async def start(runner: SwarmRunner, bed: Bed, what: str = "fake/tgi") -> tuple[Node, str]:
    """Start a server on a worker; return the worker, and where the server answers."""
    async with asyncio.timeout(CEILING_SECONDS):
        endpoint = await runner.start(A, model(what, constraints=ON_WORKERS), silent)
    (task, *_) = [one for one in bed.tasks(name_of(A)) if one["Status"]["State"] == "running"]
    return bed.node_of(task), endpoint.url


async def becomes_away(runner: SwarmRunner) -> None:
    """Wait until the runner knows that the server's node is away."""
    async with asyncio.timeout(CEILING_SECONDS):
        while (await runner.inspect(A)).cause is None:
            await runner._tasks.polled(runner._tasks.count)


def running(bed: Bed, node: Node) -> list[str]:
    """Return the containers that run on a node."""
    return [
        name
        for name, state in bed.containers().items()
        if state == "running" and name.startswith(f"{node.name}/")
    ]


@pytest.mark.parametrize("fate", ["cut", "pull_plug"])
async def test_a_server_that_is_lost_with_its_node_runs_elsewhere_at_once(
    runner: SwarmRunner, bed: Bed, fate: str
) -> None:
    """Its stop is quick, and nothing runs twice for long after the node's return."""
    node, _ = await start(runner, bed)
    waiting = asyncio.create_task(ends(runner, A))
    getattr(node, fate)()
    seen = await waiting
    assert seen.condition is Condition.UNKNOWN
    lost = explain_exit(seen)
    assert causes(lost) == "node_lost"
    assert node.name in lost.message
    async with asyncio.timeout(5):
        await runner.stop(A, grace_seconds=600)
    other, url = await start(runner, bed)
    assert other is not node
    assert await answers(url) == 200
    bed.heal()
    until(lambda: not running(bed, node))
    assert len(running(bed, other)) == 1
    assert (await runner.inspect(A)).condition is Condition.RUNNING


async def test_a_server_whose_engine_alone_is_dead_goes_on_and_is_not_lost(
    runner: SwarmRunner, bed: Bed
) -> None:
    """Swarm gives it up all the same, and ends it when the engine is back."""
    node, url = await start(runner, bed)
    waiting = asyncio.create_task(ends(runner, A))
    node.kill_engine()
    await becomes_away(runner)
    assert await answers(url) == 200
    # Two more looks at the swarm: the server answers, and so it is waited for.
    for _ in range(2):
        await runner._tasks.polled(runner._tasks.count)
    assert not waiting.done()
    node.start_engine()
    # Swarm may see the server's end before the node's return, or after.
    seen = await waiting
    assert not seen.was_told_to_stop
    assert causes(explain_exit(seen)) == "node_lost"


async def test_a_drained_node_ends_its_server_which_starts_elsewhere(
    runner: SwarmRunner, bed: Bed
) -> None:
    node, _ = await start(runner, bed)
    bed.set_availability(node, "drain")
    seen = await ends(runner, A)
    assert not seen.was_told_to_stop
    drained = explain_exit(seen)
    assert causes(drained) == "node_lost"
    assert "drained" in drained.message
    assert (await start(runner, bed))[0] is not node
    bed.set_availability(node, "active")


async def test_a_manager_that_is_away_for_a_while_disturbs_nothing(
    runner: SwarmRunner, make_runner: MakeRunner, bed: Bed
) -> None:
    node, url = await start(runner, bed, "program/serve")
    await says(runner, A, "ready")
    waiting = asyncio.create_task(ends(runner, A))
    bed.manager.kill_engine()
    async with asyncio.timeout(CEILING_SECONDS):
        while (await runner.inspect(A)).condition is not Condition.UNKNOWN:
            await runner._tasks.polled(runner._tasks.count)
    assert await answers(url, "/") == 200
    bed.manager.start_engine()
    async with asyncio.timeout(CEILING_SECONDS):
        while (await runner.inspect(A)).condition is not Condition.RUNNING:
            await runner._tasks.polled(runner._tasks.count)
    assert not waiting.done()
    assert bed.state(node) in {"ready", "unknown"}
    await runner.stop(A, grace_seconds=1)
    gone = await waiting
    assert replace(gone, tail=()).condition in {Condition.EXITED, Condition.MISSING}


@pytest.fixture
def three_managers(bed: Bed) -> Iterator[list[str]]:
    """Have all nodes be managers, the first one the leader; return where they are asked."""
    with bed.heartbeat(DEFAULT_HEARTBEAT_SECONDS):
        for node in bed.workers:
            bed.set_role(node, "manager")
        yield [node.host for node in bed.nodes]
        bed.heal()
        for node in bed.workers:
            bed.set_role(node, "worker")


async def test_the_leader_of_three_managers_is_lost_and_nothing_with_it(
    make_runner: MakeRunner, settings: SwarmSettings, three_managers: list[str], bed: Bed
) -> None:
    """Its server ends with it and starts elsewhere; another one answers all the time."""
    runner = make_runner(settings=replace(settings, host=tuple(three_managers)))
    leader, other = bed.manager, bed.workers[0]
    for replica, node in ((A, leader), (B, other)):
        there = (f"node.id == {node.id}",)
        await runner.start(replica, model("fake/tgi", replica.model, constraints=there), silent)
    # Without a ceiling: it is there for as long as the test takes.
    stays = asyncio.create_task(runner.wait(B))
    waiting = asyncio.create_task(ends(runner, A))
    url = (await runner.inspect(B)).endpoint
    assert url is not None
    leader.pull_plug()
    lost = await waiting
    assert causes(explain_exit(lost)) == "node_lost"
    assert not stays.done(), stays.result()
    assert await answers(url.url) == 200
    async with asyncio.timeout(CEILING_SECONDS):
        await runner.stop(A, grace_seconds=1)
        endpoint = await runner.start(A, model("fake/tgi"), silent)
    assert await answers(endpoint.url) == 200
    assert leader.address not in endpoint.url
    assert not stays.done()
    await runner.stop(B, grace_seconds=1)
    await stays
    await runner.stop(A, grace_seconds=1)
