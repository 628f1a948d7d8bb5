"""Wait until a predicate is true: `asyncio.Condition` for code that is not a coroutine.

`asyncio.Condition` can be notified only by a coroutine that holds its lock. Here state changes
within one step of the event loop, so no lock is needed.
"""

import asyncio
from collections.abc import Callable


class StateChanged:
    """Notify all waiters that state has changed; each checks its own predicate.

    Waiters are resumed in the order in which they began to wait, however often they were notified.
    """

    def __init__(self) -> None:
        # Keyed by waiter, in the order in which they began to wait.
        self._waiters: dict[object, asyncio.Future[None]] = {}

    def notify_all(self) -> None:
        """Wake all waiters, so that each checks its predicate."""
        for waiter in self._waiters.values():
            if not waiter.done():
                waiter.set_result(None)

    async def wait_for(self, predicate: Callable[[], bool]) -> None:
        """Wait until `predicate()` is true at a notification; return at once if it is true now."""
        key = object()
        try:
            while not predicate():
                await self._notified(key)
        finally:
            self._waiters.pop(key, None)

    async def wait(self) -> None:
        """Wait for the next notification."""
        key = object()
        try:
            await self._notified(key)
        finally:
            self._waiters.pop(key, None)

    async def _notified(self, key: object) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiters[key] = waiter
        await waiter
