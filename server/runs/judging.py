"""Have a model judge the answers of a run: the same way as a run asks, with what a judge is asked.

Rules:

1. What is judged is not judged again, unless it was cut off; judges go on after a restart.
2. A judge takes the prompts in parts, so that not all answers are in memory at once.
3. A judge whose judgement cannot be stored is paused; what it said then is asked again.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from itertools import permutations
from typing import Final

from msgspec.structs import replace

from server.access.principal import Caller, Principal
from server.chat.generation_service import GenerationService
from server.core.errors import (
    Contradiction,
    SidestreamError,
    StorageFailed,
)
from server.core.generation import Generation
from server.core.protocol import End, ErrorInfo, Message
from server.evaluation.judging import (
    Grade,
    Judged,
    JudgeRequest,
    Preference,
    grade_request,
    pair_requests,
    read_grade,
    read_preference,
)
from server.evaluation.prompt_set import message_data
from server.models.fleet import Fleet
from server.runs.driver import Driver, Plan
from server.runs.judge_shapes import (
    Judge,
    JudgeGiven,
    JudgeListing,
    Judgement,
    Judgements,
)
from server.runs.judge_store import JudgedKey, StoredJudge
from server.runs.metrics import RunMetrics
from server.runs.questions import RunQuestions
from server.runs.reading import RunReader
from server.runs.servers import ServerUse
from server.runs.shapes import (
    CellKey,
    CheckOutcome,
    RunAnswer,
    RunState,
    Target,
    TargetState,
)
from server.runs.sharing import without_log
from server.runs.store import Store, StoredRun

logger = logging.getLogger(__name__)

_PART: Final = 100
_MAX_WAITING: Final = 32
_ALONE: Final = -1


class JudgeQuestions:
    """What a judge is asked about some answers (`driver.Questions`)."""

    def __init__(self, keys: Sequence[JudgedKey], requests: Sequence[JudgeRequest]) -> None:
        self.keys = keys
        self._requests = requests

    def __len__(self) -> int:
        """Return how many judgements there are."""
        return len(self.keys)

    def messages(self, prompt: int, system: str | None = None) -> Sequence[Message]:
        """Return what the judge is asked."""
        return self._requests[prompt].messages

    async def check(self, prompt: int, text: str, end: End) -> list[CheckOutcome]:
        """Return no checks."""
        return []


class _JudgeLog:
    """Store what a judge says (`driver.Log`)."""

    def __init__(
        self, store: Store, judge: StoredJudge, questions: JudgeQuestions, metrics: RunMetrics
    ) -> None:
        self._store = store
        self._metrics = metrics
        self._judge = judge
        self._questions = questions
        self._storing: set[asyncio.Task[None]] = set()
        self.error: SidestreamError | None = None
        self.failure: ErrorInfo | None = None
        self.driver: Driver | None = None

    async def until_writable(self) -> None:
        """Wait until few judgements wait to be stored."""
        while len(self._storing) > _MAX_WAITING:
            await asyncio.wait(self._storing, return_when=asyncio.FIRST_COMPLETED)

    def keep(self, answer: RunAnswer) -> None:
        """Read a reply and store the judgement."""
        key = self._questions.keys[answer.prompt]
        asked = self._questions.messages(answer.prompt)
        judgement = judgement_of(self._judge.judge, key, asked, answer)
        self._metrics.count_judgement(judgement)
        task = asyncio.create_task(self._keep(judgement), name=f"judgement {self._judge.judge.id}")
        self._storing.add(task)
        task.add_done_callback(self._storing.discard)

    async def flush(self) -> None:
        """Wait until all is stored."""
        if self._storing:
            await asyncio.wait(self._storing)

    def begun(self, cell: CellKey, generation: Generation) -> None:
        """Do nothing: nobody follows a judge's words."""

    def dropped(self, cell: CellKey) -> None:
        """Do nothing: it is asked again."""

    def target_changed(self, place: int, state: TargetState, error: ErrorInfo | None) -> None:
        """Note why the judge's model cannot be asked."""
        self.failure = error

    async def _keep(self, judgement: Judgement) -> None:
        try:
            await self._store.judges.keep(self._judge.number, judgement)
        except StorageFailed as error:
            self.error = error
            if self.driver is not None:
                self.driver.stop()


class RunJudging:
    """Begin judges, carry them out, and sum up what they say."""

    def __init__(
        self,
        store: Store,
        reading: RunReader,
        fleet: Fleet,
        generations: GenerationService,
        servers: ServerUse,
        caller: Callable[[str], Caller],
        metrics: RunMetrics,
        *,
        max_concurrent: int,
    ) -> None:
        self._store = store
        self._reading = reading
        self._fleet = fleet
        self._generations = generations
        self._servers = servers
        self._caller = caller
        self._metrics = metrics
        self._max_concurrent = max_concurrent
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._drivers: dict[str, Driver] = {}
        self._stopping: set[str] = set()

    async def take_up(self) -> None:
        """Go on with the judges that the last gateway left under way."""
        for judge in await self._store.judges.unfinished():
            self._begin(judge)

    async def close(self, *, grace_seconds: float) -> None:
        """End all judges; they are taken up at the next start."""
        for judge_id in [*self._tasks]:
            self._stop(judge_id)
        if self._tasks:
            _, late = await asyncio.wait(self._tasks.values(), timeout=grace_seconds)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)

    async def begin(self, principal: Principal, run_id: str, given: JudgeGiven) -> Judge:
        """Have a model judge what is complete of a run.

        Raises `UnknownRun`, `Contradiction` where there is nothing to judge, or what the model
        cannot be asked with.
        """
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
        return stored.judge

    async def go_on(self, owner: str, run_id: str, judge_id: str) -> Judge:
        """Judge what is not judged yet; raises `UnknownRun`."""
        stored = await self._own(owner, run_id, judge_id)
        if judge_id not in self._tasks:
            await self._store.judges.set_state(stored.number, "running", None)
            self._begin(stored)
        return (await self._store.judges.get(owner, run_id, judge_id)).judge

    async def pause(self, owner: str, run_id: str, judge_id: str) -> Judge:
        """Ask a judge nothing more; answers when what it says now is complete."""
        stored = await self._own(owner, run_id, judge_id)
        if task := self._tasks.get(judge_id):
            self._stop(judge_id)
            await asyncio.wait([task])
            await self._store.judges.set_state(stored.number, "paused", None)
        return (await self._store.judges.get(owner, run_id, judge_id)).judge

    async def remove(self, owner: str, run_id: str, judge_id: str) -> None:
        """Delete a judge with all that it said; raises `UnknownRun`."""
        stored = await self._own(owner, run_id, judge_id)
        if task := self._tasks.get(judge_id):
            task.cancel()
            await asyncio.wait([task])
        await self._store.judges.remove(stored.number)

    async def browse(self, reader: str, run_id: str) -> JudgeListing:
        """Return the judges of a run with what they come to; raises `UnknownRun`."""
        return JudgeListing(await self._reading.judges(reader, run_id))

    async def judgements(
        self, reader: str, run_id: str, judge_id: str, first: int, count: int
    ) -> Judgements:
        """Return what a judge said of the answers to some prompts; raises `UnknownRun`."""
        run = await self._store.run_seen_by(reader, run_id)
        stored = await self._store.judges.get(run.owner, run_id, judge_id)
        found = await self._store.judges.judgements(stored.number, first, first + count - 1)
        if not self._reading.tells_logs(reader):
            found = [replace(judgement, error=without_log(judgement.error)) for judgement in found]
        return Judgements(found)

    # --- inside -----------------------------------------------------------------------------

    async def _own(self, owner: str, run_id: str, judge_id: str) -> StoredJudge:
        """Return a judge of the owner's run; raises `UnknownRun` or `Forbidden`."""
        await self._store.run(owner, run_id)
        return await self._store.judges.get(owner, run_id, judge_id)

    def _begin(self, stored: StoredJudge) -> None:
        judge_id = stored.judge.id
        task = asyncio.create_task(self._carry_out(stored), name=f"judge {judge_id}")
        self._tasks[judge_id] = task
        task.add_done_callback(lambda _: self._forget(judge_id, task))

    def _forget(self, judge_id: str, task: asyncio.Task[None]) -> None:
        if self._tasks.get(judge_id) is task:
            del self._tasks[judge_id]
            self._stopping.discard(judge_id)
            self._drivers.pop(judge_id, None)

    def _stop(self, judge_id: str) -> None:
        self._stopping.add(judge_id)
        if driver := self._drivers.get(judge_id):
            driver.stop()

    async def _carry_out(self, stored: StoredJudge) -> None:
        state: RunState = "running"
        error: ErrorInfo | None = None
        try:
            is_complete, error = await self._judge(stored)
            if stored.judge.id not in self._stopping:
                state = "done" if is_complete else "incomplete"
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

    async def _judge(self, stored: StoredJudge) -> tuple[bool, ErrorInfo | None]:
        """Judge what is to be judged; return whether that is all, and why not."""
        self._caller(stored.owner)
        run, prompts = await self._reading.questions(stored.owner, stored.run_id)
        judged = await self._store.judges.judged(stored.number)
        is_complete, failure = True, None
        for first in range(0, len(prompts), _PART):
            last = min(first + _PART, len(prompts)) - 1
            answers = await self._reading.answers(stored.owner, stored.run_id, first, last)
            questions = questions_about(stored.judge, run, prompts, answers, judged)
            if not questions.keys:
                continue
            log = _JudgeLog(self._store, stored, questions, self._metrics)
            plan = Plan(
                stored.judge.id,
                [Target(stored.judge.model, stored.judge.parameters)],
                1,
                questions,
                set(),
                lambda: self._caller(stored.owner),
            )
            driver = log.driver = self._drivers[stored.judge.id] = Driver(
                plan,
                log,
                self._fleet,
                self._generations,
                self._servers,
                max_concurrent=self._max_concurrent,
            )
            if stored.judge.id in self._stopping:
                return False, None
            try:
                is_part_complete = await driver.run()
            finally:
                await log.flush()
            if log.error is not None:
                raise log.error
            is_complete, failure = is_complete and is_part_complete, failure or log.failure
            if driver.is_stopped or log.failure is not None:
                return False, failure
        return is_complete, failure


def questions_about(
    judge: JudgeGiven,
    run: StoredRun,
    prompts: RunQuestions,
    answers: Sequence[RunAnswer],
    judged: set[JudgedKey],
) -> JudgeQuestions:
    """Return what a judge has yet to be asked about answers; failed ones are not judged."""
    by_prompt: dict[tuple[int, int], dict[int, str]] = {}
    for answer in answers:
        if answer.is_answered:
            by_prompt.setdefault((answer.prompt, answer.repeat), {})[answer.target] = answer.text
    keys: list[JudgedKey] = []
    requests: list[JudgeRequest] = []
    for (prompt, repeat), texts in by_prompt.items():
        about = Judged(prompts.messages(prompt), judge.criteria, prompts.expected(prompt) or "")
        pairs = [(one, _ALONE) for one in texts]
        if judge.mode == "pairs":
            pairs = list(permutations(texts, 2))
        for first, second in pairs:
            key = prompt, repeat, first, second
            if key in judged:
                continue
            keys.append(key)
            if second == _ALONE:
                requests.append(grade_request(about, texts[first], judge.grades))
            else:
                requests.append(pair_requests(about, texts[first], texts[second])[0])
    return JudgeQuestions(keys, requests)


def judgement_of(
    judge: JudgeGiven, key: JudgedKey, asked: Sequence[Message], reply: RunAnswer
) -> Judgement:
    """Return how a judge's reply is read; one that failed is unreadable, with its error."""
    prompt, repeat, first, second = key
    grade, preference = Grade(None, ""), Preference(None, "")
    if reply.error is not None:
        grade = Grade(None, reply.error.message)
        preference = Preference(None, reply.error.message)
    elif judge.mode == "grades":
        grade = read_grade(reply.text, judge.grades)
    else:
        preference = read_preference(reply.text)
    return Judgement(
        prompt,
        repeat,
        first,
        None if second == _ALONE else second,
        grade.value,
        preference.better,
        grade.reason or preference.reason,
        reply.text,
        [dict(message_data(message)) for message in asked],
        reply.usage,
        reply.timings,
        reply.cost,
        reply.error,
    )
