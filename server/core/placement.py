"""Which model servers may run, which are evicted, which replica is asked: pure functions.

A policy sees plain facts and returns a decision; it does not act and does not log.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

# GPUStack's ladder: the first retry at once, since most crashes do not come back, then
# 10 s doubling to five minutes.
_FIRST_PAUSE_SECONDS: Final = 10.0
_LONGEST_PAUSE_SECONDS: Final = 300.0

ALL_GPUS: Final = "*"
"""Stands for the names of all GPUs."""

# Shares are written with a few digits, and 0.1 + 0.2 is more than 0.3.
_ROUNDING: Final = 1e-6


@dataclass(frozen=True)
class Capacity:
    """How many model servers may run, and their memory together; 0 sets no limit."""

    max_running: int = 0
    memory_bytes: int = 0


@dataclass(frozen=True)
class Occupant:
    """A model server that takes memory; `idle_since` is None while it is answering.

    `gpus` are the shares of the GPUs' memory that it takes, by GPU name. The servers of one model
    have the same `root`. `place` is the name of its machine, empty for this one.
    """

    id: str
    memory_bytes: int
    idle_since: float | None
    is_pinned: bool
    gpus: Mapping[str, float] = field(default_factory=dict)
    root: str = ""
    place: str = ""


def whom_to_evict(
    occupants: Sequence[Occupant],
    needed_bytes: int,
    capacity: Capacity,
    gpus: Mapping[str, float] | None = None,
    place: str = "",
) -> list[str] | None:
    """Return the servers to evict before another one fits at a place, the longest idle first.

    Of `capacity` the number is that of servers at all places, the memory that at `place`.

    None means that evicting all that may be evicted makes no room: the start has to wait.
    A busy or pinned server is never evicted, nor one whose eviction would not help.
    """
    needed = gpus or {}
    staying = list(occupants)
    movable = sorted(
        (o for o in occupants if o.idle_since is not None and not o.is_pinned),
        key=lambda o: o.idle_since or 0.0,
    )
    evicted: list[str] = []
    while not fits(staying, needed_bytes, needed, capacity, place):
        if _has_number(staying, capacity):
            movable = [one for one in movable if one.place == place]
        if fits(staying, needed_bytes, {}, capacity, place):
            full = full_gpus(at(place, staying), needed)
            movable = [one for one in movable if _takes_of(one, full)]
        if not movable:
            return None
        victim = movable.pop(0)
        staying.remove(victim)
        evicted.append(victim.id)
    return evicted


def can_ever_fit(
    pinned: Sequence[Occupant],
    needed_bytes: int,
    capacity: Capacity,
    gpus: Mapping[str, float] | None = None,
    place: str = "",
) -> bool:
    """Tell whether a server would fit at a place beside the pinned ones alone."""
    return fits(pinned, needed_bytes, gpus or {}, capacity, place)


def full_gpus(occupants: Sequence[Occupant], needed: Mapping[str, float]) -> list[str]:
    """Return the GPUs that lack memory for a server beside the others."""
    everybody = [*(occupant.gpus for occupant in occupants), needed]
    names = dict.fromkeys(name for gpus in everybody for name in gpus)
    return [
        name
        for name in names
        if (name in needed or ALL_GPUS in needed)
        and sum(gpus.get(name, gpus.get(ALL_GPUS, 0.0)) for gpus in everybody) > 1 + _ROUNDING
    ]


@dataclass(frozen=True)
class ReplicaLoad:
    """How busy one replica of a model is.

    `answers` counts those it is writing, `capacity` is how many it writes at once, None for any
    number. `last_asked` grows with every answer that a replica was asked for.
    """

    number: int
    answers: int
    capacity: int | None
    last_asked: int


def whom_to_ask(
    loads: Sequence[ReplicaLoad], *, preferred: int | None = None, bound: int = 0
) -> int:
    """Return the number of the replica with the fewest answers for its capacity.

    Of equals, the one that was asked the longest ago. `preferred` is asked instead unless it is
    full or writes more than `bound` answers more than the least busy one. Where a capacity is
    unknown, all are taken as equal.
    """
    is_known = all(load.capacity for load in loads)

    def share(load: ReplicaLoad) -> float:
        return load.answers / (load.capacity or 1) if is_known else load.answers

    least = min(load.answers for load in loads)
    for load in loads:
        is_full = load.capacity is not None and load.answers >= load.capacity
        if load.number == preferred and not is_full and load.answers <= least + bound:
            return load.number
    return min(loads, key=lambda load: (share(load), load.last_asked, load.number)).number


def pause_before_restart(crashes: int) -> float:
    """Return the seconds to wait before the restart after the `crashes`-th crash in a row."""
    if crashes <= 1:
        return 0.0
    return min(_FIRST_PAUSE_SECONDS * 2.0 ** min(crashes - 2, 16), _LONGEST_PAUSE_SECONDS)


def _takes_of(occupant: Occupant, names: Sequence[str]) -> bool:
    """Tell whether a server uses one of those GPUs."""
    return any(occupant.gpus.get(name, occupant.gpus.get(ALL_GPUS)) for name in names)


def at(place: str, occupants: Sequence[Occupant]) -> list[Occupant]:
    """Return the servers at a place."""
    return [one for one in occupants if one.place == place]


def _has_number(occupants: Sequence[Occupant], capacity: Capacity) -> bool:
    """Tell whether one server more is not one too many."""
    return not capacity.max_running or len(occupants) < capacity.max_running


def fits(
    occupants: Sequence[Occupant],
    needed_bytes: int,
    gpus: Mapping[str, float],
    capacity: Capacity,
    place: str,
) -> bool:
    """Tell whether a server fits at a place beside the others."""
    here = at(place, occupants)
    if not _has_number(occupants, capacity) or full_gpus(here, gpus):
        return False
    taken_bytes = sum(occupant.memory_bytes for occupant in here)
    return not capacity.memory_bytes or taken_bytes + needed_bytes <= capacity.memory_bytes
