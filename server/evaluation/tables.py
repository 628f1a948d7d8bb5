"""The rows of the results table: for each target, what its answers were and what they cost.

Rules:

1. An answer that failed passed none of its checks: a target that breaks down is not better for it.
   A check that cannot be told (`passed` is None) counts neither way.
2. Times to the first token are of answers that had one. Those for which a model had to be loaded or
   a server started are `cold`, and never mixed with the others.
3. Sums are None where nothing was told, rather than 0.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from server.core.protocol import Cost, FinishReason, Timings, Usage
from server.evaluation.checks.result import CheckResult
from server.evaluation.judging import Grade
from server.evaluation.statistics.intervals import (
    Interval,
    bootstrap,
    median,
    percentile,
    share_by_prompt,
)
from server.evaluation.statistics.paired import FEWEST_DIFFERENT

Counts = dict[str, tuple[int, int]]
"""For each prompt how many passed, and of how many."""


@dataclass(frozen=True)
class Record:
    """Hold one answer of a run: to which prompt, the how manyeth, and what came of it.

    `prompt` is the prompt's id, `checks_due` how many checks its answers have: one that failed has
    no results. `cause` is why it failed: an error's code.
    """

    target: str
    prompt: str
    repeat: int
    checks_due: int = 0
    checks: Sequence[CheckResult] = ()
    finish_reason: FinishReason = "stop"
    cause: str | None = None
    timings: Timings | None = None
    usage: Usage | None = None
    cost: Cost | None = None

    @property
    def is_answered(self) -> bool:
        """Tell whether the model ended the answer, or reached its length."""
        return self.finish_reason in {"stop", "length"}

    @property
    def passed(self) -> bool | None:
        """Tell whether all checks passed; None without checks, or if one cannot be told."""
        if not self.is_answered:
            return False if self.finish_reason == "failed" and self.checks_due else None
        results = {check.passed for check in self.checks}
        return False if False in results else None if None in results or not results else True


@dataclass(frozen=True)
class Passed:
    """Hold how many answers, or checks, passed of how many; the interval is by prompt."""

    passed: int
    total: int
    share: float
    interval: Interval


@dataclass(frozen=True)
class FirstToken:
    """Hold the times to the first token, in milliseconds: median and 95th percentile."""

    count: int
    median: float | None
    p95: float | None


@dataclass(frozen=True)
class ResultsRow:
    """Hold what the results table says of a target.

    `answers` are those that passed all their checks, `checks` counts each check by itself; both are
    None where nothing was checked. `failures` counts failed answers by cause. `cut` is how many
    reached their length. `reasoning_tokens` are some of `completion_tokens`, None where no server
    tells them. `cost` is in US dollars; `cost_is_partial` if some answers told none.
    """

    target: str
    count: int
    answered: int
    answers: Passed | None
    checks: Passed | None
    first_token_warm: FirstToken
    first_token_cold: FirstToken
    tokens_per_second: float | None
    prompt_tokens: int | None
    completion_tokens: int | None
    tokens_are_estimated: bool
    cut: int
    cost: float | None
    cost_is_estimated: bool
    cost_is_partial: bool
    failures: dict[str, int] = field(default_factory=dict)
    reasoning_tokens: int | None = None

    @property
    def is_first_token_cold(self) -> bool:
        """Tell whether all times to the first token are those of cold answers."""
        return self.first_token_warm.median is None and self.first_token_cold.median is not None

    @property
    def first_token(self) -> FirstToken:
        """Return the times to show: of warm answers, or of cold ones where there are no others."""
        return self.first_token_cold if self.is_first_token_cold else self.first_token_warm


class Tally:
    """Add up the answers of one target, each once; holds figures, and no answer."""

    def __init__(self) -> None:
        self._count = self._answered = self._cut = 0
        self._passed: Counts = {}
        self._checks: Counts = {}
        self._warm: list[float] = []
        self._cold: list[float] = []
        self._speeds: list[float] = []
        self._costs: list[float] = []
        self._causes: Counter[str] = Counter()
        self._prompt_tokens: int | None = None
        self._completion_tokens: int | None = None
        self._reasoning_tokens: int | None = None
        self._has_estimated_tokens = self._has_estimated_cost = False

    def add(self, record: Record) -> None:
        """Count an answer."""
        self._count += 1
        self._cut += record.finish_reason == "length"
        _count_passed(self._passed, record)
        _count_checks(self._checks, record)
        if record.finish_reason == "failed":
            self._causes[record.cause or "unknown"] += 1
        if record.cost is not None:
            self._costs.append(record.cost.amount)
            self._has_estimated_cost |= record.cost.estimated
        if (timings := record.timings) is not None and timings.ttft_ms is not None:
            (self._cold if _is_cold(timings) else self._warm).append(timings.ttft_ms)
        if record.is_answered:
            self._add_answered(record)

    def _add_answered(self, record: Record) -> None:
        self._answered += 1
        timings, usage = record.timings, record.usage
        if timings is not None and timings.tokens_per_second is not None:
            self._speeds.append(timings.tokens_per_second)
        if usage is None:
            return
        if usage.prompt_tokens is not None:
            self._prompt_tokens = (self._prompt_tokens or 0) + usage.prompt_tokens
        self._completion_tokens = (self._completion_tokens or 0) + usage.completion_tokens
        if usage.reasoning_tokens is not None:
            self._reasoning_tokens = (self._reasoning_tokens or 0) + usage.reasoning_tokens
        self._has_estimated_tokens |= usage.estimated

    @property
    def scores(self) -> dict[str, float]:
        """Return the share of the answers to each prompt that passed, to compare targets by.

        A prompt none of whose answers can be told is left out.
        """
        return {prompt: passed / total for prompt, (passed, total) in self._passed.items()}

    def row(self, target: str) -> ResultsRow:
        """Return what the results table says of the target."""
        return ResultsRow(
            target=target,
            count=self._count,
            answered=self._answered,
            answers=_passed(self._passed),
            checks=_passed(self._checks),
            first_token_warm=_first_token(self._warm),
            first_token_cold=_first_token(self._cold),
            tokens_per_second=median(self._speeds),
            prompt_tokens=self._prompt_tokens,
            completion_tokens=self._completion_tokens,
            tokens_are_estimated=self._has_estimated_tokens,
            cut=self._cut,
            # The sum does not depend on the order.
            cost=math.fsum(self._costs) if self._costs else None,
            cost_is_estimated=self._has_estimated_cost,
            cost_is_partial=0 < len(self._costs) < self._answered,
            reasoning_tokens=self._reasoning_tokens,
            failures=dict(sorted(self._causes.items(), key=lambda item: (-item[1], item[0]))),
        )


@dataclass(frozen=True)
class GradeSummary:
    """Hold a target's grades: their mean with its bootstrap interval by prompt, and how many.

    `unreadable` replies of the judge are no grades. `counts` is how often each grade was given.
    """

    mean: float | None
    interval: Interval | None
    graded: int
    unreadable: int
    counts: dict[int, int]


def summarise_grades(grades: Iterable[tuple[str, Grade]], *, seed: int = 0) -> GradeSummary:
    """Sum up the grades of a target, each with its prompt's id."""
    by_prompt: dict[str, list[int]] = defaultdict(list)
    unreadable = 0
    for prompt, grade in grades:
        if grade.value is None:
            unreadable += 1
        else:
            by_prompt[prompt].append(grade.value)
    # Sorted, as resamples depend on the order.
    groups = [sorted(by_prompt[prompt]) for prompt in sorted(by_prompt)]
    counts = Counter(value for group in groups for value in group)
    return GradeSummary(
        mean=_mean(groups) if groups else None,
        # Of fewer prompts, a bootstrap's is far too narrow.
        interval=bootstrap(groups, _mean, seed=seed) if len(groups) >= FEWEST_DIFFERENT else None,
        graded=counts.total(),
        unreadable=unreadable,
        counts=dict(sorted(counts.items())),
    )


def _mean(groups: Sequence[Sequence[int]]) -> float:
    return sum(map(sum, groups)) / sum(map(len, groups))


def _count_passed(counts: Counts, record: Record) -> None:
    """Count whether an answer passed, by its prompt, if that can be told."""
    if (result := record.passed) is not None:
        passed, total = counts.get(record.prompt, (0, 0))
        counts[record.prompt] = passed + result, total + 1


def _count_checks(counts: Counts, record: Record) -> None:
    """Count the checks of an answer that passed, by its prompt, of those that can be told."""
    passed, total = counts.get(record.prompt, (0, 0))
    if record.finish_reason == "failed":
        total += record.checks_due
    elif record.is_answered:
        told = [check.passed for check in record.checks if check.passed is not None]
        passed, total = passed + sum(told), total + len(told)
    counts[record.prompt] = passed, total


def _passed(counts: Counts) -> Passed | None:
    pairs = [counts[prompt] for prompt in sorted(counts)]
    total = sum(pair[1] for pair in pairs)
    if not total:
        return None
    share, interval = share_by_prompt(pairs)
    return Passed(sum(pair[0] for pair in pairs), total, share, interval)


def _first_token(times: Sequence[float]) -> FirstToken:
    return FirstToken(len(times), median(times), percentile(times, 95))


def _is_cold(timings: Timings) -> bool:
    return timings.load_ms is not None or timings.starting_ms is not None
