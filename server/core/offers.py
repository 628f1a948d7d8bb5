"""At which of several places a model server runs: pure functions, as those of `placement.py`."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field

from server.core.placement import (
    ALL_GPUS,
    Capacity,
    Occupant,
    at,
    fits,
    full_gpus,
    whom_to_evict,
)


@dataclass(frozen=True)
class Offer:
    """A place where a server may run, and the share of each GPU's memory that it would take there.

    `budget_bytes` limits the memory of all servers there, 0 does not; `machine_bytes` is what the
    machine has, 0 if unknown. `gpus` are the names of those that may be taken, None for any. At the
    place where the server `runs_already` it is let in without a question.
    """

    place: str = ""
    budget_bytes: int = 0
    machine_bytes: int = 0
    gpus: frozenset[str] | None = None
    takes: Mapping[str, float] = field(default_factory=dict)
    runs_already: bool = False


@dataclass(frozen=True)
class Choice:
    """The offer that a server takes, and the servers to evict before it can."""

    offer: Offer
    victims: Sequence[str]


@dataclass(frozen=True)
class Lack:
    """What a place lacks for a server: bytes of memory, GPUs; nothing if too many run."""

    memory_bytes: int
    gpus: Sequence[str]


def where_to_run(
    occupants: Sequence[Occupant],
    needed_bytes: int,
    offers: Sequence[Offer],
    *,
    max_running: int = 0,
    root: str = "",
    leaving: Container[str] = (),
) -> Choice | None:
    """Return where a server runs; None means that nothing can make room: the start has to wait.

    Where nobody has to be evicted, beside those that are `leaving` already, goes first; then where
    the fewest servers of the same model run, then where the least of memory and GPUs is taken, then
    where the fewest servers run, then the first of the offers.
    """

    def rank(choice: Choice) -> tuple[bool, int, int, float, int]:
        here = at(choice.offer.place, occupants)
        siblings = sum(1 for one in here if root and one.root == root)
        evicted = sum(1 for one in choice.victims if one not in leaving)
        waits = bool(choice.victims)
        return waits, evicted, siblings, round(use_of(choice.offer, here), 6), len(here)

    choices = []
    for offer in offers:
        if offer.runs_already:
            return Choice(offer, ())
        if missing_gpus(offer):
            continue
        capacity = Capacity(max_running, offer.budget_bytes)
        victims = whom_to_evict(occupants, needed_bytes, capacity, offer.takes, offer.place)
        if victims is not None:
            choices.append(Choice(offer, victims))
    return min(choices, key=rank, default=None)


def lack_of(
    occupants: Sequence[Occupant], needed_bytes: int, offer: Offer, *, max_running: int = 0
) -> Lack | None:
    """Return what an offer lacks for a server beside the occupants; None if it fits there."""
    capacity, place = Capacity(max_running, offer.budget_bytes), offer.place
    gpus = missing_gpus(offer)
    if not gpus and fits(occupants, needed_bytes, offer.takes, capacity, place):
        return None
    taken_bytes = sum(one.memory_bytes for one in at(place, occupants))
    over = taken_bytes + needed_bytes - offer.budget_bytes if offer.budget_bytes else 0
    return Lack(max(over, 0), [*gpus, *full_gpus(at(place, occupants), offer.takes)])


def missing_gpus(offer: Offer) -> list[str]:
    """Return the GPUs that a server would take at a place and that may not be taken there."""
    if offer.gpus is None:
        return []
    return [
        name
        for name in offer.takes
        if name not in offer.gpus and not (name == ALL_GPUS and offer.gpus)
    ]


def use_of(offer: Offer, occupants: Sequence[Occupant]) -> float:
    """Return which share of a place its servers take: of its memory or its GPUs, whichever is more.

    What is unknown counts as unused.
    """
    total_bytes = offer.budget_bytes or offer.machine_bytes
    memory = sum(one.memory_bytes for one in occupants) / total_bytes if total_bytes else 0.0
    names = {name for one in occupants for name in one.gpus} | set(offer.gpus or ())
    names = names - {ALL_GPUS} or names
    shares = sum(
        one.gpus.get(name, one.gpus.get(ALL_GPUS, 0.0)) for one in occupants for name in names
    )
    return max(memory, shares / len(names) if names else 0.0)
