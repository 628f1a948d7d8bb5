"""What was begun for a run or judge that is deleted meanwhile never reaches what comes after it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from server.core.errors import UnknownRun
from server.core.protocol import Timings, Usage
from server.runs.judge_shapes import JudgeGiven, Judgement
from server.runs.report_reading import Asked
from server.runs.shapes import Run, RunAnswer, RunGiven, RunVote, RunVoteGiven, Target
from server.runs.store import Store, StoreLimits
from tests.chat.conftest import person
from tests.runs.conftest import ME, OpenRuns, Runs
from tests.support.fake_fleet import FakeRunner

LIMITS = StoreLimits(sets=9, runs=9, file_bytes=1 << 30)
MODELS = {"a": {"weights": "x"}, "b": {"weights": "y"}}
YOU = person("you")
GIVEN = JudgeGiven("b", "Is it right?", parameters={"max_new_tokens": 4})
SECRET = "what you alone may read"
# More than are read at once.
JUDGED = 30


async def answered(open_runs: OpenRuns, *models: str) -> tuple[Runs, Run]:
    """Return a run of these models that is over; `you` has a key too."""
    runs: Runs = await open_runs(FakeRunner(), models=MODELS)
    runs.keys["you"] = YOU
    return runs, await runs.ended(await runs.begin(*models))


async def your_run(runs: Runs) -> Run:
    """Begin a run of somebody else."""
    body = f'{{"prompts": ["{SECRET}"], "word": ""}}'
    kept = await runs.service.store.sets.add("you", "set", [], "yours", body, 1)
    target = Target("a", {"max_new_tokens": 4})
    return await runs.service.create(YOU, RunGiven(kept.id, [target]))


def judgement(prompt: int, reply: str) -> Judgement:
    """Return what a judge said of the answer to a prompt."""
    usage, timings = Usage(1, 1), Timings(0.0, 1.0, 1.0, 1.0)
    return Judgement(prompt, 0, 0, None, 1, None, "", reply, [], usage, timings)


async def add_run(store: Store) -> int:
    """Store a run; return its number."""
    kept = await store.sets.add("me", "one", [], "v1", "{}", 1)
    run = await store.add_run(
        "me", name="", set_id=kept.id, version="v1", targets=[Target("m")], repeats=1
    )
    return run.number


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """Open an empty file."""
    opened = await Store.open(tmp_path / "runs", LIMITS)
    yield opened
    await opened.close()


async def test_no_number_is_given_out_again(store: Store) -> None:
    numbers, judges = [], []
    for _ in range(3):
        numbers.append(await add_run(store))
        for _ in range(2):
            judge = await store.judges.add(numbers[-1], JudgeGiven("m", "well?"))
            judges.append(judge.number)
            await store.judges.remove(judge.number)
        (run,) = await store.runs("me", before="", limit=9)
        await store.remove_run("me", run.id)
    assert numbers == sorted(set(numbers))
    assert judges == sorted(set(judges))


async def test_no_number_is_given_out_again_after_a_restart(tmp_path: Path) -> None:
    numbers = []
    for _ in range(2):
        store = await Store.open(tmp_path / "runs", LIMITS)
        numbers.append(await add_run(store))
        (run,) = await store.runs("me", before="", limit=9)
        await store.remove_run("me", run.id)
        await store.close()
    assert numbers[0] < numbers[1]


async def test_a_judge_of_a_run_that_is_deleted_does_not_begin_in_another(
    open_runs: OpenRuns,
) -> None:
    runs, run = await answered(open_runs, "a")
    judging, store = runs.service.judging, runs.service.store
    async with judging.ended(run.id):
        beginning = asyncio.create_task(judging.begin(ME, run.id, GIVEN))
        # Readings are one after the other: what it reads first, it has read then.
        await asyncio.sleep(0)
        await store.run("me", run.id)
        await store.remove_run("me", run.id)
        yours = await your_run(runs)
    with pytest.raises(UnknownRun):
        await beginning
    assert (await judging.browse("you", yours.id)).judges == []


async def test_a_judge_that_is_deleted_twice_is_unknown_the_second_time(
    open_runs: OpenRuns,
) -> None:
    runs, run = await answered(open_runs, "a")
    judge = await runs.service.judging.begin(ME, run.id, GIVEN)
    outcomes = await asyncio.gather(
        *(runs.service.judging.remove("me", run.id, judge.id) for _ in range(2)),
        return_exceptions=True,
    )
    assert outcomes[0] is None
    assert isinstance(outcomes[1], UnknownRun)


async def test_a_vote_on_a_run_that_is_deleted_meanwhile_is_refused(
    open_runs: OpenRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, run = await answered(open_runs, "a", "b")
    votes, others = runs.service.store.votes, []
    real = votes.give

    async def give(number: int, vote: RunVote) -> None:
        await runs.service.remove("me", run.id)
        others.append(await your_run(runs))
        await real(number, vote)

    monkeypatch.setattr(votes, "give", give)
    with pytest.raises(UnknownRun):
        await runs.service.voting.give("me", run.id, "0", RunVoteGiven([0, 1], [1]))
    (yours,) = others
    assert (await runs.service.voting.browse("you", yours.id)).votes == []


async def test_pages_of_a_judge_that_is_deleted_are_not_those_of_another(
    open_runs: OpenRuns,
) -> None:
    runs, run = await answered(open_runs, "a")
    judges = runs.service.store.judges
    mine = await judges.add((await runs.service.store.run("me", run.id)).number, GIVEN)
    for prompt in range(JUDGED):
        await judges.keep(mine.number, judgement(prompt, "mine"))
    pages = runs.service.judging.judgements("me", run.id, mine.judge.id, 0, JUDGED)
    first = await anext(pages)
    assert b"mine" in first
    await runs.service.judging.remove("me", run.id, mine.judge.id)
    yours = await your_run(runs)
    number = (await runs.service.store.run("you", yours.id)).number
    other = await judges.add(number, GIVEN)
    for prompt in range(JUDGED):
        await judges.keep(other.number, judgement(prompt, SECRET))
    rest = b"".join([piece async for piece in pages])
    assert SECRET.encode() not in rest


@pytest.mark.parametrize("asked", ["results", "judges", "jsonl"])
async def test_a_file_that_waited_while_its_run_was_deleted_is_not_that_of_another(
    open_runs: OpenRuns, asked: Asked
) -> None:
    runs, run = await answered(open_runs, "a")
    reading = runs.service.reading
    stored = await runs.service.store.run("me", run.id)
    request = await reading._request(stored, "me", asked, has_judges=True)
    questions = await reading.questions_of(stored)
    await runs.service.remove("me", run.id)
    yours = await runs.ended_of("you", await your_run(runs))
    assert yours.answered == 1
    with pytest.raises(UnknownRun):
        async for _ in reading.reports.pieces(request, questions):
            pass


async def test_results_have_the_names_of_their_own_run(open_runs: OpenRuns) -> None:
    runs, _ = await answered(open_runs, "a")
    reading, store = runs.service.reading, runs.service.store
    kept = await store.sets.add("me", "one", [], "v1", '{"prompts": ["one"]}', 1)
    names = []
    for name in ("one", "two"):
        run = await store.add_run(
            "me",
            name="",
            set_id=kept.id,
            version="v1",
            targets=[Target("a", name=name)],
            repeats=1,
        )
        results = await reading.results("me", run.id)
        names += [target.name for target in results.targets]
        await store.remove_run("me", run.id)
    assert names == ["one", "two"]


async def test_an_answer_does_not_have_judgements_summed_up_again(
    open_runs: OpenRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, run = await answered(open_runs, "a")
    reading, store = runs.service.reading, runs.service.store
    number = (await store.run("me", run.id)).number
    judge = await store.judges.add(number, GIVEN)
    await store.judges.keep(judge.number, judgement(0, "good"))
    (before,) = await reading.judges("me", run.id)

    async def summed(*_: object) -> bytes:
        raise AssertionError("judgements are summed up again")

    monkeypatch.setattr(reading.reports, "_sum", summed)
    answer = RunAnswer(
        prompt=0,
        target=0,
        repeat=1,
        ended=1.0,
        text="",
        finish_reason="stop",
        usage=Usage(1, 1),
        timings=Timings(0.0, 1.0, 1.0, 1.0),
    )
    await store.answers.add([(number, answer)])
    (after,) = await reading.judges("me", run.id)
    assert (before.judge.total, after.judge.total) == (3, 4)
    assert after.grades == before.grades
    await store.judges.keep(judge.number, judgement(1, "bad"))
    with pytest.raises(AssertionError, match="summed up again"):
        await reading.judges("me", run.id)
