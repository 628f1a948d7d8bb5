"""Runs that are paused, cancelled or deleted, or lose their key or a model, in the middle."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from server.core.errors import ModelFailed, StorageFailed
from server.core.placement import Capacity
from server.core.protocol import ErrorInfo
from server.runs.driver import Driver
from server.runs.live_run import LiveRun
from server.runs.service import RunService
from server.runs.shapes import Run, RunState, TargetState
from server.runs.store import StoredRun
from tests.runs.conftest import CEILING_SECONDS, ME, OpenRuns, fake_of, until, until_asking
from tests.support.fake_fleet import FakeRunner
from tests.support.specs import catalog

ONE_AT_A_TIME = {"a": {"weights": "x", "max_concurrent": 1}}
Halt = Callable[[RunService, str], Awaitable[object]]


@pytest.mark.parametrize(
    "halt",
    [
        lambda service, run: service.cancel("me", run),
        lambda service, run: service.remove("me", run),
    ],
    ids=["cancel", "delete"],
)
async def test_a_pause_that_waits_for_an_answer_holds_up_neither_a_cancel_nor_a_deletion(
    open_runs: OpenRuns, halt: Halt
) -> None:
    runs = await open_runs(FakeRunner(hold_after=1), models=ONE_AT_A_TIME)
    run = await runs.begin("a", prompts=4)
    fake = await fake_of(runs)
    await fake.state.reaches(started=1)
    await until_asking(runs, run, 2)
    pausing = asyncio.create_task(runs.service.pause("me", run.id))
    # What waits for the server is dropped once the run pauses.
    await until_asking(runs, run, 1)
    async with asyncio.timeout(CEILING_SECONDS):
        await halt(runs.service, run.id)
        await asyncio.gather(pausing, return_exceptions=True)
    await fake.state.reaches(cancelled=1)


async def test_a_run_whose_answers_cannot_be_stored_can_be_paused(
    open_runs: OpenRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = await open_runs(models=ONE_AT_A_TIME)

    async def full(_: object) -> None:
        raise StorageFailed("there is no room")

    monkeypatch.setattr(runs.service.store.answers, "add", full)
    run = await runs.begin("a", prompts=40)
    await until(runs, lambda: runs.seen[-1].error is not None)
    await until_asking(runs, run, 0)
    async with asyncio.timeout(CEILING_SECONDS):
        assert (await runs.service.pause("me", run.id)).state == "paused"


async def test_a_run_whose_last_answers_cannot_be_stored_is_not_over(
    open_runs: OpenRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was called done, and what had waited to be stored was lost with the gateway."""
    runs = await open_runs()

    asked, ask, failed = asyncio.Event(), Driver.run, asyncio.Event()

    async def full(_: object) -> None:
        # Nothing is known of it before all is asked.
        await asked.wait()
        failed.set()
        raise StorageFailed("there is no room")

    async def noted(driver: Driver) -> bool:
        is_complete = await ask(driver)
        asked.set()
        return is_complete

    with monkeypatch.context() as patch:
        patch.setattr(runs.service.store.answers, "add", full)
        patch.setattr(Driver, "run", noted)
        run = await runs.begin("a", prompts=3)
        async with asyncio.timeout(CEILING_SECONDS):
            await failed.wait()
        seen = await runs.service.get("me", run.id)
        assert (seen.state, seen.answered) == ("running", 3)
        await runs.service.close(grace_seconds=0)
    again = await open_runs(again=runs)
    ended = await again.ended(run)
    assert (ended.state, ended.answered, ended.error) == ("done", 3, None)
    assert len(await again.service.reading.answers("me", run.id)) == 3


async def test_a_run_whose_key_is_removed_asks_nothing_more_and_is_paused(
    open_runs: OpenRuns,
) -> None:
    runs = await open_runs(FakeRunner(hold_after=1), models=ONE_AT_A_TIME)
    run = await runs.begin("a", prompts=8)
    fake = await fake_of(runs)
    await fake.state.reaches(started=1)
    runs.keys.clear()
    fake.state.release()
    paused = await runs.ended(run)
    assert paused.state == "paused"
    assert paused.error is not None
    assert paused.error.code == "unauthorized"
    # The one that was being written; another may have waited behind it.
    assert 1 <= paused.answered <= 2
    runs.keys["me"] = ME
    await runs.service.go_on(ME, run.id, retries_failed=False)
    ended = await runs.ended(run)
    assert (ended.state, ended.answered, ended.error) == ("done", 8, None)


async def test_a_model_that_is_removed_fails_its_target_and_not_others_of_its_server(
    open_runs: OpenRuns,
) -> None:
    models: dict[str, dict[str, Any]] = {
        "a": {"weights": "x", "max_concurrent": 1},
        "b": {"base": "a"},
    }
    runs = await open_runs(FakeRunner(hold_after=1), models=models)
    run = await runs.begin("b", "a", prompts=4)
    fake = await fake_of(runs)
    await fake.state.reaches(started=1)
    runs.backend.stage.fleet.change(catalog(a=models["a"]))
    fake.state.release()
    ended = await runs.ended(run)
    assert ended.state == "incomplete"
    assert [one.state for one in ended.targets] == ["failed", "done"]
    assert ended.targets[0].error is not None
    assert ended.targets[0].error.code == "unknown_model"
    assert ended.targets[1].answered == 4


async def test_a_removed_model_waited_for_fails_alone(open_runs: OpenRuns) -> None:
    models: dict[str, dict[str, Any]] = {
        "a": {"weights": "x"},
        "b": {"weights": "y"},
        "c": {"base": "b"},
    }
    runs = await open_runs(
        FakeRunner(hold_after=1), models=models, capacity=Capacity(max_running=1)
    )
    first = await runs.begin("a", prompts=2)
    fake = await fake_of(runs)
    await fake.state.reaches(started=1)
    second = await runs.begin("c", "b", prompts=2)
    # Behind the reads of its beginning: it waits for its server now.
    await runs.service.reading.rows("me", second.id, 0, 1)
    runs.backend.stage.fleet.change(catalog(a=models["a"], b=models["b"]))
    fake.state.release()
    assert (await runs.ended(first)).state == "done"
    (await fake_of(runs, "b")).state.release()
    ended = await runs.ended(second)
    assert [(one.state, one.answered) for one in ended.targets] == [("failed", 0), ("done", 2)]


@pytest.mark.parametrize("when", ["its target fails", "its end is stored"])
async def test_a_run_that_is_continued_while_it_ends_incomplete_goes_on(
    open_runs: OpenRuns, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    runner = FakeRunner()
    runner.start_error = ModelFailed("no start")
    runs = await open_runs(runner)
    service: RunService = runs.service
    executor = service._executor
    flush, store_state = service._writer.flush, executor._store_state
    until_over, target_changed = executor.until_over, LiveRun.target_changed
    continuing: list[asyncio.Task[Run]] = []
    has_begun, is_waiting = asyncio.Event(), asyncio.Event()

    def go_on(live: LiveRun) -> None:
        if not continuing:
            runner.start_error = None
            later = service.go_on(ME, live.run.id, retries_failed=False)
            continuing.append(asyncio.create_task(later))
            has_begun.set()

    async def let_it_look() -> None:
        """Return once it has looked at the run, and waits for its end or has returned."""
        seen = asyncio.create_task(is_waiting.wait())
        await asyncio.wait([*continuing, seen], return_when=asyncio.FIRST_COMPLETED)
        seen.cancel()

    def fail(live: LiveRun, place: int, state: TargetState, error: ErrorInfo | None) -> None:
        target_changed(live, place, state, error)
        if state == "failed" and when == "its target fails":
            go_on(live)

    async def flush_late() -> None:
        if continuing:
            await let_it_look()
        await flush()

    async def store_late(stored: StoredRun) -> None:
        live = executor.live(stored.id)
        assert live is not None
        go_on(live)
        await let_it_look()
        await store_state(stored)

    async def tell_that_it_waits(live: LiveRun) -> None:
        is_waiting.set()
        await until_over(live)

    monkeypatch.setattr(LiveRun, "target_changed", fail)
    monkeypatch.setattr(service._writer, "flush", flush_late)
    monkeypatch.setattr(executor, "_store_state", store_late)
    monkeypatch.setattr(executor, "until_over", tell_that_it_waits)
    run = await runs.begin("a", prompts=3)
    async with asyncio.timeout(CEILING_SECONDS):
        await has_begun.wait()
        assert (await continuing[0]).state == "running"
        ended = await runs.ended(run)
    assert (ended.state, ended.answered, ended.error) == ("done", 3, None)
    assert [one.state for one in ended.targets] == ["done"]


async def test_a_pause_that_cannot_be_stored_leaves_the_run_under_way(
    open_runs: OpenRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was said to be running while nobody asked for it."""
    runs = await open_runs(models=ONE_AT_A_TIME)
    run = await runs.begin("a", prompts=40)
    store = runs.service.store.set_state

    async def full(number: int, state: RunState, error: ErrorInfo | None) -> None:
        if state == "paused":
            raise StorageFailed("there is no room")
        await store(number, state, error)

    with monkeypatch.context() as patch:
        patch.setattr(runs.service.store, "set_state", full)
        with pytest.raises(StorageFailed):
            await runs.service.pause("me", run.id)
    ended = await runs.ended(run)
    assert (ended.state, ended.answered) == ("done", 40)


async def test_answers_of_a_deleted_run_that_wait_are_no_later_runs(
    open_runs: OpenRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file gives the number of the latest run again once that is deleted."""
    runs = await open_runs()

    async def full(_: object) -> None:
        raise StorageFailed("there is no room")

    with monkeypatch.context() as patch:
        patch.setattr(runs.service.store.answers, "add", full)
        run = await runs.begin("a", prompts=3)
        await until(runs, lambda: runs.service.waiting_answers > 0)
        await runs.service.remove("me", run.id)
    assert runs.service.waiting_answers == 0
    later = await runs.begin("a", prompts=1)
    ended = await runs.ended(later)
    assert (ended.state, ended.answered, ended.total) == ("done", 1, 1)
    assert len(await runs.service.reading.answers("me", later.id)) == 1


async def test_answers_that_break_their_storing_hold_up_nobody_who_reads(
    open_runs: OpenRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = await open_runs()

    async def broken(_: object) -> None:
        raise RuntimeError("nobody has thought of it")

    with monkeypatch.context() as patch:
        patch.setattr(runs.service.store.answers, "add", broken)
        run = await runs.begin("a", prompts=2)
        await until(runs, lambda: runs.seen[-1].error is not None)
        assert (await runs.service.reading.rows("me", run.id, 0, 2)).total == 2
        assert (await runs.service.get("me", run.id)).error is not None
    await runs.service.reading.flush()
    assert (await runs.ended(run)).state == "done"
