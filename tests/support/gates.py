"""Hold something up exactly where a test wants it, and know that it has got there."""

import asyncio

from server.models.bell import Bell


class Gate:
    """A place that is passed at once while it is open, and where whoever comes waits while not."""

    def __init__(self) -> None:
        self.is_open = True
        self.arrivals = 0
        self._bell = Bell()

    def close(self) -> None:
        """Hold up who comes from now on."""
        self.is_open = False

    def open(self) -> None:
        """Let everybody through."""
        self.is_open = True
        self._bell.ring()

    async def pass_through(self) -> None:
        """Go through, once it is open."""
        self.arrivals += 1
        self._bell.ring()
        await self._bell.until(lambda: self.is_open)

    async def reached(self, arrivals: int = 1, *, ceiling_seconds: float = 20) -> None:
        """Return once so many have come, since ever."""
        try:
            async with asyncio.timeout(ceiling_seconds):
                await self._bell.until(lambda: self.arrivals >= arrivals)
        except TimeoutError:
            raise AssertionError(f"{self.arrivals} came, not {arrivals}") from None
