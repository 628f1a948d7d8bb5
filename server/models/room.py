"""Room for model servers: who is in, who waits, who is asked to go.

Rules:

1. Those who wait enter in the order in which they came; a small model does not slip past a
   large one for ever.
2. Whom to ask to go is `placement.whom_to_evict`'s decision; between the decision and the
   asking nothing else can happen, so a server that has just become busy is never asked.
3. A server that runs already, found at start-up, is in without being asked for.
"""

from collections.abc import Callable
from typing import Final

from server.core.errors import ModelFailed
from server.core.placement import Capacity, Occupant, can_ever_fit, whom_to_evict
from server.core.protocol import Progress
from server.models.bell import Bell
from server.models.catalog import ModelSpec
from server.models.runners.base import Report

_HINT: Final = "raise `max_running` or `memory_budget` in [engines], or stop or unpin a model"


class Room:
    """Let model servers in while there is capacity, and have idle ones go when there is none."""

    def __init__(
        self,
        capacity: Capacity,
        describe: Callable[[str], Occupant],
        ask_to_go: Callable[[str], None],
    ) -> None:
        self._capacity = capacity
        self._describe = describe
        self._ask_to_go = ask_to_go
        self._inside: set[str] = set()
        self._leaving: set[str] = set()
        self._line: list[str] = []
        self._bell = Bell()

    def admit(self, model_id: str) -> None:
        """Count a server that runs already."""
        self._inside.add(model_id)

    async def enter(self, spec: ModelSpec, report: Report) -> None:
        """Return when there is room for the model's server, which is then inside.

        Raises `ModelFailed` when there can never be room. Cancelled, it leaves the line.
        """
        if spec.id in self._inside:
            return
        self._line.append(spec.id)
        try:
            while not self._try_to_enter(spec, report):
                await self._bell.next()
        finally:
            self._line.remove(spec.id)
            self._bell.ring()

    def leave(self, model_id: str) -> None:
        """Give the room back; a server that is not inside is no error."""
        self._inside.discard(model_id)
        self._leaving.discard(model_id)
        self._bell.ring()

    def look_again(self) -> None:
        """Have those who wait see whether somebody has become idle."""
        self._bell.ring()

    def _try_to_enter(self, spec: ModelSpec, report: Report) -> bool:
        occupants = [self._describe(model_id) for model_id in self._inside]
        pinned = [occupant for occupant in occupants if occupant.is_pinned]
        if not can_ever_fit(pinned, spec.settings.memory, self._capacity):
            raise ModelFailed(f"there can be no room for {spec.name}", hint=_HINT)
        if self._line[0] != spec.id:
            report(Progress("waiting", None, f"waiting behind {self._line[0]} for room"))
            return False
        victims = whom_to_evict(occupants, spec.settings.memory, self._capacity)
        if victims == []:
            self._inside.add(spec.id)
            return True
        if victims is None:
            busy = ", ".join(sorted(o.id for o in occupants if o.idle_since is None))
            report(Progress("waiting", None, f"waiting for room: {busy or 'all'} in use"))
            return False
        report(Progress("waiting", None, f"making room: stopping {', '.join(victims)}"))
        for model_id in victims:
            if model_id not in self._leaving:
                self._leaving.add(model_id)
                self._ask_to_go(model_id)
        return False
