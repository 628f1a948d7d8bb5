"""One run that is known to this gateway: what is stored of it, and what is under way."""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from server.archive.shapes import StoredEngine
from server.core.generation import Generation
from server.core.protocol import ErrorInfo
from server.runs.answer_store import Counts
from server.runs.answer_writer import AnswerWriter
from server.runs.assessments import Assessments, JudgementsDue
from server.runs.driver import Driver
from server.runs.metrics import RunMetrics
from server.runs.shapes import (
    PREVIEW_CHARS,
    Cell,
    CellKey,
    Run,
    RunAnswer,
    RunTarget,
    TargetState,
)
from server.runs.store import StoredRun, StoredTarget

_NONE: Final = Counts()
OnTarget = Callable[["LiveRun", int, StoredTarget], None]
PromptWatcher = Callable[[RunAnswer | None], None]
"""Called with an answer that is kept; with None if one begins, or is to be asked for again."""
DescribeEngine = Callable[[str], StoredEngine | None]
"""Describe what serves the model of this id, None if it has gone."""


class LiveRun:
    """A run that is being asked (`plan.Log`)."""

    def __init__(
        self,
        run: StoredRun,
        counts: dict[int, Counts],
        due: JudgementsDue,
        assessments: Assessments | None,
        writer: AnswerWriter,
        on_change: Callable[["LiveRun"], None],
        on_target: OnTarget,
        describe: DescribeEngine,
        metrics: RunMetrics,
    ) -> None:
        self.run = run
        self.counts: defaultdict[int, Counts] = defaultdict(Counts, counts)
        self.due = due
        self.assessments = assessments
        """Its judges and votes, None where they have to be read."""
        self.driver: Driver | None = None
        self.is_stopping = False
        self.task: asyncio.Task[None] | None = None
        self.live: dict[CellKey, Generation] = {}
        self._writer = writer
        self._on_change = on_change
        self._on_target = on_target
        self._describe = describe
        self._metrics = metrics
        self._watchers: dict[int, tuple[PromptWatcher, ...]] = {}

    def watch(self, prompt: int, watcher: PromptWatcher) -> None:
        """Call `watcher` when an answer to this prompt begins, is kept, or is asked for again."""
        self._watchers[prompt] = (*self._watchers.get(prompt, ()), watcher)

    def unwatch(self, prompt: int, watcher: PromptWatcher) -> None:
        """Call `watcher` no more."""
        left = tuple(other for other in self._watchers.pop(prompt, ()) if other != watcher)
        if left:
            self._watchers[prompt] = left

    def stop(self) -> None:
        """Have nothing more asked, also if the driver has yet to be made."""
        self.is_stopping = True
        if self.driver is not None:
            self.driver.stop()
        self._writer.look_again()

    @property
    def is_ending(self) -> bool:
        """Tell whether nothing more is asked, though its task may still be there."""
        return self._is_over() or (self.driver is not None and self.driver.has_ended)

    # --- what the driver tells --------------------------------------------------------------

    async def until_writable(self) -> None:
        """Wait until answers can be stored and few wait for it, or nothing more is asked."""
        await self._writer.until_writable(unless=self._is_over)

    def _is_over(self) -> bool:
        return self.is_stopping or (self.driver is not None and self.driver.is_stopped)

    def keep(self, answer: RunAnswer) -> None:
        """Store a complete answer soon."""
        key = answer.prompt, answer.target, answer.repeat
        self.live.pop(key, None)
        self.counts[answer.target] = _counted(self.counts[answer.target], answer)
        if answer.is_answered:
            self.due.add(answer.prompt, answer.repeat)
        self._metrics.count_answer(answer)
        self._writer.put(self.run.number, answer)
        self._tell(answer.prompt, answer)
        self._on_change(self)

    def begun(self, cell: CellKey, generation: Generation) -> None:
        """Note that an answer is asked for now."""
        self.live[cell] = generation
        if self.run.targets[cell[1]].state != "asking":
            self.target_changed(cell[1], "asking", None)
        self._tell(cell[0])
        self._on_change(self)

    def dropped(self, cell: CellKey) -> None:
        """Note that an answer is to be asked for again."""
        self.live.pop(cell, None)
        self._metrics.count_asked_again()
        self._tell(cell[0])
        self._on_change(self)

    def target_changed(self, place: int, state: TargetState, error: ErrorInfo | None) -> None:
        """Note how far a target is."""
        before = self.run.targets[place]
        engine = self._describe(before.target.model) or before.engine
        changed = replace(before, state=state, error=error, engine=engine)
        targets = (*self.run.targets[:place], changed, *self.run.targets[place + 1 :])
        self.run = replace(self.run, targets=targets)
        self._on_target(self, place, changed)
        self._on_change(self)

    def _tell(self, prompt: int, kept: RunAnswer | None = None) -> None:
        for watcher in self._watchers.get(prompt, ()):
            watcher(kept)


def view(
    run: StoredRun,
    counts: dict[int, Counts],
    assessments: Assessments,
    failure: ErrorInfo | None = None,
) -> Run:
    """Return a run as its owner sees it; `failure` is why its answers are not stored now.

    `shared_with` has the ids of keys: `RunReader.seen_by` has the view for one reader.
    """
    targets = [
        RunTarget(
            one.target.model,
            one.target.parameters,
            one.target.system,
            one.target.name,
            state=one.state,
            error=one.error,
            engine=one.engine,
            answered=count.answered,
            failed=count.failed,
            passed=count.passed,
            checked=count.checked,
        )
        for place, one in enumerate(run.targets)
        for count in (counts.get(place, _NONE),)
    ]
    return Run(
        run.id,
        run.name,
        run.prompt_set,
        run.set_name,
        run.version,
        run.prompts,
        run.repeats,
        run.state,
        run.created,
        run.updated,
        answered=sum(one.answered for one in targets),
        total=run.prompts * run.repeats * len(targets),
        targets=targets,
        error=run.error or (failure if run.state == "running" else None),
        owner=run.owner,
        shared_with=list(run.readers),
        judges=list(assessments.judges),
        votes=assessments.votes,
    )


def live_cell(key: CellKey, generation: Generation | None) -> Cell:
    """Return an answer that is not complete in short: being written, or still waiting."""
    if generation is None:
        return Cell(*key, "waiting")
    texts = (part.text for part in generation.deltas.runs() if part.label.kind == "answer")
    return Cell(*key, "asking", text=next(texts, "")[:PREVIEW_CHARS])


def _counted(counts: Counts, answer: RunAnswer) -> Counts:
    return Counts(
        counts.answered + 1,
        counts.failed + (answer.finish_reason == "failed"),
        counts.passed + bool(answer.passed),
        counts.checked + (answer.passed is not None),
    )
