"""A gate holds up a task where a test wants it, and tells the test that it is there."""

import asyncio

from server.models.state_changed import StateChanged


class Gate:
    """A place that is passed at once while it is open, and where whoever comes waits while not."""

    def __init__(self) -> None:
        self.is_open = True
        self.arrivals = 0
        self._changed = StateChanged()

    def close(self) -> None:
        """Hold up who comes from now on."""
        self.is_open = False

    def open(self) -> None:
        """Let everybody through."""
        self.is_open = True
        self._changed.notify_all()

    async def pass_through(self) -> None:
        """Go through, once it is open."""
        self.arrivals += 1
        self._changed.notify_all()
        await self._changed.wait_for(lambda: self.is_open)

    async def reached(self, arrivals: int = 1, *, ceiling_seconds: float = 20) -> None:
        """Return once so many have come, since ever."""
        try:
            async with asyncio.timeout(ceiling_seconds):
                await self._changed.wait_for(lambda: self.arrivals >= arrivals)
        except TimeoutError:
            raise AssertionError(f"{self.arrivals} came, not {arrivals}") from None
