"""Judges of a run and their judgements, as HTTP represents them."""

from typing import Annotated, Any

import msgspec

from server.archive.shapes import Time
from server.core.protocol import Cost, ErrorInfo, Key, Timings, Usage
from server.evaluation.judging import MAX_GRADES, MIN_GRADES, Position
from server.evaluation.statistics.won_pairs import WonPairs
from server.evaluation.tables import GradeSummary
from server.runs.results import Rank
from server.runs.shapes import JudgeMode, RunState


class JudgeGiven(msgspec.Struct, frozen=True):
    """Have a model judge the answers of a run by criteria: one by one, or two at a time.

    Grades go from 1 to `grades`. A pair is judged in both orders.
    """

    model: Annotated[str, msgspec.Meta(min_length=1, max_length=300)]
    criteria: Annotated[str, msgspec.Meta(min_length=1, max_length=20_000)]
    mode: JudgeMode = "grades"
    grades: Annotated[int, msgspec.Meta(ge=MIN_GRADES, le=MAX_GRADES)] = 5
    parameters: dict[str, Any] = {}


class Judge(JudgeGiven, frozen=True, kw_only=True):
    """A judge and how far it is; `unreadable` replies are among the `judged` ones.

    `total` is how many judgements the answers that are complete now call for; lists alone tell it.
    """

    id: Key
    created: Time
    state: RunState
    judged: int
    unreadable: int
    total: int | None = None
    error: ErrorInfo | None = None


class TargetGrades(msgspec.Struct, frozen=True):
    """What a judge's grades of a target come to."""

    target: int
    grades: GradeSummary


class TargetPairs(msgspec.Struct, frozen=True):
    """What a judge's verdicts on pairs with a target come to."""

    target: int
    pairs: WonPairs


class JudgeResults(msgspec.Struct, frozen=True):
    """A judge with what follows: grades, or a ranking with how often it contradicted itself.

    `pairs` has what each target won, where it judges by pairs.
    """

    judge: Judge
    grades: list[TargetGrades]
    ranking: list[Rank]
    inconsistent: int
    cost: float | None
    pairs: list[TargetPairs] = []


class JudgeListing(msgspec.Struct, frozen=True):
    """The judges of a run with their results."""

    judges: list[JudgeResults]


class Judgement(msgspec.Struct, frozen=True, omit_defaults=True):
    """One reply of a judge: what it was asked, what it said, and how that was read.

    `second` is null for a grade. `grade` and `better` are null where the reply is unreadable:
    `reason` says why. `better` names a place: that of `first` or `second`.
    """

    prompt: int
    repeat: int
    first: int
    second: int | None
    grade: int | None
    better: Position | None
    reason: str
    reply: str
    asked: list[dict[str, Any]]
    usage: Usage
    timings: Timings
    cost: Cost | None = None
    error: ErrorInfo | None = None


class Judgements(msgspec.Struct, frozen=True):
    """What a judge said of the answers to some prompts."""

    judgements: list[Judgement]
