"""What is reported of a replica's server, out of what the swarm tells.

A service without a task, or one whose node is away, is not known to have ended (UNKNOWN). The end
of a task has its log's last lines, and a cause where Swarm knows one.
"""

import signal
from typing import Final

from server.core.errors import ModelFailed
from server.dialects.base import Endpoint
from server.engines.cause import Cause
from server.engines.engine import CONTAINER_PORT
from server.models.catalogue.catalog import ModelSpec
from server.models.runners.base import TAIL_LINES, Condition, Observation, Replica
from server.models.runners.containers.command import LABEL_SETTINGS, labelled_engine
from server.models.runners.swarm.configuration import HOST_PORT, settings_hash
from server.models.runners.swarm.errors import REPLACED
from server.models.runners.swarm.logs import Logs
from server.models.runners.swarm.states import (
    Service,
    Task,
    cause_of_end,
    condition,
    exit_code,
    is_away,
    node_lost,
    was_told_to_stop,
)
from server.models.runners.swarm.tasks import Snapshot
from server.settings.tables import SwarmSettings

_ASKED_TO_END: Final = frozenset({signal.SIGTERM.value})
# The port "discard", where no server of ours listens: of one that ended as soon as it had started.
_NOWHERE: Final = "http://127.0.0.1:9"


class Observer:
    """Say of servers what a snapshot of the swarm tells of them."""

    def __init__(self, settings: SwarmSettings, logs: Logs) -> None:
        self._settings = settings
        self._logs = logs
        self.specs: dict[Replica, ModelSpec] = {}
        """What each server was last to be started with."""
        self.unplaced: dict[Replica, Cause] = {}
        """Why no node takes a server that was to be started."""

    async def observe(
        self, replica: Replica, snapshot: Snapshot, task: Task | None = None
    ) -> Observation:
        """Report a server, by its current task or another one of its service."""
        service = snapshot.services.get(replica)
        if service is None:
            if snapshot.ending(replica):
                return Observation(replica, Condition.UNKNOWN)
            return Observation(replica, Condition.MISSING, cause=self.unplaced.get(replica))
        task = task or snapshot.current(service)
        if task is None and service.wanted:
            return Observation(replica, Condition.UNKNOWN)
        if task is None:
            return without_task(service)
        node, found = snapshot.node_of(task), condition(task, snapshot.node_of(task))
        if found is not Condition.EXITED:
            spec = self.specs.get(replica)
            settings = service.labels.get(LABEL_SETTINGS, "")
            today = settings_hash(spec, self._settings) if spec else settings
            return Observation(
                replica,
                found,
                self.endpoint(snapshot, service, task) if self._url(snapshot, task) else None,
                is_outdated=settings != today,
                image=service.image,
                cause=node_lost(node) if is_away(node) else None,
            )
        others = [one for one in snapshot.tasks_of(service) if one.is_alive and one.id != task.id]
        is_replaced = bool(others)
        return Observation(
            replica,
            Condition.EXITED,
            exit_code=exit_code(task),
            sent_signals=_ASKED_TO_END
            if was_told_to_stop(task, node, service.wanted, is_replaced=is_replaced)
            else frozenset(),
            tail=() if is_away(node) else tuple(await self._logs.last(task, TAIL_LINES)),
            cause=cause_of_end(task, node, service.wanted, is_replaced=is_replaced),
        )

    def adopted(self, snapshot: Snapshot, service: Service, task: Task) -> Endpoint:
        """Return the endpoint of a task that runs already; raises `ModelFailed` without a port."""
        if not self._url(snapshot, task):
            raise ModelFailed(
                f"the service of {service.replica.model} publishes no port of ours",
                hint="stop the model and start it again",
                details={"cause": "engine_refused"},
            )
        return self.endpoint(snapshot, service, task)

    def endpoint(self, snapshot: Snapshot, service: Service, task: Task) -> Endpoint:
        """Return the endpoint of a task, with the dialect of its engine."""
        engine, replica = labelled_engine(service.labels), service.replica
        node = snapshot.node_of(task)
        is_named = engine.serves_by_name and replica in self.specs
        return Endpoint(
            self._url(snapshot, task) or _NOWHERE,
            dialect=engine.dialect,
            flavour=engine.flavour,
            model=self.specs[replica].served_as if is_named else "",
            place=node.name if node else "",
        )

    def _url(self, snapshot: Snapshot, task: Task) -> str:
        """Return where a task is reached; empty if it has ended, or publishes no port of ours."""
        node = snapshot.node_of(task)
        if self._settings.network == HOST_PORT:
            host = node.address if node else ""
            port = task.ports[0] if task.ports else 0
        else:
            host, port = task.addresses.get(self._settings.network, ""), CONTAINER_PORT
        if not host or not port:
            return ""
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def without_task(service: Service) -> Observation:
    """Report a service whose task was removed: somebody else wants none of it, or another."""
    if service.wanted:
        return Observation(service.replica, Condition.EXITED, cause=REPLACED)
    return Observation(service.replica, Condition.EXITED, sent_signals=_ASKED_TO_END)
