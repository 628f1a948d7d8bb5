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
    reached their length. `cost` is in US dollars; `cost_is_partial` if some answers told none.
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


def results_rows(records: Iterable[Record], targets: Sequence[str] = ()) -> list[ResultsRow]:
    """Return a row for each target: those given, in their order, then others by name."""
    by_target: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        by_target[record.target].append(record)
    others = sorted(by_target.keys() - set(targets))
    return [_row(target, by_target.get(target, [])) for target in (*targets, *others)]


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
        interval=bootstrap(groups, _mean, seed=seed) if groups else None,
        graded=counts.total(),
        unreadable=unreadable,
        counts=dict(sorted(counts.items())),
    )


def scores_by_prompt(records: Iterable[Record], target: str) -> dict[str, float]:
    """Return the share of a target's answers to each prompt that passed, to compare it by.

    A prompt none of whose answers can be told is left out.
    """
    counts = _counts(record for record in records if record.target == target)
    return {prompt: passed / total for prompt, (passed, total) in counts.items()}


def _mean(groups: Sequence[Sequence[int]]) -> float:
    return sum(map(sum, groups)) / sum(map(len, groups))


def _row(target: str, records: Sequence[Record]) -> ResultsRow:
    answered = [record for record in records if record.is_answered]
    usages = [record.usage for record in answered if record.usage is not None]
    costs = [record.cost for record in records if record.cost is not None]
    prompt_tokens = [usage.prompt_tokens for usage in usages if usage.prompt_tokens is not None]
    speeds = [
        record.timings.tokens_per_second
        for record in answered
        if record.timings is not None and record.timings.tokens_per_second is not None
    ]
    failed = [record for record in records if record.finish_reason == "failed"]
    causes = Counter(record.cause or "unknown" for record in failed)
    return ResultsRow(
        target=target,
        count=len(records),
        answered=len(answered),
        answers=_passed(_counts(records)),
        checks=_passed(_check_counts(records)),
        first_token_warm=_first_token(records, cold=False),
        first_token_cold=_first_token(records, cold=True),
        tokens_per_second=median(speeds),
        prompt_tokens=sum(prompt_tokens) if prompt_tokens else None,
        completion_tokens=sum(usage.completion_tokens for usage in usages) if usages else None,
        tokens_are_estimated=any(usage.estimated for usage in usages),
        cut=sum(record.finish_reason == "length" for record in records),
        # The sum does not depend on the order.
        cost=math.fsum(cost.amount for cost in costs) if costs else None,
        cost_is_estimated=any(cost.estimated for cost in costs),
        cost_is_partial=0 < len(costs) < len(answered),
        failures=dict(sorted(causes.items(), key=lambda item: (-item[1], item[0]))),
    )


def _counts(records: Iterable[Record]) -> dict[str, tuple[int, int]]:
    """Return, for each prompt, how many answers passed of those that can be told."""
    counts: dict[str, tuple[int, int]] = {}
    for record in records:
        if record.passed is not None:
            passed, total = counts.get(record.prompt, (0, 0))
            counts[record.prompt] = passed + record.passed, total + 1
    return counts


def _check_counts(records: Sequence[Record]) -> dict[str, tuple[int, int]]:
    """Return, for each prompt, how many checks passed of those that can be told."""
    counts: dict[str, tuple[int, int]] = {}
    for record in records:
        passed, total = counts.get(record.prompt, (0, 0))
        if record.finish_reason == "failed":
            total += record.checks_due
        elif record.is_answered:
            told = [check.passed for check in record.checks if check.passed is not None]
            passed, total = passed + sum(told), total + len(told)
        counts[record.prompt] = passed, total
    return counts


def _passed(counts: dict[str, tuple[int, int]]) -> Passed | None:
    pairs = [counts[prompt] for prompt in sorted(counts)]
    total = sum(pair[1] for pair in pairs)
    if not total:
        return None
    share, interval = share_by_prompt(pairs)
    return Passed(sum(pair[0] for pair in pairs), total, share, interval)


def _first_token(records: Iterable[Record], *, cold: bool) -> FirstToken:
    times = [
        timings.ttft_ms
        for timings in (record.timings for record in records)
        if timings is not None and timings.ttft_ms is not None and _is_cold(timings) == cold
    ]
    return FirstToken(len(times), median(times), percentile(times, 95))


def _is_cold(timings: Timings) -> bool:
    return timings.load_ms is not None or timings.starting_ms is not None
