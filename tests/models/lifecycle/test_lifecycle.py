"""A model's server from its first start to its end, in an order of events set by the test."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from server.core.errors import ModelFailed, UnknownModel
from server.core.protocol import Progress
from server.models.lifecycle import deployments
from server.models.runners.base import Observation
from tests.fakes.tgi_log import start_lines
from tests.fakes.tgi_options import FakeOptions
from tests.support.fake_fleet import CEILING_SECONDS, FakeFleet, FakeRunner, fake_fleet

PRESET: dict[str, dict[str, Any]] = {"a": {"weights": "x"}, "p": {"base": "a", "parameters": {}}}


async def fails(fakes: FakeFleet, model_id: str = "a") -> ModelFailed:
    """Return the failure with which a lease ends."""
    with pytest.raises(ModelFailed) as caught:
        await fakes.use(model_id)
    return caught.value


# --- starting -----------------------------------------------------------------------------------


async def test_a_model_is_started_by_its_first_use_and_stays() -> None:
    async with fake_fleet() as s:
        assert s.fleet.snapshot("a").state == "stopped"
        first, second = await s.use(), await s.use()
        assert first.upstream is second.upstream
        assert s.runner.starts == 1
        assert s.states() == ["stopped", "starting", "ready"]


async def test_twenty_who_want_it_at_once_wait_for_one_start() -> None:
    async with fake_fleet() as s:
        s.runner.starting.close()
        users = [asyncio.create_task(s.use()) for _ in range(20)]
        await s.runner.starting.reached()
        assert (await s.sees(lambda model: model.waiting == 20)).running == 0
        s.runner.starting.open()
        leases = await asyncio.gather(*users)
        assert len({id(lease.upstream) for lease in leases}) == 1
        assert s.runner.starts == 1
        assert s.fleet.snapshot("a").waiting == 0


async def test_a_cancelled_wait_leaves_the_start_to_the_others() -> None:
    async with fake_fleet() as s:
        s.runner.loading.close()
        users = [asyncio.create_task(s.use()) for _ in range(3)]
        await s.runner.loading.reached()
        users[0].cancel()
        await asyncio.wait([users[0]])
        s.runner.loading.open()
        await asyncio.gather(*users[1:])
        assert s.runner.starts == 1


async def test_a_model_can_be_started_without_a_prompt() -> None:
    async with fake_fleet() as s:
        s.runner.starting.close()
        assert s.fleet.start("a").id == "a"
        await s.state("starting")
        s.runner.starting.open()
        model = await s.state("ready")
        assert (model.running, model.waiting, model.progress, model.error) == (0, 0, None, None)


async def test_ready_it_says_what_it_can_do() -> None:
    async with fake_fleet(FakeRunner(max_input_tokens=100, max_total_tokens=200)) as s:
        assert s.fleet.snapshot("a").limits == {
            "max_input_tokens": None,
            "max_total_tokens": 4096,
            "max_concurrent": None,
            "model_context": None,
        }
        await s.use()
        model = s.fleet.snapshot("a")
        assert (model.name, model.runner, model.engine) == ("Ay", "process", "llama.cpp")
        assert model.limits["max_input_tokens"] == 100
        assert model.limits["max_total_tokens"] == 200
        assert model.capabilities["chat"]


async def test_the_log_shows_the_progress_of_a_start() -> None:
    async with fake_fleet() as s:
        s.runner.loading.close()
        s.fleet.start("a")
        await s.runner.loading.reached()
        for line in start_lines(FakeOptions(download_files=2)):
            s.runner.say("a", f"2024-01-01T00:00:00Z  INFO x: {line.message}")
        await s.sees(lambda m: m.progress is not None and m.progress.phase == "warming up")
        s.runner.loading.open()
        await s.state("ready")
        assert s.states() == ["starting", "pulling", "loading", "ready"]
        texts = [line.text for line in s.fleet.log("a").tail(100)]
        assert any("Warming up model" in text for text in texts)


async def test_a_preset_is_served_by_its_bases_server() -> None:
    async with fake_fleet(models=PRESET) as s:
        async with s.fleet.lease("p") as preset, s.fleet.lease("a") as base:
            assert preset.upstream is base.upstream
            assert [s.fleet.snapshot(m).running for m in ("a", "p")] == [1, 1]
        assert s.runner.starts == 1
        assert s.states("p")[-2:] == s.states("a")[-2:] == ["starting", "ready"]


async def test_a_model_that_is_not_there() -> None:
    async with fake_fleet() as s:
        with pytest.raises(UnknownModel):
            s.fleet.start("b")
        with pytest.raises(UnknownModel):
            s.fleet.stop("b")
        with pytest.raises(UnknownModel):
            await s.use("b")


# --- stopping -----------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", ["starting", "loading"])
async def test_a_stop_during_a_start_cancels_it_and_lets_go_of_those_who_wait(phase: str) -> None:
    async with fake_fleet() as s:
        gate = getattr(s.runner, phase)
        gate.close()
        users = [asyncio.create_task(s.use()) for _ in range(3)]
        await gate.reached()
        s.fleet.stop("a")
        for user in users:
            with pytest.raises(ModelFailed, match="Ay was stopped"):
                await user
        await s.state("stopped")
        assert s.states()[-2:] == ["stopping", "stopped"]
        assert not s.runner.servers


async def test_a_stop_right_behind_a_wish_does_not_leave_it_waiting() -> None:
    """Regression: before the start had begun, nobody answered it any more."""
    async with fake_fleet() as s:
        user = asyncio.create_task(s.use())
        await asyncio.sleep(0)
        assert s.fleet.snapshot("a").waiting == 1
        s.fleet.stop("a")
        with pytest.raises(ModelFailed, match="was stopped"):
            await user
        assert s.runner.starts == 0


async def test_stopping_what_does_not_run_changes_nothing() -> None:
    async with fake_fleet() as s:
        s.fleet.stop("a")
        s.fleet.stop("a")
        await s.use()
        assert s.states() == ["stopped", "starting", "ready"]


async def test_a_request_during_a_stop_gets_the_next_start() -> None:
    async with fake_fleet() as s:
        first = await s.use()
        s.runner.stopping.close()
        s.fleet.stop("a")
        await s.runner.stopping.reached()
        user = asyncio.create_task(s.use())
        await s.sees(lambda model: model.waiting == 1)
        s.runner.stopping.open()
        assert (await user).upstream is not first.upstream
        assert s.runner.starts == 2


async def test_a_stop_lets_the_answer_under_way_end() -> None:
    async with fake_fleet() as s:
        async with s.fleet.lease("a"):
            s.fleet.stop("a")
            await s.state("stopping")
            assert s.runner.servers
        await s.state("stopped")
        assert not s.runner.servers


async def test_a_server_that_is_being_stopped_is_not_shown_as_ready_again() -> None:
    """Regression: what a server said of its model during the drain took it back to ready."""
    async with fake_fleet() as s:
        async with s.fleet.lease("a") as lease:
            s.fleet.stop("a")
            await s.state("stopping")
            deployment = s.fleet.servers()[0][1]
            deployment._learn(replace(lease.info, is_loaded=False))
            deployment._publish("load", progress=Progress("loading"))
            assert deployment.status.info == replace(lease.info, is_loaded=False)
            assert (deployment.status.state, deployment.status.progress) == ("stopping", None)
        await s.state("stopped")
        assert s.states() == ["stopped", "starting", "ready", "stopping", "stopped"]


async def test_but_it_does_not_wait_for_ever() -> None:
    async with fake_fleet(drain=0.05) as s, s.fleet.lease("a"):
        s.fleet.stop("a")
        await s.state("stopped")


# --- failing ------------------------------------------------------------------------------------


async def test_a_server_that_cannot_be_started_says_why() -> None:
    async with fake_fleet() as s:
        s.runner.start_error = ModelFailed("no such program", hint="install it")
        failure = await fails(s)
        assert (failure.message, failure.hint) == ("no such program", "install it")
        error = (await s.state("failed")).error
        assert error is not None
        assert (error.code, error.message, error.hint) == (
            ("model_failed", "no such program", "install it")
        )
        s.runner.start_error = None
        await s.use()
        assert s.fleet.snapshot("a").error is None


async def test_a_server_that_dies_while_loading_says_why_and_is_tried_again() -> None:
    async with fake_fleet() as s:
        s.runner.loading.close()
        user = asyncio.create_task(fails(s))
        await s.runner.loading.reached()
        s.runner.crash("a", 7, "2024-01-01T00:00:00Z ERROR x: the weights are broken")
        failure = await user
        assert (
            "exit code 7, most likely because of its last error: the weights are broken"
            in failure.message
        )
        assert failure.details is not None
        assert failure.details["exit_code"] == 7
        assert s.states() == ["stopped", "starting", "failed"]
        s.runner.loading.open()
        await s.use()
        assert s.runner.starts == 2


@pytest.mark.parametrize("phase", ["starting", "loading"])
async def test_a_server_that_is_never_ready_is_given_up_with_what_it_wrote(phase: str) -> None:
    async with fake_fleet(start=0.3) as s:
        getattr(s.runner, phase).close()
        user = asyncio.create_task(fails(s))
        if phase == "loading":
            await s.runner.loading.reached()
            s.runner.say("a", "still thinking")
        failure = await user
        assert "was not ready in time (starting)" in failure.message
        assert "`start_timeout` in [engines]" in str(failure.hint)
        assert failure.details is not None
        assert ("still thinking" in failure.details["log"]) == (phase == "loading")
        assert not s.runner.servers


async def test_a_server_that_listens_but_is_not_well_is_given_up_too() -> None:
    async with fake_fleet(FakeRunner(unhealthy=True), start=0.3) as s:
        assert "was not ready in time" in (await fails(s)).message


async def test_each_phase_has_its_own_time() -> None:
    """A long download is not a server that hangs."""
    async with fake_fleet(start=0.2, download=CEILING_SECONDS) as s:
        s.runner.loading.close()
        user = asyncio.create_task(fails(s))
        await s.runner.loading.reached()
        s.runner.say("a", "Download file: x")
        await s.state("pulling")
        await asyncio.wait([user], timeout=0.4)
        assert not user.done()
        s.runner.say("a", "Starting shard")
        assert "was not ready in time (loading)" in (await user).message


@pytest.mark.parametrize(
    ("settings", "place"),
    [
        ({"weights": "x"}, "`download_timeout` in [engines]"),
        ({"runner": "docker", "model_id": "x"}, "`download_timeout` in [docker]"),
    ],
)
async def test_download_timeouts_name_the_setting_to_raise_and_its_section(
    settings: dict[str, Any], place: str
) -> None:
    async with fake_fleet(models={"a": settings}, start=CEILING_SECONDS, download=0.2) as s:
        s.runner.loading.close()
        user = asyncio.create_task(fails(s))
        await s.runner.loading.reached()
        s.runner.say("a", "Download file: x")
        assert place in str((await user).hint)


async def test_a_crash_is_told_and_the_next_use_starts_it_again() -> None:
    async with fake_fleet() as s:
        async with s.fleet.lease("a") as lease:
            s.runner.crash("a", 1, "Error: ShardFailed")
            cause = await lease.cause_of_loss()
            assert isinstance(cause, ModelFailed)
            assert "ShardFailed" in cause.message
        error = (await s.state("failed")).error
        assert error is not None
        assert "ShardFailed" in error.message
        await s.use()
        assert s.runner.starts == 2
        assert s.fleet.snapshot("a").error is None


async def test_a_crash_is_mended_without_being_asked_as_often_as_allowed() -> None:
    async with fake_fleet(restarts=1) as s:
        await s.use()
        s.runner.crash("a", 1)
        await s.state("failed")
        await s.state("ready")
        assert s.runner.starts == 2
        s.runner.crash("a", 1)
        error = (await s.state("failed")).error
        assert error is not None
        assert "given up after 1 restarts" in error.message


async def test_a_server_that_lives_has_no_cause_of_loss() -> None:
    async with fake_fleet() as s, s.fleet.lease("a") as lease:
        assert await lease.cause_of_loss() is None


async def test_a_server_that_answers_no_more_is_given_up_after_three_looks() -> None:
    async with fake_fleet(health_interval=0.05) as s:
        await s.use()
        s.runner.mute("a")
        error = (await s.state("failed")).error
        assert error is not None
        assert "does not answer its health check" in error.message
        assert not s.runner.servers


async def test_somebody_who_waits_for_words_does_not_keep_a_frozen_server_alive() -> None:
    async with fake_fleet(health_interval=0.05) as s, s.fleet.lease("a"):
        s.runner.mute("a")
        error = (await s.state("failed")).error
        assert error is not None
        assert "does not answer its health check" in error.message


async def test_a_server_that_dies_while_it_is_stopped_leaves_nobody_waiting() -> None:
    async with fake_fleet() as s:
        async with s.fleet.lease("a"):
            s.fleet.stop("a")
            await s.state("stopping")
            user = asyncio.create_task(s.use())
            await s.sees(lambda model: model.waiting == 1)
            s.runner.crash("a", 1)
            await user
        assert s.runner.starts == 2


# --- at the gateway's own start and end ---------------------------------------------------------


async def test_running_servers_are_adopted_without_another_start() -> None:
    runner = FakeRunner()
    async with fake_fleet(runner) as before:
        await before.use()
        servers = dict(runner.servers)
        before.fleet._deployments["a"][1]._control.cancel()
        async with fake_fleet(runner) as after:
            await after.fleet.adopt()
            await after.state("ready")
            assert runner.servers == servers
            assert runner.starts == 1


async def test_an_engine_that_stays_away_is_told_of_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(deployments, "_ENGINE_RETRY_SECONDS", 0.0)
    answers = iter(["no socket", "no socket", "no right", "no right"])

    class AwayForAWhile(FakeRunner):
        async def list(self) -> list[Observation]:
            if (words := next(answers, None)) is not None:
                raise ModelFailed(words)
            return await super().list()

    async with fake_fleet(AwayForAWhile()) as s:
        await s.fleet.adopt()
    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert [words.partition(": ")[2] for words in told] == ["no socket", "no right"]


async def test_closing_in_the_middle_of_a_start_leaves_nothing() -> None:
    for phase in ("starting", "loading"):
        runner = FakeRunner()
        async with fake_fleet(runner) as s:
            getattr(runner, phase).close()
            user = asyncio.create_task(s.use())
            await getattr(runner, phase).reached()
            user.cancel()
            with suppress(asyncio.CancelledError):
                await user
        assert not runner.servers


async def test_a_stop_while_a_crashed_server_is_cleaned_up_prevents_its_restart() -> None:
    runner = FakeRunner()
    async with fake_fleet(runner, restarts=3) as s:
        await s.use()
        runner.stopping.close()
        runner.crash("a", 3)
        await runner.stopping.reached(1)
        s.fleet.stop("a")
        runner.stopping.open()
        await s.state("failed")
        for _ in range(20):
            await asyncio.sleep(0)
        assert (runner.starts, s.states()[-1]) == (1, "failed")
