"""What goes wrong with containers, done to them by somebody else, and what is seen of it."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from server.core.errors import ModelFailed
from server.models.diagnosis.causes import StoppedBySomebody, explain_exit
from server.models.runners.base import Condition
from server.models.runners.docker.late_reports import RESTARTED
from server.models.runners.docker.runner import DockerRunner
from server.settings.tables import DockerSettings
from server.settings.values import Size
from tests.docker.conftest import MakeRunner, model
from tests.docker.engine import Engine
from tests.docker.proxy import proxy
from tests.docker.watching import CEILING_SECONDS, NAME_A, A, B, answers, ends, says, silent


async def cause(runner: DockerRunner) -> tuple[str, ModelFailed]:
    """Return the code of why A ended, and the whole error."""
    failure = explain_exit(await ends(runner, A))
    assert failure.details is not None
    return failure.details["cause"], failure


async def test_a_kill_by_somebody_else_is_seen_at_once(
    engine: Engine, runner: DockerRunner
) -> None:
    for replica in (A, B):
        await runner.start(replica, model("fake/tgi"), silent)
        await says(runner, replica, "Connected")
    waiting = asyncio.create_task(runner.wait(A))
    await asyncio.to_thread(engine.act, NAME_A, "kill")
    async with asyncio.timeout(CEILING_SECONDS):
        seen = await waiting
    assert (seen.condition, seen.exit_code, seen.was_out_of_memory) == (
        Condition.EXITED,
        137,
        False,
    )
    assert explain_exit(seen).message == "the model server was killed by somebody else"
    assert (await runner.inspect(B)).condition is Condition.RUNNING


async def test_a_stop_by_somebody_else_is_called_that(engine: Engine, runner: DockerRunner) -> None:
    await runner.start(A, model("fake/tgi"), silent)
    await says(runner, A, "Connected")
    await asyncio.to_thread(engine.act, NAME_A, "stop?t=20")
    seen = await ends(runner, A)
    assert seen.was_told_to_stop
    failure = explain_exit(seen)
    assert isinstance(failure, StoppedBySomebody)
    assert failure.message == "the model server was stopped by somebody else"


async def test_a_stop_that_takes_force_is_a_stop(engine: Engine, runner: DockerRunner) -> None:
    """`docker stop` kills what does not end in time."""
    await runner.start(A, model("program/stubborn"), silent)
    await says(runner, A, "ready")
    await asyncio.to_thread(engine.act, NAME_A, "stop?t=1")
    seen = await ends(runner, A)
    assert (seen.exit_code, seen.was_told_to_stop) == (137, True)


async def test_a_restart_by_somebody_else_is_no_stop(engine: Engine, runner: DockerRunner) -> None:
    await runner.start(A, model("fake/tgi"), silent)
    await says(runner, A, "Connected")
    # It is found as it runs, so that the wait need not have looked before the restart.
    await runner.start(A, model("fake/tgi"), silent)
    waiting = asyncio.create_task(runner.wait(A))
    await asyncio.to_thread(engine.act, NAME_A, "restart?t=20")
    async with asyncio.timeout(CEILING_SECONDS):
        seen = await waiting
    assert seen.condition is Condition.EXITED
    assert not seen.was_told_to_stop


async def test_a_restart_between_two_looks_is_an_end(
    engine: Engine, make_runner: MakeRunner, settings: DockerSettings, tmp_path: Path
) -> None:
    async with proxy(tmp_path) as between:
        runner = make_runner(settings=replace(settings, host=between.host))
        await runner.start(A, model("fake/tgi"), silent)
        await says(runner, A, "Connected")
        between.hold(0, "answered")
        waiting = asyncio.create_task(runner.wait(A))
        async with asyncio.timeout(CEILING_SECONDS):
            await between.held.wait()
            between.let_go()
            between.hold(0, "asked")
            restarting = asyncio.to_thread(engine.act, NAME_A, "restart?t=20")
            await asyncio.gather(restarting, between.held.wait())
            between.let_go()
            seen = await waiting
        assert (await runner.inspect(A)).condition is Condition.RUNNING
        assert (seen.condition, seen.was_told_to_stop) == (Condition.EXITED, False)
        assert any("Connected" in line.text for line in seen.tail)
        assert explain_exit(seen).message == "somebody else restarted the model server's container"
        await runner.stop(A, grace_seconds=0)


async def test_a_restart_before_the_wait_is_an_end_until_the_next_start(
    engine: Engine, runner: DockerRunner
) -> None:
    await runner.start(A, model("fake/tgi"), silent)
    endpoint = await runner.start(A, model("fake/tgi"), silent)
    await asyncio.to_thread(engine.act, NAME_A, "restart?t=0")
    for _ in range(2):
        assert (await ends(runner, A)).cause == RESTARTED
    assert await runner.start(A, model("fake/tgi"), silent) == endpoint
    await asyncio.to_thread(engine.act, NAME_A, "kill")
    assert (await ends(runner, A)).exit_code == 137


async def test_an_end_that_nobody_asked_for_is_no_stop(runner: DockerRunner) -> None:
    await runner.start(A, model("program/exit"), silent)
    assert not (await ends(runner, A)).was_told_to_stop


async def test_a_removal_by_somebody_else_is_seen(engine: Engine, runner: DockerRunner) -> None:
    await runner.start(A, model("fake/tgi"), silent)
    await says(runner, A, "Connected")
    await asyncio.to_thread(engine.remove, NAME_A)
    assert (await ends(runner, A)).condition is Condition.MISSING


async def test_out_of_memory_is_told_from_a_kill(engine: Engine, runner: DockerRunner) -> None:
    await runner.start(A, model("eats-memory", memory=Size(64 << 20)), silent)
    code, failure = await cause(runner)
    assert code == "out_of_memory"
    assert "more memory than it may have" in failure.message
    assert failure.hint is not None
    assert "`memory`" in failure.hint


async def test_a_gated_model_is_called_that_with_the_way_out(runner: DockerRunner) -> None:
    await runner.start(A, model("fake/gated"), silent)
    code, failure = await cause(runner)
    assert code == "gated_model"
    assert "HF_TOKEN" in str(failure.hint)
    assert any("GatedRepoError" in line for line in (failure.details or {})["log"])


async def test_a_paused_container_runs_and_can_be_stopped(
    engine: Engine, runner: DockerRunner
) -> None:
    endpoint = await runner.start(A, model("fake/tgi"), silent)
    await says(runner, A, "Connected")
    engine.act(NAME_A, "pause")
    assert (await runner.inspect(A)).condition is Condition.RUNNING
    assert await runner.start(A, model("fake/tgi"), silent) == endpoint
    async with asyncio.timeout(CEILING_SECONDS):
        await runner.stop(A, grace_seconds=1)
    assert (await runner.inspect(A)).condition is Condition.MISSING


async def test_a_paused_container_that_is_let_go_serves_on(
    engine: Engine, runner: DockerRunner
) -> None:
    endpoint = await runner.start(A, model("fake/tgi"), silent)
    await says(runner, A, "Connected")
    engine.act(NAME_A, "pause")
    asking = asyncio.create_task(answers(endpoint.url))
    engine.act(NAME_A, "unpause")
    async with asyncio.timeout(CEILING_SECONDS):
        assert await asking == 200


async def test_an_image_that_is_not_there_and_cannot_be_had_is_an_error_that_says_so(
    runner: DockerRunner,
) -> None:
    """Where there is a network it is the registry that says so, else the engine."""
    absent = model("fake/tgi", image="localhost:9/sidestream-test/absent:1")
    with pytest.raises(ModelFailed) as caught:
        await runner.start(A, absent, silent)
    assert (caught.value.details or {})["cause"] in {"no_network", "image_missing"}
    assert caught.value.hint
    assert (await runner.inspect(A)).condition is Condition.MISSING


async def test_a_gpu_that_the_engine_cannot_give_is_an_error_that_says_so(
    engine: Engine, runner: DockerRunner
) -> None:
    if "nvidia" in engine.ask("GET", "/info")["Runtimes"]:
        pytest.skip("this engine can give GPUs")
    with pytest.raises(ModelFailed) as caught:
        await runner.start(A, model("fake/tgi", gpus="1"), silent)
    assert (caught.value.details or {})["cause"] == "no_gpu"
    assert "gpus = none" in str(caught.value.hint)
    assert not engine.containers()


async def test_a_long_phase_tells_how_it_goes_and_a_cancel_ends_it(
    engine: Engine, runner: DockerRunner
) -> None:
    await runner.start(A, model("fake/never-healthy"), silent)
    assert "Waiting for shard" in (await says(runner, A, "Waiting for shard"))[-1]
    await runner.stop(A, grace_seconds=CEILING_SECONDS)
    assert not engine.containers()
