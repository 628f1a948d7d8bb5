"""Model servers that share a machine: which run, which wait, and which are stopped."""

import asyncio
from typing import Any

import pytest

from server.core.errors import ModelFailed
from server.core.placement import Capacity
from server.core.protocol import Progress
from tests.support.fake_fleet import fake_fleet

ONE_AT_A_TIME = Capacity(max_running=1)


def models(**settings: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return models of our own with those settings."""
    return {model_id: {"weights": "x", **more} for model_id, more in settings.items()}


async def test_the_one_that_is_idle_makes_room() -> None:
    async with fake_fleet(capacity=ONE_AT_A_TIME, models=models(a={}, b={})) as s:
        await s.use("a")
        await s.use("b")
        assert s.fleet.snapshot("a").state == "stopped"
        assert len(s.runner.servers) == 1


async def test_a_busy_server_is_waited_for() -> None:
    async with fake_fleet(capacity=ONE_AT_A_TIME, models=models(a={}, b={})) as s:
        async with s.fleet.lease("a"):
            user = asyncio.create_task(s.use("b"))
            told = await s.sees(
                lambda m: m.progress is not None and "waiting for room" in m.progress.text, "b"
            )
            assert told.progress is not None
            assert told.progress.text == "waiting for room: a in use"
            assert s.fleet.snapshot("a").state == "ready"
        await user
        assert s.fleet.snapshot("a").state == "stopped"


async def test_two_that_want_more_than_a_gpu_has_take_turns_on_it() -> None:
    on_gpus: dict[str, Any] = {"runner": "docker", "model_id": "o/n"}
    several = {
        "a": {**on_gpus, "gpus": "device=1"},
        "b": {**on_gpus, "gpus": "device=1", "gpu_memory": 0.5},
        "c": {**on_gpus, "gpus": "device=0"},
    }
    async with fake_fleet(has_gpus=True, models=several) as s:
        await s.use("c")
        async with s.fleet.lease("a"):
            user = asyncio.create_task(s.use("b"))
            told = await s.sees(
                lambda m: m.progress is not None and "waiting for room" in m.progress.text, "b"
            )
            assert told.progress is not None
            assert told.progress.text == "waiting for room on GPU 1: a in use"
        await user
        assert s.fleet.snapshot("a").state == "stopped"
        assert s.fleet.snapshot("c").state == "ready"


async def test_two_whose_shares_a_gpu_holds_run_side_by_side() -> None:
    half: dict[str, Any] = {"runner": "docker", "engine": "tgi", "model_id": "o/n"}
    half["gpu_memory"] = 0.5
    async with fake_fleet(has_gpus=True, models={"a": half, "b": half}) as s:
        await s.use("a")
        await s.use("b")
        assert {s.fleet.snapshot(one).state for one in ("a", "b")} == {"ready"}


async def test_a_pull_after_a_wait_for_room_is_shown() -> None:
    """A wait that counted as a phase behind it hid it, and left it a start's time, not a pull's."""
    async with fake_fleet(capacity=ONE_AT_A_TIME, models=models(a={}, b={})) as s:
        async with s.fleet.lease("a"):
            user = asyncio.create_task(s.use("b"))
            await s.sees(lambda m: m.progress is not None and m.progress.phase == "waiting", "b")
            s.runner.pulls = True
            s.runner.pulling.close()
        told = await s.state("pulling", "b")
        assert told.progress == Progress("pulling", 0.5, "pulling the fake")
        s.runner.pulling.open()
        await user


async def test_a_pinned_one_never_goes() -> None:
    async with fake_fleet(capacity=ONE_AT_A_TIME, models=models(a={"pinned": True}, b={})) as s:
        await s.use("a")
        with pytest.raises(ModelFailed, match="there can be no room for b") as caught:
            await s.use("b")
        assert caught.value.hint is not None
        assert s.fleet.snapshot("a").state == "ready"


async def test_a_cancelled_start_leaves_the_queue_for_room() -> None:
    async with fake_fleet(capacity=ONE_AT_A_TIME, models=models(a={}, b={}, c={})) as s:
        async with s.fleet.lease("a"):
            for model_id in ("b", "c"):
                s.fleet.start(model_id)
                await s.sees(
                    lambda m: m.progress is not None and "wait" in m.progress.text, model_id
                )
            s.fleet.stop("b")
            await s.state("stopped", "b")
        await s.state("ready", "c")


async def test_an_idle_server_is_stopped() -> None:
    async with fake_fleet(models=models(a={"idle_timeout": 0.05})) as s:
        async with s.fleet.lease("a"):
            stopping = asyncio.create_task(s.state("stopping"))
            await asyncio.wait([stopping], timeout=0.2)
            assert not stopping.done()
            stopping.cancel()
        await s.state("stopped")


async def test_a_preloaded_model_starts_with_the_gateway() -> None:
    async with fake_fleet(models=models(a={"preload": True}, b={})) as s:
        await s.fleet.adopt()
        await s.state("ready", "a")
        assert s.fleet.snapshot("b").state == "stopped"
