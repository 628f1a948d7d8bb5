"""A queue per model server: bounded, fair between parties, with the position told, and the reason.

Rules:

1. A place is taken, or refused, when the answer is asked for, before anything starts.
2. Turns are given once the server is ready, when it is known how many answers it writes at
   once; until then a place only counts towards the queue's bound.
3. On a server that unloads one model to answer with another, turns are grouped by model.
4. A server that wants to be left alone for a while is: nobody gets a turn until then. Answers
   under way go on, and so do the queues of other servers.
5. A place is left exactly once, however its answer ends.
"""

import asyncio
import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from server.core.errors import EngineLimited, EngineOverloaded, QueueFull
from server.core.protocol import Notice
from server.core.turns import Turns
from server.models.catalog import ModelSpec

OnPosition = Callable[[int, Notice | None], None]
"""Called with a place's position, from 1, and why it waits if not only for those before it."""

_NOBODY: Final = 0
_Seen = tuple[int, str, float]


class Place:
    """One answer's place in the queue of one model server."""

    def __init__(self, queue: "_Queue", party: str) -> None:
        self._queue = queue
        self._party = party
        self._called = asyncio.Event()
        self._on_position: OnPosition | None = None
        self._seen: _Seen = (_NOBODY, "", 0.0)
        self.model: ModelSpec | None = None
        """The model that its server has to hold for the answer; None where it holds all."""

    @property
    def is_model_held(self) -> bool | None:
        """Tell whether the server, as it was used here, holds the model; None if unknown."""
        held = self._queue.held_model
        return None if self.model is None or held is None else self.model.served_as == held

    async def turn(
        self,
        *,
        capacity: int | None,
        timeout_seconds: float,
        on_position: OnPosition,
        model: ModelSpec | None = None,
    ) -> None:
        """Return when it is this place's turn; `on_position` hears of every change till then.

        `model` is the one that the server has to hold for the answer, None where it holds all of
        its models. A place that had its turn waits again where it was before. Raises
        `EngineOverloaded` when the turn does not come in time.
        """
        self.model = model
        self._on_position, self._seen = on_position, (_NOBODY, "", 0.0)
        self._called.clear()
        self._queue.capacity = capacity
        self._queue.turns.join(self, self._party, model.served_as if model else "")
        self._queue.advance()
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._called.wait()
        except TimeoutError:
            raise self._queue.too_late(timeout_seconds) from None
        finally:
            # The place may stand in the queue a moment longer than its answer lives.
            self._on_position = None

    def hold(self, seconds: float, words: str) -> None:
        """Have nobody of this queue get a turn for so long; `words` are the server's reason."""
        self._queue.hold(seconds, words)

    def note_held(self) -> None:
        """Say that the server holds this place's model now, as its answer shows."""
        if self.model is not None:
            self._queue.held_model = self.model.served_as

    def leave(self) -> None:
        """Give the place to the next; a place already left is no error."""
        self._queue.remove(self)

    def call(self) -> None:
        """Say that it is this place's turn."""
        self._called.set()

    def move(self, position: int) -> None:
        """Say where in the queue this place is now, and why it waits."""
        if self._on_position is None:
            return
        held, blocker = self._queue.held, self._queue.blocker_of(self)
        seen = (position, blocker.id if blocker else "", held.until if held else 0.0)
        if seen != self._seen:
            self._seen = seen
            self._on_position(position, held.notice() if held else _waits_for(blocker))


@dataclass(frozen=True)
class _Hold:
    """A server wants to be left alone until a moment of the loop's clock."""

    until: float
    words: str
    timer: asyncio.TimerHandle

    def notice(self) -> Notice:
        """Return what those who wait are told; the seconds count from now."""
        seconds = math.ceil(max(self.until - asyncio.get_running_loop().time(), 0.0))
        return Notice("rate_limited", self.words, {"seconds": seconds})


class _Queue:
    def __init__(self) -> None:
        self.turns: Turns[Place] = Turns()
        self.capacity: int | None = None
        self.places: set[Place] = set()
        self.held: _Hold | None = None
        self.held_model: str | None = None

    def advance(self) -> None:
        if self.held is None:
            for place in self.turns.serve(self.capacity):
                place.call()
        for position, place in self.turns.positions():
            place.move(position)

    def remove(self, place: Place) -> None:
        if place in self.turns.served:
            # Whatever came of it, the server was asked for that model last.
            place.note_held()
        self.places.discard(place)
        self.turns.leave(place)
        self.advance()

    def hold(self, seconds: float, words: str) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        if self.held is not None:
            if self.held.until >= until:
                return
            self.held.timer.cancel()
        self.held = _Hold(until, words, loop.call_at(until, self._release))

    def blocker_of(self, place: Place) -> ModelSpec | None:
        """Return the other model that a place waits for, if it does."""
        served = next(iter(self.turns.served), None)
        if served is None or served.model is None or place.model is None:
            return None
        return None if served.model.served_as == place.model.served_as else served.model

    def too_late(self, timeout_seconds: float) -> EngineOverloaded:
        if self.held is not None:
            return EngineLimited(self.held.words, hint="try again later")
        return EngineOverloaded(
            f"no turn came within {timeout_seconds:g} s", hint="try again later"
        )

    def _release(self) -> None:
        self.held = None
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


def _waits_for(model: ModelSpec | None) -> Notice | None:
    if model is None:
        return None
    return Notice("waits_for_model", f"waits for {model.name} on this server", {"model": model.id})
