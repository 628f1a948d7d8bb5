"""Room for model servers: which of them run, which wait, and which are stopped to make room.

Rules:

1. Waiting servers enter in the order of their requests, so that small models cannot overtake a
   large one for ever.
2. `placement.whom_to_evict` decides which servers are stopped. No other task runs between the
   decision and the request to stop, so a server that has just become busy is never stopped.
3. A server that runs already when the gateway starts is inside without waiting.
4. A further server of a model that runs makes nobody leave, and lets all others go before it.
5. The GPU shares of a server are looked up once, before it enters: they may depend on the machine.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from server.core.errors import ModelFailed
from server.core.placement import (
    ALL_GPUS,
    Capacity,
    Occupant,
    can_ever_fit,
    full_gpus,
    whom_to_evict,
)
from server.core.protocol import Progress
from server.models.capacity.gpus import TakesOfGpus, no_gpus
from server.models.catalogue.catalog import ModelSpec
from server.models.runners.base import Report
from server.models.state_changed import StateChanged

_HINT: Final = "raise `max_running` or `memory_budget` in [engines], or stop or unpin a model"
_GPU_HINT: Final = (
    "lower `gpu_memory` in the sections of the models on it, give them other GPUs with `gpus`, or "
    "stop or unpin a model"
)


class Room:
    """Admit model servers while there is capacity; stop idle ones when there is none."""

    def __init__(
        self,
        capacity: Capacity,
        describe: Callable[[str], Occupant],
        request_stop: Callable[[str], None],
        takes_of_gpus: TakesOfGpus = no_gpus,
    ) -> None:
        self._capacity = capacity
        self._describe = describe
        self._request_stop = request_stop
        self._takes_of_gpus = takes_of_gpus
        self._gpus: dict[str, Mapping[str, float]] = {}
        self._inside: set[str] = set()
        self._found: dict[str, ModelSpec] = {}
        self._leaving: set[str] = set()
        self._queue: dict[str, ModelSpec] = {}
        self._changed = StateChanged()

    def admit(self, spec: ModelSpec) -> None:
        """Count a server that runs already."""
        self._inside.add(spec.id)
        self._found[spec.id] = spec

    async def enter(self, spec: ModelSpec, report: Report) -> None:
        """Return once the model's server is inside.

        Raises `ModelFailed` when there can never be room. Cancelled, it leaves the queue.
        """
        if spec.id in self._inside:
            return
        self._queue[spec.id] = spec
        try:
            self._gpus[spec.id] = await self._takes_of_gpus(spec)
            await self._look_up_found()
            while not self._try_to_enter(spec, report):
                await self._changed.wait()
                await self._look_up_found()
        finally:
            del self._queue[spec.id]
            self._changed.notify_all()

    async def has_room(self, spec: ModelSpec) -> bool:
        """Tell whether the server could enter now, with nobody stopped for it or waiting."""
        gpus = await self._takes_of_gpus(spec)
        await self._look_up_found()
        occupants = [self._occupant(model_id) for model_id in self._inside]
        victims = whom_to_evict(occupants, spec.memory_here, self._capacity, gpus)
        return victims == [] and not self._queue

    def leave(self, model_id: str) -> None:
        """Release the room of a server; does nothing if it is not inside."""
        self._inside.discard(model_id)
        self._gpus.pop(model_id, None)
        self._leaving.discard(model_id)
        self._changed.notify_all()

    def use_changed(self) -> None:
        """Recheck whether a server inside has become idle and can make room."""
        self._changed.notify_all()

    async def _look_up_found(self) -> None:
        """Look up the GPU shares of servers that ran already."""
        while self._found:
            model_id, spec = self._found.popitem()
            takes = await self._takes_of_gpus(spec)
            if model_id in self._inside:
                self._gpus[model_id] = takes

    def _occupant(self, model_id: str) -> Occupant:
        return replace(self._describe(model_id), gpus=self._gpus.get(model_id, {}))

    def _try_to_enter(self, spec: ModelSpec, report: Report) -> bool:
        memory, gpus = spec.memory_here, self._gpus[spec.id]
        occupants = [self._occupant(model_id) for model_id in self._inside]
        pinned = [occupant for occupant in occupants if occupant.is_pinned]
        if not can_ever_fit(pinned, memory, self._capacity, gpus):
            full = _in_words(full_gpus(pinned, gpus))
            raise ModelFailed(
                f"there can be no room for {spec.name}{full}", hint=_GPU_HINT if full else _HINT
            )
        roots = {occupant.root for occupant in occupants}
        first = min(self._queue.values(), key=lambda one: one.root in roots).id
        if first != spec.id:
            report(Progress("waiting", None, f"waiting behind {first} for room"))
            return False
        victims = whom_to_evict(occupants, memory, self._capacity, gpus)
        if victims and spec.root in roots:
            report(Progress("waiting", None, "waiting for room beside the other models"))
            return False
        if victims == []:
            self._inside.add(spec.id)
            return True
        if victims is None:
            busy = ", ".join(sorted(o.id for o in occupants if o.idle_since is None))
            where = _in_words(full_gpus(occupants, gpus))
            report(Progress("waiting", None, f"waiting for room{where}: {busy or 'all'} in use"))
            return False
        report(Progress("waiting", None, f"making room: stopping {', '.join(victims)}"))
        for model_id in victims:
            if model_id not in self._leaving:
                self._leaving.add(model_id)
                self._request_stop(model_id)
        return False


def _in_words(gpus: list[str]) -> str:
    names = ", ".join("every GPU" if name == ALL_GPUS else f"GPU {name}" for name in gpus)
    return f" on {names}" if names else ""
