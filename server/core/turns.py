"""Whose turn it is: first come, first served, but fair between parties.

A party (a session, a key) that asks for fifty answers at once must not make another wait
for fifty. Each place is ranked by how many places its own party has before it, those being
served included; places of the same rank go in the order of their arrival. A party with
one prompt therefore waits at most for one answer of every other party.
"""

from collections import Counter
from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


class Turns(Generic[T]):
    """Order those who wait for a resource that `capacity` may use at once (None: any number)."""

    def __init__(self) -> None:
        self._waiting: dict[T, str] = {}
        self._served: dict[T, str] = {}

    @property
    def waiting(self) -> int:
        """Return how many wait."""
        return len(self._waiting)

    def join(self, place: T, party: str) -> None:
        """Let a place wait, behind those that wait already."""
        self._waiting[place] = party

    def leave(self, place: T) -> None:
        """Forget a place, whether it waits or is served; one that is not here is no error."""
        self._waiting.pop(place, None)
        self._served.pop(place, None)

    def serve(self, capacity: int | None) -> list[T]:
        """Move those whose turn has come from waiting to served, and return them."""
        called: list[T] = []
        for place in self.order():
            if capacity is not None and len(self._served) >= capacity:
                break
            self._served[place] = self._waiting.pop(place)
            called.append(place)
        return called

    def order(self) -> list[T]:
        """Return those who wait, the next one first."""
        before = Counter(self._served.values())
        ranks: dict[T, int] = {}
        for place, party in self._waiting.items():
            ranks[place] = before[party]
            before[party] += 1
        return sorted(self._waiting, key=ranks.__getitem__)

    def positions(self) -> Iterable[tuple[int, T]]:
        """Return each who waits with its position, from 1."""
        return enumerate(self.order(), start=1)
