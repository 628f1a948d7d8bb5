"""Several Docker engines as places for model servers (`Places` of `capacity/room.py`)."""

from collections.abc import Mapping, Sequence

from server.core.offers import Offer
from server.models.capacity.occupants import model_and_number
from server.models.catalogue.catalog import ModelSpec
from server.models.runners.base import Replica
from server.models.runners.docker.member import Member, none_answers
from server.models.runners.docker.pool import EnginePool


class DockerPlaces:
    """Offer engines to the models that name one, or any, in `engine_host`."""

    def __init__(self, pool: EnginePool) -> None:
        self._pool = pool

    def has(self, spec: ModelSpec) -> bool:
        """Tell whether a model names an engine."""
        return bool(spec.runner == "docker" and spec.settings.engine_host)

    async def offers(self, spec: ModelSpec) -> Sequence[Offer]:
        """Return the offers of the engines that answer; none while they are away.

        Raises `ModelFailed` if none of them has ever answered.
        """
        members = self._members(spec)
        await self._pool.look(members)
        running = await self._pool.runs_on(self._replica(spec))
        if running is not None:
            return [self._pool.members[running].offer(spec, runs_already=True)]
        if not any(member.was_reached for member in members):
            raise none_answers(members)
        return [member.offer(spec) for member in members if member.answers]

    def chose(self, spec: ModelSpec, place: str) -> None:
        """Record where a server is to run."""
        self._pool.chosen[self._replica(spec)] = place

    def away(self, spec: ModelSpec) -> str:
        """Say which engines of a model are away, and why; empty for none."""
        members = self._members(spec) if self.has(spec) else []
        away = [member for member in members if not member.answers]
        return "; ".join(f"the Docker engine {one.name}: {one.trouble}" for one in away)

    def answering(self) -> Mapping[str, bool]:
        """Return all engines with a section of their own, and whether each answers now."""
        return {name: one.answers for name, one in self._pool.members.items() if name}

    def _members(self, spec: ModelSpec) -> list[Member]:
        return [self._pool.members[name] for name in self._pool.hosts_of(spec)]

    def _replica(self, spec: ModelSpec) -> Replica:
        model, number = model_and_number(spec.id)
        return Replica(self._pool.instance, model, number)
