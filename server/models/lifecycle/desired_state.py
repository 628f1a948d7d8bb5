"""The desired state of a model server, and the numbered attempts to start it.

A request to start returns a ticket: the number of the attempt whose outcome answers the request.
That is the current attempt while it can still succeed, else the next one.
"""

import asyncio
from contextlib import suppress

from server.models.state_changed import StateChanged


class DesiredState(StateChanged):
    """Hold requests and attempts, and notify waiters of each change."""

    def __init__(self, *, is_wanted: bool) -> None:
        super().__init__()
        self.is_wanted = is_wanted
        """Whether the server is to run."""
        self.attempt = 0
        self.stop_requests = 0
        self._last_closed = 0
        self._last_settled = 0
        self._is_active = False

    # --- requests ---------------------------------------------------------------------------

    def request_start(self) -> int:
        """Request a start and return its ticket."""
        self.is_wanted = True
        self.notify_all()
        return self.attempt if self.attempt > self._last_closed else self.attempt + 1

    def request_stop(self) -> None:
        """Request a stop; tickets of attempts that have not begun become void."""
        self.stop_requests += 1
        self.is_wanted = False
        self._last_closed = self.attempt
        self.notify_all()

    # --- attempts ---------------------------------------------------------------------------

    def begin_attempt(self) -> None:
        """Begin an attempt."""
        self.attempt += 1
        self._is_active = True

    def settle_attempt(self) -> None:
        """Release the waiters of the current attempt, whose outcome is known."""
        self._last_settled = self.attempt
        self.notify_all()

    def close_attempt(self) -> None:
        """Issue no more tickets for the current attempt; tickets for the next one stay valid."""
        if self.attempt > self._last_closed:
            self.is_wanted = False
            self._last_closed = self.attempt
        self.notify_all()

    def end_attempt(self) -> None:
        """End the current attempt, of whose server nothing is left."""
        self._is_active = False
        self.settle_attempt()

    # --- waiting ----------------------------------------------------------------------------

    async def wait_for_outcome(self, ticket: int) -> bool:
        """Wait for the outcome of the ticket's attempt; return False if the ticket became void."""
        stops = self.stop_requests

        def is_void() -> bool:
            return self.attempt < ticket and self.stop_requests > stops

        await self.wait_for(lambda: self._last_settled >= ticket or is_void())
        return self._last_settled >= ticket

    async def wait_until_ended(self) -> None:
        """Wait until the current attempt has ended."""
        attempt = self.attempt
        await self.wait_for(lambda: not self._is_active or self.attempt > attempt)

    async def is_unchanged_for(self, seconds: float) -> bool:
        """Wait for that time; return False as soon as a start or a stop is requested, else True."""
        stops = self.stop_requests
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.wait_for(lambda: self.is_wanted or self.stop_requests > stops)
        return not self.is_wanted and self.stop_requests == stops
