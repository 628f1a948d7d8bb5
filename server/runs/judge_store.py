"""What is stored of the judges of runs."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec

from server.archive.answer_writer import to_json
from server.core.errors import UnknownRun
from server.core.protocol import ErrorInfo
from server.runs.judge_shapes import Judge, JudgeGiven, Judgement
from server.runs.numbers import next_number
from server.runs.shapes import JudgeMode, RunState
from server.storage.database import Database, Row, Transaction

_JUDGES: Final = """
    SELECT judge.number, judge.id, judge.created, given, judge.state, judge.error,
        (SELECT count(*) FROM judgement WHERE judge = judge.number),
        (SELECT count(*) FROM judgement WHERE judge = judge.number AND grade IS NULL
            AND better IS NULL),
        run.owner, run.id
    FROM judge JOIN run ON run.number = judge.run
"""
# A pair is judged in both orders.
DUE: Final[dict[JudgeMode, str]] = {
    "grades": "SELECT count(*) FROM answer WHERE run = ? AND finish_reason IN ('stop', 'length')",
    "pairs": """
        SELECT coalesce(sum(answers * (answers - 1)), 0) FROM (
            SELECT count(*) AS answers FROM answer INDEXED BY answer_outcome
            WHERE run = ? AND finish_reason IN ('stop', 'length') GROUP BY prompt, repeat
        )
    """,
}
"""How many judgements the complete answers of the run with this number call for."""
_SINGLE: Final = -1
JudgedKey = tuple[int, int, int, int]
"""Prompt, repeat and the two targets in the order in which they are shown; -1 for a grade."""


@dataclass(frozen=True)
class StoredJudge:
    """A judge as it is stored, with whose run it belongs to."""

    number: int
    owner: str
    run_id: str
    judge: Judge


class JudgeStore:
    """The judges and judgements in the file of runs."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock

    async def add(self, run_number: int, given: JudgeGiven) -> StoredJudge:
        """Store a new judge, as one that is under way; raises `UnknownRun`."""
        judge_id = f"j_{secrets.token_hex(8)}"
        async with self._database.write() as transaction:
            number = await next_number(transaction, "judge")
            await transaction.run(
                "INSERT INTO judge (number, run, id, created, given, state)"
                " SELECT ?, number, ?, ?, ?, 'running' FROM run WHERE number = ?",
                (number, judge_id, self._clock(), to_json(given), run_number),
            )
            return await _one(transaction, judge_id)

    async def get(self, owner: str, run_id: str, judge_id: str) -> StoredJudge:
        """Return a judge; raises `UnknownRun`."""
        async with self._database.read() as transaction:
            found = await _one(transaction, judge_id)
        if (found.owner, found.run_id) != (owner, run_id):
            raise UnknownRun(f"the run has no judge {judge_id[:80]!r}")
        return found

    async def of_run(self, run_number: int) -> list[StoredJudge]:
        """Return the judges of a run, in the order in which they began."""
        async with self._database.read() as transaction:
            rows = await transaction.rows(
                f"{_JUDGES} WHERE judge.run = ? ORDER BY judge.number", (run_number,)
            )
        return [_stored(row) for row in rows]

    async def unfinished(self) -> list[StoredJudge]:
        """Return the judges of all owners that are under way."""
        async with self._database.read() as transaction:
            rows = await transaction.rows(f"{_JUDGES} WHERE judge.state = 'running'")
        return [_stored(row) for row in rows]

    async def set_state(self, number: int, state: RunState, error: ErrorInfo | None) -> None:
        """Store how far a judge is."""
        text = None if error is None else to_json(error)
        async with self._database.write() as transaction:
            await transaction.run(
                "UPDATE judge SET state = ?, error = ? WHERE number = ?", (state, text, number)
            )

    async def remove(self, number: int) -> None:
        """Delete a judge with its judgements."""
        async with self._database.write() as transaction:
            await transaction.run("DELETE FROM judge WHERE number = ?", (number,))

    async def keep(self, number: int, judgement: Judgement) -> None:
        """Store a judgement; that of a deleted judge is dropped."""
        async with self._database.write() as transaction:
            await transaction.run(
                "INSERT OR REPLACE INTO judgement SELECT ?, ?, ?, ?, ?, ?, ?, ?"
                " WHERE EXISTS (SELECT 1 FROM judge WHERE number = ?)",
                (
                    *(number, *key_of(judgement)),
                    *(judgement.grade, judgement.better),
                    *(to_json(judgement), number),
                ),
            )

    async def due(self, run_number: int, mode: JudgeMode) -> int:
        """Return how many judgements the complete answers of a run call for."""
        async with self._database.read() as transaction:
            row = await transaction.row(DUE[mode], (run_number,))
        return int(row[0]) if row else 0

    async def judged(self, number: int) -> set[JudgedKey]:
        """Return what a judge has judged."""
        async with self._database.read() as transaction:
            rows = await transaction.rows(
                "SELECT prompt, repeat, first, second FROM judgement WHERE judge = ?", (number,)
            )
        return {(row[0], row[1], row[2], row[3]) for row in rows}

    async def judgements(
        self, number: int, first: int, last: int, *, after: JudgedKey, limit: int
    ) -> list[Judgement]:
        """Return what a judge said of the prompts from `first` to `last`, which is included.

        These are the first `limit` ones behind `after`, in the order of keys.
        """
        async with self._database.read() as transaction:
            rows = await transaction.rows(
                "SELECT details FROM judgement WHERE judge = ? AND prompt BETWEEN ? AND ?"
                " AND (prompt, repeat, first, second) > (?, ?, ?, ?)"
                " ORDER BY prompt, repeat, first, second LIMIT ?",
                (number, max(first, after[0]), last, *after, limit),
            )
        return [msgspec.json.decode(row[0], type=Judgement) for row in rows]


def key_of(judgement: Judgement) -> JudgedKey:
    """Return what a judgement is kept by."""
    second = _SINGLE if judgement.second is None else judgement.second
    return judgement.prompt, judgement.repeat, judgement.first, second


async def _one(transaction: Transaction, judge_id: str) -> StoredJudge:
    row = await transaction.row(f"{_JUDGES} WHERE judge.id = ?", (judge_id,))
    if row is None:
        raise UnknownRun(f"the run has no judge {judge_id[:80]!r}")
    return _stored(row)


def _stored(row: Row) -> StoredJudge:
    number, judge_id, created, given, state, error, judged, unreadable, owner, run_id = row
    judge = Judge(
        **msgspec.structs.asdict(msgspec.json.decode(given, type=JudgeGiven)),
        id=judge_id,
        created=created,
        state=state,
        judged=judged,
        unreadable=unreadable,
        error=None if error is None else msgspec.json.decode(error, type=ErrorInfo),
    )
    return StoredJudge(number, owner, run_id, judge)
