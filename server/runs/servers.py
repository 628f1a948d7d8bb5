"""Which model servers runs use, so that those that do not fit together take turns.

Rules:

1. A server is used by runs while they have something to ask of it. Another one is used beside it if
   it could start now; else it waits, so that all prompts go to one model before the next.
2. Somebody else's start that waits for room goes first: runs ask nothing more until it is over.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from server.core.protocol import Model
from server.models.fleet import Fleet
from server.models.state_changed import StateChanged


class ServerUse:
    """Decide which model servers the runs use at once."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._used: Counter[str] = Counter()
        self._deciding = asyncio.Lock()
        self._changed = StateChanged()
        self._unsubscribe = fleet.subscribe(self._on_model)

    def close(self) -> None:
        """Watch the models no longer."""
        self._unsubscribe()

    @asynccontextmanager
    async def use(self, model_id: str, is_over: Callable[[], bool]) -> AsyncIterator[bool]:
        """Wait until the model's server may be used, and use it while the context lasts.

        Yields False, and the server is not used, if `is_over()` before: whoever makes that so calls
        `look_again`. Raises `UnknownModel`.
        """
        root = self._fleet.spec(model_id).root
        while not (is_used := await self._begin(root, model_id)) and not is_over():
            await self._changed.wait()
        try:
            yield is_used
        finally:
            if is_used:
                self._used[root] -= 1
                self._changed.notify_all()

    def look_again(self) -> None:
        """Have all that wait look whether they still do."""
        self._changed.notify_all()

    def others_wait(self) -> bool:
        """Tell whether somebody else's model waits for room."""
        return any(not self._used[root] for root in self._fleet.waiting_for_room())

    async def _begin(self, root: str, model_id: str) -> bool:
        async with self._deciding:
            if not self._used[root]:
                if self.others_wait():
                    return False
                if self._used.total() and not await self._fleet.could_start(model_id):
                    return False
            self._used[root] += 1
            return True

    def _on_model(self, _: Model) -> None:
        self._changed.notify_all()
