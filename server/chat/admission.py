"""A queue per model server: bounded, fair between parties; a waiting answer knows its position.

Rules:

1. The slots of a command are reserved together, or refused together, before anything starts.
2. Turns are given once the server is ready, when it is known how many answers it writes at
   once; until then a slot only counts towards the queue's bound.
3. On a server that unloads one model to answer with another, turns are grouped by model.
4. While a server limits our rate, its queue is on hold and gives no turns. Answers under way go on,
   and so do the queues of other servers.
5. A slot is released exactly once, however its answer ends.
6. A slot in the background gets its turn when no other waits, however long that takes. It does not
   count towards the bound: who reserves such slots bounds them.
"""

import asyncio
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from server.core.errors import EngineLimited, EngineOverloaded, QueueFull
from server.core.protocol import Notice
from server.core.turns import TurnQueue
from server.models.catalogue.catalog import ModelSpec

OnPosition = Callable[[int, Notice | None], None]
"""Called with a slot's position, from 1, and a reason to wait other than those before it."""

_NOBODY: Final = 0
_Seen = tuple[int, str, float]


class QueueSlot:
    """One answer's slot in the queue of one model server."""

    def __init__(self, queue: "_Queue", party: str, *, is_background: bool = False) -> None:
        self._queue = queue
        self._party = party
        self.is_background = is_background
        self._called = asyncio.Event()
        self._on_position: OnPosition | None = None
        self._seen: _Seen = (_NOBODY, "", 0.0)
        self.model: ModelSpec | None = None
        """The model that its server has to hold for the answer; None where it holds all."""

    @property
    def is_model_held(self) -> bool | None:
        """Tell whether the server was last used with this slot's model; None if unknown."""
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
        """Wait for this slot's turn; `on_position` is called with every change until then.

        In the background it waits for as long as it takes.

        `model` is the one that the server has to hold for the answer, None where it holds all of
        its models. A slot that had its turn goes back to its old position. Raises
        `EngineOverloaded` when the turn does not come in time.
        """
        self.model = model
        self._on_position, self._seen = on_position, (_NOBODY, "", 0.0)
        self._called.clear()
        self._queue.capacity = capacity
        self._queue.turns.join(
            self,
            self._party,
            model.served_as if model else "",
            is_background=self.is_background,
        )
        self._queue.advance()
        try:
            async with asyncio.timeout(None if self.is_background else timeout_seconds):
                await self._called.wait()
        except TimeoutError:
            raise self._queue.too_late(timeout_seconds) from None
        finally:
            # The slot may stay in the queue a moment longer than its answer lives.
            self._on_position = None

    def hold(self, seconds: float, words: str) -> None:
        """Give no turns in this queue for so long; `words` are the server's reason."""
        self._queue.hold(seconds, words)

    def note_held(self) -> None:
        """Record that the server holds this slot's model now: it has begun to answer."""
        if self.model is not None:
            self._queue.held_model = self.model.served_as

    def release(self) -> None:
        """Give the slot to the next; releasing twice is no error."""
        self._queue.remove(self)

    def call(self) -> None:
        """Give this slot its turn."""
        self._called.set()

    def move(self, position: int) -> None:
        """Tell the waiting answer its position in the queue, and why it waits."""
        if self._on_position is None:
            return
        held, blocker = self._queue.held, self._queue.blocker_of(self)
        seen = (position, blocker.id if blocker else "", held.until if held else 0.0)
        if seen != self._seen:
            self._seen = seen
            self._on_position(position, held.notice() if held else _waits_for(blocker))


@dataclass(frozen=True)
class _Hold:
    """A queue gives no turns until a moment of the loop's clock."""

    until: float
    words: str
    timer: asyncio.TimerHandle

    def notice(self) -> Notice:
        """Return the notice for waiting answers; its seconds count from now."""
        seconds = math.ceil(max(self.until - asyncio.get_running_loop().time(), 0.0))
        return Notice("rate_limited", self.words, {"seconds": seconds})


class _Queue:
    def __init__(self) -> None:
        self.turns: TurnQueue[QueueSlot] = TurnQueue()
        self.capacity: int | None = None
        self.slots: set[QueueSlot] = set()
        self.held: _Hold | None = None
        self.held_model: str | None = None

    def advance(self) -> None:
        if self.held is None:
            for slot in self.turns.serve(self.capacity):
                slot.call()
        for position, slot in self.turns.positions():
            slot.move(position)

    def remove(self, slot: QueueSlot) -> None:
        if slot in self.turns.served:
            # However the answer ended, it was the server's last use.
            slot.note_held()
        self.slots.discard(slot)
        self.turns.leave(slot)
        self.advance()

    def hold(self, seconds: float, words: str) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        if self.held is not None:
            if self.held.until >= until:
                return
            self.held.timer.cancel()
        self.held = _Hold(until, words, loop.call_at(until, self._release))

    def blocker_of(self, slot: QueueSlot) -> ModelSpec | None:
        """Return the other model whose answers a slot waits for, if it does."""
        served = next(iter(self.turns.served), None)
        if served is None or served.model is None or slot.model is None:
            return None
        return None if served.model.served_as == slot.model.served_as else served.model

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
    """Hold the queues of all model servers; each has at most `max_slots`."""

    def __init__(self, *, max_slots: int) -> None:
        self._max_slots = max_slots
        self._queues: defaultdict[str, _Queue] = defaultdict(_Queue)

    def resize(self, root_id: str, capacity: int | None) -> None:
        """Set how many answers a server writes at once, None for any number, while some wait."""
        queue = self._queues.get(root_id)
        if queue is not None and queue.capacity != capacity:
            queue.capacity = capacity
            queue.advance()

    def reserve(
        self, root_ids: Sequence[str], party: str, *, is_background: bool = False
    ) -> list[QueueSlot]:
        """Reserve a slot in the queue of each model server named, in that order, or none at all.

        `party` is the session or HTTP caller for fairness. Raises `QueueFull`, and then nothing is
        reserved.
        """
        for root_id, count in Counter(root_ids).items():
            taken = sum(not slot.is_background for slot in self._queues[root_id].slots)
            if taken + count > self._max_slots and not is_background:
                raise QueueFull(
                    f"the queue of {root_id} holds {self._max_slots} answers, and no more",
                    hint="try again later",
                )
        slots = []
        for root_id in root_ids:
            queue = self._queues[root_id]
            slot = QueueSlot(queue, party, is_background=is_background)
            queue.slots.add(slot)
            slots.append(slot)
        return slots


def _waits_for(model: ModelSpec | None) -> Notice | None:
    if model is None:
        return None
    return Notice("waits_for_model", f"waits for {model.name} on this server", {"model": model.id})
