"""A histogram with Prometheus' cumulative buckets."""

import math
from bisect import bisect_left


class Histogram:
    """Count observations by the smallest bound that is not below them."""

    __slots__ = ("_bounds", "_counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.sum = 0.0
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)

    @property
    def total(self) -> int:
        """Return how many observations there are."""
        return sum(self._counts)

    def observe(self, value: float, times: int = 1) -> None:
        """Add an observation, or as many equal ones."""
        self._counts[bisect_left(self._bounds, value)] += times
        self.sum += value * times

    def cumulative(self) -> list[tuple[float, int]]:
        """Return each bound with how many observations are not above it; the last is infinite."""
        below = 0
        buckets = []
        for bound, count in zip((*self._bounds, math.inf), self._counts, strict=True):
            below += count
            buckets.append((bound, below))
        return buckets
