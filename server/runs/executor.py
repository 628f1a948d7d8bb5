"""Carry runs out, each in a task of its own.

Rules:

1. A run's task ends once all that it asked is stored: what is lost then would never be asked again.
2. One task for a run at a time: whoever begins it again has waited until the one before is over.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace

from server.access.principal import Caller
from server.core.errors import SidestreamError, StorageFailed
from server.core.protocol import ErrorInfo
from server.runs.answer_writer import AnswerWriter
from server.runs.assessments import JudgementsDue
from server.runs.driver import MakeDriver
from server.runs.ending import end_within
from server.runs.following import RunFollowing
from server.runs.live_run import DescribeEngine, LiveRun
from server.runs.metrics import RunMetrics
from server.runs.plan import Plan
from server.runs.reading import RunReader
from server.runs.shapes import RunState
from server.runs.store import Store, StoredRun, StoredTarget

logger = logging.getLogger(__name__)


class RunExecutor:
    """The runs that are under way; `live` has them by id, for those who read."""

    def __init__(
        self,
        store: Store,
        reading: RunReader,
        following: RunFollowing,
        writer: AnswerWriter,
        live: dict[str, LiveRun],
        make_driver: MakeDriver,
        caller: Callable[[str], Caller],
        describe: DescribeEngine,
        metrics: RunMetrics,
    ) -> None:
        self._store = store
        self._reading = reading
        self._following = following
        self._writer = writer
        self._live = live
        self._make_driver = make_driver
        self._caller = caller
        self._describe = describe
        self._metrics = metrics
        self._storing: set[asyncio.Task[None]] = set()

    def live(self, run_id: str) -> LiveRun | None:
        """Return a run if it is under way."""
        return self._live.get(run_id)

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        """Return the tasks of the runs that are under way."""
        return [live.task for live in self._live.values() if live.task is not None]

    def refuse(self) -> None:
        """Ask nothing more in any run; answers being written go on."""
        for live in self._live.values():
            live.stop()

    async def close(self, *, grace_seconds: float) -> None:
        """Let the answers being written end for a while, and interrupt the rest."""
        self.refuse()
        await end_within(self.tasks, grace_seconds)
        if self._storing:
            await asyncio.wait(self._storing)

    async def begin(self, run: StoredRun) -> None:
        """Carry a run out in a task of its own."""
        answers = self._store.answers
        counts = await answers.counts(run.number)
        due = JudgementsDue(await answers.by_prompt(run.number))
        assessments = await self._following.read_assessments(run)
        live = self._live[run.id] = LiveRun(
            run,
            counts,
            due,
            assessments,
            self._writer,
            self._following.tell_soon,
            self._store_target,
            self._describe,
            self._metrics,
        )
        live.task = asyncio.create_task(self._carry_out(live), name=f"run {run.id}")

        def forget(_: asyncio.Task[None]) -> None:
            if self._live.get(run.id) is live:
                del self._live[run.id]

        live.task.add_done_callback(forget)
        self._following.tell_live(live)

    async def begin_again(self, owner: str, run_id: str) -> None:
        """Go on with a run that was ended to change it, and is still under way as it is stored."""
        run = await self._store.run(owner, run_id)
        if run.state == "running" and run_id not in self._live:
            await self.begin(run)

    async def end(self, run_id: str, *, at_once: bool) -> None:
        """End a run's task, if it has one, and have what it asked stored."""
        live = self._live.get(run_id)
        if live is None:
            return
        if at_once:
            self.interrupt(run_id)
        else:
            live.stop()
        await self.until_over(live)

    async def until_over(self, live: LiveRun) -> None:
        """Wait until a run's task has ended, and what it asked is stored."""
        if live.task is not None:
            await asyncio.wait([live.task])
        if self._live.get(live.run.id) is live:
            del self._live[live.run.id]
        await self._writer.flush()

    def interrupt(self, run_id: str) -> None:
        """Cancel a run's task; one that ends already is left to it."""
        live = self._live.get(run_id)
        if live is not None and live.task is not None and not live.task.cancelling():
            live.task.cancel()

    # --- inside -----------------------------------------------------------------------------

    async def _carry_out(self, live: LiveRun) -> None:
        state: RunState = "running"
        error: ErrorInfo | None = None
        try:
            state = await self._ask(live)
            error = live.driver.error if live.driver is not None else None
        except SidestreamError as problem:
            state, error = "paused", ErrorInfo.of(problem)
        except Exception:
            logger.exception("run %s broke", live.run.id)
            state, error = "paused", ErrorInfo.of(SidestreamError("internal error"))
        is_stored = await self._writer.until_stored(unless=lambda: live.is_stopping)
        if is_stored and state != "running":
            # First stored, then told: whoever is told may read it at once.
            await self._store_state(replace(live.run, state=state, error=error))
            live.run = replace(live.run, state=state, error=error)
        self._following.tell_live(live)

    async def _ask(self, live: LiveRun) -> RunState:
        """Ask what is to be asked; return how it ended: as "running" if it was stopped."""
        run = live.run
        self._caller(run.owner)
        plan = Plan(
            run.id,
            [one.target for one in run.targets],
            run.repeats,
            await self._reading.questions_of(run),
            await self._store.answers.answered(run.number),
            lambda: self._caller(run.owner),
        )
        driver = live.driver = self._make_driver(plan, live)
        if live.is_stopping:
            driver.stop()
        is_complete = await driver.run()
        if driver.error is not None:
            return "paused"
        if driver.is_stopped:
            return "running"
        return "done" if is_complete else "incomplete"

    async def _store_state(self, run: StoredRun) -> None:
        try:
            await self._store.set_state(run.number, run.state, run.error)
        except StorageFailed as error:
            logger.error("run %s is over, which cannot be stored: %s", run.id, error)

    def _store_target(self, live: LiveRun, place: int, target: StoredTarget) -> None:
        async def store() -> None:
            try:
                await self._store.set_target(live.run.number, place, target)
            except StorageFailed as error:
                logger.error("run %s: how far a target is cannot be stored: %s", live.run.id, error)

        task = asyncio.create_task(store(), name=f"target of {live.run.id}")
        self._storing.add(task)
        task.add_done_callback(self._storing.discard)
