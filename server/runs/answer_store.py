"""What is stored of the answers of runs; `number` is a run's own in the file."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

from server.runs.answer_rows import ANSWERS, answer_of, answer_row
from server.runs.shapes import RunAnswer
from server.storage.database import Database

_LAST: Final = 2**62


@dataclass(frozen=True)
class Counts:
    """How many answers of a target are there, failed, passed their checks, and had any."""

    answered: int = 0
    failed: int = 0
    passed: int = 0
    checked: int = 0


class RunMark(NamedTuple):
    """How many answers and votes a run has, and when the last of each came."""

    answers: int
    last_answer: float | None
    votes: int
    last_vote: float | None


class AnswerStore:
    """The answers of the open file."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, answers: Iterable[tuple[int, RunAnswer]]) -> None:
        """Store complete answers, each with its run's number; those of deleted runs are dropped."""
        rows = [answer_row(number, answer) for number, answer in answers]
        async with self._database.write() as transaction:
            await transaction.run_each(
                "INSERT OR REPLACE INTO answer SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?"
                " WHERE EXISTS (SELECT 1 FROM run WHERE number = ?)",
                [(*row, row[0]) for row in rows],
            )

    async def answered(self, number: int) -> set[tuple[int, int, int]]:
        """Return what is complete of a run: prompt, target and repeat of each answer."""
        async with self._database.read() as transaction:
            rows = await transaction.rows(
                "SELECT prompt, target, repeat FROM answer WHERE run = ?", (number,)
            )
        return {(row[0], row[1], row[2]) for row in rows}

    async def by_prompt(self, number: int) -> dict[tuple[int, int], int]:
        """Return how many answers that can be judged each prompt and repeat of a run has."""
        async with self._database.read() as transaction:
            rows = await transaction.rows(
                # By the index that has no texts: by prompt, SQLite would read all of the answers.
                "SELECT prompt, repeat, count(*) FROM answer INDEXED BY answer_outcome"
                " WHERE run = ? AND finish_reason IN ('stop', 'length') GROUP BY prompt, repeat",
                (number,),
            )
        return {(row[0], row[1]): row[2] for row in rows}

    async def counts(self, number: int) -> dict[int, Counts]:
        """Return how many answers each target of a run has."""
        async with self._database.read() as transaction:
            rows = await transaction.rows(
                "SELECT target, count(*), sum(finish_reason = 'failed'), coalesce(sum(passed), 0),"
                " count(passed) FROM answer WHERE run = ? GROUP BY target",
                (number,),
            )
        return {row[0]: Counts(*row[1:]) for row in rows}

    async def read(self, number: int, first: int = 0, last: int = -1) -> list[RunAnswer]:
        """Return complete answers of a run, by prompt and target.

        Those of the prompts from `first` to `last`, which is included; -1 is the last of all.
        """
        async with self._database.read() as transaction:
            rows = await transaction.rows(
                ANSWERS.format(texts="text, reasoning"),
                (number, first, last if last >= 0 else _LAST),
            )
        # In a thread: those of a large run take seconds.
        return await asyncio.to_thread(lambda: [answer_of(row) for row in rows])

    async def forget_failed(self, number: int) -> int:
        """Delete the answers of a run that failed, so that they are asked again."""
        async with self._database.write() as transaction:
            row = await transaction.row(
                "SELECT count(*) FROM answer WHERE run = ? AND finish_reason = 'failed'", (number,)
            )
            await transaction.run(
                "DELETE FROM answer WHERE run = ? AND finish_reason = 'failed'", (number,)
            )
        return 0 if row is None else int(row[0])

    async def mark_of(self, number: int) -> RunMark:
        """Return what changes with each answer of a run and with each vote on it."""
        async with self._database.read() as transaction:
            answers = await transaction.row(
                "SELECT count(*), max(ended) FROM answer WHERE run = ?", (number,)
            )
            votes = await transaction.row(
                "SELECT count(*), max(created) FROM vote WHERE run = ?", (number,)
            )
        return RunMark(*(answers or (0, None)), *(votes or (0, None)))
