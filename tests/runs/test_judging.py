"""Judges whose run, key, server or gateway goes while they judge."""

import asyncio
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from server.core.errors import UnknownRun
from server.core.placement import Capacity
from server.core.protocol import Timings, Usage
from server.runs.judge_log import judgement_of
from server.runs.judge_questions import questions_about
from server.runs.judge_shapes import Judge, JudgeGiven
from server.runs.judge_store import StoredJudge
from server.runs.shapes import Run, RunAnswer
from tests.fakes.tgi import Fake
from tests.runs.conftest import CEILING_SECONDS, ME, OpenRuns, Prompts, Runs, fake_of
from tests.support.fake_fleet import FakeRunner

MODELS = {"a": {"weights": "x"}, "b": {"weights": "y", "max_concurrent": 1}}
PROMPTS = 6


def hold_those_that_start(runs: Runs) -> None:
    """Have servers that start from now on pause after a token, until they are released."""
    runner = runs.backend.stage.runner
    runner.options = replace(runner.options, hold_after=1)


def when_it_cannot_start(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Return what is set once somebody is told that a server cannot start beside the others."""
    told = asyncio.Event()
    fleet = runs.backend.stage.fleet
    real = fleet.could_start

    async def could_start(model_id: str) -> bool:
        if await real(model_id):
            return True
        told.set()
        return False

    monkeypatch.setattr(fleet, "could_start", could_start)
    return told


async def judging(open_runs: OpenRuns) -> tuple[Runs, Run, Judge, Fake]:
    """Return a run that is over, a judge of it that says its first reply, and its server."""
    runs = await open_runs(FakeRunner(), models=MODELS)
    run = await runs.begin("a", prompts=PROMPTS)
    await runs.ended(run)
    hold_those_that_start(runs)
    judge = await runs.service.judging.begin(ME, run.id, JudgeGiven("b", "Is it right?"))
    fake = await fake_of(runs, "b")
    await fake.state.reaches(started=1)
    return runs, run, judge, fake


async def stored(runs: Runs, run: Run, judge: Judge) -> Judge:
    """Return a judge as it is kept."""
    found: StoredJudge = await runs.service.store.judges.get("me", run.id, judge.id)
    return found.judge


async def over(judge: Judge) -> None:
    """Return once no task judges for a judge."""
    tasks = [one for one in asyncio.all_tasks() if one.get_name() == f"judge {judge.id}"]
    if tasks:
        _, late = await asyncio.wait(tasks, timeout=CEILING_SECONDS)
        assert not late


async def test_a_judge_of_a_deleted_run_asks_nothing_more(open_runs: OpenRuns) -> None:
    runs, run, judge, fake = await judging(open_runs)
    async with asyncio.timeout(CEILING_SECONDS):
        await runs.service.remove("me", run.id)
    asked = len(fake.state.requests)
    assert not [one for one in asyncio.all_tasks() if one.get_name() == f"judge {judge.id}"]
    fake.state.release()
    await fake.state.reaches(cancelled=1)
    assert len(fake.state.requests) == asked < PROMPTS
    with pytest.raises(UnknownRun):
        await stored(runs, run, judge)


async def test_a_run_that_waits_for_a_server_is_paused_at_once(
    open_runs: OpenRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = await open_runs(
        FakeRunner(hold_after=1), models=MODELS, capacity=Capacity(max_running=1)
    )
    await runs.begin("a")
    fake = await fake_of(runs)
    await fake.state.reaches(started=1)
    waits = when_it_cannot_start(runs, monkeypatch)
    second = await runs.begin("b")
    async with asyncio.timeout(CEILING_SECONDS):
        await waits.wait()
    async with asyncio.timeout(CEILING_SECONDS):
        paused = await runs.service.pause("me", second.id)
    assert (paused.state, paused.answered) == ("paused", 0)
    fake.state.release()


async def test_a_judge_that_waits_for_a_server_is_paused_at_once(
    open_runs: OpenRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = {**MODELS, "c": {"weights": "z"}}
    runs = await open_runs(FakeRunner(), models=models, capacity=Capacity(max_running=1))
    run = await runs.begin("a")
    await runs.ended(run)
    hold_those_that_start(runs)
    await runs.begin("c")
    fake = await fake_of(runs, "c")
    await fake.state.reaches(started=1)
    waits = when_it_cannot_start(runs, monkeypatch)
    judge = await runs.service.judging.begin(ME, run.id, JudgeGiven("b", "Is it right?"))
    async with asyncio.timeout(CEILING_SECONDS):
        await waits.wait()
    async with asyncio.timeout(CEILING_SECONDS):
        paused = await runs.service.judging.pause("me", run.id, judge.id)
    assert (paused.state, paused.judged) == ("paused", 0)
    fake.state.release()


async def test_a_judge_is_taken_up_after_a_graceful_stop(open_runs: OpenRuns) -> None:
    runs, run, judge, fake = await judging(open_runs)
    runs.service.refuse()
    fake.state.release()
    await over(judge)
    found = await stored(runs, run, judge)
    assert (found.state, found.error) == ("running", None)
    assert found.judged < PROMPTS
    (unfinished,) = await runs.service.store.judges.unfinished()
    assert unfinished.judge.id == judge.id
    await runs.service.close(grace_seconds=0)


async def test_a_judge_that_the_gateway_refuses_to_answer_is_taken_up_too(
    open_runs: OpenRuns,
) -> None:
    runs, run, judge, fake = await judging(open_runs)
    closing = asyncio.create_task(runs.backend.service.close(grace_seconds=CEILING_SECONDS))
    fake.state.release()
    await closing
    await over(judge)
    found = await stored(runs, run, judge)
    assert (found.state, found.error) == ("running", None)


async def test_a_judge_without_its_key_is_paused_and_says_so(open_runs: OpenRuns) -> None:
    runs, run, judge, fake = await judging(open_runs)
    runs.keys.clear()
    fake.state.release()
    await over(judge)
    found = await stored(runs, run, judge)
    assert found.error is not None
    assert (found.state, found.error.code) == ("paused", "unauthorized")
    assert found.judged < PROMPTS


async def test_a_judges_replies_have_a_length(open_runs: OpenRuns) -> None:
    """A model too small to end would fill its context with each reply."""
    runs = await open_runs(FakeRunner(max_total_tokens=20_000), models=MODELS)
    run = await runs.begin("a", prompts=1)
    await runs.ended(run)
    for parameters in ({}, {"max_new_tokens": 5000}):
        given = JudgeGiven("b", "Is it right?", parameters=parameters)
        await over(await runs.service.judging.begin(ME, run.id, given))
    asked = (await fake_of(runs, "b")).state.requests
    assert [one["parameters"]["max_new_tokens"] for one in asked] == [4096, 5000]


@pytest.mark.parametrize("mode", ["grades", "pairs"])
def test_a_reply_that_was_cut_is_unreadable_and_says_so(mode: Any) -> None:
    said = 'Grade: 1\n{"better": "first", "grade": 1}'
    reply = msgspec.structs.replace(_answer(0, 0), text=said)
    whole = judgement_of(JudgeGiven("b", "x", mode=mode), (0, 0, 0, 1), [], reply)
    assert (whole.grade, whole.better) == ((1, None) if mode == "grades" else (None, "first"))
    cut = msgspec.structs.replace(reply, finish_reason="length", usage=Usage(9, 4096))
    read = judgement_of(JudgeGiven("b", "x", mode=mode), (0, 0, 0, 1), [], cut)
    assert (read.grade, read.better) == (None, None)
    assert read.reason == "the reply was cut at its greatest length, 4096 tokens"


async def test_two_that_continue_a_judge_at_once_ask_nothing_twice(open_runs: OpenRuns) -> None:
    runs, run, judge, fake = await judging(open_runs)
    fake.state.release()
    await runs.service.judging.pause("me", run.id, judge.id)
    go_on = runs.service.judging.go_on
    await asyncio.gather(*(go_on("me", run.id, judge.id) for _ in range(2)))
    await over(judge)
    assert (await stored(runs, run, judge)).judged == PROMPTS
    assert len(fake.state.requests) == PROMPTS


def test_what_a_judge_is_asked_is_held_while_it_is_asked_alone() -> None:
    prompts = Prompts([f"prompt {number}" for number in range(20)])
    answers = [_answer(prompt, target) for prompt in range(20) for target in range(16)]
    parts = list(questions_about(JudgeGiven("b", "x", mode="pairs"), prompts, answers, set()))
    assert [len(part) for part in parts] == [2000, 2000, 800]
    assert len({key for part in parts for key in part.keys}) == 20 * 16 * 15
    (part, *_) = parts
    assert part.held == 0
    asked = part.messages(7)
    assert part.messages(7) is asked
    part.forget(7)
    assert part.held == 0
    assert part.messages(7) != asked


async def test_judges_of_a_long_run_are_summed_up_once_for_each_judgement(
    open_runs: OpenRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = await open_runs(FakeRunner(), models=MODELS)
    run = await runs.begin("a", prompts=3)
    await runs.ended(run)
    judge = await runs.service.judging.begin(ME, run.id, JudgeGiven("b", "Is it right?"))
    await over(judge)
    sums: list[Any] = []
    reports = runs.service.reading.reports
    real = reports._sum

    async def counted(*words: Any) -> bytes:
        sums.append(words)
        found: bytes = await real(*words)
        return found

    monkeypatch.setattr(reports, "_sum", counted)
    first = await runs.service.judging.browse("me", run.id)
    assert await runs.service.judging.browse("me", run.id) == first
    assert len(sums) == 1
    more = await runs.service.judging.begin(ME, run.id, JudgeGiven("b", "Is it short?"))
    await over(more)
    later = await runs.service.judging.browse("me", run.id)
    assert [one.judge.judged for one in later.judges] == [3, 3]
    assert len(sums) == 2


def _answer(prompt: int, target: int) -> RunAnswer:
    return RunAnswer(
        prompt=prompt,
        target=target,
        repeat=0,
        ended=0.0,
        text="x",
        finish_reason="stop",
        usage=Usage(None, 0),
        timings=Timings(None, None, 0.0, None),
    )
