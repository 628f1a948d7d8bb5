"""Estimate the progress of a start from how long its phases took last time.

Many servers log nothing while they load. An estimate never replaces progress that a server reports.
"""

from typing import Final

import msgspec

from server.core.protocol import Progress

# A phase that takes longer than estimated stays at this fraction until it ends.
_MAX_FRACTION: Final = 0.95
# How long it took to get room says nothing about the next time.
_UNTIMED: Final = frozenset({"waiting"})


class StartEstimates:
    """Time the phases of starts, and estimate those of the next start from them."""

    def __init__(self) -> None:
        self._known: dict[str, float] = {}
        self._measured: dict[str, float] = {}
        self._phase = ""
        self._since = 0.0
        self._shown = 0.0

    def begin(self) -> None:
        """Begin a start."""
        self._phase = ""
        self._measured = {}

    def estimate(self, progress: Progress, now_seconds: float) -> Progress:
        """Record progress; add an estimated fraction and remaining time if it has neither."""
        if progress.phase != self._phase:
            self._end_phase(now_seconds)
            self._phase, self._since, self._shown = progress.phase, now_seconds, 0.0
        fraction, eta_seconds = progress.fraction, progress.eta_seconds
        known = self._known.get(progress.phase)
        if fraction is None and eta_seconds is None and known:
            elapsed = now_seconds - self._since
            fraction = min(elapsed / known, _MAX_FRACTION)
            eta_seconds = max(known - elapsed, 0.0) or None
        if fraction is not None:
            fraction = self._shown = max(fraction, self._shown)
        return msgspec.structs.replace(progress, fraction=fraction, eta_seconds=eta_seconds)

    def finish(self, now_seconds: float) -> None:
        """Keep the times of a start that succeeded."""
        self._end_phase(now_seconds)
        self._known |= self._measured

    def _end_phase(self, now_seconds: float) -> None:
        if self._phase and self._phase not in _UNTIMED:
            self._measured[self._phase] = now_seconds - self._since
