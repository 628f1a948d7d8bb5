"""Which rows of a run are shown: filtered, sorted, searched, and kept until answers come."""

from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast, get_args

import pytest

from server.core.protocol import ErrorInfo, Timings, Usage
from server.runs.live_run import LiveRun
from server.runs.row_choice import Order, RowChoice, Show
from server.runs.rows import RunRows
from server.runs.shapes import CheckOutcome, Rows, RunAnswer, RunVote, Target
from server.runs.store import Store, StoredRun, StoreLimits
from tests.runs.conftest import Prompts

PROMPTS = Prompts(["Name a river.", "Name a CITY.", "Name a Übung.", "Name a bird.", "Name a sea."])


def answer(prompt: int, target: int = 0, text: str = "Nile", **words: Any) -> RunAnswer:
    """Return an answer whose checks passed, unless `words` say otherwise."""
    given: dict[str, Any] = {
        "ended": 1.0,
        "finish_reason": "stop",
        "usage": Usage(1, 2),
        "timings": Timings(0.0, 1.0, 10.0, 1.0),
        "repeat": 0,
        **words,
    }
    return RunAnswer(prompt=prompt, target=target, text=text, **given)


def taking(milliseconds: float) -> dict[str, Any]:
    return {"timings": Timings(0.0, 1.0, milliseconds, 1.0)}


WRONG: dict[str, Any] = {
    "passed": False,
    "checks": [
        CheckOutcome({"type": "answers"}, True, "it answers"),
        CheckOutcome({"type": "contains"}, False, "there is no Nile"),
        CheckOutcome({"type": "equals"}, False, "it is another one"),
    ],
}
BROKEN: dict[str, Any] = {
    "finish_reason": "failed",
    "error": ErrorInfo("model_failed", "it is gone"),
}


class Run:
    """A run of two targets, and its rows."""

    def __init__(self, store: Store, run: StoredRun) -> None:
        self.store = store
        self.stored = run
        self.rows = RunRows(store.rows, {})

    async def add(self, *answers: RunAnswer) -> None:
        await self.store.answers.add((self.stored.number, one) for one in answers)

    async def read(self, first: int = 0, count: int = 50, **choice: Any) -> Rows:
        return await self.rows.read(self.stored, PROMPTS, (first, count), RowChoice(**choice), "me")

    async def shown(self, **choice: Any) -> list[int]:
        """Return the prompts that match, in order."""
        rows = await self.read(**choice)
        assert rows.total == len(PROMPTS)
        assert rows.matching == len(rows.rows)
        return [row.prompt for row in rows.rows]


@pytest.fixture
async def run(tmp_path: Path) -> AsyncIterator[Run]:
    store = await Store.open(tmp_path / "runs", StoreLimits(9, 9, 1 << 30))
    kept = await store.sets.add("me", "set", [], "v", "{}", len(PROMPTS))
    targets = [Target("a"), Target("b")]
    stored = await store.add_run(
        "me", name="", set_id=kept.id, version="v", targets=targets, repeats=2
    )
    yield Run(store, stored)
    await store.close()


@pytest.mark.parametrize("show", get_args(Show))
@pytest.mark.parametrize("sort", get_args(Order))
async def test_a_run_without_answers_has_rows_only_where_all_are_shown(
    run: Run, show: Show, sort: Order
) -> None:
    assert await run.shown(show=show, sort=sort) == ([0, 1, 2, 3, 4] if show == "all" else [])


async def test_a_prompt_failed_if_an_answer_or_a_check_of_it_did(run: Run) -> None:
    await run.add(
        answer(0, passed=True),
        answer(1, passed=True),
        answer(1, 1, **WRONG),
        answer(2, **BROKEN),
        answer(3),
    )
    assert await run.shown(show="failed") == [1, 2]
    assert await run.shown(show="errors") == [2]


async def test_an_answer_that_reached_its_length_is_cut(run: Run) -> None:
    await run.add(answer(0), answer(1, finish_reason="length"), answer(2, repeat=1))
    assert await run.shown(show="cut") == [1]


async def test_targets_disagree_if_one_is_right_and_another_is_not(run: Run) -> None:
    await run.add(
        *(answer(0, passed=True), answer(0, 1, "Other words", passed=True)),
        *(answer(1, passed=True), answer(1, 1, **WRONG)),
        *(answer(2, **WRONG), answer(2, 1, **WRONG)),
        *(answer(3, passed=True), answer(3, 1, **BROKEN)),
        # A target that is wrong once is wrong: repeats of one are no other opinion.
        *(answer(4, passed=True), answer(4, repeat=1, **WRONG), answer(4, 1, **WRONG)),
    )
    assert await run.shown(show="disagree") == [1, 3]


async def test_where_nothing_is_checked_targets_disagree_if_their_texts_differ(run: Run) -> None:
    await run.add(
        *(answer(0, 0, "The Nile"), answer(0, 1, " the\tNILE\r\n")),
        *(answer(1, 0, "Nile"), answer(1, 1, "Amazon")),
        *(answer(2, 0, "Nile"), answer(2, 0, "Amazon", repeat=1)),
        *(answer(3, 0, "Nile", repeat=1), answer(3, 1, "Amazon", repeat=1)),
    )
    assert await run.shown(show="disagree") == [1, 3]


async def test_prompts_are_sorted_by_their_slowest_answer_or_by_failures(run: Run) -> None:
    await run.add(
        answer(0, **taking(10)),
        answer(1, **taking(5)),
        answer(1, 1, **taking(30), **WRONG),
        answer(3, **taking(20), **WRONG),
        answer(3, 1, **BROKEN),
    )
    assert await run.shown(sort="slowest") == [1, 3, 0, 2, 4]
    assert await run.shown(sort="failed") == [3, 1, 0, 2, 4]
    assert await run.shown(sort="failed", show="failed") == [3, 1]


async def test_a_text_is_searched_for_in_prompts_and_answers(run: Run) -> None:
    await run.add(answer(0, 0, "A 100% sure\\thing"), answer(3, 1, "A City bird"))
    assert await run.shown(search="city") == [1, 3]
    assert await run.shown(search="übung") == [2]
    assert await run.shown(search="100%") == [0]
    assert await run.shown(search="e\\t") == [0]
    assert await run.shown(search="_") == []
    assert await run.shown(search="city", show="failed") == []


async def test_a_window_of_those_that_match_has_all_their_cells(run: Run) -> None:
    await run.add(*(answer(n, 1, "x" * 900, repeat=1, **WRONG) for n in (1, 2, 4)))
    rows = await run.read(1, 1, show="failed")
    assert (rows.total, rows.matching) == (5, 3)
    (row,) = rows.rows
    assert (row.prompt, row.text) == (2, "Name a Übung.")
    places = [(cell.target, cell.repeat, cell.state) for cell in row.cells]
    assert places == [(0, 0, "waiting"), (0, 1, "waiting"), (1, 0, "waiting"), (1, 1, "done")]
    done = row.cells[-1]
    assert (len(done.text), done.passed, done.reason) == (200, False, "there is no Nile")
    assert (done.first_token_ms, done.total_ms) == (1.0, 10.0)
    assert (await run.read(3, 9, show="failed")).rows == []


async def test_what_nobody_voted_on_is_found_for_each_reader(run: Run) -> None:
    await run.add(answer(0), answer(0, 1), answer(1), answer(1, 1))
    for voter, prompt in (("me", 0), ("you", 1)):
        vote = RunVote([0, 1], [0], prompt=prompt, voter=voter, created=1.0)
        await run.store.votes.give(run.stored.number, vote)
    assert await run.shown(show="unvoted") == [1]


async def test_what_was_found_is_kept_until_answers_come(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    await run.add(answer(0, **WRONG))
    looks = []
    whole = run.store.rows.matching

    async def counted(*words: Any) -> list[int]:
        looks.append(words)
        return await whole(*words)

    monkeypatch.setattr(run.store.rows, "matching", counted)
    assert [await run.shown(show="failed") for _ in range(3)] == [[0]] * 3
    assert len(looks) == 1
    await run.add(answer(2, **WRONG))
    assert await run.shown(show="failed") == [0, 2]
    assert len(looks) == 2


async def test_while_a_run_goes_on_what_took_long_to_find_is_kept_for_some_times_as_long(
    run: Run,
) -> None:
    times = iter((0.0, 1.0, 4.9, 5.0, 5.0, 5.1, 5.2, 5.3))
    live = SimpleNamespace(run=SimpleNamespace(state="running"), live={})
    known = cast("dict[str, LiveRun]", {run.stored.id: live})
    run.rows = RunRows(run.store.rows, known, lambda: next(times))
    await run.add(answer(0, **WRONG))
    assert await run.shown(show="failed") == [0]  # found from 0 to 1
    await run.add(answer(1, **WRONG))
    assert await run.shown(show="failed") == [0]  # at 4.9
    assert await run.shown(show="failed") == [0, 1]  # at 5, found at once
    await run.add(answer(2, **WRONG))
    live.run.state = "done"
    assert await run.shown(show="failed") == [0, 1, 2]
