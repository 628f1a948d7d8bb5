"""One poller of an instance's services and tasks and of the nodes, for everybody who waits.

Rules:

1. Swarm has no events of tasks, so they are polled: every second, and five times a second while a
   start or a stop is under way. However many models there are, it is one poller.
2. An event of a node or a service makes the next poll come at once.
3. Whoever is to act looks for himself first; whoever waits takes what the poller has seen.
"""

import asyncio
import json
import logging
import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

from server.core.docker_engine import LABEL_INSTANCE, service_name
from server.core.errors import ModelFailed
from server.models.runners.base import Replica
from server.models.runners.swarm.managers import Managers
from server.models.runners.swarm.states import (
    Node,
    Service,
    Task,
    current_task,
    is_away,
    read_node,
    read_service,
    read_task,
)
from server.models.state_changed import StateChanged

logger = logging.getLogger(__name__)

_POLL_SECONDS: Final = 1.0
_HURRIED_POLL_SECONDS: Final = 0.2
_LAST_PAUSE_SECONDS: Final = 5.0
# A swarm that was told nothing else has this one.
_HEARTBEAT_SECONDS: Final = 5.0
# It is seldom changed, and no event tells of it.
_POLLS_PER_HEARTBEAT: Final = 60
_NANO: Final = 1_000_000_000


@dataclass(frozen=True)
class Snapshot:
    """The swarm at one moment."""

    services: dict[Replica, Service] = field(default_factory=dict)
    tasks: tuple[Task, ...] = ()
    nodes: dict[str, Node] = field(default_factory=dict)
    there: frozenset[str] = frozenset()
    """The ids of all services with the instance's label, also of those that are not ours."""

    def tasks_of(self, service: Service) -> list[Task]:
        """Return the tasks of a service, ended ones included."""
        return [task for task in self.tasks if task.service_id == service.id]

    def current(self, service: Service) -> Task | None:
        """Return the task that the service is known by."""
        return current_task(self.tasks_of(service))

    def node_of(self, task: Task) -> Node | None:
        """Return the node that a task is on, None if it has none yet."""
        return self.nodes.get(task.node_id)

    def ending(self, replica: Replica) -> list[Task]:
        """Return the tasks of services that were removed, until their nodes have removed them.

        Those on nodes that are away are left out: they end when their node is back.
        """
        return [
            task
            for task in self.tasks
            if task.replica == replica
            and task.service_id not in self.there
            and not is_away(self.node_of(task))
        ]


class Tasks:
    """Poll the managers; every method raises the errors in `errors`."""

    def __init__(self, managers: Managers, instance: str) -> None:
        self._managers = managers
        self._filters = {"filters": json.dumps({"label": [f"{LABEL_INSTANCE}={instance}"]})}
        self._hurried = 0
        self._wake = asyncio.Event()
        self._polling: list[asyncio.Task[None]] = []
        self._latest: Snapshot | ModelFailed = Snapshot()
        self.changed = StateChanged()
        self.count = 0
        self.heartbeat_seconds = _HEARTBEAT_SECONDS
        """How often nodes tell the managers that they are there, as it was last read."""

    def listen(self) -> None:
        """Start to poll; does nothing if it polls already."""
        if not self._polling:
            self._polling = [
                asyncio.create_task(self._poll(), name="swarm poll"),
                asyncio.create_task(self._follow_events(), name="swarm events"),
            ]

    async def after(self, count: int) -> Snapshot:
        """Wait until the number of polls is more than `count`; return what the last one saw."""
        await self.changed.wait_for(lambda: self.count > count)
        if isinstance(self._latest, ModelFailed):
            raise self._latest
        return self._latest

    async def next(self) -> Snapshot:
        """Wait for another poll; return what it saw."""
        return await self.after(self.count)

    async def polled(self, count: int) -> None:
        """Wait until the number of polls is more than `count`, whatever the last one saw."""
        self.listen()
        await self.changed.wait_for(lambda: self.count > count)

    @contextmanager
    def hurry(self) -> Iterator[None]:
        """Poll more often while the context lasts."""
        self.listen()
        self._hurried += 1
        self._wake.set()
        try:
            yield
        finally:
            self._hurried -= 1

    async def look(self) -> Snapshot:
        """Ask how everything is now."""
        services, tasks, nodes = (
            await self._managers.get("list services", "services", self._filters),
            await self._managers.get("list tasks", "tasks", self._filters),
            await self._managers.get("list nodes", "nodes"),
        )
        return Snapshot(
            _services(services),
            tuple(read_task(task) for task in tasks),
            {node["ID"]: read_node(node) for node in nodes},
            frozenset(service["ID"] for service in services),
        )

    async def close(self) -> None:
        """Stop polling."""
        for polling in self._polling:
            polling.cancel()
        if self._polling:
            await asyncio.wait(self._polling)

    async def _poll(self) -> None:
        while True:
            self._wake.clear()
            try:
                if self.count % _POLLS_PER_HEARTBEAT == 0:
                    self.heartbeat_seconds = await self._heartbeat()
                self._latest = await self.look()
            except ModelFailed as error:
                self._latest = error
            except Exception as error:
                # Every wait for the end of a server depends on this task.
                logger.exception("the swarm's tasks cannot be polled")
                self._latest = ModelFailed(f"the swarm's tasks cannot be polled: {error}")
            self.count += 1
            self.changed.notify_all()
            pause = _HURRIED_POLL_SECONDS if self._hurried else _POLL_SECONDS
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wake.wait()

    async def _heartbeat(self) -> float:
        swarm = await self._managers.get("describe itself", "swarm")
        dispatcher = swarm["Spec"].get("Dispatcher") or {}
        return dispatcher.get("HeartbeatPeriod", 0) / _NANO or _HEARTBEAT_SECONDS

    async def _follow_events(self) -> None:
        pause = _HURRIED_POLL_SECONDS
        while True:
            try:
                filters = {"filters": json.dumps({"type": ["node", "service"]})}
                async with self._managers.stream("tell its events", "events", filters) as chunks:
                    pause = _HURRIED_POLL_SECONDS
                    async for _ in chunks:
                        self._wake.set()
            except ModelFailed as error:
                logger.debug("the events of the swarm stopped: %s", error)
            # With jitter, so that not all gateways connect at once to a manager that comes back.
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(pause * 2, _LAST_PAUSE_SECONDS)


def _services(listed: list[dict[str, Any]]) -> dict[Replica, Service]:
    """Return the gateway's services; under another name they are somebody else's."""
    found = {}
    for shown in listed:
        service = read_service(shown)
        if service is not None and shown["Spec"]["Name"] == name_of(service.replica):
            found[service.replica] = service
    return found


def name_of(replica: Replica) -> str:
    """Return the name of a replica's service."""
    return service_name(replica.instance, replica.model, replica.number)
