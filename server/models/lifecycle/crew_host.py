"""What a crew needs of the fleet, and a replica of its crew; what is shown of each replica."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from server.core.errors import ModelFailed
from server.models.catalogue.catalog import ModelSpec
from server.models.lifecycle.deployment import Deployment, DeploymentHost
from server.models.lifecycle.replica_choice import ReplicaChoice
from server.models.lifecycle.state import Status
from server.models.logbook import LogBook
from server.models.metrics import StartCounters
from server.models.runners.base import Report


class CrewHost(Protocol):
    """The part of the fleet that a crew needs: room for its servers, and its use."""

    async def enter(self, spec: ModelSpec, number: int, report: Report) -> None:
        """Wait until there is room for the server of that replica."""

    def leave(self, spec: ModelSpec, number: int) -> None:
        """Release the room of a server that is gone."""

    def is_answering(self, spec: ModelSpec) -> bool:
        """Tell whether any of the model's servers is writing an answer."""

    def answers(self, spec: ModelSpec) -> int:
        """Return how many answers of the model's servers are written or waited for."""

    async def has_room(self, spec: ModelSpec, number: int) -> bool:
        """Tell whether a replica could be started now, with nobody stopped for it."""

    def changed(self, spec: ModelSpec) -> None:
        """Announce a new status."""


Make = Callable[[ModelSpec, int, DeploymentHost, LogBook, StartCounters], Deployment]
"""Make the deployment of a replica: its settings, its number, its host, its log, its counters."""


@dataclass(frozen=True)
class ReplicaStatus:
    """One replica: its number, where it is, its status, and how many answers it is writing."""

    number: int
    address: str
    place: str
    status: Status
    answers: int
    capacity: int | None


class HasReplicas(Protocol):
    """The crew that a replica belongs to."""

    @property
    def spec(self) -> ModelSpec:
        """Return the model."""

    @property
    def host(self) -> CrewHost:
        """Return the part of the fleet that the crew needs."""

    @property
    def choice(self) -> ReplicaChoice:
        """Return how many answers each replica is writing."""

    @property
    def is_single(self) -> bool:
        """Tell whether there is one replica only."""

    def is_extra(self, number: int) -> bool:
        """Tell whether a replica is the additional one of a restart."""

    def replica_changed(self) -> None:
        """Announce that the status of a replica has changed."""


class ReplicaHost:
    """What one replica needs of its crew (`DeploymentHost`)."""

    def __init__(self, crew: HasReplicas, number: int) -> None:
        self._crew = crew
        self._number = number

    async def enter(self, spec: ModelSpec, report: Report) -> None:
        """Wait until there is room; an additional replica does not wait.

        Raises `ModelFailed` if there can be no room.
        """
        crew, number = self._crew, self._number
        if crew.is_extra(number) and not await crew.host.has_room(crew.spec, number):
            raise ModelFailed("the room for an additional server was taken")
        await crew.host.enter(crew.spec, number, report)

    def leave(self, spec: ModelSpec) -> None:
        """Release the room of the replica."""
        self._crew.host.leave(self._crew.spec, self._number)

    def is_answering(self, spec: ModelSpec) -> bool:
        """Tell whether the replica is writing an answer."""
        if self._crew.is_single:
            return self._crew.host.is_answering(self._crew.spec)
        return self._crew.choice.answers[self._number] > 0

    def changed(self, spec: ModelSpec) -> None:
        """Announce that the status of the replica has changed."""
        self._crew.replica_changed()
