"""Create the service of a replica, and wait until its task runs on a node.

Whoever is cancelled, or cannot go on, leaves nothing behind.
"""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Final

from server.core.errors import ModelFailed
from server.core.protocol import Progress
from server.dialects.base import Endpoint
from server.engines.cause import Cause
from server.models.catalogue.catalog import ModelSpec
from server.models.runners.base import PlaceLost, Replica, Report
from server.models.runners.swarm.configuration import configuration, wanted_gpus
from server.models.runners.swarm.errors import no_node, task_refusal
from server.models.runners.swarm.observing import Observer
from server.models.runners.swarm.services import Services
from server.models.runners.swarm.states import Task, is_away, node_lost
from server.models.runners.swarm.tasks import Snapshot, Tasks, name_of
from server.settings.containers import engine_of, image_of
from server.settings.tables import SwarmSettings

logger = logging.getLogger(__name__)

# A server whose start was given up gets this long to end before the start returns.
_GIVEN_UP_SECONDS: Final = 10.0


class Starter:
    """Start servers as services, and remove what comes to nothing."""

    def __init__(
        self,
        settings: SwarmSettings,
        services: Services,
        tasks: Tasks,
        observer: Observer,
        *,
        environment: Mapping[str, str],
        token: str,
    ) -> None:
        self._settings = settings
        self._services = services
        self._tasks = tasks
        self._observer = observer
        self._environment = environment
        self._token = token

    async def run(
        self, replica: Replica, spec: ModelSpec, snapshot: Snapshot, report: Report
    ) -> Endpoint:
        """Create a service in place of what is left of another, and wait until its task runs.

        Raises `ModelFailed` with the cause, and `PlaceLost` if its node went away meanwhile.
        """
        if replica in snapshot.services:
            await self._services.remove(replica)
        await self.until_gone(replica)
        engine, model = engine_of(spec.settings), spec.settings
        report(Progress("starting", None, "creating the service"))
        image = await self._services.pinned(image_of(model, self._settings))
        kinds = {kind for node in snapshot.nodes.values() for kind in node.resources}
        told_by_file = bool(engine.hub_key) and engine.reads_token_file

        def configured(secret: str) -> dict[str, Any]:
            return configuration(
                replica,
                spec,
                self._settings,
                image=image,
                gpus=wanted_gpus(model, sorted(kinds)),
                secret=secret,
                token=self._token,
                environment=self._environment,
            )

        service_id = await self._services.create(
            replica, engine, self._token if told_by_file else "", configured
        )
        try:
            endpoint = await self._until_running(replica, service_id, report)
        except BaseException:
            await self.give_up(replica)
            raise
        logger.info("%s runs as %s", spec.id, name_of(replica))
        return endpoint

    async def give_up(self, replica: Replica) -> None:
        """Remove a service, however often this is cancelled."""
        await self._services.surely(self._remove(replica), replica)

    async def until_gone(self, replica: Replica) -> None:
        """Wait until no task of a service that was removed is left on a node that answers."""
        with self._tasks.hurry():
            while True:
                snapshot = await self._tasks.look()
                if not snapshot.ending(replica):
                    return
                await self._tasks.polled(self._tasks.count)

    async def _until_running(self, replica: Replica, service_id: str, report: Report) -> Endpoint:
        told = ""
        snapshot = await self._tasks.look()
        while True:
            service = snapshot.services.get(replica)
            if service is None or service.id != service_id:
                raise ModelFailed(
                    "somebody else removed the service while it was started",
                    hint="start it again",
                    details={"cause": "gone"},
                )
            task = snapshot.current(service)
            progress = _progress(snapshot, task)
            self._note_place(replica, task)
            if progress.text != told:
                told = progress.text
                report(progress)
            if task is not None:
                node = snapshot.node_of(task)
                if task.was_refused:
                    raise task_refusal(f"{node.name}: {task.words}" if node else task.words)
                if is_away(node):
                    cause = node_lost(node)
                    raise PlaceLost(cause.message, hint=cause.hint, details={"cause": cause.code})
                # One that has ended already is for `wait` to tell.
                if task.state == "running" or not task.is_alive:
                    return self._observer.endpoint(snapshot, service, task)
            snapshot = await self._tasks.next()

    def _note_place(self, replica: Replica, task: Task | None) -> None:
        """Remember why no node takes a task, in case that the start is given up."""
        self._observer.unplaced.pop(replica, None)
        if task is not None and task.state == "pending" and task.error:
            error = no_node(task.error)
            self._observer.unplaced[replica] = Cause("no_node", error.message, error.hint or "")

    async def _remove(self, replica: Replica) -> None:
        await self._services.remove(replica)
        try:
            async with asyncio.timeout(_GIVEN_UP_SECONDS):
                await self.until_gone(replica)
        except TimeoutError:
            logger.warning("%s takes its time to end", name_of(replica))


def _progress(snapshot: Snapshot, task: Task | None) -> Progress:
    """Return how far a start is, in Swarm's own words where it waits."""
    node = None if task is None else snapshot.node_of(task)
    if task is None or node is None:
        said = task.error if task is not None else ""
        return Progress("waiting", None, f"waiting for a node{said and f': {said}'}")
    if task.state in {"assigned", "accepted", "preparing"}:
        return Progress("pulling", None, f"{node.name} gets the image; Swarm tells no more of it")
    return Progress("starting", None, f"starting on {node.name}")
