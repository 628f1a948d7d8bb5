"""Two targets, compared on the same prompts, in figures and in words a person understands.

A prompt is one observation, however often it was asked: each target has one score on it, from 0 to
1. Whether a difference is more than noise says the exact sign test over the prompts on which the
scores differ, which for passed and failed checks is the exact McNemar test.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from server.evaluation.statistics.intervals import CONFIDENCE, Interval, bootstrap, wilson

SIGNIFICANCE: Final = 0.05
# With fewer prompts that differ, not even all of them in favour of one target would be significant.
FEWEST_DIFFERENT: Final = 6


@dataclass(frozen=True)
class PairedComparison:
    """Say on how many prompts the first target was better, worse and equal, and what follows.

    `difference` is the mean of the first target's scores less that of the second's. Its `interval`
    is Newcombe's where all scores are 0 or 1, else a bootstrap over prompts, as `method` says.
    `p_value` is two-sided. `better_interval` is Wilson's, in prompts.
    """

    better: int
    worse: int
    equal: int
    difference: float
    interval: Interval
    method: Literal["newcombe", "bootstrap"]
    p_value: float
    better_interval: Interval
    confidence: float = CONFIDENCE

    @property
    def prompts(self) -> int:
        """Return on how many prompts both targets have a score."""
        return self.better + self.worse + self.equal

    @property
    def is_noise(self) -> bool:
        """Tell whether chance alone would explain the difference, at a level of 5 %."""
        return self.p_value >= SIGNIFICANCE


def compare_paired(
    first: Mapping[str, float],
    second: Mapping[str, float],
    *,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> PairedComparison:
    """Compare two targets by their scores, 0 to 1 by prompt; a prompt that one lacks is left out.

    Raises `ValueError` for a score beyond 0 and 1.
    """
    # Sorted, so that the order in which answers came changes nothing.
    pairs = [(first[prompt], second[prompt]) for prompt in sorted(first.keys() & second.keys())]
    if not all(0 <= score <= 1 for pair in pairs for score in pair):
        raise ValueError("a score is beyond 0 and 1")
    better = sum(one > two for one, two in pairs)
    worse = sum(one < two for one, two in pairs)
    bounds = wilson(better, len(pairs), confidence)
    if all(score in (0, 1) for pair in pairs for score in pair):
        both = sum(one == two == 1 for one, two in pairs)
        table = (both, better, worse, len(pairs) - both - better - worse)
        method: Literal["newcombe", "bootstrap"] = "newcombe"
        interval = newcombe_paired(*table, confidence=confidence)
    else:
        method = "bootstrap"
        interval = bootstrap(pairs, _mean_difference, confidence=confidence, seed=seed)
    return PairedComparison(
        better=better,
        worse=worse,
        equal=len(pairs) - better - worse,
        difference=_mean_difference(pairs),
        interval=interval,
        method=method,
        p_value=sign_test(better, worse),
        better_interval=Interval(bounds.low * len(pairs), bounds.high * len(pairs)),
        confidence=confidence,
    )


def sign_test(better: int, worse: int) -> float:
    """Return the exact two-sided p-value that as many of both would differ as much by chance."""
    total, count, tail = better + worse, 1, 0
    for number in range(min(better, worse) + 1):
        tail += count
        count = count * (total - number) // (number + 1)
    return min(1.0, 2 * tail / (1 << total))


def newcombe_paired(
    both: int, first_only: int, second_only: int, neither: int, confidence: float = CONFIDENCE
) -> Interval:
    """Return an interval of the difference between two shares of the same prompts.

    Method 10 of Newcombe, Statistics in Medicine 17 (1998), 2635-2650: Wilson's intervals of both,
    squared and added, less what their correlation explains. -1 to 1 where there is no prompt.
    """
    total = both + first_only + second_only + neither
    if not total:
        return Interval(-1.0, 1.0)
    one, two = (both + first_only) / total, (both + second_only) / total
    of_one = wilson(both + first_only, total, confidence)
    of_two = wilson(both + second_only, total, confidence)
    correlation = _correlation(both, first_only, second_only, neither)
    down = _distance(one - of_one.low, of_two.high - two, correlation)
    up = _distance(of_one.high - one, two - of_two.low, correlation)
    return Interval(max(-1.0, one - two - down), min(1.0, one - two + up))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values of several comparisons, so adjusted that all of them may be believed at once.

    Holm, Scandinavian Journal of Statistics 6 (1979), 65-70.
    """
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, p_values[index] * (len(p_values) - rank)))
        adjusted[index] = largest
    return adjusted


def in_words(
    comparison: PairedComparison, first: str, second: str, *, p_value: float | None = None
) -> str:
    """Say in two sentences which target is better, by how many prompts, and how sure that is.

    `p_value` is the comparison's own unless it was adjusted for several.
    """
    if not comparison.prompts:
        return f"{first} and {second} have no prompt in common."
    counts = (
        f"{first} is better in {comparison.better} of {comparison.prompts} prompts,"
        f" worse in {comparison.worse}, equal in {comparison.equal}"
    )
    different = comparison.better + comparison.worse
    if not different:
        where = f"all {comparison.prompts} prompts" if comparison.prompts > 1 else "the one prompt"
        return f"No prompt differs: {first} and {second} are equal in {where}."
    if (comparison.p_value if p_value is None else p_value) >= SIGNIFICANCE:
        few = different < FEWEST_DIFFERENT
        which = "prompt that differs is" if different == 1 else "prompts that differ are"
        why = f" ({different} {which} too few to tell)" if few else ""
        if not comparison.is_noise:
            why = " (alone it would be, but not among so many comparisons)"
        return f"No difference that is more than noise{why}. {counts}."
    # Outwards, so that rounding does not claim more than was computed.
    low = math.floor(comparison.better_interval.low)
    high = math.ceil(comparison.better_interval.high)
    winner, loser = (first, second) if comparison.better > comparison.worse else (second, first)
    percent = f"{comparison.confidence * 100:g} %"
    return f"{winner} is better than {loser}. {counts} ({percent} interval {low} to {high})."


def _correlation(both: int, first_only: int, second_only: int, neither: int) -> float:
    """Return Newcombe's phi, corrected for continuity where it is positive."""
    margins = (
        (both + first_only)
        * (second_only + neither)
        * (both + second_only)
        * (first_only + neither)
    )
    if not margins:
        return 0.0
    product = float(both * neither - first_only * second_only)
    if product > 0:
        product = max(0.0, product - (both + first_only + second_only + neither) / 2)
    return product / math.sqrt(margins)


def _distance(one: float, two: float, correlation: float) -> float:
    return math.sqrt(max(0.0, one * one - 2 * correlation * one * two + two * two))


def _mean_difference(pairs: Sequence[tuple[float, float]]) -> float:
    # The sum does not depend on the order.
    return math.fsum(one - two for one, two in pairs) / len(pairs) if pairs else 0.0
