"""What is wanted of a model server, and which attempt to start it answers whom.

Attempts are numbered. Whoever wants the server gets a ticket, the number of the attempt
that will answer: the one under way, or the next one when that has failed or is being
stopped and so can answer nobody who asks only now.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from server.models.bell import Bell


class Demand:
    """Hold wishes and attempts; wake those who wait whenever either changes."""

    def __init__(self, *, is_wanted: bool) -> None:
        self.is_wanted = is_wanted
        self.attempt = 0
        self.stops_asked = 0
        self._spent = 0
        self._settled = 0
        self._is_active = False
        self._bell = Bell()

    # --- wishes -----------------------------------------------------------------------------

    def want(self) -> int:
        """Ask for the server to be up; return a ticket."""
        self.is_wanted = True
        self._bell.ring()
        return self.attempt if self.attempt > self._spent else self.attempt + 1

    def unwant(self) -> None:
        """Ask for the server to be down; tickets of an attempt not yet begun mean nothing now."""
        self.stops_asked += 1
        self.is_wanted = False
        self._spent = self.attempt
        self._bell.ring()

    # --- attempts ---------------------------------------------------------------------------

    def begin(self) -> None:
        """Begin an attempt."""
        self.attempt += 1
        self._is_active = True

    def settle(self) -> None:
        """Release those whose ticket is the present attempt: it is known what came of it."""
        self._settled = self.attempt
        self._bell.ring()

    def withdraw(self) -> None:
        """Have the present attempt answer nobody any more; who wants the next one still does."""
        if self.attempt > self._spent:
            self.is_wanted = False
            self._spent = self.attempt
        self._bell.ring()

    def finish(self) -> None:
        """End the attempt: nothing of its server is left."""
        self._is_active = False
        self.settle()

    # --- waiting ----------------------------------------------------------------------------

    def ring(self) -> None:
        """Have those who wait look again."""
        self._bell.ring()

    async def until(self, is_true: Callable[[], bool]) -> None:
        """Return as soon as `is_true()`."""
        await self._bell.until(is_true)

    async def until_changed(self) -> None:
        """Return at the next wish, or when something becomes known of an attempt."""
        await self._bell.next()

    async def until_settled(self, ticket: int) -> bool:
        """Return when it is known what came of the ticket's attempt; False if it is not made."""
        stops = self.stops_asked
        await self._bell.until(
            lambda: self._settled >= ticket or (self.attempt < ticket and self.stops_asked > stops)
        )
        return self._settled >= ticket

    async def until_gone(self) -> None:
        """Return when nothing is left of the present attempt."""
        attempt = self.attempt
        await self._bell.until(lambda: not self._is_active or self.attempt > attempt)

    async def is_left_alone_for(self, seconds: float) -> bool:
        """Wait, and tell whether nobody asked for a start or a stop meanwhile."""
        stops = self.stops_asked
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._bell.until(lambda: self.is_wanted or self.stops_asked > stops)
        return not self.is_wanted and self.stops_asked == stops

    @property
    def is_settled(self) -> bool:
        """Tell whether it is known what came of the present attempt."""
        return self._settled == self.attempt
