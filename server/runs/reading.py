"""What runs have in them: prompts, answers in short and whole, results, files."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from typing import Protocol

from msgspec.structs import replace

from server.access.principal import Principal
from server.core.errors import UnknownRun
from server.evaluation.prompt_set import message_data
from server.runs.answer_store import RunMark
from server.runs.answer_writer import AnswerWriter
from server.runs.assessments import Assessments, judges_now
from server.runs.exports import RunForm
from server.runs.judge_results import with_judges
from server.runs.judge_shapes import JudgeResults
from server.runs.live_judge import LiveJudge
from server.runs.live_run import LiveRun, view
from server.runs.questions import LoadBody, RunQuestions
from server.runs.report_reading import Asked, AskedJudge, ReportRequest
from server.runs.reports import RunReports, is_small
from server.runs.results import Results
from server.runs.row_choice import EVERY_ROW, RowChoice
from server.runs.rows import RunRows
from server.runs.shapes import AskedPrompt, Rows, Run, RunAnswer
from server.runs.sharing import answer_without_log, may_read_logs, seen_by, without_log
from server.runs.store import Store, StoredRun
from server.runs.voters import KnownVoter, voters_seen_by


class ReadQuestions(Protocol):
    """Reads what a version of a set has in it."""

    async def __call__(self, version: str, load: LoadBody) -> RunQuestions:
        """Return the questions; what is loaded was checked when it was stored."""


class RunReader:
    """Read runs, those under way included, each on behalf of a reader: its owner, or another."""

    def __init__(
        self,
        store: Store,
        writer: AnswerWriter,
        read_questions: ReadQuestions,
        live: Mapping[str, LiveRun],
        live_judges: Mapping[str, LiveJudge],
        holder: Callable[[str], Principal | None],
    ) -> None:
        self._store = store
        self._writer = writer
        self._read_questions = read_questions
        self._live = live
        self._live_judges = live_judges
        self._holder = holder
        self._rows = RunRows(store.rows, live)
        self.reports = RunReports(store.path)

    async def view_of(self, run: StoredRun, reader: str = "") -> Run:
        """Return a run as a reader sees it now, its owner if none is named."""
        return self.seen_by(await self.view_with_ids(run), reader or run.owner)

    async def view_with_ids(self, run: StoredRun) -> Run:
        """Return a run as it is now, with the ids of keys in `shared_with`, as watchers get it."""
        assessments = await self._store.assessments.read(run.number)
        live = self._live.get(run.id)
        if live is not None:
            return self.view_of_live(live, assessments)
        counts = await self._store.answers.counts(run.number)
        return self.with_progress(view(run, counts, assessments, self._writer.error))

    def view_of_live(self, live: LiveRun, assessments: Assessments) -> Run:
        """Return a run that is under way as it is now, with the ids of keys in `shared_with`."""
        judges = judges_now(assessments.judges, self._live_judges, live.due)
        shown = Assessments(judges, assessments.votes)
        return view(live.run, live.counts, shown, self._writer.error)

    def with_progress(self, run: Run) -> Run:
        """Return a view of a run that is not being asked, with its judges as they are now."""
        return replace(run, judges=judges_now(run.judges, self._live_judges))

    def seen_by(self, run: Run, reader: str) -> Run:
        """Return what a reader sees of a view with ids; raises `UnknownRun` if that is nothing."""
        return seen_by(run, reader, self._holder)

    def tells_logs(self, reader: str) -> bool:
        """Tell whether errors are told to a reader with lines of a model server's log."""
        return may_read_logs(reader, self._holder)

    async def flush(self) -> None:
        """Return once all answers that are complete are stored, or cannot be."""
        await self._writer.flush()

    async def questions_of(self, run: StoredRun) -> RunQuestions:
        """Return what a run asks."""
        return await self._read_questions(run.version, partial(self._store.content_of, run))

    async def questions(self, reader: str, run_id: str) -> tuple[StoredRun, RunQuestions]:
        """Return a run and what it asks; raises `UnknownRun`."""
        run = await self._store.run_seen_by(reader, run_id)
        return run, await self.questions_of(run)

    async def answers(
        self, reader: str, run_id: str, first: int = 0, last: int = -1
    ) -> list[RunAnswer]:
        """Return the complete answers to some prompts of a run; raises `UnknownRun`."""
        return await self._answers_of(await self._store.run_seen_by(reader, run_id), first, last)

    async def _answers_of(self, run: StoredRun, first: int = 0, last: int = -1) -> list[RunAnswer]:
        await self._writer.flush()
        return await self._store.answers.read(run.number, first, last)

    async def rows(
        self, reader: str, run_id: str, first: int, count: int, choice: RowChoice = EVERY_ROW
    ) -> Rows:
        """Return some of a run's prompts with their answers in short; raises `UnknownRun`."""
        run, questions = await self.questions(reader, run_id)
        await self._writer.flush()
        return await self._rows.read(run, questions, (first, count), choice, reader)

    async def results(self, reader: str, run_id: str) -> Results:
        """Return what a run's answers say of its targets so far; raises `UnknownRun`."""
        run = await self._store.run_seen_by(reader, run_id)
        await self._writer.flush()
        mark = await self._store.answers.mark_of(run.number)
        request = await self._request(run, reader, "results")
        found = await self.reports.results(request, mark, await self._if_small(run, mark))
        return with_judges(found, await self._judges(run, reader, mark))

    async def judges(self, reader: str, run_id: str) -> list[JudgeResults]:
        """Return the judges of a run with what they come to; raises `UnknownRun`."""
        run = await self._store.run_seen_by(reader, run_id)
        return await self._judges(run, reader, await self._store.answers.mark_of(run.number))

    async def _judges(self, run: StoredRun, reader: str, mark: RunMark) -> list[JudgeResults]:
        request = await self._request(run, reader, "judges", has_judges=True)
        if not request.judges:
            return []
        return await self.reports.judges(request, await self._if_small(run, mark, request.judges))

    async def export(self, reader: str, run_id: str, form: RunForm) -> AsyncGenerator[bytes]:
        """Yield a run as a file, piece by piece.

        Raises `UnknownRun`, or `StorageFailed`, also amid a file that cannot be completed.
        """
        run = await self._store.run_seen_by(reader, run_id)
        await self._writer.flush()
        mark = await self._store.answers.mark_of(run.number)
        request = await self._request(run, reader, form, has_judges=form != "csv")
        questions = await self._if_small(run, mark, request.judges)
        async with aclosing(self.reports.pieces(request, questions)) as pieces:
            async for piece in pieces:
                yield piece

    async def _request(
        self, run: StoredRun, reader: str, asked: Asked, *, has_judges: bool = False
    ) -> ReportRequest:
        tells_logs = self.tells_logs(reader)
        judges = []
        for stored in await self._store.judges.of_run(run.number) if has_judges else []:
            total = await self._store.judges.due(run.number, stored.judge.mode)
            judge = replace(stored.judge, total=total)
            if not tells_logs:
                judge = replace(judge, error=without_log(judge.error))
            judges.append(AskedJudge(stored.number, judge))
        view = await self.view_of(run, reader)
        voters = await self.voters(run, reader)
        return ReportRequest(asked, run.number, run.version, view, judges, tells_logs, voters)

    async def voters(self, run: StoredRun, reader: str) -> list[KnownVoter]:
        """Return who voted on a run, as a reader may know them."""
        voters = await self._store.votes.voters(run.number)
        return voters_seen_by(reader, run.owner, voters, self._holder)

    async def _if_small(
        self, run: StoredRun, mark: RunMark, judges: Sequence[AskedJudge] = ()
    ) -> RunQuestions | None:
        """Return what a small run asks; of a large one it is read where it is summed up."""
        if not is_small(mark, run.prompts, [one.judge.judged for one in judges]):
            return None
        return await self.questions_of(run)

    async def asked(self, reader: str, run_id: str, number: str) -> AskedPrompt:
        """Return the prompt of a run with this number, and its complete answers.

        Raises `UnknownRun`, also for a number that none of its prompts has.
        """
        run, questions = await self.questions(reader, run_id)
        prompt = prompt_of(run, number)
        answers = await self._answers_of(run, prompt, prompt)
        if not self.tells_logs(reader):
            answers = [answer_without_log(answer) for answer in answers]
        messages = [message_data(message) for message in questions.messages(prompt)]
        return AskedPrompt(prompt, messages, questions.expected(prompt), answers)


def prompt_of(run: StoredRun, number: str) -> int:
    """Return the prompt that a number of an address names; raises `UnknownRun` for no such one."""
    # The number's own form alone: neither 00 nor digits beyond ASCII name the same prompt again.
    if (
        number.isdecimal()
        and len(number) < 10
        and number == str(int(number))
        and int(number) < run.prompts
    ):
        return int(number)
    raise UnknownRun(f"the run {run.id} has {run.prompts} prompts, numbered from 0")
