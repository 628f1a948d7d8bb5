"""What a judge's judgements come to: grades of each target, or a ranking.

Judgements are taken in the order of prompts, and no more than those of one prompt are kept.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Final, NamedTuple

import msgspec
from msgspec.structs import replace

from server.core.protocol import Cost
from server.evaluation.judging import Grade, Position, Preference, combine_orders
from server.evaluation.statistics.strengths import Vote
from server.evaluation.statistics.won_pairs import WonPairs, won_pairs
from server.evaluation.tables import summarise_grades
from server.runs.judge_shapes import Judge, JudgeResults, TargetGrades, TargetPairs
from server.runs.results import JudgeRate, Results, labels, ranking_of
from server.runs.shapes import Target
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
    """Return what judgements of targets of these names come to; takes a second for many.

    They are in the order of `JUDGEMENTS`.
    """
    costs: list[float] = []
    rows = _counting(costs, judgements)
    if judge.mode == "grades":
        grades = _grades(names, rows)
        return JudgeResults(judge, grades, [], 0, sum(costs) if costs else None)
    votes, inconsistent = _votes(names, rows)
    won = won_pairs(votes, inconsistent)
    return JudgeResults(
        judge,
        [],
        ranking_of(names, votes),
        # Each pair contradicts for both of its targets.
        inconsistent.total() // 2,
        sum(costs) if costs else None,
        [TargetPairs(place, won.get(name, WonPairs())) for place, name in enumerate(names)],
    )


def with_judges(results: Results, judges: Sequence[JudgeResults]) -> Results:
    """Return results whose rows have what each judge says of their target."""
    if not judges:
        return results
    called = labels([Target(one.judge.model) for one in judges])
    targets = [
        replace(
            row,
            judges=[_rate(name, one, row.target) for name, one in zip(called, judges, strict=True)],
        )
        for row in results.targets
    ]
    return replace(results, targets=targets)


def _rate(name: str, found: JudgeResults, target: int) -> JudgeRate:
    judge = found.judge
    return JudgeRate(
        judge.id,
        name,
        judge.model,
        judge.grades,
        next((one.grades for one in found.grades if one.target == target), None),
        next((one.pairs for one in found.pairs if one.target == target), None),
    )


def _counting(costs: list[float], rows: Iterable[JudgementRow]) -> Iterator[JudgementRow]:
    """Yield the rows, and add what each cost to `costs`."""
    for one in rows:
        if one.cost is not None:
            costs.append(one.cost)
        yield one


def _grades(names: Sequence[str], rows: Iterable[JudgementRow]) -> list[TargetGrades]:
    by_target: list[list[tuple[str, Grade]]] = [[] for _ in names]
    for one in rows:
        by_target[one.first].append((str(one.prompt), Grade(one.grade, "")))
    return [TargetGrades(place, summarise_grades(own)) for place, own in enumerate(by_target)]


def _votes(names: Sequence[str], rows: Iterable[JudgementRow]) -> tuple[list[Vote], Counter[str]]:
    """Return a vote for each pair that was judged in both orders, and how many contradict.

    The latter for each target.
    """
    votes: list[Vote] = []
    inconsistent: Counter[str] = Counter()
    for (prompt, _), several in groupby(rows, key=lambda one: (one.prompt, one.repeat)):
        known = {(one.first, one.second): one.better for one in several}
        for (first, second), better in known.items():
            if second == _ALONE or first > second or (second, first) not in known:
                continue
            back = known[second, first]
            verdict = combine_orders(Preference(better, ""), Preference(back, ""))
            if verdict.is_inconsistent:
                inconsistent.update((names[first], names[second]))
            if verdict.score is not None:
                votes.append(Vote(str(prompt), names[first], names[second], verdict.score))
    return votes, inconsistent
