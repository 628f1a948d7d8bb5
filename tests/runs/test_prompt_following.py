"""One prompt of a run is followed while its answers are written, by readers quick and slow."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from server.chat.reading import until_end
from server.core.errors import StorageFailed, UnknownRun
from server.core.protocol import End
from server.runs.prompt_events import (
    AnswerComplete,
    AnswerDelta,
    AnswerSnapshot,
    AnswerState,
    PromptEnd,
    PromptEvent,
)
from server.runs.shapes import CheckOutcome, Run, RunExtension, RunGiven, Target
from tests.runs.conftest import (
    CEILING_SECONDS,
    ME,
    OpenRuns,
    Prompts,
    Runs,
    fake_of,
    until,
    until_asking,
)
from tests.support.fake_fleet import FakeRunner

ONE_AT_A_TIME = {"a": {"weights": "x", "max_concurrent": 1}}
TWO = {"a": {"weights": "x"}, "b": {"weights": "y"}}


class Follower:
    """Follow one prompt, a batch at a time, and keep what was told."""

    def __init__(self, runs: Runs, run: Run, prompt: str, silence_seconds: float) -> None:
        self.events: list[PromptEvent] = []
        self.silences = 0
        self._told = runs.service.prompts.follow("me", run.id, prompt, silence_seconds)

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Read until that is so."""
        async with asyncio.timeout(CEILING_SECONDS):
            while not is_so():
                events = await anext(self._told)
                self.events += events or ()
                self.silences += events is None

    async def rest(self) -> list[PromptEvent]:
        """Read to the end; return all that was told."""
        async with asyncio.timeout(CEILING_SECONDS):
            async for events in self._told:
                self.events += events or ()
        return self.events

    def told(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    def text(self, target: int = 0) -> str:
        """Return the text of a target's answer as a client has it, without complete answers."""
        text = ""
        for event in self.events:
            if isinstance(event, AnswerSnapshot) and event.target == target:
                text = event.text
            elif isinstance(event, AnswerDelta) and event.target == target:
                text += event.text
        return text

    async def close(self) -> None:
        await self._told.aclose()


@asynccontextmanager
async def following(
    runs: Runs, run: Run, prompt: str = "0", *, silence_seconds: float = CEILING_SECONDS
) -> AsyncIterator[Follower]:
    follower = Follower(runs, run, prompt, silence_seconds)
    try:
        yield follower
    finally:
        await follower.close()


class CheckedLater:
    """Holds up the checks of answers until it is opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opened = asyncio.Event()
        monkeypatch.setattr(Prompts, "check", self._check)

    async def _check(self, prompt: int, text: str, end: End) -> list[CheckOutcome]:
        await self.opened.wait()
        return [CheckOutcome({"type": "contains"}, True, "it is there")]


async def held(runs: Runs, prompts: int = 1, *models: str) -> Run:
    """Begin a run whose first answer has its first token; return it."""
    run = await runs.begin(*(models or ("a",)), prompts=prompts)
    await (await fake_of(runs)).state.reaches(tokens=1)
    return run


async def test_what_is_complete_is_told_with_its_checks_and_then_the_end(
    open_runs: OpenRuns,
) -> None:
    runs = await open_runs(FakeRunner(text="It is Paris."), models=TWO)
    run = await runs.ended(await runs.begin("a", "b", prompts=2, repeats=2, word="Paris"))
    async with following(runs, run, "1") as follower:
        *answers, end = await follower.rest()
    assert end == PromptEnd("done", is_complete=True)
    assert [type(one) for one in answers] == [AnswerComplete] * 4
    told = [one.answer for one in follower.told(AnswerComplete)]
    assert told == await runs.service.reading.answers("me", run.id, 1, 1)
    assert [one.passed for one in told] == [True] * 4


async def test_text_is_told_from_its_beginning_up_to_the_whole_answer(open_runs: OpenRuns) -> None:
    runs = await open_runs(FakeRunner(hold_after=1, text="one two three four"))
    run = await held(runs)
    async with following(runs, run) as follower:
        await follower.until(lambda: bool(follower.text()))
        assert follower.text() == "one"
        (await fake_of(runs)).state.release()
        await follower.rest()
    answers = follower.told(AnswerComplete)
    assert [one.answer.text for one in answers] == ["one two three four"]
    assert answers[0].answer.text.startswith(follower.text())
    assert isinstance(follower.events[-1], PromptEnd)
    # Nobody looks at it any more.
    live = runs.service.prompts._live.get(run.id)
    assert live is None or live._watchers == {}


async def test_what_is_still_to_be_asked_is_told_once(open_runs: OpenRuns) -> None:
    runs = await open_runs(FakeRunner(hold_after=1), models=ONE_AT_A_TIME)
    run = await held(runs, 5)
    async with following(runs, run, "4") as follower:
        await follower.until(lambda: bool(follower.events))
        assert follower.events == [AnswerSnapshot(0, 0, "waiting")]
        (await fake_of(runs)).state.release()
        *_, answer, end = await follower.rest()
    assert isinstance(answer, AnswerComplete)
    assert isinstance(end, PromptEnd)
    waiting = [one for one in follower.told(AnswerSnapshot) if one.state == "waiting"]
    assert len(waiting) == 1


async def test_a_slow_reader_gets_in_one_delta_what_was_written_meanwhile(
    open_runs: OpenRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = CheckedLater(monkeypatch)
    words = " ".join(f"word{number}" for number in range(50))
    runs = await open_runs(FakeRunner(hold_after=1, text=words))
    name = await runs.prompt_set("Tell me.")
    given = RunGiven(name, [Target("a", {"max_new_tokens": 500})])
    run = await runs.service.create(ME, given)
    fake = await fake_of(runs)
    await fake.state.reaches(tokens=1)
    async with following(runs, run) as follower:
        await follower.until(lambda: bool(follower.text()))
        before = len(follower.events)
        fake.state.release()
        await fake.state.reaches(served=1)
        (generation,) = runs.service.prompts._live[run.id].live.values()
        async with asyncio.timeout(CEILING_SECONDS):
            await until_end(generation)
        await follower.until(lambda: AnswerState(0, 0, "ended") in follower.events)
        delta, _ = follower.events[before:]
        assert isinstance(delta, AnswerDelta)
        assert follower.text() == words
        assert len(delta.text) > len(words) - 10
        later.opened.set()
        *_, answer, end = await follower.rest()
    assert isinstance(answer, AnswerComplete)
    assert (answer.answer.text, answer.answer.passed) == (words, True)
    assert isinstance(end, PromptEnd)


async def test_an_answer_that_is_asked_again_begins_anew(open_runs: OpenRuns) -> None:
    runs = await open_runs(FakeRunner(hold_after=1, text="one two"), models=ONE_AT_A_TIME)
    run = await held(runs)
    async with following(runs, run) as follower:
        await follower.until(lambda: bool(follower.text()))
        runs.backend.stage.runner.crash("a", 1)
        await follower.until(lambda: not follower.text())
        again = await fake_of(runs)
        await again.state.reaches(tokens=1)
        await follower.until(lambda: bool(follower.text()))
        assert follower.text() == "one"
        again.state.release()
        await follower.rest()
    assert [one.answer.text for one in follower.told(AnswerComplete)] == ["one two"]


async def test_what_was_written_of_an_answer_that_is_cancelled_is_taken_back(
    open_runs: OpenRuns,
) -> None:
    runs = await open_runs(FakeRunner(hold_after=1))
    run = await held(runs)
    async with following(runs, run) as follower:
        await follower.until(lambda: bool(follower.text()))
        await runs.service.cancel("me", run.id)
        *_, again, end = await follower.rest()
    assert again == AnswerSnapshot(0, 0, "waiting")
    assert end == PromptEnd("cancelled", is_complete=False)


async def test_an_answer_of_a_run_that_goes_on_is_told_from_its_new_beginning(
    open_runs: OpenRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reader is slow: it has missed that the run was cancelled and went on."""
    runs = await open_runs(FakeRunner(hold_after=2, text="one two three"))
    run = await held(runs)
    fake = await fake_of(runs)
    await fake.state.reaches(tokens=2)
    async with following(runs, run) as follower:
        await follower.until(lambda: follower.text().startswith("one two"))
        await runs.service.cancel("me", run.id)
        await runs.service.go_on(ME, run.id, retries_failed=False)
        await fake.state.reaches(tokens=3)
        await follower.until(lambda: len(follower.told(AnswerSnapshot)) > 1)
        fake.state.release()
        await follower.rest()
    assert follower.told(AnswerComplete)[-1].answer.text == "one two three"
    assert "one two three".startswith(follower.text())


async def test_a_failed_answer_that_is_asked_again_takes_the_place_of_the_first(
    open_runs: OpenRuns,
) -> None:
    runs = await open_runs(FakeRunner(hold_after=1, error_after=2), models=TWO)
    run = await held(runs, 1, "a", "b")
    (await fake_of(runs)).state.release()
    async with following(runs, run) as follower:
        # The answer of the other target is held, and its prompt is not complete.
        await follower.until(lambda: bool(follower.told(AnswerComplete)))
        await runs.service.cancel("me", run.id)
        await runs.service.go_on(ME, run.id, retries_failed=True)
        await follower.until(lambda: len(follower.told(AnswerComplete)) == 2)
    first, again = (one.answer for one in follower.told(AnswerComplete))
    assert (first.target, again.target) == (0, 0)
    assert again.ended > first.ended
    assert again.finish_reason == "failed"


async def test_a_pause_is_followed_to_the_end_of_what_is_written(open_runs: OpenRuns) -> None:
    runs = await open_runs(FakeRunner(hold_after=1, text="one two"), models=ONE_AT_A_TIME)
    run = await held(runs, 2, "a", "a")
    async with following(runs, run) as follower:
        await follower.until(lambda: bool(follower.text()))
        pausing = asyncio.create_task(runs.service.pause("me", run.id))
        await until_asking(runs, run, 1)
        (await fake_of(runs)).state.release()
        await follower.rest()
        await pausing
    assert [one.answer.text for one in follower.told(AnswerComplete)] == ["one two"]
    assert follower.events[-1] == PromptEnd("paused", is_complete=False)


async def test_a_deleted_run_is_unknown_to_who_follows_it(open_runs: OpenRuns) -> None:
    runs = await open_runs(FakeRunner(hold_after=1))
    run = await held(runs)
    async with following(runs, run) as follower:
        await follower.until(lambda: bool(follower.text()))
        await runs.service.remove("me", run.id)
        with pytest.raises(UnknownRun):
            await follower.rest()
    assert follower.told(PromptEnd) == []


async def test_a_gateway_that_stops_tells_what_is_asked_again_and_ends(
    open_runs: OpenRuns,
) -> None:
    runs = await open_runs(FakeRunner(hold_after=1))
    run = await held(runs)
    async with following(runs, run) as follower:
        await follower.until(lambda: bool(follower.text()))
        closing = asyncio.create_task(runs.service.close(grace_seconds=0))
        *_, again, end = await follower.rest()
        await closing
    assert again == AnswerSnapshot(0, 0, "waiting")
    assert end == PromptEnd("running", is_complete=False)


async def test_what_is_complete_is_told_while_the_disk_is_full(
    open_runs: OpenRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = await open_runs(models=ONE_AT_A_TIME)

    async def full(_: object) -> None:
        raise StorageFailed("there is no room")

    monkeypatch.setattr(runs.service.store.answers, "add", full)
    run = await runs.begin("a", prompts=40)
    await until(runs, lambda: runs.seen[-1].error is not None and runs.seen[-1].answered > 0)
    async with following(runs, run) as follower:
        answer, end = await follower.rest()
    assert isinstance(answer, AnswerComplete)
    assert end == PromptEnd("running", is_complete=True)


async def test_an_extended_run_is_followed_to_the_answers_of_its_new_targets(
    open_runs: OpenRuns,
) -> None:
    runs = await open_runs(FakeRunner(hold_after=1, text="one two"), models=TWO)
    run = await held(runs)
    async with following(runs, run) as follower:
        await follower.until(lambda: bool(follower.text()))
        more = RunExtension([Target("b", {"max_new_tokens": 4})])
        extending = asyncio.create_task(runs.service.extend(ME, run.id, more))
        # Nothing more is taken up before what is written is complete.
        (await fake_of(runs)).state.release()
        await extending
        (await fake_of(runs, "b")).state.release()
        await follower.until(lambda: bool(follower.told(PromptEnd)))
    async with following(runs, run) as again:
        await again.rest()
    assert [one.answer.target for one in again.told(AnswerComplete)] == [0, 1]


async def test_silence_is_told(open_runs: OpenRuns) -> None:
    runs = await open_runs(FakeRunner(hold_after=1))
    run = await held(runs)
    async with following(runs, run, silence_seconds=0.01) as follower:
        await follower.until(lambda: follower.silences > 1)
        assert follower.text()


async def test_silence_is_told_while_the_run_goes_on_elsewhere(open_runs: OpenRuns) -> None:
    runs = await open_runs(FakeRunner(hold_after=1), models=ONE_AT_A_TIME)
    run = await held(runs, 5)
    live = runs.service.prompts._live[run.id]
    loop = asyncio.get_running_loop()
    timers: list[asyncio.TimerHandle] = []

    def change() -> None:
        runs.service.following.tell_live(live)
        timers[:] = [loop.call_later(0.01, change)]

    change()
    async with following(runs, run, "4", silence_seconds=0.1) as follower:
        await follower.until(lambda: follower.silences > 1)
        assert follower.events == [AnswerSnapshot(0, 0, "waiting")]
    timers[0].cancel()


@pytest.mark.parametrize("number", ["3", "-1", "00", "x", "", "9" * 5000])
async def test_a_number_that_no_prompt_has_is_refused(open_runs: OpenRuns, number: str) -> None:
    runs = await open_runs()
    run = await runs.ended(await runs.begin("a", prompts=3))
    async with following(runs, run, number) as follower:
        with pytest.raises(UnknownRun):
            await follower.rest()
