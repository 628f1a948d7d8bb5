"""What happened to a fake TGI so far, and how to wait for it without sleeping."""

import asyncio
from typing import Any


class FakeState:
    """Count requests by what became of them, and keep their bodies.

    `started` ones are in the end `served`, `cancelled` (the client's connection ended), `refused`
    (with TGI's error, in the stream or as a status) or `broken` (by a flag of the fake's own);
    until then they are `running`. `tokens` counts the token events sent.
    """

    OUTCOMES = ("served", "cancelled", "refused", "broken")

    def __init__(self) -> None:
        self.counts = dict.fromkeys(("started", "running", "tokens", *self.OUTCOMES), 0)
        self.requests: list[dict[str, Any]] = []
        self.metrics_requests = 0
        self.traceparents: list[str | None] = []
        self.released = asyncio.Event()
        self._changed = asyncio.Event()

    def begin(self, body: dict[str, Any], traceparent: str | None = None) -> None:
        """Count a request that is taken up, and keep its body and what it is traced by."""
        self.requests.append(body)
        self.traceparents.append(traceparent)
        self._count(started=1, running=1)

    def add_token(self) -> None:
        """Count a token event that was sent whole."""
        self._count(tokens=1)

    def end(self, outcome: str) -> None:
        """Count one of `OUTCOMES` for a request that was taken up."""
        self._count(**{outcome: 1}, running=-1)

    def release(self) -> None:
        """Let every request go on that `hold_after` pauses, now and from now on."""
        self.released.set()

    async def reaches(self, *, ceiling_seconds: float = 20.0, **wanted: int) -> None:
        """Wait until each named count is at least the given number.

        Raises AssertionError with the counts when that has not come by the ceiling.
        """
        try:
            async with asyncio.timeout(ceiling_seconds):
                while any(self.counts[name] < number for name, number in wanted.items()):
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"waited for {wanted}, saw {self.counts}") from None

    def to_wire(self) -> dict[str, Any]:
        """Return the counts and the bodies as `GET /_fake/state` shows them."""
        return {**self.counts, "requests": self.requests}

    def _count(self, **changes: int) -> None:
        for name, change in changes.items():
            self.counts[name] += change
        self._changed.set()
        self._changed = asyncio.Event()
