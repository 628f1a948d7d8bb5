"""How far the judges of a run are, and how many votes it has: what is told of it beside answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from server.runs.judge_store import DUE
from server.runs.live_judge import LiveJudge
from server.runs.shapes import JudgeMode, RunJudge
from server.storage.database import Database, Transaction

_JUDGES: Final = """
    SELECT id, given, state, (SELECT count(*) FROM judgement WHERE judge = judge.number)
    FROM judge WHERE run = ? ORDER BY number
"""


class _Given(msgspec.Struct):
    """What is told of what a judge was given; its criteria are passed over."""

    model: str
    mode: JudgeMode = "grades"


_GIVEN: Final = msgspec.json.Decoder(_Given)


@dataclass(frozen=True)
class Assessments:
    """The judges of a run, in the order in which they began, and the number of its votes."""

    judges: Sequence[RunJudge] = ()
    votes: int = 0


class AssessmentStore:
    """What is told of judges and votes, in the file of runs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, number: int) -> Assessments:
        """Return the judges and votes of the run with this number."""
        async with self._database.read() as transaction:
            row = await transaction.row("SELECT count(*) FROM vote WHERE run = ?", (number,))
            votes = 0 if row is None else int(row[0])
            rows = await transaction.rows(_JUDGES, (number,))
            given = [_GIVEN.decode(row[1]) for row in rows]
            totals = {
                mode: await _due(transaction, number, mode)
                for mode in dict.fromkeys(one.mode for one in given)
            }
        judges = [
            RunJudge(judge_id, one.model, one.mode, state, judged, totals[one.mode])
            for (judge_id, _, state, judged), one in zip(rows, given, strict=True)
        ]
        return Assessments(judges, votes)


class JudgementsDue:
    """How many judgements the complete answers of a run call for, counted as answers come.

    `answers` has the number of complete answers by prompt and repeat.
    """

    def __init__(self, answers: Mapping[tuple[int, int], int]) -> None:
        self._answers = dict(answers)
        self.grades = sum(answers.values())
        # A pair is judged in both orders.
        self.pairs = sum(count * (count - 1) for count in answers.values())

    def add(self, prompt: int, repeat: int) -> None:
        """Count an answer that can be judged."""
        before = self._answers.get((prompt, repeat), 0)
        self._answers[prompt, repeat] = before + 1
        self.grades += 1
        self.pairs += 2 * before


def judges_now(
    judges: Sequence[RunJudge], live: Mapping[str, LiveJudge], due: JudgementsDue | None = None
) -> list[RunJudge]:
    """Return judges as far as those under way are now; `due` is of a run that is being asked."""
    return [_now(one, live.get(one.id), due) for one in judges]


def _now(judge: RunJudge, live: LiveJudge | None, due: JudgementsDue | None) -> RunJudge:
    total = judge.total
    if due is not None:
        total = due.grades if judge.mode == "grades" else due.pairs
    judged = judge.judged if live is None else live.judged
    return msgspec.structs.replace(judge, judged=judged, total=total)


async def _due(transaction: Transaction, number: int, mode: JudgeMode) -> int:
    row = await transaction.row(DUE[mode], (number,))
    return int(row[0]) if row else 0
