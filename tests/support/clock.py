"""A clock that stands until a test lets time pass."""

import heapq
import itertools
from collections.abc import Callable


class Timer:
    """Something that will happen at a moment of the clock, unless it is cancelled."""

    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback = callback
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class Clock:
    """Stand in for the loop's clock and its timers."""

    def __init__(self) -> None:
        self.now = 0.0
        self._number = itertools.count()
        self._timers: list[tuple[float, int, Timer]] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: Callable[[], None], /) -> Timer:
        timer = Timer(callback)
        heapq.heappush(self._timers, (self.now + delay, next(self._number), timer))
        return timer

    @property
    def waiting(self) -> int:
        """Return how many timers are still to come."""
        return sum(not timer.is_cancelled for _, _, timer in self._timers)

    def pass_to(self, moment: float) -> None:
        """Let time pass, and what is due then happen when it is due."""
        while self._timers and self._timers[0][0] <= moment:
            self.now, _, timer = heapq.heappop(self._timers)
            if not timer.is_cancelled:
                timer.callback()
        self.now = moment

    def starve_to(self, moment: float) -> None:
        """Let time pass in which nothing runs, and then what was due."""
        self.now = moment
        due = []
        while self._timers and self._timers[0][0] <= moment:
            due.append(heapq.heappop(self._timers)[2])
        for timer in due:
            if not timer.is_cancelled:
                timer.callback()
