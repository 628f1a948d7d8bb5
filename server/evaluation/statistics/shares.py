"""The share of answers that passed, added up part by part."""

from collections.abc import Iterable
from dataclasses import dataclass

from server.evaluation.statistics.intervals import CONFIDENCE, Interval, wilson_by_prompt


@dataclass
class PassCounts:
    """Sums over prompts, from which `share_by_prompt` follows without having them all at once.

    Answers to one prompt have to be added together.
    """

    prompts: int = 0
    passed: int = 0
    total: int = 0
    _passed_squared: int = 0
    _total_squared: int = 0
    _products: int = 0

    def add(self, counts: Iterable[tuple[int, int]]) -> None:
        """Add (passed, total) of each prompt; one without answers counts nothing."""
        for passed, total in counts:
            if total:
                self.prompts += 1
                self.passed += passed
                self.total += total
                self._passed_squared += passed * passed
                self._total_squared += total * total
                self._products += passed * total

    def share(self, confidence: float = CONFIDENCE) -> tuple[float, Interval]:
        """Return what `share_by_prompt` does for all that was added."""
        if not self.total:
            return 0.0, Interval(0.0, 1.0)
        share = self.passed / self.total
        spread = self._passed_squared - 2 * share * self._products + share**2 * self._total_squared
        return share, wilson_by_prompt(share, self.total, self.prompts, spread, confidence)
