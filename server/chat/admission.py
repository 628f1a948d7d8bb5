"""A queue per model server: bounded, fair between parties, with the position told.

Rules:

1. A place is taken, or refused, when the answer is asked for, before anything starts.
2. Turns are given once the server is ready, when it is known how many answers it writes at
   once; until then a place only counts towards the queue's bound.
3. A place is left exactly once, however its answer ends.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from typing import Final

from server.core.errors import EngineOverloaded, QueueFull
from server.core.turns import Turns

OnPosition = Callable[[int], None]

_NOBODY: Final = 0


class Place:
    """One answer's place in the queue of one model server."""

    def __init__(self, queue: "_Queue", party: str) -> None:
        self._queue = queue
        self._party = party
        self._called = asyncio.Event()
        self._on_position: OnPosition | None = None
        self._position = _NOBODY

    async def turn(
        self, *, capacity: int | None, timeout_seconds: float, on_position: OnPosition
    ) -> None:
        """Return when it is this place's turn; `on_position` hears of every change till then.

        Raises `EngineOverloaded` when the turn does not come in time.
        """
        self._on_position = on_position
        self._queue.capacity = capacity
        self._queue.turns.join(self, self._party)
        self._queue.advance()
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._called.wait()
        except TimeoutError:
            raise EngineOverloaded(
                f"no turn came within {timeout_seconds:g} s", hint="try again later"
            ) from None
        finally:
            # The place may stand in the queue a moment longer than its answer lives.
            self._on_position = None

    def leave(self) -> None:
        """Give the place to the next; a place already left is no error."""
        self._queue.remove(self)

    def call(self) -> None:
        """Say that it is this place's turn."""
        self._called.set()

    def move(self, position: int) -> None:
        """Say where in the queue this place is now."""
        if position != self._position and self._on_position is not None:
            self._position = position
            self._on_position(position)


class _Queue:
    def __init__(self) -> None:
        self.turns: Turns[Place] = Turns()
        self.capacity: int | None = None
        self.places: set[Place] = set()

    def advance(self) -> None:
        for place in self.turns.serve(self.capacity):
            place.call()
        for position, place in self.turns.positions():
            place.move(position)

    def remove(self, place: Place) -> None:
        self.places.discard(place)
        self.turns.leave(place)
        self.advance()


class Admission:
    """Hold the queues, and refuse what they have no place for."""

    def __init__(self, *, max_places: int) -> None:
        self._max_places = max_places
        self._queues: defaultdict[str, _Queue] = defaultdict(_Queue)

    def check(self, wanted: dict[str, int]) -> None:
        """Raise `QueueFull` when a model server has not that many places left."""
        for root_id, count in wanted.items():
            if len(self._queues[root_id].places) + count > self._max_places:
                raise QueueFull(
                    f"the queue of {root_id} holds {self._max_places} answers, and no more",
                    hint="try again later",
                )

    def take(self, root_id: str, party: str) -> Place:
        """Take a place in a model server's queue; raises `QueueFull`."""
        self.check({root_id: 1})
        queue = self._queues[root_id]
        place = Place(queue, party)
        queue.places.add(place)
        return place
