"""What a judge says, read and stored."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from server.core.errors import SidestreamError, StorageFailed
from server.core.generation import Generation
from server.core.protocol import ErrorInfo, Message
from server.evaluation.judging import Grade, Preference, read_grade, read_preference
from server.evaluation.prompt_set import message_data
from server.runs.driver import Driver
from server.runs.judge_questions import ALONE, JudgeQuestions
from server.runs.judge_shapes import JudgeGiven, Judgement
from server.runs.judge_store import JudgedKey, StoredJudge
from server.runs.metrics import RunMetrics
from server.runs.shapes import CellKey, RunAnswer, TargetState
from server.runs.store import Store

_MAX_WAITING: Final = 32


class JudgeLog:
    """Store what a judge says (`plan.Log`)."""

    def __init__(
        self,
        store: Store,
        judge: StoredJudge,
        questions: JudgeQuestions,
        metrics: RunMetrics,
        on_stored: Callable[[], None],
    ) -> None:
        self._store = store
        self._metrics = metrics
        self._on_stored = on_stored
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
        self._questions.forget(answer.prompt)
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
        else:
            self._on_stored()


def judgement_of(
    judge: JudgeGiven, key: JudgedKey, asked: Sequence[Message], reply: RunAnswer
) -> Judgement:
    """Return how a judge's reply is read; one that failed or was cut is unreadable, and says so."""
    prompt, repeat, first, second = key
    grade, preference = Grade(None, ""), Preference(None, "")
    if (why := _why_unreadable(reply)) is not None:
        grade, preference = Grade(None, why), Preference(None, why)
    elif judge.mode == "grades":
        grade = read_grade(reply.text, judge.grades)
    else:
        preference = read_preference(reply.text)
    return Judgement(
        prompt,
        repeat,
        first,
        None if second == ALONE else second,
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


def _why_unreadable(reply: RunAnswer) -> str | None:
    """Return why a reply is not even read, if so: what was cut may say the opposite further on."""
    if reply.error is not None:
        return reply.error.message
    if reply.finish_reason == "length":
        return f"the reply was cut at its greatest length, {reply.usage.completion_tokens} tokens"
    return None
