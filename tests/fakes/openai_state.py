"""What happened to a fake of OpenAI's form so far, and how to wait for it without sleeping."""

from collections import Counter
from typing import Any
from weakref import WeakSet

from tests.fakes.tgi_state import FakeState


class OpenAIState(FakeState):
    """Count, besides what became of generations, every request by its route, and connections.

    `routes["GET /v1/models"]` has every request by what it asked for; `asked` in `counts` is all
    of them, `connections` those that were accepted, `handshakes` those that got as far as HTTP:
    all of them, or with TLS those that came to an agreement.
    """

    def __init__(self) -> None:
        super().__init__()
        self.counts |= {"asked": 0, "connections": 0, "handshakes": 0, "open": 0, "held": 0}
        self.routes: Counter[str] = Counter()
        self.headers: list[dict[str, str]] = []
        """The headers of each request, names in lower case."""
        self.bodies: list[bytes] = []
        """What was sent to routes whose answers are given."""
        self.transports: WeakSet[Any] = WeakSet()
        """The connections that have brought a request."""

    @property
    def generations(self) -> int:
        """Return how many requests asked for an answer: what costs something."""
        return self.counts["started"]

    def ask(self, route: str, headers: dict[str, str]) -> None:
        """Count a request, of whatever kind."""
        self.routes[route] += 1
        self.headers.append(headers)
        self._count(asked=1)

    def count(self, **changes: int) -> None:
        """Add to counts."""
        self._count(**changes)

    def to_wire(self) -> dict[str, Any]:
        """Return the counts, the routes and the bodies as `GET /_fake/state` shows them."""
        return {**super().to_wire(), "routes": dict(self.routes)}
