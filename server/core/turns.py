"""Whose turn it is: first come, first served, but fair between parties, and one model at a time.

A party (a session, a key) that asks for fifty answers at once must not make another wait
for fifty. Each slot is ranked by how many slots its own party has before it, those being
served included; slots of the same rank go in the order of their arrival. A party with
one prompt therefore waits at most for one answer of every other party. That is the fair order.

Some servers unload one model to answer with another. The slots of these name the model, and:

1. Places of different models are never served at once.
2. The model that was served last goes on as long as slots of it wait, in their fair order: at
   most `TURNS_IN_A_ROW` times while another model is waited for.
3. Then it is the turn of the model whose first slot is first in the fair order. No slot waits for
   ever: of two such changes at least one serves the slot that has waited longest of all.

Where models do not matter, all slots name the same one, and the order is the fair one.

Slots in the background come after all others, in the same order among themselves. One that is
served is not interrupted.
"""

from collections import Counter, deque
from collections.abc import Hashable, Iterable, KeysView, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Final, Generic, TypeVar

TURNS_IN_A_ROW: Final = 8
"""How many turns one model gets while another is waited for.

Loading a model takes as long as one to ten answers. With so many in a row it is a smaller part of
the time than answering, and a request for another model waits for no more than that.
"""

T = TypeVar("T", bound=Hashable)


@dataclass(frozen=True)
class _Entry:
    party: str
    model: str
    arrival: int
    is_background: bool


class TurnQueue(Generic[T]):
    """Order slots that wait for a resource which serves `capacity` at once (None: any number)."""

    def __init__(self) -> None:
        self._waiting: dict[T, _Entry] = {}
        self._served: dict[T, _Entry] = {}
        self._arrivals = count()
        self._model = ""
        self._in_a_row = 0

    @property
    def waiting(self) -> int:
        """Return how many slots wait."""
        return len(self._waiting)

    @property
    def served(self) -> KeysView[T]:
        """Return the slots that are being served, all of one model."""
        return self._served.keys()

    def join(self, slot: T, party: str, model: str = "", *, is_background: bool = False) -> None:
        """Let a slot wait, behind those that wait already.

        One that is being served goes back to its old position.
        """
        entry = self._served.pop(slot, None) or _Entry(
            party, model, next(self._arrivals), is_background
        )
        self._waiting[slot] = entry

    def leave(self, slot: T) -> None:
        """Forget a slot, whether it waits or is served; one that is not here is no error."""
        self._waiting.pop(slot, None)
        self._served.pop(slot, None)

    def serve(self, capacity: int | None) -> list[T]:
        """Move the slots whose turn has come from waiting to served, and return them."""
        called: list[T] = []
        for slot in self.order():
            entry = self._waiting[slot]
            if capacity is not None and len(self._served) >= capacity:
                break
            if self._served and entry.model != self._model:
                break
            if entry.model != self._model:
                self._model, self._in_a_row = entry.model, 0
            has_rival = any(other.model != entry.model for other in self._waiting.values())
            self._in_a_row = self._in_a_row + 1 if has_rival else 0
            self._served[slot] = self._waiting.pop(slot)
            called.append(slot)
        return called

    def order(self) -> list[T]:
        """Return the waiting slots in the order of their turns, as if no slot joined or left."""
        fair = self._fair_order()
        is_background = [self._waiting[slot].is_background for slot in fair]
        first = is_background.index(True) if True in is_background else len(fair)
        order: list[T] = []
        model, in_a_row = self._model, self._in_a_row
        for part in (fair[:first], fair[first:]):
            model, in_a_row = self._group(part, order, model, in_a_row)
        return order

    def _group(
        self, fair: Sequence[T], order: list[T], model: str, in_a_row: int
    ) -> tuple[str, int]:
        """Append slots to `order` by model; return the last model and its turns in a row."""
        lines: dict[str, deque[T]] = {}
        for slot in fair:
            lines.setdefault(self._waiting[slot].model, deque()).append(slot)
        if len(lines) == 1:
            order += fair
            return next(iter(lines)), 0
        rank = {slot: number for number, slot in enumerate(fair)}
        while lines:
            if model not in lines or (in_a_row >= TURNS_IN_A_ROW and len(lines) > 1):
                others = [other for other in lines if other != model]
                model, in_a_row = min(others, key=lambda other: rank[lines[other][0]]), 0
            in_a_row = in_a_row + 1 if len(lines) > 1 else 0
            order.append(lines[model].popleft())
            if not lines[model]:
                del lines[model]
        return model, in_a_row

    def positions(self) -> Iterable[tuple[int, T]]:
        """Return each waiting slot with its position, from 1."""
        return enumerate(self.order(), start=1)

    def _fair_order(self) -> list[T]:
        before = Counter(entry.party for entry in self._served.values())
        ranks: dict[T, tuple[bool, int, int]] = {}
        for slot, entry in sorted(self._waiting.items(), key=lambda item: item[1].arrival):
            ranks[slot] = (entry.is_background, before[entry.party], entry.arrival)
            before[entry.party] += 1
        return sorted(self._waiting, key=ranks.__getitem__)
