"""How long each phase of a model's start takes: the base for an estimate where nothing else is.

A server that says nothing while it loads has loaded before; its last time is the best guess
for this one. What is known for certain is never replaced by a guess.
"""

from typing import Final

import msgspec

from server.core.histogram import Histogram
from server.core.protocol import Progress

# A guess that has run out is no certainty: the bar waits here for the phase to end.
_MOST = 0.95
# How long others took to make room says nothing of how long they will take.
_UNTIMED = frozenset({"waiting"})
# From the small model that is here already to the large one that is fetched first.
START_BOUNDS: Final = (0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0)


class Pace:
    """Time the phases of starts, and estimate those of the next from them."""

    def __init__(self) -> None:
        self._known: dict[str, float] = {}
        self._now: dict[str, float] = {}
        self._phase = ""
        self._since = 0.0
        self._shown = 0.0
        self._begun_at = 0.0
        self.starts = 0
        self.start_seconds = Histogram(START_BOUNDS)
        """Of the starts that came to their end."""

    def begin(self, now_seconds: float) -> None:
        """Begin a start."""
        self.starts += 1
        self._begun_at = now_seconds
        self._phase = ""
        self._now = {}

    def estimate(self, progress: Progress, now_seconds: float) -> Progress:
        """Take note of progress, and add a fraction and a time left where it has neither."""
        if progress.phase != self._phase:
            self._end_phase(now_seconds)
            self._phase, self._since, self._shown = progress.phase, now_seconds, 0.0
        fraction, eta_seconds = progress.fraction, progress.eta_seconds
        known = self._known.get(progress.phase)
        if fraction is None and eta_seconds is None and known:
            elapsed = now_seconds - self._since
            fraction = min(elapsed / known, _MOST)
            eta_seconds = max(known - elapsed, 0.0) or None
        if fraction is not None:
            fraction = self._shown = max(fraction, self._shown)
        return msgspec.structs.replace(progress, fraction=fraction, eta_seconds=eta_seconds)

    def finish(self, now_seconds: float) -> None:
        """Remember a start that came to its end."""
        self.start_seconds.observe(now_seconds - self._begun_at)
        self._end_phase(now_seconds)
        self._known |= self._now

    def _end_phase(self, now_seconds: float) -> None:
        if self._phase and self._phase not in _UNTIMED:
            self._now[self._phase] = now_seconds - self._since
