"""Several engines behind one runner: where servers are, what is lost with one, and what is not."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from server.core.errors import ModelFailed
from server.models.catalogue.catalog import ModelSpec
from server.models.diagnosis.causes import explain_exit
from server.models.runners.base import Condition, Observation, PlaceLost, Replica
from server.models.runners.containers.errors import DockerUnreachable
from server.models.runners.docker import engines as engines_module
from server.models.runners.docker import member as member_module
from server.models.runners.docker import pool as pool_module
from server.models.runners.docker.engines import DockerEnginesRunner
from server.models.runners.docker.places import DockerPlaces
from server.models.runners.docker.runner import DockerRunner
from server.models.runners.machines import PlacedServer
from server.settings.tables import (
    DockerEngineSettings,
    DockerSettings,
    EngineSettings,
    ServerSettings,
    Settings,
)
from tests.docker.conftest import model
from tests.docker.engine import INSTANCE, Engine
from tests.docker.own_engine import OwnEngine
from tests.docker.proxy import Proxy, proxy
from tests.docker.watching import CEILING_SECONDS, NAME_A, NAME_B, A, B, answers, ends, says, silent
from tests.support.ports import free_ports

Two = tuple[OwnEngine, OwnEngine]
Make = Callable[..., DockerEnginesRunner]


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have an engine count as away at once, and asked again soon."""
    monkeypatch.setattr(engines_module, "_PATIENCE_SECONDS", 0.2)
    monkeypatch.setattr(member_module, "_RETRY_SECONDS", 0.2)


@pytest.fixture
async def make(settings: DockerSettings, two: Two) -> AsyncIterator[Make]:
    """Return `make(one=HOST, two=HOST)`; what its runners run is stopped at the end."""
    async with AsyncExitStack() as stack:

        def make(**hosts: str) -> DockerEnginesRunner:
            hosts = hosts or {"one": two[0].host, "two": two[1].host}
            default = hosts.pop("", "unix:///nonexistent")
            runner = DockerEnginesRunner(
                Settings(
                    server=ServerSettings(instance=INSTANCE),
                    engines=EngineSettings(ports=free_ports(10)),
                    docker=replace(settings, host=default),
                    docker_engines={
                        name: DockerEngineSettings(host=host) for name, host in hosts.items()
                    },
                ),
                environment={},
            )
            stack.push_async_callback(end, runner)
            return runner

        yield make


@pytest.fixture
async def between(two: Two, tmp_path: Path) -> AsyncIterator[Proxy]:
    """Return a proxy before the first engine."""
    async with proxy(tmp_path, engine=two[0].path) as one:
        yield one


async def end(runner: DockerEnginesRunner) -> None:
    try:
        for seen in await runner.list():
            await runner.stop(seen.replica, grace_seconds=0)
    except DockerUnreachable:
        pass
    finally:
        await runner.close()


def on(host: str, name: str = "a", model_id: str = "fake/tgi") -> ModelSpec:
    return model(model_id, name, engine_host=host)


async def chosen(runner: DockerEnginesRunner, spec: ModelSpec) -> list[str]:
    """Return the names of the engines that make a model an offer."""
    return [offer.place for offer in await DockerPlaces(runner.pool).offers(spec)]


async def gone(engine: Engine, name: str) -> None:
    """Wait until a container is gone."""
    async with asyncio.timeout(CEILING_SECONDS):
        while name in await asyncio.to_thread(engine.containers):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_servers_are_on_their_engines_and_each_can_be_stopped(make: Make, two: Two) -> None:
    runner = make()
    told: list[str] = []
    first = await runner.start(A, on("one"), lambda progress: told.append(progress.text))
    second = await runner.start(B, on("two", "b"), silent)
    assert (first.place, second.place) == ("one", "two")
    assert told == ["one: starting the container"]
    for replica, endpoint in ((A, first), (B, second)):
        await says(runner, replica, "Connected")
        assert await answers(endpoint.url) == 200
    assert [[*engine.containers()] for engine in two] == [[NAME_A], [NAME_B]]
    places = {one.replica: one.endpoint and one.endpoint.place for one in await runner.list()}
    assert places == {A: "one", B: "two"}
    machines = [placed.machine for placed in (await runner.machines()).machines]
    seen = [one for one in machines if one.name in {"one", "two"}]
    assert [(one.name, one.kind) for one in seen] == [("one", "docker"), ("two", "docker")]
    assert all(one.version for one in seen)
    await runner.stop(A, grace_seconds=5)
    assert (await runner.inspect(A)).condition is Condition.MISSING
    assert (await runner.inspect(B)).condition is Condition.RUNNING


async def test_an_engine_that_goes_away_takes_its_own_server_and_what_returns_is_removed(
    make: Make, two: Two
) -> None:
    runner = make()
    anywhere = on("any")
    assert await chosen(runner, anywhere) == ["one", "two"]
    DockerPlaces(runner.pool).chose(anywhere, "one")
    await runner.start(A, anywhere, silent)
    await runner.start(B, on("two", "b"), silent)
    await says(runner, A, "Connected")
    waiting = asyncio.create_task(runner.wait(A))
    bystander = asyncio.create_task(runner.wait(B))
    await asyncio.to_thread(two[0].kill)
    async with asyncio.timeout(CEILING_SECONDS):
        lost = await waiting
    assert (lost.condition, lost.endpoint and lost.endpoint.place) == (Condition.UNKNOWN, "one")
    error = explain_exit(lost)
    assert (error.details or {})["cause"] == "engine_unreachable"
    assert "the Docker engine one, which the model server ran on, is away" in error.message
    assert not bystander.done()
    await runner.stop(A, grace_seconds=0)
    assert await chosen(runner, anywhere) == ["two"]
    DockerPlaces(runner.pool).chose(anywhere, "two")
    assert (await runner.start(A, anywhere, silent)).place == "two"
    # Its containers outlive it: there are two servers now, for a moment.
    await asyncio.to_thread(two[0].start)
    await gone(two[0], NAME_A)
    assert (await runner.inspect(A)).condition is Condition.RUNNING
    assert not bystander.done()
    bystander.cancel()


async def test_an_engine_that_hangs_keeps_nobody_from_another(
    make: Make, two: Two, between: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "_LOOK_SECONDS", 0.5)
    runner = make(one=between.host, two=two[1].host)
    assert await chosen(runner, on("any")) == ["one", "two"]
    between.freeze()
    async with asyncio.timeout(CEILING_SECONDS):
        assert await chosen(runner, on("any")) == ["two"]
        assert (await runner.start(A, on("two"), silent)).place == "two"
    await between.cut()
    await between.open()


async def test_a_server_that_answers_without_its_engine_is_not_lost(
    make: Make, two: Two, between: Proxy
) -> None:
    runner = make(one=between.host, two=two[1].host)
    endpoint = await runner.start(A, on("one"), silent)
    assert await answers(endpoint.url) == 200
    waiting = asyncio.create_task(runner.wait(A))
    await between.cut()
    await runner.pool.members["one"].wait_until(answers=False)
    seen = await runner.inspect(A)
    assert (seen.condition, seen.cause) == (Condition.UNKNOWN, None)
    with pytest.raises(DockerUnreachable, match="engine one cannot be reached"):
        await runner.stop(A, grace_seconds=0)
    await between.open()
    async with asyncio.timeout(CEILING_SECONDS):
        await runner.pool.members["one"].wait_until(answers=True)
        assert (await runner.inspect(A)).condition is Condition.RUNNING
        assert not waiting.done()
        await runner.stop(A, grace_seconds=0)
        assert (await waiting).condition in {Condition.EXITED, Condition.MISSING}


async def test_of_two_containers_of_one_replica_one_is_kept(
    make: Make, two: Two, settings: DockerSettings
) -> None:
    for engine in two:
        there = DockerRunner(
            replace(settings, host=engine.host),
            instance=INSTANCE,
            ports=free_ports(3),
            environment={},
        )
        await there.start(A, model("fake/tgi"), silent)
        await there.close()
    runner = make()
    (seen,) = await runner.list()
    assert seen.endpoint is not None
    kept, other = two if seen.endpoint.place == "one" else two[::-1]
    assert [[*kept.containers()], [*other.containers()]] == [[NAME_A], []]
    assert await answers(seen.endpoint.url) == 200


async def test_an_engine_that_never_answered_is_no_place_until_it_does(
    make: Make, two: Two, between: Proxy, settings: DockerSettings
) -> None:
    await between.cut()
    runner = make(one=between.host, two=two[1].host)
    found: asyncio.Queue[Observation] = asyncio.Queue()
    runner.pool.on_found = found.put_nowait
    there = DockerRunner(
        replace(settings, host=two[0].host), instance=INSTANCE, ports=free_ports(3), environment={}
    )
    await there.start(A, model("fake/tgi"), silent)
    await there.close()
    assert await runner.list() == []
    away = [
        placed.machine for placed in (await runner.machines()).machines if placed.machine.problems
    ]
    assert [one.name for one in away] == ["one"]
    assert await chosen(runner, on("any")) == ["two"]
    with pytest.raises(DockerUnreachable, match="engine one cannot be reached: there is no socket"):
        await chosen(runner, on("one"))
    await between.open()
    async with asyncio.timeout(CEILING_SECONDS):
        seen = await found.get()
    assert (seen.replica, seen.endpoint and seen.endpoint.place) == (A, "one")
    (offer,) = await DockerPlaces(runner.pool).offers(on("two"))
    assert (offer.place, offer.runs_already) == ("one", True)
    # Where the settings do not want it any more, it goes on until it is stopped.
    assert (await runner.start(A, on("two"), silent)).place == "one"
    told = {one.machine.name: one.servers for one in (await runner.machines()).machines}
    assert told == {"one": (PlacedServer("a", 1),), "two": ()}
    assert (await runner.inspect(A)).is_outdated
    await runner.stop(A, grace_seconds=0)


@pytest.mark.parametrize("slow", ["first", "later"])
async def test_of_two_sections_for_one_engine_the_later_is_refused(
    make: Make, two: Two, between: Proxy, slow: str
) -> None:
    hosts = {"first": two[0].host, "later": two[0].host, slow: between.host}
    between.hold(0, "asked")
    runner = make(**hosts)
    runner.pool.begin()
    (quick,) = {"first", "later"} - {slow}
    async with asyncio.timeout(CEILING_SECONDS):
        await between.held.wait()
        await runner.pool.members[quick].wait_until(answers=True)
    between.let_go()
    await runner.pool.look(runner.pool.members.values())
    await runner.pool.members["first"].wait_until(answers=True)
    assert not runner.pool.members["later"].answers
    twice = r"later cannot be used: \[docker later\] is the engine of \[docker first\]"
    with pytest.raises(ModelFailed, match=twice) as raised:
        await chosen(runner, on("later"))
    assert raised.value.hint == "remove one of the sections"
    told = {one.machine.name: one.machine.problems for one in (await runner.machines()).machines}
    assert [name for name, said in told.items() if said] == ["later"]
    assert await chosen(runner, on("any")) == ["first"]


async def test_servers_of_a_later_section_become_those_of_the_first(
    make: Make, two: Two, between: Proxy
) -> None:
    await between.cut()
    runner = make(first=between.host, later=two[0].host)
    await runner.pool.look(runner.pool.members.values())
    assert await chosen(runner, on("any")) == ["later"]
    endpoint = await runner.start(A, on("later"), silent)
    waiting = asyncio.create_task(runner.wait(A))
    await between.open()
    async with asyncio.timeout(CEILING_SECONDS):
        await runner.pool.members["first"].wait_until(answers=True)
    assert not runner.pool.members["later"].answers
    assert await chosen(runner, on("later")) == ["first"]
    seen = await runner.inspect(A)
    assert (seen.condition, seen.is_outdated) == (Condition.RUNNING, False)
    assert seen.endpoint == replace(endpoint, place="first")
    assert [*two[0].containers()] == [NAME_A]
    assert not waiting.done()
    await runner.stop(A, grace_seconds=0)
    async with asyncio.timeout(CEILING_SECONDS):
        assert (await waiting).condition in {Condition.EXITED, Condition.MISSING}


async def test_the_engine_of_docker_may_have_a_section_too(make: Make, two: Two) -> None:
    """Seen from both it is the same container, and no second one to be removed."""
    runner = make(here=two[0].host, **{"": two[0].host})
    await runner.start(A, on("here"), silent)
    again = make(here=two[0].host, **{"": two[0].host})
    (seen,) = await again.list()
    assert seen.condition is Condition.RUNNING
    assert (await again.start(A, on("here"), silent)).url == (seen.endpoint and seen.endpoint.url)
    assert not (await again.inspect(A)).is_outdated
    assert [*two[0].containers()] == [NAME_A]


async def test_a_container_that_somebody_removes_is_missing(make: Make, two: Two) -> None:
    runner = make()
    await runner.start(A, on("two"), silent)
    waiting = asyncio.create_task(ends(runner, A))
    await asyncio.to_thread(two[1].remove, NAME_A)
    assert (await waiting).condition in {Condition.EXITED, Condition.MISSING}
    await runner.stop(A, grace_seconds=0)
    assert await runner.list() == []


@pytest.mark.parametrize("moment", range(0, 8, 2))
async def test_an_engine_that_dies_during_a_start_leaves_nothing_behind(
    make: Make, two: Two, between: Proxy, moment: int
) -> None:
    """At whichever request to it that is."""
    runner = make(one=between.host, two=two[1].host)
    await runner.pool.look(runner.pool.members.values())
    between.hold(moment, "answered")
    starting = asyncio.create_task(runner.start(A, on("one"), silent))
    async with asyncio.timeout(CEILING_SECONDS):
        held = asyncio.create_task(between.held.wait())
        await asyncio.wait([held, starting], return_when=asyncio.FIRST_COMPLETED)
        held.cancel()
        assert not starting.done()
        await between.cut()
        between.let_go()
        with pytest.raises(PlaceLost, match=r"^one: the Docker engine cannot be reached"):
            await starting
        assert await chosen(runner, on("any")) == ["two"]
        await between.open()
        await runner.pool.members["one"].wait_until(answers=True)
        await gone(two[0], NAME_A)


async def test_a_replica_that_was_stopped_while_its_engine_was_away_does_not_come_back(
    make: Make, two: Two
) -> None:
    runner = make()
    await runner.start(A, on("one"), silent)
    await asyncio.to_thread(two[0].kill)
    await runner.pool.members["one"].wait_until(answers=False)
    await runner.stop(A, grace_seconds=0)
    assert (await runner.inspect(Replica(INSTANCE, "a"))).condition is Condition.MISSING
    await asyncio.to_thread(two[0].start)
    await gone(two[0], NAME_A)
