"""What a judge's judgements come to: grades of each target, or a ranking."""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import msgspec

from server.core.protocol import Cost
from server.evaluation.judging import Grade, Position, Preference, combine_orders
from server.evaluation.statistics.strengths import Vote
from server.evaluation.tables import summarise_grades
from server.runs.judge_shapes import Judge, JudgeResults, TargetGrades
from server.runs.results import ranking_of
from server.storage.database import Row

JUDGEMENTS: Final = (
    "SELECT prompt, repeat, first, second, grade, better, details FROM judgement WHERE judge = ?"
    " ORDER BY prompt, repeat, first, second"
)
"""The judgements of the judge with this number, by prompt."""
_ALONE: Final = -1


class _Details(msgspec.Struct):
    """What is added up of a judgement's details; all that was asked and said is passed over."""

    cost: Cost | None = None


class JudgementRow(NamedTuple):
    """What is added up of a judgement: who was judged, alone or as a pair, and how."""

    prompt: int
    repeat: int
    first: int
    second: int
    grade: int | None
    better: Position | None
    cost: float | None


_DETAILS: Final = msgspec.json.Decoder(_Details)


def judgement_row(row: Row) -> JudgementRow:
    """Return what is added up of a row of `JUDGEMENTS`."""
    prompt, repeat, first, second, grade, better, details = row
    cost = _DETAILS.decode(details).cost
    amount = None if cost is None else cost.amount
    return JudgementRow(prompt, repeat, first, second, grade, better, amount)


def judge_results(
    names: Sequence[str], judge: Judge, judgements: Iterable[JudgementRow]
) -> JudgeResults:
    """Return what judgements of targets of these names come to; takes a second for many."""
    rows = list(judgements)
    costs = [one.cost for one in rows if one.cost is not None]
    cost = sum(costs) if costs else None
    if judge.mode == "grades":
        return JudgeResults(judge, _grades(names, rows), [], 0, cost)
    votes, inconsistent = _votes(names, rows)
    return JudgeResults(judge, [], ranking_of(names, votes), inconsistent, cost)


def _grades(names: Sequence[str], rows: Sequence[JudgementRow]) -> list[TargetGrades]:
    by_target: list[list[tuple[str, Grade]]] = [[] for _ in names]
    for one in rows:
        by_target[one.first].append((str(one.prompt), Grade(one.grade, "")))
    return [TargetGrades(place, summarise_grades(own)) for place, own in enumerate(by_target)]


def _votes(names: Sequence[str], rows: Sequence[JudgementRow]) -> tuple[list[Vote], int]:
    """Return a vote for each pair that was judged in both orders, and how many contradict."""
    known = {(one.prompt, one.repeat, one.first, one.second): one.better for one in rows}
    votes: list[Vote] = []
    inconsistent = 0
    for (prompt, repeat, first, second), better in known.items():
        back = prompt, repeat, second, first
        if second == _ALONE or first > second or back not in known:
            continue
        verdict = combine_orders(Preference(better, ""), Preference(known[back], ""))
        inconsistent += verdict.is_inconsistent
        if verdict.score is not None:
            votes.append(Vote(str(prompt), names[first], names[second], verdict.score))
    return votes, inconsistent
