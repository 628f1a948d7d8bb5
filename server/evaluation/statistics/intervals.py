"""Shares, percentiles, and how far both can be trusted.

Repeated answers to one prompt resemble each other: ten answers to four prompts are not forty
observations. Whatever is computed here from repeats is computed by prompt.
"""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from server.evaluation.statistics.quantiles import quantile_of_normal, quantile_of_student

CONFIDENCE: Final = 0.95
BOOTSTRAP_SAMPLES: Final = 1000

_T = TypeVar("_T")


@dataclass(frozen=True)
class Interval:
    """Hold two bounds, both of which belong to the interval."""

    low: float
    high: float


def wilson(passed: float, total: float, confidence: float = CONFIDENCE) -> Interval:
    """Return Wilson's score interval of a share; 0 to 1 where there is nothing to count.

    Without continuity correction: method 3 of Newcombe, Statistics in Medicine 17 (1998), 857-872.
    Raises `ValueError` unless 0 <= passed <= total.
    """
    if not 0 <= passed <= total:
        raise ValueError(f"{passed} of {total} is no share")
    if not total:
        return Interval(0.0, 1.0)
    z = quantile_of_normal(confidence)
    share = passed / total
    middle = passed + z * z / 2
    half = z * math.sqrt(passed * (1 - share) + z * z / 4)
    # Rounding alone must not put a bound beyond the share, or beyond 0 and 1.
    return Interval(
        max(0.0, min(share, (middle - half) / (total + z * z))),
        min(1.0, max(share, (middle + half) / (total + z * z))),
    )


def share_by_prompt(
    counts: Sequence[tuple[float, int]], confidence: float = CONFIDENCE
) -> tuple[float, Interval]:
    """Return the share of passed answers with its interval, from (passed, total) of each prompt.

    An answer may have passed by a part, such as a tie by half.

    With one answer a prompt this is Wilson's interval. With repeats the number of answers is
    replaced by how many independent ones they are worth. Without answers the share is 0.
    """
    counts = [count for count in counts if count[1]]
    passed, total = sum(count[0] for count in counts), sum(count[1] for count in counts)
    if not total:
        return 0.0, Interval(0.0, 1.0)
    share = passed / total
    spread = sum((good - share * all_) ** 2 for good, all_ in counts)
    return share, wilson_by_prompt(share, total, len(counts), spread, confidence)


def wilson_by_prompt(
    share: float, total: int, prompts: int, spread: float, confidence: float = CONFIDENCE
) -> Interval:
    """Return Wilson's interval for as many independent answers as repeats are worth.

    `spread` is the sum over prompts of the squares of passed - share * total. How many answers are
    worth follows from how much prompts differ (Dean and Pagano, Journal of Survey Statistics and
    Methodology 3 (2015), 484-503), and from how well few prompts tell that, by the ratio of t
    quantiles of Korn and Graubard (Survey Methodology 24 (1998), 193-201). It is at least the
    number of prompts, which it is where all answers are alike, and at most that of the answers.
    """
    worth, most = float(prompts), share * (1 - share)
    if prompts > 1 and most:
        variance = prompts / (prompts - 1) * spread / total**2
        told = quantile_of_student(confidence, total - 1)
        told /= quantile_of_student(confidence, prompts - 1)
        worth = max(worth, told**2 * min(total, most / variance if variance > 0 else total))
    return wilson(min(worth, share * worth), worth, confidence)


def percentile(values: Sequence[float], percent: float) -> float | None:
    """Return a percentile, interpolated between the two values around it; None without values.

    Definition 7 of Hyndman and Fan, The American Statistician 50 (1996), 361-365: the rank is
    1 + (n - 1) * percent / 100, as in NumPy and spreadsheets. Raises `ValueError` unless `percent`
    is 0 to 100.
    """
    if not 0 <= percent <= 100:
        raise ValueError(f"{percent} is no percentage")
    if not values:
        return None
    ordered = sorted(values)
    rank = (len(ordered) - 1) * percent / 100
    below = math.floor(rank)
    low, high = ordered[below], ordered[min(below + 1, len(ordered) - 1)]
    return min(high, max(low, low + (high - low) * (rank - below)))


def median(values: Sequence[float]) -> float | None:
    """Return the middle value, or the mean of the two in the middle; None without values."""
    return percentile(values, 50)


def bootstrap(
    groups: Sequence[_T],
    estimate: Callable[[Sequence[_T]], float],
    *,
    confidence: float = CONFIDENCE,
    samples: int = BOOTSTRAP_SAMPLES,
    seed: int = 0,
) -> Interval:
    """Return a percentile bootstrap interval of an estimate, extended to contain the estimate.

    What depends on each other, such as all answers to a prompt, has to be one group: groups are
    drawn with replacement. The same groups in the same order with the same seed give the same
    interval. Raises `ValueError` without groups.
    """
    found = [estimate(drawn) for drawn in resamples(groups, samples, seed)]
    return interval_around(estimate(groups), found, confidence)


def resamples(groups: Sequence[_T], samples: int, seed: int) -> list[list[_T]]:
    """Return as many lists of groups, drawn with replacement; raises `ValueError` without any."""
    if not groups:
        raise ValueError("there is nothing to draw from")
    # Its own generator: the same seed draws the same whatever else is random in the process.
    draw = random.Random(seed)
    return [draw.choices(groups, k=len(groups)) for _ in range(samples)]


def interval_around(
    estimate: float, found: Sequence[float], confidence: float = CONFIDENCE
) -> Interval:
    """Return the middle part of what resamples gave, extended to contain the estimate itself."""
    tail = (1 - confidence) / 2 * 100
    low, high = percentile(found, tail), percentile(found, 100 - tail)
    return Interval(
        estimate if low is None else min(low, estimate),
        estimate if high is None else max(high, estimate),
    )
