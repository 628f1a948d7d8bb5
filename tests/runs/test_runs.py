"""Runs: all is asked once and kept, whatever happens meanwhile."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from typing import Any

import pytest

from server.core.errors import (
    InvalidParameters,
    ModelFailed,
    RateLimited,
    RunLimit,
    UnknownModel,
    UnknownRun,
)
from server.core.placement import Capacity
from server.runs.shapes import Run, RunExtension, RunGiven, Target
from tests.chat.conftest import ask
from tests.runs.conftest import CEILING_SECONDS, ME, OpenRuns, Runs, fake_of
from tests.support.fake_fleet import FakeRunner

ONE_AT_A_TIME = {"a": {"weights": "x", "max_concurrent": 1}}
TWO = {"a": {"weights": "x"}, "b": {"weights": "y"}}


async def test_every_prompt_is_asked_of_every_target_and_repeated(open_runs: OpenRuns) -> None:
    runs = await open_runs(models=TWO)
    run = await runs.ended(await runs.begin("a", "b", "a", prompts=3, repeats=2))
    assert (run.state, run.answered, run.total) == ("done", 18, 18)
    assert [target.state for target in run.targets] == ["done"] * 3
    answers = await runs.service.reading.answers("me", run.id)
    keys = [(one.prompt, one.target, one.repeat) for one in answers]
    assert keys == [(p, t, r) for p in range(3) for t in range(3) for r in range(2)]
    assert all(one.text and one.finish_reason == "length" for one in answers)
    assert len(runs.requests("a")) == 12
    assert len(runs.requests("b")) == 6


async def test_answers_are_checked(open_runs: OpenRuns) -> None:
    runs = await open_runs(FakeRunner(text="It is Paris."))
    run = await runs.ended(await runs.begin("a", word="Paris"))
    assert (run.targets[0].passed, run.targets[0].checked) == (3, 3)
    rows = await runs.service.reading.rows("me", run.id, 1, 5)
    assert [row.text for row in rows.rows] == ["prompt 1", "prompt 2"]
    assert rows.rows[0].cells[0].passed is True
    assert rows.total == 3


async def test_what_is_complete_is_not_asked_again_after_a_restart(open_runs: OpenRuns) -> None:
    runs = await open_runs(FakeRunner(hold_after=1), models=ONE_AT_A_TIME)
    run = await runs.begin("a", prompts=6)
    fake = await fake_of(runs)
    await fake.state.reaches(started=1)
    fake.state.released.set()
    await fake.state.reaches(started=3)
    fake.state.released.clear()
    ending = asyncio.create_task(runs.service.close(grace_seconds=CEILING_SECONDS))
    await asyncio.sleep(0)
    fake.state.released.set()
    await ending
    stored, asked = _stored(runs), len(fake.state.requests)
    assert 2 <= stored < 6
    assert asked == stored
    again = await open_runs(again=runs)
    ended = await again.ended(run)
    assert (ended.state, ended.answered) == ("done", 6)
    assert len(fake.state.requests) == asked + 6 - stored


async def test_a_paused_run_asks_nothing_more_and_is_continued(
    open_runs: OpenRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = await open_runs(FakeRunner(hold_after=1), models=ONE_AT_A_TIME)
    run = await runs.begin("a", prompts=4)
    fake = await fake_of(runs)
    await fake.state.reaches(started=1)
    live, stopped = runs.service._executor.live(run.id), asyncio.Event()
    assert live is not None
    stop = live.stop

    def stop_and_tell() -> None:
        stop()
        stopped.set()

    monkeypatch.setattr(live, "stop", stop_and_tell)
    pausing = asyncio.create_task(runs.service.pause("me", run.id))
    async with asyncio.timeout(CEILING_SECONDS):
        await stopped.wait()
    assert not pausing.done()
    fake.state.released.set()
    paused = await pausing
    assert (paused.state, paused.answered) == ("paused", 1)
    assert len(fake.state.requests) == 1
    await runs.service.go_on(ME, run.id, retries_failed=False)
    ended = await runs.ended(run)
    assert (ended.state, ended.answered) == ("done", 4)
    assert len(fake.state.requests) == 4


async def test_a_cancelled_run_ends_at_once_and_can_be_continued(open_runs: OpenRuns) -> None:
    runs = await open_runs(FakeRunner(hold_after=1))
    run = await runs.begin("a", prompts=4)
    fake = await fake_of(runs)
    await fake.state.reaches(started=1)
    cancelled = await runs.service.cancel("me", run.id)
    assert (cancelled.state, cancelled.answered) == ("cancelled", 0)
    await fake.state.reaches(cancelled=1)
    fake.state.released.set()
    await runs.service.go_on(ME, run.id, retries_failed=False)
    assert (await runs.ended(run)).answered == 4


async def test_a_run_that_waits_for_a_limit_is_paused_at_once(
    open_runs: OpenRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = await open_runs()
    is_refused = asyncio.Event()

    def refuse(*_: Any, **__: Any) -> Any:
        is_refused.set()
        raise RateLimited("too many", details={"retry_after_seconds": 3600})

    monkeypatch.setattr(runs.backend.service, "start", refuse)
    run = await runs.begin("a")
    async with asyncio.timeout(CEILING_SECONDS):
        await is_refused.wait()
        paused = await runs.service.pause("me", run.id)
    assert (paused.state, paused.answered) == ("paused", 0)


async def test_the_last_change_is_told_to_who_follows_as_the_gateway_stops(
    open_runs: OpenRuns,
) -> None:
    runs = await open_runs(FakeRunner(hold_after=1))
    run = await runs.begin("a")
    await (await fake_of(runs)).state.reaches(tokens=1)
    following = runs.service.following
    told = following.follow("me", run.id, CEILING_SECONDS)
    async with asyncio.timeout(CEILING_SECONDS):
        await anext(told)
        rest = asyncio.create_task(_rest(told))
        other = asyncio.create_task(_rest(following.follow("me", run.id, CEILING_SECONDS)))
        await runs.service.rename("me", run.id, "other")
        runs.service.refuse()
        following.end()
        names = [one.name for one in await rest if one is not None]
        await other
    assert names[-1] == "other"
    await runs.service.close(grace_seconds=0)


async def _rest(told: AsyncIterator[Run | None]) -> list[Run | None]:
    return [one async for one in told]


async def test_people_go_before_a_run(open_runs: OpenRuns) -> None:
    runs = await open_runs(FakeRunner(hold_after=1), models=ONE_AT_A_TIME)
    run = await runs.begin("a", prompts=3)
    fake = await fake_of(runs)
    await fake.state.reaches(started=1)
    session, reader = runs.backend.session("somebody")
    (number,) = session.generate(ask("a", prompt="a person asks"))
    await reader.sees(lambda: "queued" in reader.states(number))
    fake.state.released.set()
    await reader.end(number)
    await runs.ended(run)
    assert "a person asks" in runs.requests()[1]
    assert len(runs.requests()) == 4


async def test_models_that_do_not_fit_together_take_turns_once(open_runs: OpenRuns) -> None:
    runs = await open_runs(models=TWO, capacity=Capacity(max_running=1))
    run = await runs.ended(await runs.begin("a", "b", prompts=5))
    assert (run.state, run.answered) == ("done", 10)
    assert runs.backend.stage.runner.starts == 2


async def test_two_runs_of_models_that_do_not_fit_together_take_turns_once(
    open_runs: OpenRuns,
) -> None:
    runs = await open_runs(models=TWO, capacity=Capacity(max_running=1))
    first, second = await runs.begin("a", prompts=5), await runs.begin("b", prompts=5)
    assert (await runs.ended(first)).state == (await runs.ended(second)).state == "done"
    assert runs.backend.stage.runner.starts == 2


async def test_a_run_makes_room_for_the_model_that_a_person_asks(open_runs: OpenRuns) -> None:
    runner = FakeRunner(hold_after=1)
    runs = await open_runs(runner, models=TWO, capacity=Capacity(max_running=1))
    run = await runs.begin("a", prompts=30)
    fake = await fake_of(runs)
    await fake.state.reaches(started=2)
    session, reader = runs.backend.session("somebody")
    (number,) = session.generate(ask("b"))
    await reader.sees(lambda: "starting" in reader.states(number))
    fake.state.released.set()
    other = await fake_of(runs, "b")
    other.state.released.set()
    await reader.end(number)
    assert runs.seen[-1].answered < 30
    again = await fake_of(runs)
    again.state.released.set()
    assert (await runs.ended(run)).answered == 30


async def test_a_server_that_does_not_start_fails_its_targets_alone(open_runs: OpenRuns) -> None:
    runner = FakeRunner()
    runs = await open_runs(runner, models=TWO)
    await runs.backend.stage.use("a")
    runner.start_error = ModelFailed("no start")
    run = await runs.ended(await runs.begin("a", "b", prompts=4))
    assert run.state == "incomplete"
    assert [(one.state, one.answered) for one in run.targets] == [("done", 4), ("failed", 0)]
    assert run.targets[1].error is not None
    runner.start_error = None
    await runs.service.go_on(ME, run.id, retries_failed=False)
    assert (await runs.ended(run)).state == "done"


async def test_an_answer_that_was_lost_is_asked_again_and_its_failure_kept(
    open_runs: OpenRuns,
) -> None:
    runs = await open_runs(FakeRunner(error_after=1))
    run = await runs.ended(await runs.begin("a", prompts=1))
    assert (run.state, run.answered, run.targets[0].failed) == ("done", 1, 1)
    assert len(runs.requests()) == 3
    (answer,) = await runs.service.reading.answers("me", run.id)
    assert answer.error is not None
    await runs.service.go_on(ME, run.id, retries_failed=True)
    assert (await runs.ended(run)).targets[0].failed == 1
    assert len(runs.requests()) == 6


async def test_a_run_is_extended_by_targets_and_repeats(open_runs: OpenRuns) -> None:
    runs = await open_runs(models=TWO)
    run = await runs.ended(await runs.begin("a", prompts=3))
    more = RunExtension([Target("b", {"max_new_tokens": 4})], repeats=2)
    await runs.service.extend(ME, run.id, more)
    ended = await runs.ended(run)
    assert (ended.state, ended.answered) == ("done", 12)
    assert len(runs.requests("a")) == 6
    with pytest.raises(RunLimit, match="66 targets"):
        await runs.service.extend(ME, run.id, RunExtension([Target("b")] * 64))
    assert len((await runs.service.get("me", run.id)).targets) == 2


async def test_a_run_without_its_key_is_paused(open_runs: OpenRuns) -> None:
    runs = await open_runs(FakeRunner(hold_after=1))
    run = await runs.begin("a")
    fake = await fake_of(runs)
    await fake.state.reaches(started=1)
    await runs.service.cancel("me", run.id)
    runs.keys.clear()
    await runs.service.go_on(ME, run.id, retries_failed=False)
    ended = await runs.ended(run)
    assert ended.state == "paused"
    assert ended.error is not None
    assert ended.error.code == "unauthorized"


async def test_runs_of_others_are_unknown(open_runs: OpenRuns) -> None:
    runs = await open_runs()
    run = await runs.ended(await runs.begin("a"))
    with pytest.raises(UnknownRun):
        await runs.service.get("somebody", run.id)
    assert (await runs.service.browse("somebody", before="", limit=10)).runs == []


async def test_a_target_that_cannot_be_asked_is_refused_before_anything_is_stored(
    open_runs: OpenRuns,
) -> None:
    runs = await open_runs()
    name = await runs.prompt_set("one")
    for target, error in (
        (Target("nobody"), UnknownModel),
        (Target("a", {"temperature": -3}), InvalidParameters),
    ):
        with pytest.raises(error) as refused:
            await runs.service.create(ME, RunGiven(name, [Target("a"), target]))
        assert (refused.value.details or {})["target"] == 1
    with pytest.raises(RunLimit):
        await runs.service.create(ME, RunGiven(name, [Target("a")] * 64, 100))
    assert (await runs.service.browse("me", before="", limit=10)).runs == []


async def test_a_deleted_run_ends_and_leaves_nothing(open_runs: OpenRuns) -> None:
    runs = await open_runs(FakeRunner(hold_after=1))
    run = await runs.begin("a")
    fake = await fake_of(runs)
    await fake.state.reaches(started=1)
    await runs.service.remove("me", run.id)
    await fake.state.reaches(cancelled=1)
    with pytest.raises(UnknownRun):
        await runs.service.get("me", run.id)
    assert [task for task in asyncio.all_tasks() if run.id in task.get_name()] == []


def _stored(runs: Runs) -> int:
    """Return how many answers the closed file has."""
    with closing(sqlite3.connect(runs.path)) as file:
        (count,) = file.execute("SELECT count(*) FROM answer").fetchone()
    return int(count)
