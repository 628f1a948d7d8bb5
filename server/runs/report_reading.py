"""Read all of a run straight from the file, row by row, and sum it up or write it as a file.

Rules:

1. One reading transaction: what is summed up is what is written.
2. Nothing here waits for anything but the file, nor knows the event loop: it is done in a thread
   for few answers, and in a process of its own (`report_program.py`) for many.
3. No more of a run than one prompt's answers is in memory at a time.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

import msgspec

from server.core.errors import UnknownRun
from server.runs.answer_rows import ANSWERS, answer_of
from server.runs.export_lines import JudgedLines
from server.runs.exports import EXPORTS, Report, RunForm
from server.runs.judge_results import JUDGEMENTS, judge_results, judgement_row, with_judges
from server.runs.judge_shapes import Judge, Judgement, JudgeResults
from server.runs.questions import RunQuestions
from server.runs.results import Results, labels, results_of
from server.runs.shapes import Run, RunAnswer, RunVote
from server.runs.sharing import answer_without_log, without_log
from server.runs.vote_rows import VOTES, vote_of
from server.runs.voters import KnownVoter

Asked = Literal["results", "judges"] | RunForm

PIECE_BYTES: Final = 64 * 1024
# As for the gateway's own connections.
_BUSY_SECONDS: Final = 5.0


class AskedJudge(msgspec.Struct, frozen=True):
    """A judge, and its number in the file."""

    number: int
    judge: Judge


class ReportRequest(msgspec.Struct, frozen=True):
    """What is asked of a run: `number` is that of the file, `version` what the run asks."""

    asked: Asked
    number: int
    version: str
    run: Run
    judges: list[AskedJudge] = []
    tells_logs: bool = True
    """Whether errors are told with lines of a model server's log."""
    voters: list[KnownVoter] = []


class RunFile:
    """The file of runs in one reading transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def body(self, version: str) -> str:
        """Return what a version of a set has in it; raises `UnknownRun`."""
        sql = "SELECT body FROM content WHERE version = ?"
        row = self._connection.execute(sql, (version,)).fetchone()
        if row is None:
            raise UnknownRun("there is no such run any more")
        return str(row[0])

    def pieces(self, request: ReportRequest, questions: RunQuestions) -> Iterator[bytes]:
        """Yield what is asked for: JSON, or a file in pieces of some `PIECE_BYTES`.

        Raises `UnknownRun` if the run was deleted since it was asked for.
        """
        self._require(request)
        judges = [self._judged(request, one) for one in request.judges]
        if request.asked == "judges":
            yield msgspec.json.encode(judges)
            return
        results = self._results(request, questions)
        if request.asked == "results":
            yield msgspec.json.encode(results)
            return
        voters = [one.seen for one in request.voters]
        report = Report(
            msgspec.structs.replace(with_judges(results, judges), voters=voters),
            questions,
            self._answers(request, "text, reasoning"),
            [
                JudgedLines(found, self._judgements(request, one.number))
                for found, one in zip(judges, request.judges, strict=True)
            ],
            self._votes(request),
            {one.id: one.seen.name for one in request.voters},
        )
        yield from _joined(EXPORTS[request.asked](report))

    def _require(self, request: ReportRequest) -> None:
        sql = "SELECT 1 FROM run WHERE number = ? AND id = ?"
        if not self._connection.execute(sql, (request.number, request.run.id)).fetchone():
            raise UnknownRun(f"there is no run {request.run.id} any more")

    def _results(self, request: ReportRequest, questions: RunQuestions) -> Results:
        if request.asked == "csv":
            return Results(request.run, [], [])  # It tells none, and need not wait for them.
        due = [questions.checks_due(prompt) for prompt in range(len(questions))]
        short = self._answers(request, "'', ''")
        return results_of(request.run, short, due, list(self._votes(request)))

    def _judged(self, request: ReportRequest, one: AskedJudge) -> JudgeResults:
        rows = map(judgement_row, self._connection.execute(JUDGEMENTS, (one.number,)))
        width = len(request.run.targets)
        return judge_results(
            labels(request.run.targets),
            one.judge,
            (row for row in rows if max(row.first, row.second) < width),
        )

    def _judgements(self, request: ReportRequest, number: int) -> Iterator[Judgement]:
        """Yield what a judge was asked and said; nothing is read before the first is taken."""
        width = len(request.run.targets)
        for *_, details in self._connection.execute(JUDGEMENTS, (number,)):
            found = msgspec.json.decode(details, type=Judgement)
            if max(found.first, found.second or 0) < width:
                yield found if request.tells_logs else _judgement_without_log(found)

    def _votes(self, request: ReportRequest) -> Iterator[RunVote]:
        """Yield the votes on targets that the run had when it was asked for."""
        width = len(request.run.targets)
        for row in self._connection.execute(VOTES, (request.number,)):
            vote = vote_of(row)
            if max(vote.among) < width:
                yield vote

    def _answers(self, request: ReportRequest, texts: str) -> Iterator[RunAnswer]:
        # To what the run had when it was asked for: it may have been extended since.
        last = request.run.prompts - 1
        rows = self._connection.execute(ANSWERS.format(texts=texts), (request.number, 0, last))
        width = len(request.run.targets)
        answers = (answer for answer in map(answer_of, rows) if answer.target < width)
        return answers if request.tells_logs else map(answer_without_log, answers)


@contextmanager
def opened(path: Path) -> Iterator[RunFile]:
    """Open the file to read it while the context lasts; raises `sqlite3.Error`."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro",
        uri=True,
        isolation_level=None,
        timeout=_BUSY_SECONDS,
        check_same_thread=False,
    )
    try:
        connection.execute("PRAGMA query_only = on")
        connection.execute("BEGIN")
        # The transaction begins with the first reading; all files are open then.
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        yield RunFile(connection)
    finally:
        connection.close()


def _judgement_without_log(judgement: Judgement) -> Judgement:
    return msgspec.structs.replace(judgement, error=without_log(judgement.error))


def _joined(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Join small pieces; none is larger than `PIECE_BYTES`."""
    waiting = bytearray()
    for piece in pieces:
        waiting += piece
        while len(waiting) >= PIECE_BYTES:
            yield bytes(waiting[:PIECE_BYTES])
            del waiting[:PIECE_BYTES]
    if waiting:
        yield bytes(waiting)
