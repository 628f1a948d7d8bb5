"""How far judges are and how many votes there are, told of a run as it changes."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from server.core.errors import StorageFailed, UnknownRun
from server.runs.assessments import JudgementsDue
from server.runs.judge_shapes import Judge, JudgeGiven
from server.runs.shapes import Run, RunJudge, RunVote, RunVoteGiven
from tests.fakes.tgi import Fake
from tests.runs.conftest import CEILING_SECONDS, ME, OpenRuns, Runs, fake_of, until
from tests.support.fake_fleet import FakeRunner

MODELS = {"a": {"weights": "x"}, "b": {"weights": "y", "max_concurrent": 1}}
GIVEN = JudgeGiven("b", "Is it right?", parameters={"max_new_tokens": 4})
VOTE = RunVoteGiven([0, 1], [1])


async def answered(open_runs: OpenRuns, *, prompts: int = 3) -> tuple[Runs, Run, Fake]:
    """Return a run of `a` and `b` that is over, and the server of `b`, which judges."""
    runs = await open_runs(FakeRunner(hold_after=1), models=MODELS)
    begun = await runs.begin("a", "b", prompts=prompts)
    for model in MODELS:
        (await fake_of(runs, model)).state.release()
    return runs, await runs.ended(begun), await fake_of(runs, "b")


def hold(fake: Fake) -> None:
    """Have a server pause after a token from now on, until it is released."""
    fake.state.released.clear()


def reads(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return what gets the number of a run each time that its judges and votes are read."""
    counted: list[int] = []
    store = runs.service.store.assessments
    real = store.read

    async def read(number: int) -> Any:
        counted.append(number)
        return await real(number)

    monkeypatch.setattr(store, "read", read)
    return counted


def judge_in(run: Run, judge: Judge) -> RunJudge | None:
    """Return what a run tells of a judge."""
    return next((one for one in run.judges if one.id == judge.id), None)


async def until_told(runs: Runs, is_so: Callable[[Run], bool]) -> Run:
    """Return what was told last of a run once that is so."""
    await until(runs, lambda: is_so(runs.seen[-1]))
    return runs.seen[-1]


async def until_judge(runs: Runs, judge: Judge, state: str) -> Run:
    """Return the run once it is told that a judge is in this state."""

    def is_so(run: Run) -> bool:
        found = judge_in(run, judge)
        return found is not None and found.state == state

    return await until_told(runs, is_so)


def test_what_is_due_is_counted_as_it_would_be_from_all_answers() -> None:
    answers = [(prompt, repeat) for prompt in range(4) for repeat in range(2)] * 3
    first, later = answers[:7], answers[7:]
    counted = {place: first.count(place) for place in first}
    due = JudgementsDue(counted)
    for prompt, repeat in later:
        due.add(prompt, repeat)
    assert due.grades == len(answers)
    assert due.pairs == 8 * 3 * 2


async def test_a_judge_is_told_from_its_begin_to_its_end_without_reading_again(
    open_runs: OpenRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, run, fake = await answered(open_runs)
    assert run.judges == []
    counted = reads(runs, monkeypatch)
    hold(fake)
    judge = await runs.service.judging.begin(ME, run.id, GIVEN)
    begun = await until_judge(runs, judge, "running")
    assert begun.judges == [RunJudge(judge.id, "b", "grades", "running", 0, 6)]
    assert begun.state == "done"
    fake.state.release()
    ended = await until_judge(runs, judge, "done")
    assert judge_in(ended, judge) == RunJudge(judge.id, "b", "grades", "done", 6, 6)
    told = [one.judged for seen in runs.seen if (one := judge_in(seen, judge))]
    assert told == sorted(told)
    # Once when it begins and once when it ends; perhaps once more beside its first judgements.
    assert 2 <= len(counted) <= 3


async def test_a_judge_of_a_run_under_way_is_told_with_what_is_due_by_then(
    open_runs: OpenRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = await open_runs(FakeRunner(hold_after=1), models=MODELS)
    run = await runs.begin("a", "a", prompts=2)
    fake = await fake_of(runs)
    await fake.state.reaches(started=1)
    pairs = JudgeGiven("b", "Which is better?", mode="pairs")
    judge = await runs.service.judging.begin(ME, run.id, pairs)
    early = await until_judge(runs, judge, "done")
    assert (early.state, judge_in(early, judge)) == (
        "running",
        RunJudge(judge.id, "b", "pairs", "done", 0, 0),
    )
    counted = reads(runs, monkeypatch)
    fake.state.release()
    await until_told(runs, lambda told: told.state == "done")
    (shown,) = runs.seen[-1].judges
    assert (shown.judged, shown.total) == (0, 4)
    assert counted == []
    assert (await runs.service.get("me", run.id)).judges == [shown]


async def test_a_judge_that_is_paused_continued_and_deleted_is_told(
    open_runs: OpenRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, run, fake = await answered(open_runs)
    judging = runs.service.judging
    hold(fake)
    judge = await judging.begin(ME, run.id, GIVEN)
    await until_judge(runs, judge, "running")
    is_stopping = asyncio.Event()
    live = judging._live[judge.id]
    stop = live.stop

    def stop_and_tell() -> None:
        stop()
        is_stopping.set()

    monkeypatch.setattr(live, "stop", stop_and_tell)
    pausing = asyncio.create_task(judging.pause("me", run.id, judge.id))
    async with asyncio.timeout(CEILING_SECONDS):
        await is_stopping.wait()
    fake.state.release()
    await pausing
    paused = judge_in(await until_judge(runs, judge, "paused"), judge)
    assert paused is not None
    assert paused.judged < 6
    hold(fake)
    await judging.go_on("me", run.id, judge.id)
    await until_judge(runs, judge, "running")
    await judging.remove("me", run.id, judge.id)
    gone = await until_told(runs, lambda told: not told.judges)
    assert gone.state == "done"
    fake.state.release()


async def test_a_judge_that_cannot_go_on_is_told(open_runs: OpenRuns) -> None:
    runs, run, fake = await answered(open_runs)
    hold(fake)
    judge = await runs.service.judging.begin(ME, run.id, GIVEN)
    await until_judge(runs, judge, "running")
    runs.keys.clear()
    fake.state.release()
    await until_judge(runs, judge, "paused")


async def test_votes_are_told_and_read_for_nobody_who_does_not_follow(
    open_runs: OpenRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, run, _ = await answered(open_runs)
    voting = runs.service.voting
    await voting.give("me", run.id, "0", VOTE)
    assert (await until_told(runs, lambda told: told.votes == 1)).id == run.id
    await voting.give("me", run.id, "1", VOTE)
    await until_told(runs, lambda told: told.votes == 2)
    await voting.take_back("me", run.id, "1", 0)
    await until_told(runs, lambda told: told.votes == 1)
    runs.service.following._watches.clear()
    counted = reads(runs, monkeypatch)
    await voting.give("me", run.id, "2", VOTE)
    judge = await runs.service.judging.begin(ME, run.id, GIVEN)
    tasks = [one for one in asyncio.all_tasks() if one.get_name() == f"judge {judge.id}"]
    await asyncio.wait(tasks, timeout=CEILING_SECONDS)
    assert counted == []
    last = await runs.service.get("me", run.id)
    assert (last.votes, [one.judged for one in last.judges]) == (2, [6])


async def test_what_is_told_while_a_run_is_read_is_not_told_over_by_what_was_read(
    open_runs: OpenRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, run, _ = await answered(open_runs)
    reading = runs.service.reading
    real = reading.view_with_ids
    renaming: list[str] = []

    async def rename_after(stored: Any) -> Run:
        found = await real(stored)
        if not renaming:
            renaming.append("new")
            await runs.service.rename("me", run.id, "new")
        return found

    monkeypatch.setattr(reading, "view_with_ids", rename_after)
    await runs.service.voting.give("me", run.id, "0", VOTE)
    last = await until_told(runs, lambda told: told.votes == 1)
    assert last.name == "new"
    names = [seen.name for seen in runs.seen]
    assert set(names[names.index("new") :]) == {"new"}


async def test_a_vote_while_a_run_is_read_for_one_who_left_is_told_to_the_next(
    open_runs: OpenRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = await open_runs(FakeRunner(hold_after=1), models=MODELS)
    run = await runs.begin("a", "b")
    await (await fake_of(runs)).state.reaches(tokens=1)
    service, following = runs.service, runs.service.following
    following._watches.clear()
    leave = following.subscribe(lambda _: None)
    real = service.store.assessments.read
    is_read, may_go_on = asyncio.Event(), asyncio.Event()

    async def read(number: int) -> Any:
        found = await real(number)
        is_read.set()
        await may_go_on.wait()
        return found

    monkeypatch.setattr(service.store.assessments, "read", read)
    following.tell_assessed(run.id)
    async with asyncio.timeout(CEILING_SECONDS):
        await is_read.wait()
        leave()
        number = (await service.store.run("me", run.id)).number
        await service.store.votes.give(
            number, RunVote([0, 1], [1], prompt=0, voter="me", created=1.0)
        )
        following.tell_assessed(run.id)
        may_go_on.set()
        assert following._reader is not None
        await following._reader
        told: asyncio.Queue[Run] = asyncio.Queue()
        following.subscribe(told.put_nowait)
        following.tell_live(service.prompts._live[run.id])
        assert (await told.get()).votes == 1


async def test_a_change_that_cannot_be_read_is_told_with_the_next_one(
    open_runs: OpenRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, run, _ = await answered(open_runs)
    failed = asyncio.Event()

    async def broken(number: int) -> Any:
        failed.set()
        raise StorageFailed("the disk is gone")

    with monkeypatch.context() as patch:
        patch.setattr(runs.service.store.assessments, "read", broken)
        await runs.service.voting.give("me", run.id, "0", VOTE)
        async with asyncio.timeout(CEILING_SECONDS):
            await failed.wait()
    assert {seen.votes for seen in runs.seen} == {0}
    await runs.service.voting.give("me", run.id, "1", VOTE)
    assert (await until_told(runs, lambda told: told.votes > 0)).votes == 2


async def test_a_judge_begun_while_its_run_is_deleted_asks_nothing_and_leaves_nothing(
    open_runs: OpenRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, run, fake = await answered(open_runs)
    service = runs.service
    add, ended = service.store.judges.add, service.judging.ended
    remove_run = service.store.remove_run
    asked = len(fake.state.requests)
    deleting: list[asyncio.Task[None]] = []
    is_deleting = asyncio.Event()

    def judges_at_work() -> list[asyncio.Task[Any]]:
        return [one for one in asyncio.all_tasks() if one.get_name().startswith("judge j_")]

    async def add_late(number: int, given: JudgeGiven) -> Any:
        """Have the run deleted between the judge's storing and its begin."""
        stored = await add(number, given)
        deleting.append(asyncio.create_task(service.remove("me", run.id)))
        await is_deleting.wait()
        return stored

    def tell_that_it_is_deleted(run_id: str) -> Any:
        is_deleting.set()
        return ended(run_id)

    async def remove_late(owner: str, run_id: str) -> None:
        """Have a judge that is at work ask what it would."""
        if tasks := judges_at_work():
            asks = asyncio.create_task(fake.state.reaches(started=asked + 1))
            await asyncio.wait([asks, *tasks], return_when=asyncio.FIRST_COMPLETED)
            asks.cancel()
        await remove_run(owner, run_id)

    monkeypatch.setattr(service.store.judges, "add", add_late)
    monkeypatch.setattr(service.judging, "ended", tell_that_it_is_deleted)
    monkeypatch.setattr(service.store, "remove_run", remove_late)
    async with asyncio.timeout(CEILING_SECONDS):
        await service.judging.begin(ME, run.id, GIVEN)
        await deleting[0]
    assert judges_at_work() == []
    assert len(fake.state.requests) == asked
    assert await service.store.judges.unfinished() == []
    with pytest.raises(UnknownRun):
        await service.judging.begin(ME, run.id, GIVEN)
