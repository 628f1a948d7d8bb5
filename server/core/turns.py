"""Whose turn it is: first come, first served, but fair between parties, and one model at a time.

A party (a session, a key) that asks for fifty answers at once must not make another wait
for fifty. Each place is ranked by how many places its own party has before it, those being
served included; places of the same rank go in the order of their arrival. A party with
one prompt therefore waits at most for one answer of every other party. That is the fair order.

Some servers unload one model to answer with another. Their places name the model, and:

1. Places of different models are never served at once.
2. The model that was served last goes on as long as places of it wait, in their fair order: at
   most `TURNS_IN_A_ROW` times while another model is waited for.
3. Then it is the turn of the model whose first place is first in the fair order. Nobody waits for
   ever: of two such changes at least one serves the place that has waited longest of all.

Where models do not matter, all places name the same one, and the order is the fair one.
"""

from collections import Counter, deque
from collections.abc import Hashable, Iterable, KeysView
from dataclasses import dataclass
from itertools import count
from typing import Final, Generic, TypeVar

TURNS_IN_A_ROW: Final = 8
"""How many turns one model gets while another is waited for.

Loading a model takes as long as one to ten answers. With so many in a row it is a smaller part of
the time than answering, and somebody who wants another model waits for no more than that.
"""

T = TypeVar("T", bound=Hashable)


@dataclass(frozen=True)
class _Entry:
    party: str
    model: str
    arrival: int


class Turns(Generic[T]):
    """Order those who wait for a resource that `capacity` may use at once (None: any number)."""

    def __init__(self) -> None:
        self._waiting: dict[T, _Entry] = {}
        self._served: dict[T, _Entry] = {}
        self._arrivals = count()
        self._model = ""
        self._in_a_row = 0

    @property
    def waiting(self) -> int:
        """Return how many wait."""
        return len(self._waiting)

    @property
    def served(self) -> KeysView[T]:
        """Return those who are being served, all of one model."""
        return self._served.keys()

    def join(self, place: T, party: str, model: str = "") -> None:
        """Let a place wait, behind those that wait already.

        One that is being served goes back to where it was before.
        """
        entry = self._served.pop(place, None) or _Entry(party, model, next(self._arrivals))
        self._waiting[place] = entry

    def leave(self, place: T) -> None:
        """Forget a place, whether it waits or is served; one that is not here is no error."""
        self._waiting.pop(place, None)
        self._served.pop(place, None)

    def serve(self, capacity: int | None) -> list[T]:
        """Move those whose turn has come from waiting to served, and return them."""
        called: list[T] = []
        for place in self.order():
            entry = self._waiting[place]
            if capacity is not None and len(self._served) >= capacity:
                break
            if self._served and entry.model != self._model:
                break
            if entry.model != self._model:
                self._model, self._in_a_row = entry.model, 0
            has_rival = any(other.model != entry.model for other in self._waiting.values())
            self._in_a_row = self._in_a_row + 1 if has_rival else 0
            self._served[place] = self._waiting.pop(place)
            called.append(place)
        return called

    def order(self) -> list[T]:
        """Return those who wait, the next one first, as if nobody came or left any more."""
        fair = self._fair_order()
        lines: dict[str, deque[T]] = {}
        for place in fair:
            lines.setdefault(self._waiting[place].model, deque()).append(place)
        if len(lines) < 2:
            return fair
        rank = {place: number for number, place in enumerate(fair)}
        order: list[T] = []
        model, in_a_row = self._model, self._in_a_row
        while lines:
            if model not in lines or (in_a_row >= TURNS_IN_A_ROW and len(lines) > 1):
                others = [other for other in lines if other != model]
                model, in_a_row = min(others, key=lambda other: rank[lines[other][0]]), 0
            in_a_row = in_a_row + 1 if len(lines) > 1 else 0
            order.append(lines[model].popleft())
            if not lines[model]:
                del lines[model]
        return order

    def positions(self) -> Iterable[tuple[int, T]]:
        """Return each who waits with its position, from 1."""
        return enumerate(self.order(), start=1)

    def _fair_order(self) -> list[T]:
        before = Counter(entry.party for entry in self._served.values())
        ranks: dict[T, tuple[int, int]] = {}
        for place, entry in sorted(self._waiting.items(), key=lambda item: item[1].arrival):
            ranks[place] = (before[entry.party], entry.arrival)
            before[entry.party] += 1
        return sorted(self._waiting, key=ranks.__getitem__)
