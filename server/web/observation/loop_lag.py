"""How late the event loop is: the time that everybody waits for whoever holds it.

A timer that is due at a known time and comes later tells by how much; it costs some
microseconds twice a second.
"""

import asyncio
from typing import Final

from server.core.histogram import Histogram

INTERVAL_SECONDS: Final = 0.5
# From what nobody notices to what breaks health checks.
BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)


class LoopLag:
    """Measure the running loop's lag until closed."""

    def __init__(self) -> None:
        self.seconds = Histogram(BOUNDS)
        self._loop = asyncio.get_running_loop()
        self._due = 0.0
        self._timer = self._set()

    def close(self) -> None:
        """Measure no more."""
        self._timer.cancel()

    def _set(self) -> asyncio.TimerHandle:
        self._due = self._loop.time() + INTERVAL_SECONDS
        return self._loop.call_at(self._due, self._look)

    def _look(self) -> None:
        self.seconds.observe(max(self._loop.time() - self._due, 0.0))
        self._timer = self._set()
