"""Pauses whose asker goes away, or does not wait: they are carried through all the same."""

import asyncio

import pytest

from server.core.errors import UnknownRun
from server.runs.shapes import Run
from server.runs.unattended import Unattended
from tests.fakes.tgi import Fake
from tests.runs.conftest import CEILING_SECONDS, OpenRuns, Runs, fake_of, until_asking
from tests.runs.test_judging import judging
from tests.support.fake_fleet import FakeRunner

MODELS = {"a": {"weights": "x", "max_concurrent": 1}}


async def under_way(open_runs: OpenRuns) -> tuple[Runs, Run, Fake]:
    """Return a run of which one answer is being written, and one waits."""
    runs = await open_runs(FakeRunner(hold_after=1), models=MODELS)
    run = await runs.begin("a", prompts=4)
    fake = await fake_of(runs)
    await fake.state.reaches(started=1)
    await until_asking(runs, run, 2)
    return runs, run, fake


async def test_a_run_is_paused_though_who_asked_for_it_goes_away(open_runs: OpenRuns) -> None:
    """It was called running for ever, and nothing of it was asked."""
    runs, run, fake = await under_way(open_runs)
    pausing = asyncio.create_task(runs.service.pause("me", run.id))
    await until_asking(runs, run, 1)
    pausing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await pausing
    fake.state.release()
    ended = await runs.ended(run)
    assert (ended.state, ended.answered) == ("paused", 1)


async def test_a_pause_that_is_not_waited_for_answers_at_once(open_runs: OpenRuns) -> None:
    runs, run, fake = await under_way(open_runs)
    async with asyncio.timeout(CEILING_SECONDS):
        assert (await runs.service.pause("me", run.id, waits=False)).state == "running"
    fake.state.release()
    ended = await runs.ended(run)
    assert (ended.state, ended.answered) == ("paused", 1)
    with pytest.raises(UnknownRun):
        await runs.service.pause("me", "r_none", waits=False)


async def test_a_gateway_that_stops_carries_a_pause_through(open_runs: OpenRuns) -> None:
    runs, run, _ = await under_way(open_runs)
    await runs.service.pause("me", run.id, waits=False)
    await runs.service.close(grace_seconds=0)
    again = await open_runs(again=runs)
    assert (await again.service.get("me", run.id)).state == "paused"


async def test_a_judge_is_paused_though_who_asked_for_it_goes_away(
    open_runs: OpenRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, run, judge, fake = await judging(open_runs)
    live = runs.service.judging._live[judge.id]
    is_stopping, stop = asyncio.Event(), live.stop

    def stop_and_tell() -> None:
        stop()
        is_stopping.set()

    monkeypatch.setattr(live, "stop", stop_and_tell)
    pausing = asyncio.create_task(runs.service.judging.pause("me", run.id, judge.id))
    async with asyncio.timeout(CEILING_SECONDS):
        await is_stopping.wait()
    pausing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await pausing
    fake.state.release()
    assert await _state_in_the_end(runs, run) == "paused"


async def test_a_pause_of_a_judge_that_is_not_waited_for_answers_at_once(
    open_runs: OpenRuns,
) -> None:
    runs, run, judge, fake = await judging(open_runs)
    async with asyncio.timeout(CEILING_SECONDS):
        await runs.service.judging.pause("me", run.id, judge.id, waits=False)
    fake.state.release()
    assert await _state_in_the_end(runs, run) == "paused"


async def _state_in_the_end(runs: Runs, run: Run) -> str:
    """Return the state of a run's judge once it is not at work any more."""
    changes = runs.service.following.follow("me", run.id, CEILING_SECONDS, with_judges=True)
    async with asyncio.timeout(CEILING_SECONDS):
        told = [changed async for changed in changes if changed is not None]
    return told[-1].judges[0].state


async def test_a_change_that_fails_unheard_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def broken() -> None:
        raise UnknownRun("there is no run")

    unattended = Unattended()
    unattended.begin(broken(), "pause of r_1")
    await unattended.close()
    assert "pause of r_1: there is no run" in caplog.text
    caplog.clear()
    with pytest.raises(UnknownRun):
        await unattended.done(broken(), "pause of r_2")
    assert "r_2" not in caplog.text
