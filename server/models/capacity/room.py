"""Room for model servers: which of them run and where, which wait, and which are stopped for it.

Rules:

1. Waiting servers enter in the order of their requests, so that small models cannot overtake a
   large one for ever. Those that wait for other places do not wait for each other.
2. `offers.where_to_run` decides where a server runs and which are stopped for it. No other task
   runs between the decision and the request to stop, so a server that has just become busy is never
   stopped.
3. A server that runs already when the gateway starts is inside without waiting.
4. A further server of a model that runs makes nobody leave, and lets all others go before it.
5. What may be offered is looked up once, before a server enters, and again when the places change:
   GPU shares may depend on the machine.
"""

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import replace
from typing import Final, Protocol

from server.core.errors import ModelFailed
from server.core.offers import Choice, Lack, Offer, lack_of, where_to_run
from server.core.placement import ALL_GPUS, Capacity, Occupant, at, full_gpus
from server.core.protocol import Progress
from server.models.capacity.gpus import TakesOfGpus, no_gpus
from server.models.catalogue.catalog import ModelSpec
from server.models.runners.base import Report
from server.models.state_changed import StateChanged
from server.settings.values import human_size

_HINT: Final = "raise `max_running` or `memory_budget` in [engines], or stop or unpin a model"
_GPU_HINT: Final = (
    "lower `gpu_memory` in the sections of the models on it, give them other GPUs with `gpus`, or "
    "stop or unpin a model"
)
_PLACES_HINT: Final = (
    "raise `memory_budget` or `gpus` in a [docker NAME], lower `memory` or `gpus` in the model's "
    "section, or stop or unpin a model"
)


class Places(Protocol):
    """Places beside this machine, such as other Docker engines, each with limits of its own."""

    def has(self, spec: ModelSpec) -> bool:
        """Tell whether the server runs at one of them, and not at this machine."""

    async def offers(self, spec: ModelSpec) -> Sequence[Offer]:
        """Return where the server may run now; none while all of its places are away.

        Raises `ModelFailed` if waiting for them is no use.
        """

    def chose(self, spec: ModelSpec, place: str) -> None:
        """Record where the server is to run."""

    def away(self, spec: ModelSpec) -> str:
        """Say which places are away that the server could run at; empty for none."""

    def answering(self) -> Mapping[str, bool]:
        """Return all places by their names, and whether each is there now."""


class Room:
    """Admit model servers while there is capacity; stop idle ones when there is none."""

    def __init__(
        self,
        capacity: Capacity,
        describe: Callable[[str], Occupant],
        request_stop: Callable[[str], None],
        takes_of_gpus: TakesOfGpus = no_gpus,
        places: Places | None = None,
    ) -> None:
        self._capacity = capacity
        self._describe = describe
        self._request_stop = request_stop
        self._takes_of_gpus = takes_of_gpus
        self._places = places
        self._at: dict[str, str] = {}
        """The places of the servers inside."""
        self._gpus: dict[str, Mapping[str, float]] = {}
        self._found: dict[str, ModelSpec] = {}
        self._leaving: set[str] = set()
        self._queue: dict[str, ModelSpec] = {}
        self._offers: dict[str, Sequence[Offer]] = {}
        """What those in the queue are offered, as far as it is known."""
        self._place_changes = 0
        self._changed = StateChanged()

    def admit(self, spec: ModelSpec, place: str = "") -> None:
        """Count a server that runs already."""
        self._at[spec.id] = place
        self._found[spec.id] = spec

    async def enter(self, spec: ModelSpec, report: Report) -> None:
        """Return once the model's server is inside.

        Raises `ModelFailed` when there can never be room. Cancelled, it leaves the queue.
        """
        if spec.id in self._at:
            return
        self._queue[spec.id] = spec
        try:
            await self._look_up(spec)
            while not self._try_to_enter(spec, report):
                await self._changed.wait()
                await self._look_up(spec)
        finally:
            del self._queue[spec.id]
            self._offers.pop(spec.id, None)
            self._changed.notify_all()

    async def has_room(self, spec: ModelSpec) -> bool:
        """Tell whether the server could enter now, with nobody stopped for it or waiting."""
        choice = await self._choice_now(spec)
        return choice is not None and not choice.victims and not self._queue

    async def could_enter(self, spec: ModelSpec) -> bool:
        """Tell whether the server is inside, or could enter now with idle ones stopped for it."""
        if spec.id in self._at:
            return True
        return await self._choice_now(spec) is not None and not self._queue

    def waiting(self) -> frozenset[str]:
        """Return the models that wait for room."""
        return frozenset(spec.root for spec in self._queue.values())

    def leave(self, model_id: str) -> None:
        """Release the room of a server; does nothing if it is not inside."""
        self._at.pop(model_id, None)
        self._gpus.pop(model_id, None)
        self._leaving.discard(model_id)
        self._changed.notify_all()

    def use_changed(self) -> None:
        """Recheck whether a server inside has become idle and can make room."""
        self._changed.notify_all()

    def places_changed(self) -> None:
        """Look up again what those that wait are offered: a place has gone away, or is back."""
        self._place_changes += 1
        self._offers.clear()
        self._changed.notify_all()

    async def _offers_of(self, spec: ModelSpec) -> Sequence[Offer]:
        if self._places is not None and self._places.has(spec):
            return await self._places.offers(spec)
        takes = await self._takes_of_gpus(spec)
        return [Offer(budget_bytes=self._capacity.memory_bytes, takes=takes)]

    async def _look_up(self, spec: ModelSpec) -> None:
        """Look up what a server is offered, unless that is known; places may change meanwhile."""
        await self._look_up_found()
        while spec.id not in self._offers:
            changes = self._place_changes
            offers = await self._offers_of(spec)
            await self._look_up_found()
            if changes == self._place_changes:
                self._offers[spec.id] = offers

    async def _choice_now(self, spec: ModelSpec) -> Choice | None:
        """Return where a start would go now and whom it would stop; None if it has to wait."""
        offers = await self._offers_of(spec)
        await self._look_up_found()
        return self._choice(spec, offers)

    async def _look_up_found(self) -> None:
        """Look up the GPU shares of servers that ran already."""
        while self._found:
            model_id, spec = self._found.popitem()
            try:
                offers = await self._offers_of(spec)
            except ModelFailed:  # its own next start will tell
                continue
            if model_id in self._at:
                here = (one.takes for one in offers if one.place == self._at[model_id])
                self._gpus[model_id] = next(here, {})

    def _occupants(self) -> list[Occupant]:
        return [
            replace(self._describe(model_id), gpus=self._gpus.get(model_id, {}), place=place)
            for model_id, place in self._at.items()
        ]

    def _choice(self, spec: ModelSpec, offers: Sequence[Offer]) -> Choice | None:
        return where_to_run(
            self._occupants(),
            spec.budgeted_memory,
            offers,
            max_running=self._capacity.max_running,
            root=spec.root,
            leaving=self._leaving,
        )

    def _try_to_enter(self, spec: ModelSpec, report: Report) -> bool:
        offers = self._offers[spec.id]
        away = "" if self._places is None else self._places.away(spec)
        if not self._can_ever_enter(spec, offers):
            if not away:
                raise self._refusal(spec, offers)
            report(Progress("waiting", None, f"waiting for {away}"))
            return False
        occupants = self._occupants()
        roots = {occupant.root for occupant in occupants}
        behind, free = self._behind(spec, offers, roots)
        if not free:
            report(Progress("waiting", None, f"waiting behind {behind} for room"))
            return False
        choice = self._choice(spec, free)
        if choice is None:
            where = _in_words(self._full_gpus(occupants, free)) + _places_in_words(free)
            busy = ", ".join(sorted(o.id for o in occupants if o.idle_since is None))
            report(Progress("waiting", None, f"waiting for room{where}: {busy or 'all'} in use"))
            return False
        if choice.victims and spec.root in roots:
            report(Progress("waiting", None, "waiting for room beside the other models"))
            return False
        if not choice.victims:
            self._enter_at(spec, choice.offer)
            return True
        report(Progress("waiting", None, f"making room: stopping {', '.join(choice.victims)}"))
        for model_id in choice.victims:
            if model_id not in self._leaving:
                self._leaving.add(model_id)
                self._request_stop(model_id)
        return False

    def _enter_at(self, spec: ModelSpec, offer: Offer) -> None:
        self._at[spec.id] = offer.place
        self._gpus[spec.id] = offer.takes
        if self._places is not None and self._places.has(spec):
            self._places.chose(spec, offer.place)

    def _behind(
        self, spec: ModelSpec, offers: Sequence[Offer], roots: Set[str]
    ) -> tuple[str, list[Offer]]:
        """Return who is to enter before a server, and the offers that those do not wait for."""
        taken: set[str] = set()
        behind = ""
        for one in sorted(self._queue.values(), key=lambda one: one.root in roots):
            if one.id == spec.id:
                break
            # Where it can never enter it waits for nothing.
            offered = self._offers.get(one.id, ())
            waited_for = {offer.place for offer in offered if self._lack(one, offer) is None}
            if not behind and not waited_for.isdisjoint(offer.place for offer in offers):
                behind = one.id
            taken |= waited_for
        return behind, [offer for offer in offers if offer.place not in taken]

    def _can_ever_enter(self, spec: ModelSpec, offers: Sequence[Offer]) -> bool:
        return any(self._lack(spec, offer) is None for offer in offers)

    def _lack(self, spec: ModelSpec, offer: Offer) -> Lack | None:
        """Return what an offer lacks beside the pinned servers; None if nothing."""
        if offer.runs_already:
            return None
        pinned = [occupant for occupant in self._occupants() if occupant.is_pinned]
        number = self._capacity.max_running
        return lack_of(pinned, spec.budgeted_memory, offer, max_running=number)

    def _refusal(self, spec: ModelSpec, offers: Sequence[Offer]) -> ModelFailed:
        """Return why there can never be room."""
        lacks = [(offer, lack) for offer in offers if (lack := self._lack(spec, offer))]
        if not any(offer.place for offer in offers):
            full = _in_words([name for _, lack in lacks for name in lack.gpus])
            return ModelFailed(
                f"there can be no room for {spec.name}{full}", hint=_GPU_HINT if full else _HINT
            )
        told = "; ".join(f"{offer.place} {_lack_in_words(lack)}" for offer, lack in lacks)
        return ModelFailed(f"there can be no room for {spec.name}: {told}", hint=_PLACES_HINT)

    @staticmethod
    def _full_gpus(occupants: Sequence[Occupant], offers: Sequence[Offer]) -> list[str]:
        """Return the GPUs that lack memory at the only place that is offered."""
        if len(offers) != 1:
            return []
        return full_gpus(at(offers[0].place, occupants), offers[0].takes)


def _in_words(gpus: Sequence[str]) -> str:
    names = ", ".join("every GPU" if name == ALL_GPUS else f"GPU {name}" for name in gpus)
    return f" on {names}" if names else ""


def _places_in_words(offers: Sequence[Offer]) -> str:
    names = " or ".join(offer.place for offer in offers if offer.place)
    return f" at {names}" if names else ""


def _lack_in_words(lack: Lack) -> str:
    words = [f"lacks {human_size(lack.memory_bytes)} of memory"] if lack.memory_bytes else []
    words += [f"has no room{_in_words(lack.gpus)}"] if lack.gpus else []
    return " and ".join(words) or "runs as many as `max_running` allows"
