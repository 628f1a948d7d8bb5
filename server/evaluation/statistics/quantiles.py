"""Quantiles of the normal and of Student's t distribution, in plain code."""

import math
from functools import lru_cache
from statistics import NormalDist
from typing import Final

# Beyond as many degrees of freedom a series in their inverse gives six digits, and is faster.
_MOST_EXACT: Final = 100
# Each halves what is left of a quarter turn: as far as floats tell.
_STEPS: Final = 60


def quantile_of_normal(confidence: float) -> float:
    """Return how many standard deviations on both sides hold this much of a normal distribution.

    Raises `ValueError` unless the confidence is between 0 and 1.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"{confidence} is no confidence: it is between 0 and 1")
    return NormalDist().inv_cdf((1 + confidence) / 2)


@lru_cache(maxsize=4096)
def quantile_of_student(confidence: float, freedom: int) -> float:
    """Return how far on both sides of 0 this much of a t distribution reaches.

    `freedom` is its degrees of freedom. Raises `ValueError` unless the confidence is between 0 and
    1 and there is a degree of freedom.
    """
    normal = quantile_of_normal(confidence)
    if freedom < 1:
        raise ValueError(f"there are no {freedom} degrees of freedom")
    if freedom > _MOST_EXACT:
        return _expanded(normal, freedom)
    low, high = 0.0, math.pi / 2
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if _within(middle, freedom) < confidence:
            low = middle
        else:
            high = middle
    return math.tan(low) * math.sqrt(freedom)


def _within(angle: float, freedom: int) -> float:
    """Return how much of the distribution is within t = tan(angle) * sqrt(freedom).

    Formulas 26.7.3 and 26.7.4 of Abramowitz and Stegun, Handbook of Mathematical Functions.
    """
    sine, cosine = math.sin(angle), math.cos(angle)
    is_odd = freedom % 2
    term = cosine if is_odd else 1.0
    total = 0.0
    for power in range(1 + is_odd, freedom, 2):
        total += term
        term *= cosine * cosine * power / (power + 1)
    return 2 / math.pi * (angle + sine * total) if is_odd else sine * total


def _expanded(x: float, freedom: int) -> float:
    """Return the quantile from that of the normal distribution: formula 26.7.5 of the same."""
    parts = (
        (x**3 + x) / 4,
        (5 * x**5 + 16 * x**3 + 3 * x) / 96,
        (3 * x**7 + 19 * x**5 + 17 * x**3 - 15 * x) / 384,
        (79 * x**9 + 776 * x**7 + 1482 * x**5 - 1920 * x**3 - 945 * x) / 92160,
    )
    return x + math.fsum(part / float(freedom) ** power for power, part in enumerate(parts, 1))
