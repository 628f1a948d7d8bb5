"""What is measured of the service itself: requests, commands, and the event loop's lag.

Labels are routes, codes and types only, never what a client sent.
"""

import asyncio
from collections import Counter
from typing import Final

from server.core.histogram import Histogram

# From a look at `/health` to a long answer that is streamed.
_REQUEST_BOUNDS: Final = (0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 10.0, 30.0, 120.0)
# From what nobody notices to what breaks health checks.
_LAG_BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
_LAG_INTERVAL_SECONDS: Final = 0.5


class RequestCounters:
    """Count requests by method, route and status, and commands by type and outcome."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, str, str]] = Counter()
        self.request_seconds: dict[str, Histogram] = {}
        self.commands: Counter[tuple[str, str]] = Counter()

    def count_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request that was answered."""
        self.requests[method, route, str(status)] += 1
        histogram = self.request_seconds.get(route)
        if histogram is None:
            histogram = self.request_seconds[route] = Histogram(_REQUEST_BOUNDS)
        histogram.observe(seconds)

    def count_command(self, kind: str, outcome: str) -> None:
        """Count a command that was answered: `ok`, or the code of its error."""
        self.commands[kind, outcome] += 1


class LoopLag:
    """Measure until closed how late timers of the running loop fire: two timers a second."""

    def __init__(self) -> None:
        self.seconds = Histogram(_LAG_BOUNDS)
        self._loop = asyncio.get_running_loop()
        self._due = 0.0
        self._timer = self._schedule()

    def close(self) -> None:
        """Measure no more."""
        self._timer.cancel()

    def _schedule(self) -> asyncio.TimerHandle:
        self._due = self._loop.time() + _LAG_INTERVAL_SECONDS
        return self._loop.call_at(self._due, self._measure)

    def _measure(self) -> None:
        self.seconds.observe(max(self._loop.time() - self._due, 0.0))
        self._timer = self._schedule()
