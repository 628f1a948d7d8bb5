"""The rows of a run's grid: those that were chosen, a window of them at a time.

Rules:

1. Which prompts match is found in SQL and in threads, and kept until the file changes.
2. The answers of a run that goes on change all the time. What took long to find is then kept for
   some times as long, so that looking never takes more than a part of the time.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from server.runs.live_run import LiveRun, live_cell
from server.runs.questions import RunQuestions
from server.runs.row_choice import EVERY_ROW, RowChoice, arranged, asking_for
from server.runs.row_store import RowStore
from server.runs.shapes import Cell, CellKey, Row, Rows
from server.runs.store import StoredRun

_MOST_KEPT: Final = 16
_REST: Final = 4.0
# Cells that are put together at once, a thread being slower for few.
_MANY_CELLS: Final = 2000

K = TypeVar("K")
V = TypeVar("V")
_Key = tuple[int, str, RowChoice, str]


@dataclass(frozen=True)
class _Finding:
    prompts: Sequence[int]
    state: int
    until: float


class RunRows:
    """Read the rows of runs, those under way included."""

    def __init__(
        self,
        store: RowStore,
        live: Mapping[str, LiveRun],
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._store = store
        self._live = live
        self._clock = clock
        self._findings: OrderedDict[_Key, _Finding] = OrderedDict()
        self._asking: OrderedDict[tuple[str, str], Collection[int]] = OrderedDict()

    async def read(
        self,
        run: StoredRun,
        questions: RunQuestions,
        window: tuple[int, int],
        choice: RowChoice,
        reader: str,
    ) -> Rows:
        """Return the rows of a window: its first place among those that match, and how many.

        Whose votes are missing is told by `reader`, the id of a key.
        """
        matching = await self._matching(run, questions, choice, reader)
        first, count = window
        prompts = matching[first : first + count]
        if not prompts:
            return Rows(len(questions), [], len(matching))
        live = self._live.get(run.id)
        known = {
            key: live_cell(key, generation)
            for key, generation in (live.live.items() if live else ())
            if key[0] in prompts
        }
        for cell in await self._store.cells(run.number, prompts):
            known[cell.prompt, cell.target, cell.repeat] = cell
        cells = len(prompts) * len(run.targets) * run.repeats
        if cells > _MANY_CELLS:
            rows = await asyncio.to_thread(_rows, run, questions, prompts, known)
        else:
            rows = _rows(run, questions, prompts, known)
        return Rows(len(questions), rows, len(matching))

    async def _matching(
        self, run: StoredRun, questions: RunQuestions, choice: RowChoice, reader: str
    ) -> Sequence[int]:
        """Return the prompts that match, in order."""
        if choice == EVERY_ROW:
            return range(len(questions))
        key = run.number, run.version, choice, reader
        state, kept = await self._store.state(), self._findings.get(key)
        if kept is not None and (kept.state == state or self._may_wait(run, kept)):
            self._findings.move_to_end(key)
            return kept.prompts
        began = self._clock()
        found = await self._search(run, questions, choice.search) if choice.search else None
        matching = await self._store.matching(run.number, choice, reader)
        prompts = await asyncio.to_thread(arranged, len(questions), choice, matching, found)
        now = self._clock()
        _keep(self._findings, key, _Finding(prompts, state, now + _REST * (now - began)))
        return prompts

    def _may_wait(self, run: StoredRun, kept: _Finding) -> bool:
        live = self._live.get(run.id)
        is_running = live is not None and live.run.state == "running"
        return is_running and self._clock() < kept.until

    async def _search(
        self, run: StoredRun, questions: RunQuestions, needle: str
    ) -> Collection[int]:
        key = run.version, needle
        asking = self._asking.get(key)
        if asking is None:
            asking = await asyncio.to_thread(asking_for, questions, needle)
            _keep(self._asking, key, asking)
        return {*asking, *await self._store.with_text(run.number, needle)}


def _keep(kept: OrderedDict[K, V], key: K, value: V) -> None:
    kept[key] = value
    kept.move_to_end(key)
    if len(kept) > _MOST_KEPT:
        kept.popitem(last=False)


def _rows(
    run: StoredRun,
    questions: RunQuestions,
    prompts: Sequence[int],
    known: Mapping[CellKey, Cell],
) -> list[Row]:
    places = [(one, repeat) for one in range(len(run.targets)) for repeat in range(run.repeats)]
    return [
        Row(
            prompt,
            questions.title(prompt),
            [known.get((prompt, *place)) or live_cell((prompt, *place), None) for place in places],
        )
        for prompt in prompts
    ]
