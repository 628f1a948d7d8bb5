"""Sum up runs and write them as files: small ones in a thread, large ones in processes.

Rules:

1. Whatever a run's size, the event loop is held up by no more than a piece of a file.
2. Results are kept until an answer or a vote comes, those of judges until a judgement does. They
   are the same for every reader; what is the reader's is put in when they are asked for, and so is
   how much a judge has yet to judge, which each answer changes.
3. What is kept is that of one run, by its id, with the names that its targets had.
"""

import asyncio
import sqlite3
from collections import OrderedDict
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Final

import msgspec

from server.core.errors import StorageFailed
from server.runs import report_program
from server.runs.answer_store import RunMark
from server.runs.judge_shapes import Judge, JudgeResults
from server.runs.questions import RunQuestions
from server.runs.report_reading import PIECE_BYTES, ReportRequest, opened
from server.runs.results import Results, labels
from server.runs.single_use import SingleUseWorkers

FEW: Final = 300
"""So many prompts, answers and votes are summed up in a thread, sooner than a process starts."""
_MOST_SUMS: Final = 2
# Somebody who reads slowly holds up few others.
_MOST_FILES: Final = 8
_MOST_KEPT: Final = 32
# A results table of the most targets, each with a long name.
_MAX_SUM_BYTES: Final = 16 << 20


class RunReports:
    """Sum up runs of one file, and write them as files."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._workers = SingleUseWorkers(
            report_program.__name__, str(path), about="the run cannot be read"
        )
        self._sums = asyncio.Semaphore(_MOST_SUMS)
        self._files = asyncio.Semaphore(_MOST_FILES)
        self._kept: OrderedDict[tuple[bytes, RunMark], Results] = OrderedDict()
        self._kept_judges: OrderedDict[bytes, list[JudgeResults]] = OrderedDict()

    async def close(self) -> None:
        """End all processes; files that are being written break off."""
        await self._workers.close()

    async def results(
        self, request: ReportRequest, mark: RunMark, questions: RunQuestions | None
    ) -> Results:
        """Return the results of a run; raises what `pieces` does."""
        key = _key(request, request.version), mark
        if (known := self._kept.get(key)) is None:
            found = await self._sum(request, questions)
            known = self._kept[key] = msgspec.json.decode(found, type=Results)
            if len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        voters = [one.seen for one in request.voters]
        return msgspec.structs.replace(known, run=request.run, voters=voters)

    async def judges(
        self, request: ReportRequest, questions: RunQuestions | None
    ) -> list[JudgeResults]:
        """Return what the judges' judgements come to; raises what `pieces` does."""
        # A judge's count of judgements tells when there are more.
        key = _key(request, [_without_total(one.judge) for one in request.judges])
        if (known := self._kept_judges.get(key)) is None:
            found = await self._sum(request, questions)
            known = self._kept_judges[key] = msgspec.json.decode(found, type=list[JudgeResults])
            if len(self._kept_judges) > _MOST_KEPT:
                self._kept_judges.popitem(last=False)
        self._kept_judges.move_to_end(key)
        return [
            msgspec.structs.replace(one, judge=asked.judge)
            for one, asked in zip(known, request.judges, strict=True)
        ]

    async def pieces(
        self, request: ReportRequest, questions: RunQuestions | None
    ) -> AsyncGenerator[bytes]:
        """Yield what is asked for, in pieces of up to `PIECE_BYTES` if it is a file.

        In a thread with the run's questions, in a process without. Raises `UnknownRun` or
        `StorageFailed`, the latter also amid a file that cannot be completed.
        """
        if questions is not None:
            for piece in await asyncio.to_thread(_read, self._path, request, questions):
                yield piece
            return
        is_file = request.asked not in ("results", "judges")
        most = PIECE_BYTES if is_file else _MAX_SUM_BYTES
        async with self._files if is_file else self._sums:
            frames = self._workers.frames(msgspec.json.encode(request), max_bytes=most)
            async with aclosing(frames):
                async for frame in frames:
                    yield frame

    async def _sum(self, request: ReportRequest, questions: RunQuestions | None) -> bytes:
        async with aclosing(self.pieces(request, questions)) as found:
            return b"".join([piece async for piece in found])


def is_small(mark: RunMark, prompts: int, judged: Sequence[int] = ()) -> bool:
    """Tell whether a run is soon read, with so many judgements of each of its judges."""
    return prompts <= FEW and mark.answers + mark.votes + sum(judged) <= FEW


def _key(request: ReportRequest, more: object) -> bytes:
    run = request.run
    return msgspec.json.encode([request.number, run.id, labels(run.targets), more])


def _without_total(judge: Judge) -> Judge:
    return msgspec.structs.replace(judge, total=None)


def _read(path: Path, request: ReportRequest, questions: RunQuestions) -> list[bytes]:
    try:
        with opened(path) as file:
            return list(file.pieces(request, questions))
    except sqlite3.Error as error:
        raise StorageFailed(f"the run cannot be read: {error}") from None
