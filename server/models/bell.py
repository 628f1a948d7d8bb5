"""Wait for something to become true in a world that one task changes and others watch."""

import asyncio
from collections.abc import Callable


class Bell:
    """Wake everybody who waits; each looks for itself whether it was meant.

    Who has waited longest looks first, however often it has looked before.
    """

    def __init__(self) -> None:
        # By whoever waits, in the order in which they came.
        self._waiters: dict[object, asyncio.Future[None]] = {}

    def ring(self) -> None:
        """Have every waiter look again."""
        for waiter in self._waiters.values():
            if not waiter.done():
                waiter.set_result(None)

    async def until(self, is_true: Callable[[], bool]) -> None:
        """Return as soon as `is_true()` at a ring, at once if it is true already."""
        place = object()
        try:
            while not is_true():
                await self._ringing(place)
        finally:
            self._waiters.pop(place, None)

    async def next(self) -> None:
        """Return at the next ring."""
        place = object()
        try:
            await self._ringing(place)
        finally:
            self._waiters.pop(place, None)

    async def _ringing(self, place: object) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiters[place] = waiter
        await waiter
