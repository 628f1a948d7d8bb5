"""Who may run, who gives way, and how long to wait after a crash: pure functions.

A policy sees plain facts and returns a decision; it does not act and does not log.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

# GPUStack's ladder: the first retry at once, since most crashes do not come back, then
# 10 s doubling to five minutes.
_FIRST_PAUSE_SECONDS: Final = 10.0
_LONGEST_PAUSE_SECONDS: Final = 300.0


@dataclass(frozen=True)
class Capacity:
    """How many model servers may run and what they may take together; 0 sets no limit."""

    max_running: int = 0
    memory_bytes: int = 0


@dataclass(frozen=True)
class Occupant:
    """A model server that takes up room; `idle_since` is None while it is answering."""

    id: str
    memory_bytes: int
    idle_since: float | None
    is_pinned: bool


def whom_to_evict(
    occupants: Sequence[Occupant], needed_bytes: int, capacity: Capacity
) -> list[str] | None:
    """Return who must go before another server fits: nobody, or the longest idle first.

    None means that even without all who may go there is no room: the start has to wait.
    A busy or pinned server is never asked to go.
    """
    staying = list(occupants)
    movable = sorted(
        (o for o in occupants if o.idle_since is not None and not o.is_pinned),
        key=lambda o: o.idle_since or 0.0,
    )
    evicted: list[str] = []
    while not _fits(staying, needed_bytes, capacity):
        if not movable:
            return None
        victim = movable.pop(0)
        staying.remove(victim)
        evicted.append(victim.id)
    return evicted


def can_ever_fit(pinned: Sequence[Occupant], needed_bytes: int, capacity: Capacity) -> bool:
    """Tell whether a server would fit if everybody but the pinned were gone."""
    return _fits(pinned, needed_bytes, capacity)


def pause_before_restart(crashes: int) -> float:
    """Return the seconds to wait before the restart after the `crashes`-th crash in a row."""
    if crashes <= 1:
        return 0.0
    return min(_FIRST_PAUSE_SECONDS * 2.0 ** min(crashes - 2, 16), _LONGEST_PAUSE_SECONDS)


def _fits(occupants: Sequence[Occupant], needed_bytes: int, capacity: Capacity) -> bool:
    if capacity.max_running and len(occupants) >= capacity.max_running:
        return False
    taken_bytes = sum(occupant.memory_bytes for occupant in occupants)
    return not capacity.memory_bytes or taken_bytes + needed_bytes <= capacity.memory_bytes
