"""What a run's answers say of its targets: the table, and comparisons of two targets each."""

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Final

import msgspec

from server.core.protocol import Timings
from server.evaluation.checks.result import CheckResult
from server.evaluation.statistics.paired import (
    FEWEST_DIFFERENT,
    SIGNIFICANCE,
    PairedComparison,
    compare_paired,
    holm,
    in_words,
)
from server.evaluation.statistics.strengths import (
    Strength,
    Vote,
    decided_prompts,
    estimate_strengths,
    votes_of_round,
    win_probability,
)
from server.evaluation.statistics.strengths_program import samples_for
from server.evaluation.statistics.won_pairs import WonPairs, won_pairs
from server.evaluation.tables import GradeSummary, Record, ResultsRow, Tally
from server.runs.answers import first_token_ms
from server.runs.shapes import CheckOutcome, Run, RunAnswer, RunVote, Target

# Of more targets than these only neighbours of the table's best are compared: nobody reads 2,016.
_MOST_PAIRS: Final = 66


class Comparison(msgspec.Struct, frozen=True):
    """Two targets compared by the prompts on which their checks differ.

    `better` and `worse` count the prompts of `first`; `interval` is of the difference of the two
    shares. `p_value` is of the exact sign test, adjusted by Holm's method for all comparisons of
    the run. `is_noise` tells that chance alone would explain the difference, at a level of 5 %.
    """

    first: int
    second: int
    better: int
    worse: int
    equal: int
    difference: float
    interval: list[float]
    p_value: float
    is_noise: bool
    words: str


class JudgeRate(msgspec.Struct, frozen=True):
    """What a judge says of a target: its `grades` up to `highest_grade`, or the `pairs` it won.

    `judge` is the judge's id, `name` its model's, numbered where a model judges several times.
    """

    judge: str
    name: str
    model: str
    highest_grade: int
    grades: GradeSummary | None = None
    pairs: WonPairs | None = None


class TargetResult(msgspec.Struct, frozen=True):
    """A row of the results table; `seconds` is from its first question to its last answer's end.

    `votes` are the pairs of its answers and others' that people voted on, null if nobody did. A
    vote among several is a vote on each pair of a winner and another. `judges` has what each judge
    of the run says; people's votes and judges are never mixed. `untold_checks` could not tell
    whether their answer passes; `untold_reason` is which of them was the first, and why.
    """

    target: int
    name: str
    seconds: float | None
    figures: ResultsRow
    votes: WonPairs | None = None
    judges: list[JudgeRate] = []
    untold_checks: int = 0
    untold_reason: str = ""


class Rank(msgspec.Struct, frozen=True):
    """How strong people's votes make a target, by the model of Bradley and Terry.

    `strength` is in log odds, of a mean of 0; `interval` is a bootstrap's over prompts, at 95 %, or
    None: too few `prompts` have a winner to tell anything. Targets of two `group`s were never
    compared, not even by others between them. `regularised`: distances are cautious, since somebody
    never lost or never won. `expected_wins` says the same as a share: how often it would be the
    better one of two, the other of average strength; with its interval.
    """

    target: int
    strength: float
    interval: list[float] | None
    wins: int
    losses: int
    ties: int
    group: int
    regularised: bool
    prompts: int = 0
    expected_wins: float = 0.5
    expected_wins_interval: list[float] | None = None


class RunVoter(msgspec.Struct, frozen=True):
    """Somebody who voted on a run: how many votes, and how many of them `blind`.

    `name` is the name of a key where the reader may know it: the own one, the name of the run's
    owner, and to the owner all of them. Others are numbered, such as `voter 2`. It is empty where
    no key was needed to vote.
    """

    name: str
    is_me: bool
    votes: int
    blind: int


class Results(msgspec.Struct, frozen=True):
    """A run with what follows from its answers so far; `voters` are by their earliest vote."""

    run: Run
    targets: list[TargetResult]
    comparisons: list[Comparison]
    votes: int = 0
    ranking: list[Rank] = []
    voters: list[RunVoter] = []


def results_of(
    run: Run,
    answers: Iterable[RunAnswer],
    checks_due: Sequence[int],
    votes: Sequence[RunVote] = (),
) -> Results:
    """Return the results of a run; `checks_due` has how many checks each prompt has.

    Takes some seconds for a large run. The answers are taken one by one, and none is kept.
    """
    names = labels(run.targets)
    tallies = [_TargetTally(name) for name in names]
    for answer in answers:
        tallies[answer.target].add(answer, checks_due[answer.prompt])
    pairs = _votes(names, votes)
    won = won_pairs(pairs)
    targets = [
        TargetResult(
            place,
            tally.name,
            tally.seconds,
            tally.tally.row(tally.name),
            won.get(tally.name, WonPairs()) if votes else None,
            untold_checks=tally.untold_checks,
            untold_reason=tally.untold_reason,
        )
        for place, tally in enumerate(tallies)
    ]
    return Results(
        run,
        targets,
        _comparisons(names, [tally.tally.scores for tally in tallies]),
        len(votes),
        ranking_of(names, pairs),
    )


class _TargetTally:
    """What the answers of one target come to, and from when to when they were asked."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.tally = Tally()
        self.untold_checks, self.untold_reason = 0, ""
        self._began, self._ended = math.inf, -math.inf

    def add(self, answer: RunAnswer, checks_due: int) -> None:
        """Count an answer whose prompt has so many checks."""
        self.tally.add(_record(answer, self.name, checks_due))
        self._began = min(self._began, answer.ended - answer.timings.total_ms / 1000)
        self._ended = max(self._ended, answer.ended)
        for check in answer.checks:
            if check.passed is None:
                self.untold_checks += 1
                self.untold_reason = self.untold_reason or _untold(check)

    @property
    def seconds(self) -> float | None:
        """Return the seconds from the first question to the last answer's end."""
        return None if math.isinf(self._began) else self._ended - self._began


def _untold(check: CheckOutcome) -> str:
    """Return which check could not be told, and why."""
    names = (check.check.get("type"), check.check.get("name"))
    return f"{' '.join(str(name) for name in names if name)}: {check.explanation}"


def labels(targets: Sequence[Target]) -> list[str]:
    """Return what targets are called: their names or models, numbered where two are alike."""
    names: list[str] = []
    for target in targets:
        name = target.name or target.model
        number = 2
        while name in names:
            name = f"{target.name or target.model} ({number})"
            number += 1
        names.append(name)
    return names


def _comparisons(names: Sequence[str], scores: Sequence[Mapping[str, float]]) -> list[Comparison]:
    checked = [place for place, one in enumerate(scores) if one]
    pairs = list(combinations(checked, 2))
    if len(pairs) > _MOST_PAIRS:
        best = max(checked, key=lambda place: sum(scores[place].values()))
        pairs = [(best, other) for other in checked if other != best]
    compared = [compare_paired(scores[one], scores[other]) for one, other in pairs]
    # The best is chosen by the same answers: as if all pairs had been compared.
    unseen = len(checked) * (len(checked) - 1) // 2 - len(pairs)
    adjusted = holm([*(comparison.p_value for comparison in compared), *[1.0] * unseen])
    return [
        _comparison(pair, names, comparison, p_value)
        for pair, comparison, p_value in zip(pairs, compared, adjusted[: len(pairs)], strict=True)
    ]


def _comparison(
    pair: tuple[int, int], names: Sequence[str], found: PairedComparison, p_value: float
) -> Comparison:
    first, second = pair
    is_noise = p_value >= SIGNIFICANCE
    words = in_words(found, names[first], names[second], p_value=p_value)
    return Comparison(
        first,
        second,
        found.better,
        found.worse,
        found.equal,
        found.difference,
        [found.interval.low, found.interval.high],
        p_value,
        is_noise,
        words,
    )


def ranking_of(names: Sequence[str], votes: Sequence[Vote]) -> list[Rank]:
    """Return the targets that were voted on, the strongest first."""
    decided = decided_prompts((one.prompt, one.first, one.second, one.score) for one in votes)
    samples = samples_for(len({one.prompt for one in votes}))
    return [
        _rank(names.index(one.target), one, len(decided[one.target]))
        for one in estimate_strengths(votes, samples=samples)
    ]


def _rank(target: int, found: Strength, prompts: int) -> Rank:
    interval = None
    if found.interval and prompts >= FEWEST_DIFFERENT:
        interval = [found.interval.low, found.interval.high]
    return Rank(
        target,
        found.strength,
        interval,
        found.wins,
        found.losses,
        found.ties,
        found.group,
        found.regularised,
        prompts,
        win_probability(found.strength, 0.0),
        interval and [win_probability(bound, 0.0) for bound in interval],
    )


def _votes(names: Sequence[str], votes: Sequence[RunVote]) -> list[Vote]:
    """Return people's choices as votes between two targets each."""
    return [
        pair
        for vote in votes
        for pair in votes_of_round(
            str(vote.prompt),
            [names[place] for place in vote.among],
            {names[place] for place in vote.winners},
        )
    ]


def _record(answer: RunAnswer, name: str, checks_due: int) -> Record:
    return Record(
        target=name,
        prompt=str(answer.prompt),
        repeat=answer.repeat,
        checks_due=checks_due,
        checks=[CheckResult(check.passed, check.explanation) for check in answer.checks],
        finish_reason=answer.finish_reason,
        cause=answer.error.code if answer.error else None,
        timings=_served(answer.timings),
        usage=answer.usage,
        cost=answer.cost,
    )


def _served(timings: Timings) -> Timings:
    """Return timings from the answer's turn on: a run waits for others, which no target is for."""
    return msgspec.structs.replace(timings, ttft_ms=first_token_ms(timings))
