"""Replicas that we start: together, more, fewer, one after the other, and found again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from server.core.errors import InvalidCommand, ModelFailed
from server.core.placement import Capacity
from server.core.protocol import Model
from server.models.capacity.room import Room
from server.models.catalogue.catalog import ModelSpec
from server.models.lifecycle import crew, watching
from server.models.lifecycle.ready_server import Lease
from server.models.lifecycle.replica_settings import settings_of_replica
from server.models.runners.base import Replica
from server.settings.models import ModelSettings
from server.settings.values import Count
from tests.fakes.openai import serve
from tests.fakes.openai_options import like
from tests.support.fake_fleet import CEILING_SECONDS, FakeFleet, FakeRunner, fake_fleet
from tests.support.gates import Gate
from tests.support.specs import catalog


def model(replicas: int | tuple[int, int] = 2, **settings: Any) -> dict[str, dict[str, Any]]:
    """Return the settings of the model `a` with so many replicas."""
    several = replicas if isinstance(replicas, tuple) else (replicas, replicas)
    return {"a": {"weights": "x", "replicas": several, **settings}}


def ready(model: Model) -> list[int]:
    """Return the numbers of the replicas that are ready; 1 for one that is alone."""
    if model.replicas is None:
        return [1] if model.state == "ready" else []
    return [one.number for one in model.replicas if one.state == "ready"]


@asynccontextmanager
async def running(
    replicas: int | tuple[int, int] = 2, runner: FakeRunner | None = None, **options: Any
) -> AsyncIterator[FakeFleet]:
    """Run a fleet whose model has all its replicas."""
    least = replicas if isinstance(replicas, int) else replicas[0]
    settings = options.pop("settings", {})
    async with fake_fleet(runner, models=model(replicas, **settings), **options) as s:
        s.fleet.start("a")
        await s.sees(lambda model: ready(model) == list(range(1, least + 1)))
        yield s


async def answering(stack: AsyncExitStack, s: FakeFleet) -> Lease:
    """Begin an answer, and return whom it was asked of."""
    lease = await stack.enter_async_context(s.fleet.lease("a"))
    return await stack.enter_async_context(lease.replicas.choose(lease))


async def test_each_replica_has_a_server_of_its_own() -> None:
    async with running(3) as s:
        assert set(s.runner.servers) == {Replica("test", "a", number) for number in (1, 2, 3)}
        seen = s.fleet.snapshot("a")
        assert seen.replicas is not None
        assert len({one.address for one in seen.replicas}) == 3
        assert all(one.address.startswith("http://127.0.0.1:") for one in seen.replicas)


async def test_one_that_does_not_start_leaves_the_model_ready() -> None:
    runner = FakeRunner()
    async with running(2, runner, restarts=0) as s:
        runner.crash("a", 3, "no more")
        seen = await s.sees(lambda model: ready(model) == [2])
        assert (seen.state, seen.error) == ("ready", None)
        assert seen.replicas is not None
        assert seen.replicas[0].error is not None
        await s.use()


async def test_none_that_starts_tells_the_first_ones_error() -> None:
    runner = FakeRunner()
    runner.start_error = ModelFailed("no such program")
    async with fake_fleet(runner, models=model()) as s:
        with pytest.raises(ModelFailed, match="no such program"):
            await s.use()
        assert (await s.state("failed")).error is not None


async def test_their_lines_in_the_log_tell_them_apart() -> None:
    async with running(2) as s:
        texts = [line.text for line in s.fleet.log("a").tail(100)]
        assert {"[1] ready", "[2] ready"} <= set(texts)


async def test_a_stop_stops_all_and_the_next_prompt_starts_all() -> None:
    async with running(2) as s:
        s.fleet.stop("a")
        await s.state("stopped")
        assert not s.runner.servers
        await s.use()
        await s.sees(lambda model: ready(model) == [1, 2])


async def test_what_waits_at_a_stop_is_still_written_while_they_run_and_starts_none() -> None:
    runner = FakeRunner()
    async with running(2, runner) as s, AsyncExitStack() as answers, AsyncExitStack() as waiting:
        lease = await waiting.enter_async_context(s.fleet.lease("a"))
        for _ in range(2):
            await answering(answers, s)
        s.fleet.stop("a")
        await s.sees(lambda model: model.state == "stopping")
        async with lease.replicas.choose(lease) as chosen:
            assert chosen.replica in (1, 2)
        await answers.aclose()
        await s.state("stopped")
        with pytest.raises(ModelFailed, match="a was stopped"):
            async with lease.replicas.choose(lease):
                pass
        assert runner.starts == 2


async def test_a_prompt_and_a_stop_in_the_same_moment_leave_no_server() -> None:
    runner = FakeRunner()
    async with fake_fleet(runner, models=model(2)) as s:
        asking = asyncio.create_task(s.use())
        await asyncio.sleep(0)
        s.fleet.stop("a")
        with pytest.raises(ModelFailed, match="a was stopped"):
            await asking
        assert runner.starts == 0


async def test_a_replica_that_finds_no_room_waits_and_holds_up_nobody() -> None:
    other = {"b": {"weights": "x"}}
    async with fake_fleet(models=model(3) | other, capacity=Capacity(max_running=2)) as s:
        s.fleet.start("a")
        seen = await s.sees(lambda model: len(ready(model)) == 2)
        assert len(s.runner.servers) == 2
        assert seen.replicas is not None
        (waits,) = [one for one in seen.replicas if one.state == "starting"]
        assert waits.progress is not None
        assert waits.progress.text == "waiting for room beside the other models"
        s.fleet.start("b")
        await s.state("ready", "b")
        await s.sees(lambda model: len(ready(model)) == 1)


async def test_more_replicas_in_the_settings_are_started_at_once() -> None:
    async with running(1) as s:
        s.fleet.change(catalog(**model(3)))
        await s.sees(lambda model: ready(model) == [1, 2, 3])
        assert s.runner.starts == 3


async def test_fewer_replicas_end_their_answers_first() -> None:
    async with running(3) as s, AsyncExitStack() as answers:
        asked = [await answering(answers, s) for _ in range(3)]
        assert sorted(lease.replica for lease in asked) == [1, 2, 3]
        s.fleet.change(catalog(**model(1)))
        await s.sees(lambda model: ready(model) == [1])
        async with AsyncExitStack() as more:
            assert [(await answering(more, s)).replica for _ in range(3)] == [1, 1, 1]
        assert len(s.runner.servers) == 3
        await answers.aclose()
        await s.sees(lambda model: model.replicas is None)
        assert set(s.runner.servers) == {Replica("test", "a")}


async def test_a_replica_that_comes_back_while_it_leaves_stays() -> None:
    async with running(2) as s, AsyncExitStack() as answers:
        for _ in range(2):
            await answering(answers, s)
        s.fleet.change(catalog(**model(1)))
        await s.sees(lambda model: ready(model) == [1])
        s.fleet.change(catalog(**model(2)))
        await answers.aclose()
        await s.sees(lambda model: ready(model) == [1, 2])


async def test_a_restart_goes_one_by_one_and_somebody_always_answers() -> None:
    runner = FakeRunner()
    async with running(2, runner, capacity=Capacity(max_running=2)) as s:
        s.fleet.change(catalog(**model(2, context_tokens=512)))
        assert s.fleet.snapshot("a").outdated
        runner.loading = Gate()
        runner.loading.close()
        s.fleet.restart("a")
        await runner.loading.reached(1)
        assert ready(s.fleet.snapshot("a")) == [2]
        await s.use()
        runner.loading.open()
        await s.sees(lambda model: not model.outdated and ready(model) == [1, 2])
        assert runner.starts == 4


async def test_where_there_is_room_another_one_is_started_first() -> None:
    runner = FakeRunner()
    async with running(1, runner) as s:
        s.fleet.change(catalog(**model(1, context_tokens=512)))
        s.fleet.restart("a")
        await s.sees(lambda model: ready(model) == [1, 2])
        await s.sees(lambda model: ready(model) == [2])
        await s.use()
        await s.sees(lambda model: model.replicas is None and not model.outdated)
        assert runner.starts == 3
        assert s.states()[-1] == "ready"
        assert s.states().count("ready") == 1


async def test_a_restart_whose_first_start_fails_touches_nobody() -> None:
    runner = FakeRunner()
    async with running(2, runner) as s:
        s.fleet.change(catalog(**model(2, context_tokens=512)))
        runner.start_error = ModelFailed("no such context")
        before = dict(runner.servers)
        s.fleet.restart("a")
        await s.sees(lambda model: model.replicas is not None and len(model.replicas) == 3)
        await s.sees(lambda model: model.replicas is not None and len(model.replicas) == 2)
        assert runner.servers == before
        texts = [line.text for line in s.fleet.log("a").tail(100)]
        assert "the restart ends: no such context" in texts


async def test_a_stop_ends_a_restart() -> None:
    runner = FakeRunner()
    async with running(1, runner) as s:
        runner.loading = Gate()
        runner.loading.close()
        s.fleet.restart("a")
        await runner.loading.reached(1)
        s.fleet.stop("a")
        await s.sees(lambda model: model.state == "stopped" and model.replicas is None)
        assert not runner.servers


async def test_a_replica_that_leaves_while_it_is_restarted_is_not_started_again() -> None:
    runner = FakeRunner()
    two = Capacity(max_running=2)
    async with running(2, runner, capacity=two) as s, AsyncExitStack() as answers:
        (crew,) = s.fleet.servers()
        first = await answering(answers, s)
        assert first.replica == 1
        async with AsyncExitStack() as others:
            assert (await answering(others, s)).replica == 2
            s.fleet.restart("a")
            await answers.aclose()
            await s.sees(lambda model: ready(model) == [1])
            # The second one ends its answer in order to be restarted, when it is too many.
            s.fleet.change(catalog(**model(1)))
        async with asyncio.timeout(CEILING_SECONDS):
            await crew.wait_until_restarted()
        await s.sees(lambda model: model.replicas is None)
        assert set(runner.servers) == {Replica("test", "a")}
        assert runner.starts == 3


async def test_fewer_replicas_do_not_break_a_restart_that_is_about_to_begin(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks = Gate()
    looks.close()

    async def has_room(room: Room, spec: ModelSpec) -> bool:
        await looks.pass_through()
        return True

    monkeypatch.setattr(Room, "has_room", has_room)
    runner = FakeRunner()
    async with running(3, runner) as s:
        (crew,) = s.fleet.servers()
        s.fleet.restart("a")
        await looks.reached(1)
        s.fleet.change(catalog(**model(1, context_tokens=512)))
        looks.open()
        async with asyncio.timeout(CEILING_SECONDS):
            await crew.wait_until_restarted()
        await s.sees(lambda model: model.replicas is None and not model.outdated)
        assert set(runner.servers) == {Replica("test", "a")}


async def test_a_model_that_is_removed_while_it_is_restarted_leaves_no_server() -> None:
    runner = FakeRunner()
    one = Capacity(max_running=1)
    async with running(1, runner, capacity=one) as s, AsyncExitStack() as answers:
        (crew,) = s.fleet.servers()
        await answering(answers, s)
        s.fleet.restart("a")
        await s.state("stopping")
        s.fleet.change(catalog(b={"weights": "x"}))
        await answers.aclose()
        async with asyncio.timeout(CEILING_SECONDS):
            await crew.wait_until_restarted()
        await s.gone("a")
        assert not runner.servers
        assert runner.starts == 1


async def test_a_restart_leaves_no_task_when_the_gateway_ends() -> None:
    runner = FakeRunner()
    async with running(1, runner) as s:
        runner.loading = Gate()
        runner.loading.close()
        s.fleet.restart("a")
        await runner.loading.reached(1)
    names = [task.get_name() for task in asyncio.all_tasks()]
    assert [name for name in names if name.endswith(" a")] == []


async def test_a_silent_replica_is_doubted_until_its_end_is_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watching, "_CAUSE_SECONDS", 0.01)
    monkeypatch.setattr(watching, "_SECOND_CHECK_SECONDS", 0.01)
    runner = FakeRunner()
    async with running(2, runner) as s, s.fleet.lease("a") as lease:
        (crew,) = s.fleet.servers()
        async with lease.replicas.choose(lease) as lost:
            runner.mute("a")
            assert lost.replica == 1
        looks = 0
        healthy = lost.upstream.is_healthy

        async def is_healthy(*, timeout_seconds: float) -> bool:
            nonlocal looks
            looks += 1
            return await healthy(timeout_seconds=timeout_seconds)

        monkeypatch.setattr(lost.upstream, "is_healthy", is_healthy)
        lease.replicas.doubt(lost)
        async with asyncio.timeout(CEILING_SECONDS):
            while looks < 3:
                assert [one.number for one in crew.choice.askable()] == [2]
                await asyncio.sleep(0)
        runner.crash("a", 3)
        await s.sees(lambda model: ready(model) == [2])
        async with asyncio.timeout(CEILING_SECONDS):
            await asyncio.gather(*crew.choice.checks())


async def test_servers_of_others_are_not_restarted() -> None:
    async with serve(like("vllm")) as one, serve(like("vllm")) as two:
        several = {"runner": "remote", "urls": (one.api, two.api)}
        async with fake_fleet(models={"a": several}) as s:
            await s.sees(lambda model: ready(model) == [1, 2])
            with pytest.raises(InvalidCommand, match="run by somebody else"):
                s.fleet.restart("a")


async def test_a_queue_has_more_replicas_started_and_they_go_again() -> None:
    limits: dict[str, Any] = {"grow": 0.01, "shrink": 0.05}
    settings = {"max_concurrent": 1}
    async with running((1, 3), settings=settings, **limits) as s, AsyncExitStack() as answers:
        for _ in range(3):
            await answering(answers, s)
        await s.sees(lambda model: ready(model) == [1, 2, 3])
        await answers.aclose()
        await s.sees(lambda model: model.replicas is None)
        assert set(s.runner.servers) == {Replica("test", "a")}


async def test_replicas_of_an_earlier_run_are_found_again_and_those_too_many_stopped() -> None:
    runner = FakeRunner()
    async with running(3, runner) as before:
        found = dict(runner.servers)
        for deployment in before.fleet.servers()[0]:
            deployment._control.cancel()
        async with fake_fleet(runner, models=model(2)) as after:
            await after.fleet.adopt()
            await after.sees(lambda model: ready(model) == [1, 2])
            await after.sees(lambda model: model.replicas is not None and len(model.replicas) == 2)
            assert runner.servers == {key: one for key, one in found.items() if key.number < 3}
            assert runner.starts == 3


async def test_the_place_of_a_replica_of_an_earlier_run_that_is_too_many_is_free() -> None:
    runner, models = FakeRunner(), model(2) | {"b": {"weights": "x"}}
    async with running(3, runner) as before:
        for deployment in before.fleet.servers()[0]:
            deployment._control.cancel()
        async with fake_fleet(runner, models=models, capacity=Capacity(max_running=3)) as after:
            await after.fleet.adopt()
            await after.sees(lambda model: model.replicas is not None and len(model.replicas) == 2)
            await after.use("b")


async def test_crashes_of_a_replica_that_left_are_still_counted() -> None:
    runner = FakeRunner()
    async with running(2, runner, restarts=3) as s:
        (crew,) = s.fleet.servers()
        runner.crash("a", 3, number=2)
        await s.sees(lambda model: crew.restarts_made == 1 and ready(model) == [1, 2])
        s.fleet.change(catalog(**model(1)))
        await s.sees(lambda model: model.replicas is None)
        assert (crew.crashes_seen, crew.restarts_made) == (1, 1)


async def test_addresses_of_a_remote_model_are_changed_one_by_one() -> None:
    async with serve(like("vllm")) as one, serve(like("vllm")) as two, serve(like("vllm")) as new:
        several = {"runner": "remote", "dialect": "openai", "flavour": "vllm"}
        async with fake_fleet(models={"a": {**several, "urls": (one.api, two.api)}}) as s:
            await s.sees(lambda model: ready(model) == [1, 2])
            looks = one.state.counts["connections"]
            s.fleet.change(catalog(a={**several, "urls": (one.api, new.api)}))
            await s.sees(
                lambda model: (
                    ready(model) == [1, 2]
                    and model.replicas is not None
                    and model.replicas[1].address == new.url
                )
            )
            # The one that stayed was not let go of.
            assert one.state.counts["connections"] == looks


@pytest.mark.parametrize(
    ("gpus", "replicas", "given"),
    [
        ("device=0,1,2,3", (2, 2), ["device=0,1", "device=2,3", "device=2,3"]),
        ("device=a,b", (1, 2), ["device=a", "device=b", "device=b"]),
        ("device=0,1", (1, 1), ["device=0,1"] * 3),
        ("all", (2, 2), ["all"] * 3),
    ],
)
def test_named_gpus_are_divided(gpus: str, replicas: tuple[int, int], given: list[str]) -> None:
    settings = ModelSettings(runner="docker", gpus=gpus, replicas=Count(replicas))
    assert [settings_of_replica(settings, number).gpus for number in (1, 2, 3)] == given


async def test_a_restart_does_not_wait_for_room_that_was_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running(1) as s:
        s.fleet.change(catalog(**model(1, context_tokens=512)))
        looks = iter([True, False])

        async def has_room(*_: object) -> bool:
            return next(looks)

        monkeypatch.setattr(s.fleet, "has_room", has_room)
        s.fleet.restart("a")
        await s.fleet.wait_until_restarted("a")
        assert s.runner.starts == 1
        texts = [line.text for line in s.fleet.log("a").tail(100)]
        assert "the restart ends: the room for an additional server was taken" in texts
        await s.sees(lambda model: model.replicas is None and model.state == "ready")


async def test_a_restart_takes_what_is_still_loading_with_it() -> None:
    runner = FakeRunner()
    async with running(1, runner) as s:
        s.fleet.change(catalog(**model(2)))
        runner.loading = Gate()
        runner.loading.close()
        await s.sees(lambda model: model.replicas is not None and len(model.replicas) == 2)
        s.fleet.change(catalog(**model(2, context_tokens=512)))
        s.fleet.restart("a")
        runner.loading.open()
        await s.fleet.wait_until_restarted("a")
        await s.sees(lambda model: ready(model) == [1, 2] and not model.outdated)


async def test_one_that_failed_to_start_is_tried_again_after_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runner = FakeRunner()
    async with running(1, runner) as s:
        runner.start_error = ModelFailed("no node takes it")
        s.fleet.change(catalog(**model(2)))
        await s.sees(
            lambda model: [one.state for one in model.replicas or ()] == ["ready", "failed"]
        )
        runner.start_error = None
        starts = runner.starts
        await s.use()
        assert runner.starts == starts
        monkeypatch.setattr(crew, "_RETRY_SECONDS", 0.0)
        await s.use()
        await s.sees(lambda model: ready(model) == [1, 2])
