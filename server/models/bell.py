"""Wait for something to become true in a world that one task changes and others watch."""

import asyncio
from collections.abc import Callable


class Bell:
    """Wake everybody who waits; each looks for itself whether it was meant."""

    def __init__(self) -> None:
        self._waiters: set[asyncio.Future[None]] = set()

    def ring(self) -> None:
        """Have every waiter look again."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def until(self, is_true: Callable[[], bool]) -> None:
        """Return as soon as `is_true()` at a ring, at once if it is true already."""
        while not is_true():
            await self.next()

    async def next(self) -> None:
        """Return at the next ring."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            await waiter
        finally:
            self._waiters.discard(waiter)
