"""What is counted of requests and commands; routes, codes and types only, never what was sent."""

from collections import Counter
from typing import Final

from server.core.histogram import Histogram

# From a look at `/health` to a long answer that is streamed.
BOUNDS: Final = (0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 10.0, 30.0, 120.0)


class Tally:
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
            histogram = self.request_seconds[route] = Histogram(BOUNDS)
        histogram.observe(seconds)

    def count_command(self, kind: str, outcome: str) -> None:
        """Count a command that was answered: `ok`, or the code of its error."""
        self.commands[kind, outcome] += 1
