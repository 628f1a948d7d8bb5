"""Have a model judge the answers of a run: the same way as a run asks, with what a judge is asked.

Rules:

1. What is judged is not judged again, unless it was cut off; judges go on after a restart.
2. A judge takes the prompts in parts, so that not all answers are in memory at once.
3. A judge whose judgement cannot be stored is paused; what it said then is asked again.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Final
from weakref import WeakValueDictionary

import msgspec
from msgspec.structs import replace

from server.access.principal import Caller, Principal
from server.chat.generation_service import GenerationService
from server.core.errors import (
    Contradiction,
    SidestreamError,
    StorageFailed,
)
from server.core.protocol import ErrorInfo, Message
from server.runs.driver import Driver, MakeDriver
from server.runs.ending import end_within
from server.runs.following import RunFollowing
from server.runs.judge_log import JudgeLog
from server.runs.judge_questions import JudgeQuestions, questions_about
from server.runs.judge_shapes import (
    Judge,
    JudgeGiven,
    JudgeListing,
)
from server.runs.judge_store import StoredJudge, key_of
from server.runs.live_judge import LiveJudge
from server.runs.metrics import RunMetrics
from server.runs.plan import Plan
from server.runs.reading import RunReader
from server.runs.shapes import (
    RunState,
    Target,
)
from server.runs.sharing import without_log
from server.runs.store import Store
from server.runs.unattended import Unattended

logger = logging.getLogger(__name__)

_PART: Final = 100
_MOST_ANSWERS: Final = 6400
# Judgements that are decoded and encoded in one step of the loop: each may have long answers.
_PIECE: Final = 20
# A verdict has a hundred tokens, and thinking before it a few thousand. A model too small to end
# would fill its context with each reply.
_REPLY_TOKENS: Final = 4096


class RunJudging:
    """Begin judges, carry them out, and sum up what they say."""

    def __init__(
        self,
        store: Store,
        reading: RunReader,
        following: RunFollowing,
        live: dict[str, LiveJudge],
        generations: GenerationService,
        make_driver: MakeDriver,
        caller: Callable[[str], Caller],
        metrics: RunMetrics,
    ) -> None:
        self._store = store
        self._reading = reading
        self._following = following
        self._generations = generations
        self._make_driver = make_driver
        self._caller = caller
        self._metrics = metrics
        self._live = live
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._unattended = Unattended()
        self._is_closed = False

    async def take_up(self) -> None:
        """Go on with the judges that the last gateway left under way."""
        for judge in await self._store.judges.unfinished():
            self._begin(judge)

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        """Return the tasks of the judges that are at work."""
        return _tasks(self._live.values())

    def refuse(self) -> None:
        """Ask nothing more; judges are taken up at the next start."""
        self._is_closed = True
        for live in self._live.values():
            live.stop()

    async def close(self, *, grace_seconds: float) -> None:
        """End all judges; they are taken up at the next start."""
        self.refuse()
        await end_within(self.tasks, grace_seconds)
        await self._unattended.close()

    @asynccontextmanager
    async def ended(self, run_id: str) -> AsyncIterator[None]:
        """End the judges of a run that is deleted in this context, and let none begin in it."""
        async with self._changing(run_id):
            await _cancelled(live for live in self._live.values() if live.stored.run_id == run_id)
            yield

    async def begin(self, principal: Principal, run_id: str, given: JudgeGiven) -> Judge:
        """Have a model judge what is complete of a run.

        Raises `UnknownRun`, `Contradiction` where there is nothing to judge, or what the model
        cannot be asked with.
        """
        async with self._changing(run_id):
            run = await self._store.run(principal.id, run_id)
            if given.mode == "pairs" and len(run.targets) < 2:
                raise Contradiction("pairs are judged of two targets or more")
            self._generations.prepare(
                given.model,
                [Message("user", given.criteria)],
                parameters=[given.parameters],
                principal=principal,
            )
            stored = await self._store.judges.add(run.number, given)
            self._begin(stored)
        return self._seen(stored, principal.id)

    async def go_on(self, owner: str, run_id: str, judge_id: str) -> Judge:
        """Judge what is not judged yet; raises `UnknownRun`."""
        async with self._changing(judge_id), self._changing(run_id):
            stored = await self._own(owner, run_id, judge_id)
            if judge_id not in self._live:
                await self._store.judges.set_state(stored.number, "running", None)
                self._begin(stored)
            return self._seen(await self._store.judges.get(owner, run_id, judge_id), owner)

    async def pause(self, owner: str, run_id: str, judge_id: str, *, waits: bool = True) -> Judge:
        """Ask a judge nothing more; answers when what it says now is complete.

        Without `waits` it returns at once. Cancelled, the judge is paused all the same.
        """
        stored = await self._own(owner, run_id, judge_id)
        pausing = self._pause(owner, run_id, judge_id)
        if waits:
            return await self._unattended.done(pausing, f"pause of {judge_id}")
        self._unattended.begin(pausing, f"pause of {judge_id}")
        return self._seen(stored, owner)

    async def _pause(self, owner: str, run_id: str, judge_id: str) -> Judge:
        async with self._changing(judge_id):
            stored = await self._own(owner, run_id, judge_id)
            if (live := self._live.get(judge_id)) and live.task is not None:
                live.stop()
                await asyncio.wait([live.task])
                stored = await self._own(owner, run_id, judge_id)
                if stored.judge.state == "running":
                    await self._store.judges.set_state(stored.number, "paused", None)
                    self._following.tell_assessed(run_id)
            return self._seen(await self._store.judges.get(owner, run_id, judge_id), owner)

    async def remove(self, owner: str, run_id: str, judge_id: str) -> None:
        """Delete a judge with all that it said; raises `UnknownRun`."""
        await self._own(owner, run_id, judge_id)
        # Not in turn: a pause may be waiting for a long reply.
        await _cancelled(self._live_of(judge_id))
        async with self._changing(judge_id):
            await _cancelled(self._live_of(judge_id))
            stored = await self._own(owner, run_id, judge_id)
            await self._store.judges.remove(stored.number)
            self._following.tell_assessed(run_id)

    async def browse(self, reader: str, run_id: str) -> JudgeListing:
        """Return the judges of a run with what they come to; raises `UnknownRun`."""
        return JudgeListing(await self._reading.judges(reader, run_id))

    async def judgements(
        self, reader: str, run_id: str, judge_id: str, first: int, count: int
    ) -> AsyncGenerator[bytes]:
        """Yield what a judge said of the answers to some prompts: `Judgements` as JSON, in pieces.

        Raises `UnknownRun` before the first piece, `StorageFailed` also later.
        """
        run = await self._store.run_seen_by(reader, run_id)
        stored = await self._store.judges.get(run.owner, run_id, judge_id)
        tells_logs = self._reading.tells_logs(reader)
        after, piece = (-1, -1, -1, -1), b'{"judgements":['
        while found := await self._store.judges.judgements(
            stored.number, first, first + count - 1, after=after, limit=_PIECE
        ):
            shown = found
            if not tells_logs:
                shown = [replace(one, error=without_log(one.error)) for one in found]
            yield piece + msgspec.json.encode(shown)[1:-1]
            after, piece = key_of(found[-1]), b","
        yield piece.removesuffix(b",") + b"]}"

    # --- inside -----------------------------------------------------------------------------

    async def _own(self, owner: str, run_id: str, judge_id: str) -> StoredJudge:
        """Return a judge of the owner's run; raises `UnknownRun` or `Forbidden`."""
        await self._store.run(owner, run_id)
        return await self._store.judges.get(owner, run_id, judge_id)

    def _seen(self, stored: StoredJudge, reader: str) -> Judge:
        """Return a judge as a reader sees it: with lines of a server's log for operators alone."""
        judge = stored.judge
        if self._reading.tells_logs(reader):
            return judge
        return replace(judge, error=without_log(judge.error))

    def _changing(self, name: str) -> asyncio.Lock:
        """Return a lock: one change of a judge, or of which judges a run has, after the other."""
        return self._locks.setdefault(name, asyncio.Lock())

    def _live_of(self, judge_id: str) -> list[LiveJudge]:
        return [self._live[judge_id]] if judge_id in self._live else []

    def _begin(self, stored: StoredJudge) -> None:
        """Carry a judge out in a task of its own, unless the gateway is about to stop."""
        if self._is_closed:
            return
        judge_id = stored.judge.id
        live = self._live[judge_id] = LiveJudge(stored, stored.judge.judged)
        live.task = asyncio.create_task(self._carry_out(live), name=f"judge {judge_id}")

        def forget(_: asyncio.Task[None]) -> None:
            if self._live.get(judge_id) is live:
                del self._live[judge_id]

        live.task.add_done_callback(forget)
        self._following.tell_assessed(stored.run_id)

    async def _carry_out(self, live: LiveJudge) -> None:
        stored = live.stored
        state: RunState
        error: ErrorInfo | None = None
        try:
            state, error = await self._judge(live)
        except SidestreamError as problem:
            state, error = "paused", ErrorInfo.of(problem)
        except Exception:
            logger.exception("judge %s broke", stored.judge.id)
            state, error = "paused", ErrorInfo.of(SidestreamError("internal error"))
        if state != "running":
            try:
                await self._store.judges.set_state(stored.number, state, error)
            except StorageFailed as failure:
                logger.error("judge %s: its state cannot be stored: %s", stored.judge.id, failure)
            self._following.tell_assessed(stored.run_id)

    async def _judge(self, live: LiveJudge) -> tuple[RunState, ErrorInfo | None]:
        """Judge what is to be judged; return how it ended: as "running" if it was stopped."""
        stored = live.stored
        self._caller(stored.owner)
        run, prompts = await self._reading.questions(stored.owner, stored.run_id)
        judged = await self._store.judges.judged(stored.number)
        live.judged = len(judged)

        def on_stored() -> None:
            live.judged += 1
            self._following.tell_judgement(stored.run_id)

        step = max(1, min(_PART, _MOST_ANSWERS // (len(run.targets) * run.repeats)))
        is_complete = True
        for first in range(0, len(prompts), step):
            last = min(first + step, len(prompts)) - 1
            answers = await self._reading.answers(stored.owner, stored.run_id, first, last)
            for questions in questions_about(stored.judge, prompts, answers, judged):
                log = JudgeLog(self._store, stored, questions, self._metrics, on_stored)
                driver = log.driver = live.driver = self._driver(stored, questions, log)
                if live.is_stopping:
                    return "running", None
                try:
                    is_complete &= await driver.run()
                finally:
                    await log.flush()
                if log.error is not None:
                    raise log.error
                if driver.error is not None:
                    return "paused", driver.error
                if driver.is_stopped:
                    return "running", None
                if log.failure is not None:
                    return "incomplete", log.failure
        return "done" if is_complete else "incomplete", None

    def _driver(self, stored: StoredJudge, questions: JudgeQuestions, log: JudgeLog) -> Driver:
        plan = Plan(
            stored.judge.id,
            [Target(stored.judge.model, stored.judge.parameters)],
            1,
            questions,
            set(),
            lambda: self._caller(stored.owner),
            default_length=_REPLY_TOKENS,
        )
        return self._make_driver(plan, log)


def _tasks(judges: Iterable[LiveJudge]) -> list[asyncio.Task[None]]:
    return [live.task for live in judges if live.task is not None]


async def _cancelled(judges: Iterable[LiveJudge]) -> None:
    """Cancel judges, and return once they have ended; one that ends already is left to it."""
    if tasks := _tasks(judges):
        for task in tasks:
            if not task.cancelling():
                task.cancel()
        await asyncio.wait(tasks)
